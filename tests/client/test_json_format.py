"""JSON payloads, both ways, against Python's own ``json``."""

from __future__ import annotations

import datetime
import decimal
import json
import math
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mainstem as ms
from mainstem.kernels import BinaryColumn, JsonColumn, json_lists, json_rows

MakeTopic = Callable[..., ms.Topic]


def encode(columns: dict[str, Any]) -> list[bytes]:
    batch = pa.record_batch(columns)
    return ms.Json().encode(batch, used=frozenset()).to_pylist()  # type: ignore[no-any-return]


def place(row: int) -> str:
    return f"row {row}"


def decode(values: list[bytes | None], schema: Any = None) -> pa.RecordBatch:
    columns = ms.Json(schema).decoder()(pa.array(values, pa.binary()), place)
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
COLUMNS = st.integers(0, 6).flatmap(
    lambda rows: st.fixed_dictionaries(
        {},
        optional={
            "a": st.lists(
                st.none() | st.integers(-(2**63), 2**63 - 1), min_size=rows, max_size=rows
            ),
            'b"\\\n': st.lists(st.none() | TEXT, min_size=rows, max_size=rows),
            "c": st.lists(
                st.none() | st.floats(allow_nan=False, allow_infinity=False),
                min_size=rows,
                max_size=rows,
            ),
            "d": st.lists(st.none() | st.booleans(), min_size=rows, max_size=rows),
            "é": st.lists(st.none() | st.lists(TEXT, max_size=3), min_size=rows, max_size=rows),
        },
    )
)
TYPES = {"a": pa.int64(), 'b"\\\n': pa.string(), "c": pa.float64(), "d": pa.bool_(),
         "é": pa.list_(pa.string())}  # fmt: skip


@given(COLUMNS)
@settings(deadline=None, max_examples=200)
def test_encoded_rows_are_what_python_reads(columns: dict[str, list[Any]]) -> None:
    arrays = {name: pa.array(values, TYPES[name]) for name, values in columns.items()}
    rows = len(next(iter(columns.values()), []))
    expected = [{name: values[row] for name, values in columns.items()} for row in range(rows)]
    found = [json.loads(value) for value in encode(arrays)] if arrays else []
    assert found == expected
    for row, value in zip(found, expected, strict=True):
        assert all(type(row[name]) is type(value[name]) for name in value)


@given(COLUMNS)
@settings(deadline=None, max_examples=100)
def test_with_a_schema_rows_come_back_as_they_went(columns: dict[str, list[Any]]) -> None:
    if not columns or not next(iter(columns.values())):
        return
    schema = pa.schema([(name, TYPES[name]) for name in columns])
    batch = pa.record_batch(
        [pa.array(values, TYPES[name]) for name, values in columns.items()], schema=schema
    )
    values = ms.Json().encode(batch, used=frozenset())
    assert decode(values.to_pylist(), schema).to_pydict() == batch.to_pydict()


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (pa.array([1.0]), "1.0"),
        (pa.array([0.1 + 0.2]), "0.30000000000000004"),
        (pa.array([1e300]), "1e+300"),
        (pa.array([math.nan]), "null"),
        (pa.array([-math.inf]), "null"),
        (pa.array([1.5], pa.float32()), "1.5"),
        (pa.array([-(2**63)]), "-9223372036854775808"),
        (pa.array([0]), "0"),
        (pa.array([2**64 - 1], pa.uint64()), "18446744073709551615"),
        (pa.array([7], pa.int8()), "7"),
        (pa.array([True]), "true"),
        (pa.array(['\x00\x1f"\\/\b\f\n\r\t é😀']), '"\\u0000\\u001f\\"\\\\/\\b\\f\\n\\r\\t é😀"'),
        (pa.array(["x"], pa.large_string()), '"x"'),
        (pa.array(["x"], pa.string_view()), '"x"'),
        (pa.array(["x"]).dictionary_encode(), '"x"'),
        (pa.array([decimal.Decimal("1.50")]), "1.50"),
        (pa.array([datetime.date(2020, 2, 29)]), '"2020-02-29"'),
        (pa.array([0], pa.timestamp("ms", "UTC")), '"1970-01-01T00:00:00.000Z"'),
        (pa.array([0], pa.timestamp("s", "Asia/Tokyo")), '"1970-01-01T00:00:00Z"'),
        (pa.array([0], pa.timestamp("s")), '"1970-01-01T00:00:00"'),
        (pa.array([b"\xff\x00"]), '"/wA="'),
        (pa.array([[1, None]]), "[1,null]"),
        (pa.array([{"a": [1], "b": None}]), '{"a":[1],"b":null}'),
        (pa.nulls(1), "null"),
        (pa.array([1.5], pa.float16()), "1.5"),
        (pa.array([b"hi"], pa.binary(2)), '"aGk="'),
        (pa.array([b""], pa.large_binary()), '""'),
        (pa.array([b"abc", b"abcd", b"abcde"], pa.binary_view())[1:2], '"YWJjZA=="'),
        (pa.array([[("a", 1), ("é", None)]], pa.map_(pa.string(), pa.int8())), '{"a":1,"é":null}'),
        (pa.array([None], pa.map_(pa.string(), pa.int8())), "null"),
        (pa.array([[], [["x"], None]], pa.large_list(pa.list_(pa.string())))[1:], '[["x"],null]'),
        (pa.array([[1, 2]], pa.list_(pa.int8(), 2)), "[1,2]"),
        (pa.array([[1, 2]], pa.list_view(pa.int8())), "[1,2]"),
        (pa.array([None], pa.struct([("a", pa.int8())])), "null"),
        (pa.array([{}], pa.struct([])), "{}"),
        (
            pa.array([{"t": 0}], pa.struct([("t", pa.timestamp("us"))])),
            '{"t":"1970-01-01T00:00:00.000000"}',
        ),
        (pa.array([datetime.date(2020, 2, 29)], pa.date64()), '"2020-02-29"'),
        (pa.array([0], pa.time64("ns")), '"00:00:00.000000000"'),
        (pa.array([decimal.Decimal("1E-30")], pa.decimal128(38, 30)), "1E-30"),
        (pa.RunEndEncodedArray.from_arrays([1], ["x"]), '"x"'),
    ],
    ids=lambda value: str(value)[:40],
)
def test_every_type_has_its_text(array: Any, text: str) -> None:
    assert encode({"x": array}) == [f'{{"x":{text}}}'.encode()]
    json.loads(encode({"x": array})[0])


def test_sliced_columns_are_encoded_from_their_slice() -> None:
    batch = pa.record_batch({"a": list(range(20)), "b": [None, "x"] * 10, "c": [True] * 20})
    found = ms.Json().encode(batch.slice(7, 5), used=frozenset()).to_pylist()
    assert found == ms.Json().encode(batch, used=frozenset()).to_pylist()[7:12]


def test_a_value_without_a_json_form_is_invalid_and_names_the_column() -> None:
    beyond = pa.array([[2**60]], pa.list_(pa.timestamp("s")))  # no year that Python knows
    with pytest.raises(ms.Invalid, match=r"'x\[\]' of type timestamp.* holds years"):
        encode({"x": beyond})


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (pa.array([2**40], pa.timestamp("s")), "holds years"),
        (pa.array([-(2**20)], pa.date32()), "holds years"),
        (pa.array([1], pa.duration("s")), "no JSON form"),
        (pa.array([[(1, 1)]], pa.map_(pa.int8(), pa.int8())), "text for keys only"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_type_or_time_without_text_is_invalid(array: Any, reason: str) -> None:
    with pytest.raises(ms.Invalid, match=f"'x'.*{reason}"):
        encode({"x": array})


def test_nan_is_an_error_where_that_is_asked_for() -> None:
    batch = pa.record_batch({"a": pa.array([[1.0], [math.nan]])})
    with pytest.raises(ms.Invalid, match=r"'a\[\]' holds NaN"):
        ms.Json(nan="error").encode(batch, used=frozenset())
    with pytest.raises(ms.Invalid, match="nan='drop'"):
        ms.Json(nan="drop")  # type: ignore[arg-type]
    fine = pa.record_batch({"a": [1.0, None], "b": [[], [None]]})
    assert len(ms.Json(nan="error").encode(fine, used=frozenset())) == 2


def test_types_follow_the_data_and_widen() -> None:
    decoder = ms.Json().decoder()

    def types(*values: bytes) -> dict[str, str]:
        found = decoder(pa.array(values), place)
        return {name: str(column.type) for name, column in found.items()}

    assert types(b'{"a":1}') == {"a": "int64"}
    assert types(b'{"a":2,"b":true}') == {"a": "int64", "b": "bool"}
    assert types(b'{"a":1.5}') == {"a": "double", "b": "bool"}
    assert types(b'{"a":3}') == {"a": "double", "b": "bool"}
    assert types(b'{"a":"text"}') == {"a": "string", "b": "bool"}


def test_a_schema_fixes_columns_and_order() -> None:
    schema = pa.schema([("b", pa.string()), ("t", pa.timestamp("ms", "UTC")), ("z", pa.int32())])
    found = decode([b'{"a":1,"b":"x","t":"2013-01-01T10:00:00Z"}', None], schema)
    moment = datetime.datetime(2013, 1, 1, 10, tzinfo=datetime.UTC)
    assert found.schema.equals(schema)
    assert found.to_pylist() == [
        {"b": "x", "t": moment, "z": None},
        {"b": None, "t": None, "z": None},
    ]


def test_records_without_a_value_read_as_nulls() -> None:
    assert decode([None, None]).num_columns == 0
    decoder = ms.Json().decoder()
    decoder(pa.array([b'{"a":1}']), place)
    assert decoder(pa.nulls(2, pa.binary()), place)["a"].to_pylist() == [None, None]


@pytest.mark.parametrize(
    "values",
    [
        [b'{"a":1}', b"x"],
        [b'{"a":1}', b""],
        [b'{"a":1}', b"[1]"],
        [b'{"a":1}', b"1"],
        [b'{"a":1}', b'{"a":1} {"a":2}'],
        [b'{"a":1}', b'{"a":1}\n{"a":2}', b"{}"],
        [b'{"a":1}', b'{"a":}'],
        [b'{"a":1}', b'{"a":"\xff"}'],
        [b'{"a":1}', b'{"a":"x\ny"}'],
        [b'{"a":1}', b'{"a":{', b"}}"],
        [b'{"a":1}', b'{"a":{}', b'{"b":1}}'],
    ],
    ids=str,
)
@pytest.mark.parametrize("schema", [None, pa.schema([("a", pa.int64())])], ids=["free", "fixed"])
def test_what_is_not_one_object_is_corrupt_and_the_row_is_named(
    values: list[bytes], schema: Any
) -> None:
    with pytest.raises(ms.Corrupt, match="row 1"):
        decode(values, schema)


@pytest.mark.parametrize("empty", [b"", b" ", b"\n\t"], ids=repr)
def test_two_objects_in_one_value_and_none_in_the_next_do_not_shift(empty: bytes) -> None:
    """As many objects as values, and yet each would be another record's."""
    with pytest.raises(ms.Corrupt, match="row"):
        decode([b'{"a":1} {"a":2}', empty])


def test_an_object_may_span_lines_and_have_space_around_it() -> None:
    assert decode([b'{"a":\n 1\n}', b' {"a":2}\n']).to_pydict() == {"a": [1, 2]}


def test_a_value_that_does_not_fit_the_schema_is_named() -> None:
    values: list[bytes | None] = [b'{"a":%d}' % number for number in range(1000)]
    values[777] = b'{"a":"seven"}'
    with pytest.raises(ms.Corrupt, match=r"row 777: .*seven"):
        decode(values, pa.schema([("a", pa.int64())]))


@given(st.lists(st.binary(max_size=12) | st.sampled_from([b"{", b"}", b'{"a":1}', b'"', b"{}"]),
                min_size=1, max_size=6))  # fmt: skip
@settings(deadline=None, max_examples=400)
def test_rows_never_shift(values: list[bytes]) -> None:
    """Whatever the bytes: either an error, or one row for each value, and the right one."""
    try:
        found = decode(values).to_pylist()
    except ms.Corrupt:
        return
    assert len(found) == len(values) or found == []
    for row, value in zip(found, values, strict=False):
        loaded = json.loads(value)
        assert {name: row[name] for name in loaded} == loaded


def test_json_goes_through_a_topic(make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    table = pa.table({"tail": ["N1", None, "N2"], "delay": [5, None, -3], "far": [1.5, 2.0, None]})
    topic.append(table, key="tail", format=ms.Json())
    found = pa.Table.from_batches(topic.read(format=ms.Json())).sort_by("delay")
    assert found["delay"].to_pylist() == [-3, 5, None]
    assert found["_key"].to_pylist() == [b"N2", b"N1", None]
    assert found.select(table.column_names).to_pylist() == table.sort_by("delay").to_pylist()


def test_bad_json_in_a_topic_is_named_by_its_offset(make_topic: MakeTopic) -> None:
    topic = make_topic()
    topic.append([b'{"a":1}', b'{"a":2}', b"oops"])
    with pytest.raises(ms.Corrupt, match=rf"'{topic.name}' partition 0 offset 2: .*'oops'.*Raw"):
        list(topic.read(1, format=ms.Json()))


def test_members_named_like_bookkeeping_do_not_replace_it(make_topic: MakeTopic) -> None:
    topic = make_topic()
    topic.append([b'{"_key":"inside","a":1}'])
    (batch,) = topic.read(format=ms.Json())
    assert batch["_key"].to_pylist() == [None]
    assert batch["payload._key"].to_pylist() == ["inside"]


def test_a_schema_of_another_kind_is_invalid() -> None:
    with pytest.raises(ms.Invalid, match=r"takes a pyarrow\.Schema, not a dict"):
        ms.Json({"a": "int"})


def test_the_kernel_refuses_damaged_and_unequal_columns() -> None:
    offsets = b"".join(n.to_bytes(4, "little", signed=True) for n in (0, 5, 99))
    damaged = JsonColumn.text(b'{"a":', BinaryColumn(offsets, b"hello", None, 0, 2))
    with pytest.raises(ValueError, match="entry 1 points outside"):
        json_rows([damaged], 2)
    with pytest.raises(ValueError, match="has not 3 entries"):
        json_rows([damaged], 3)
    with pytest.raises(ValueError, match="too few"):
        JsonColumn.integer(b"", b"1234567", None, 0, 1)
    with pytest.raises(ValueError, match="too few"):
        JsonColumn.integer(b"", bytes(800), b"", 0, 100)
    with pytest.raises(ValueError, match="offset -1"):
        JsonColumn.integer(b"", bytes(8), None, -1, 1)
    with pytest.raises(ValueError, match="rows cannot"):
        json_rows([], -1)
    entries = BinaryColumn(bytes(8), b"", None, 0, 1)
    for numbers, fault in (
        ((0, 2), "list 0 points outside"), ((1, 0), "list 0 points outside"),
        ((-1, 0), "list 0 points outside"), ((0,), "too few"),
    ):  # fmt: skip
        offsets = b"".join(n.to_bytes(8, "little", signed=True) for n in numbers)
        with pytest.raises(ValueError, match=fault):
            json_lists(offsets, 0, 1, entries, b"[", b"]")
    with pytest.raises(ValueError, match="offset -1"):
        json_lists(bytes(8), -1, 1, entries, b"[", b"]")
