"""What a format cannot hold is refused with the column's name, and nothing of it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import mainstem as ms
from mainstem.testing import RunningRegistry, running_registry

MakeTopic = Callable[..., ms.Topic]
CODES = pa.array([0, 1], pa.int8())
PARTS = [pa.array([1, 2]), pa.array(["a", "b"])]
COLUMNS = {
    "sparse union": pa.UnionArray.from_sparse(CODES, PARTS, ["i", "s"]),
    "dense union": pa.UnionArray.from_dense(CODES, pa.array([0, 1], pa.int32()), PARTS, ["i", "s"]),
    "interval": pa.array([pa.MonthDayNano([1, 2, 3]), None]),
    "duration": pa.array([1, None], pa.duration("s")),
    "integer keys": pa.array([[(1, "a")], None], pa.map_(pa.int32(), pa.string())),
    "runs": pc.run_end_encode(pa.array(["a", "a"])),
    "nanoseconds of a day": pa.array([1, None], pa.time64("ns")),
    "negative scale": pa.array([Decimal(100), None], pa.decimal128(5, -2)),
    "number": pa.array([1.5, None]),
    "list": pa.array([[1], None]),
}
JSON = ["sparse union", "dense union", "interval", "duration", "integer keys"]
AVRO = [*JSON, "runs", "nanoseconds of a day", "negative scale"]
PROTOBUF = 'syntax = "proto3"; message Row { optional string c = 1; }'


@pytest.fixture(scope="module")
def registry() -> Iterator[RunningRegistry]:
    with running_registry() as found:
        yield found


def refused(topic: ms.Topic, column: Any, payload: Any, name: str = "c", **options: Any) -> str:
    """What the append says; nothing was written."""
    with pytest.raises(ms.Invalid) as caught:
        topic.append(pa.table({name: column}), format=payload, **options)
    assert [batch for batch in topic.read() if batch.num_rows] == []
    return str(caught.value)


def nested(column: Any) -> list[Any]:
    """The same as a member, and in a list."""
    return [
        pa.StructArray.from_arrays([column], ["m"]),
        pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), column),
    ]


@pytest.mark.parametrize("what", JSON)
def test_json_says_which_column_has_no_json_form(make_topic: MakeTopic, what: str) -> None:
    topic = make_topic()
    said = refused(topic, COLUMNS[what], ms.Json())
    assert "column 'c'" in said
    assert "no JSON form: cast it first" in said or "JSON has text for keys only" in said
    for column, place in zip(nested(COLUMNS[what]), ("'c.m'", "'c[]'"), strict=True):
        assert f"column {place}" in refused(topic, column, ms.Json())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()], ids=str)
def test_json_refuses_what_is_not_finite_where_it_is_told_to(
    make_topic: MakeTopic, value: float, kind: Any
) -> None:
    """By default it is null, as the guide says."""
    topic = make_topic()
    column = pa.array([1.5, value], kind)
    for one in (column, *nested(column)):
        assert "holds NaN or infinity, which JSON lacks" in refused(
            topic, one, ms.Json(nan="error")
        )
    topic.append(pa.table({"c": column}), format=ms.Json())
    (batch,) = topic.read(format=ms.Json(pa.schema([("c", kind)])))
    assert batch["c"].to_pylist() == [1.5, None]


@pytest.mark.parametrize(
    "kind",
    [pa.decimal256(60, 2), pa.decimal128(5, -2), pa.run_end_encoded(pa.int32(), pa.string()),
     pa.duration("s"), pa.month_day_nano_interval(), pa.map_(pa.int32(), pa.string()),
     pa.dense_union([pa.field("i", pa.int64())])],
    ids=str,
)  # fmt: skip
def test_json_is_not_read_as_what_it_cannot_become(make_topic: MakeTopic, kind: Any) -> None:
    topic = make_topic()
    topic.append([b'{"c": null}'])
    with pytest.raises(ms.Invalid, match=r"column 'c"):
        list(topic.read(format=ms.Json(pa.schema([("c", kind)]))))


@pytest.mark.parametrize("what", AVRO)
def test_avro_says_which_column_it_does_not_have(
    make_topic: MakeTopic, registry: RunningRegistry, what: str
) -> None:
    topic = make_topic()
    payload = ms.Avro(registry.url)
    for column in (COLUMNS[what], *nested(COLUMNS[what])):
        said = refused(topic, column, payload)
        assert said.startswith("column 'c")
        assert "Avro" in said


@pytest.mark.parametrize("what", sorted(COLUMNS))
def test_protobuf_says_which_column_its_message_cannot_take(
    make_topic: MakeTopic, registry: RunningRegistry, what: str
) -> None:
    said = refused(make_topic(), COLUMNS[what], ms.Protobuf(registry.url, PROTOBUF))
    assert "column 'c'" in said


@pytest.mark.parametrize("what", sorted(COLUMNS))
def test_raw_says_that_records_hold_bytes(make_topic: MakeTopic, what: str) -> None:
    said = refused(make_topic(), COLUMNS[what], ms.Raw(), "value")
    assert "records hold binary or string (convert it, or use a format)" in said


@pytest.mark.parametrize("what", sorted(set(COLUMNS) - {"number", "negative scale"}))
def test_a_key_is_a_plain_column(make_topic: MakeTopic, what: str) -> None:
    column = COLUMNS[what]
    if what in {"duration", "nanoseconds of a day"}:  # their text
        make_topic().append(pa.table({"c": column, "value": ["x", "y"]}), key="c")
        return
    said = refused(make_topic(), column, ms.Arrow(), key="c")
    assert "column 'c' is " in said
    assert "cannot be a key" in said
