"""Keys, headers, times and partitions of records come back, whatever Arrow types they come in."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
import pytest
from any_table import BYTES, CODECS, TEXT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mainstem as ms

KEYS = [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(3), pa.string(),
        pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.binary()),
        pa.dictionary(pa.int32(), pa.string()), pa.int32(), pa.uint64(), pa.bool_(),
        pa.date32(), pa.decimal128(9, 2)]  # fmt: skip
NAME_TYPES = [pa.string(), pa.large_string(), pa.string_view()]
VALUE_TYPES = [pa.binary(), pa.large_binary(), pa.binary_view(), pa.string()]
LISTS = [pa.list_, pa.large_list, pa.list_view, pa.large_list_view]
UNITS = {"s": 1000, "ms": 1, "us": 0.001, "ns": 0.000001}
LAST = 1_700_000_000_000  # brokers refuse the future
QUICK = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def topic(stem: ms.Stem) -> ms.Topic:
    return stem.create_topic("round-trips-of-parts", 3)


def key_values(kind: Any) -> st.SearchStrategy[Any]:
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    for word, found in (
        ("fixed_size_binary", st.binary(min_size=3, max_size=3)),
        ("integer", st.integers(0, 2**31 - 1)),
        ("boolean", st.booleans()),
        ("date", st.dates(datetime.date(1000, 1, 1))),
        ("decimal", st.decimals(-99999, 99999, places=2)),
    ):
        if getattr(pa.types, f"is_{word}")(inner):
            return st.none() | found
    return st.none() | (BYTES if "binary" in str(inner) else TEXT)


def as_key(value: Any) -> bytes | None:
    """Bytes as they are, text as UTF-8, the rest as Arrow writes it."""
    if value is None or isinstance(value, bytes):
        return value
    text = pa.array([value]).cast(pa.string())[0].as_py()
    return str(text).encode()


@st.composite
def records(draw: st.DrawFn) -> Any:
    rows = draw(st.integers(1, 8))
    kind = draw(st.sampled_from(KEYS))

    def some(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=rows, max_size=rows))

    name, value = draw(st.sampled_from(NAME_TYPES)), draw(st.sampled_from(VALUE_TYPES))
    header_value = TEXT if value == pa.string() else BYTES
    header = st.fixed_dictionaries({"key": TEXT, "value": st.none() | header_value})
    headers = draw(st.sampled_from(LISTS))(pa.struct([("key", name), ("value", value)]))
    unit = draw(st.sampled_from(sorted(UNITS)))
    most = LAST
    times = [
        int(at / UNITS[unit]) if unit != "s" else at // 1000 for at in some(st.integers(0, most))
    ]
    zone = draw(st.sampled_from([None, "UTC", "Asia/Tokyo"]))
    return pa.table(
        {
            "_key": pa.array(some(key_values(kind)), kind),
            "_headers": pa.array(some(st.none() | st.lists(header, max_size=3)), headers),
            "_timestamp": pa.array(times, pa.timestamp(unit, zone)),
            "_partition": pa.array(
                some(st.integers(0, 2)), draw(st.sampled_from([pa.int8(), pa.int64()]))
            ),
            "value": pa.array(some(st.none() | BYTES), pa.binary()),
        }
    )


def expected(table: Any) -> list[tuple[Any, ...]]:
    """Each record, those of one partition in their order."""
    stamps = table["_timestamp"].cast(pa.int64()).to_pylist()
    scale = UNITS[table["_timestamp"].type.unit]
    found = []
    for at, row in enumerate(table.drop_columns(["_timestamp"]).to_pylist()):
        headers = [(one["key"], as_bytes(one["value"])) for one in row["_headers"] or []]
        when = stamps[at] * 1000 if scale == 1000 else stamps[at] // round(1 / scale)
        found.append((row["_partition"], as_key(row["_key"]), headers, when, row["value"]))
    return sorted(found, key=lambda record: record[0])


def as_bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


FORMATS = [ms.Raw(), ms.Json(pa.schema([("value", pa.binary())])), ms.Arrow()]


@given(records(), st.sampled_from(FORMATS), st.sampled_from(CODECS), st.booleans())
@QUICK
def test_every_part_of_a_record_comes_back(
    topic: ms.Topic, table: Any, payload: Any, codec: str | None, sliced: bool
) -> None:
    part_case(topic, table, payload, codec, sliced)


@pytest.mark.slow
@given(records(), st.sampled_from(FORMATS), st.sampled_from(CODECS), st.booleans())
@settings(QUICK, max_examples=200)
def test_every_part_of_many_records_comes_back(
    topic: ms.Topic, table: Any, payload: Any, codec: str | None, sliced: bool
) -> None:
    part_case(topic, table, payload, codec, sliced)


def part_case(topic: ms.Topic, table: Any, payload: Any, codec: str | None, sliced: bool) -> None:
    _, start = topic.offsets()
    cut = table.slice(table.num_rows // 2) if sliced else table
    topic.append(cut, compression=codec, format=payload)
    found = pa.Table.from_batches(topic.read(start, format=payload))
    times = found["_timestamp"].cast(pa.int64()).to_pylist()
    records = [
        (
            row["_partition"],
            row["_key"],
            [(one["key"], one["value"]) for one in row["_headers"]],
            times[at],
            row["value"],
        )
        for at, row in enumerate(found.drop_columns(["_timestamp"]).to_pylist())
    ]
    assert sorted(records, key=lambda record: record[0]) == expected(cut)


@pytest.mark.parametrize("make", [*LISTS, lambda kind: pa.list_(kind, 2)])
def test_headers_in_lists_of_any_layout(make_topic: Any, make: Any) -> None:
    """Of list views some came back wrong, and some were called damaged."""
    kind = make(pa.struct([("key", pa.string()), ("value", pa.binary())]))
    wanted = [[{"key": "a", "value": b"1"}, {"key": "b", "value": None}], None] * 2
    table = pa.table({"value": [b"x"] * 4, "_headers": pa.array(wanted, kind)})
    topic = make_topic()
    topic.append(table)
    found = pa.Table.from_batches(topic.read())["_headers"].to_pylist()
    assert found == [row or [] for row in wanted]
