"""Avro through a topic: registry, resolution, policies, what Confluent's serializers agree on."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import avro_cases
import pyarrow as pa
import pytest

import mainstem as ms
from mainstem.client import avro_can_read
from mainstem.client.avro_plan import compile_schema
from mainstem.client.avro_resolve import resolve
from mainstem.client.avro_schema import parse
from mainstem.testing import RunningRegistry, running_registry

MakeTopic = Callable[..., ms.Topic]
FLIGHT = {
    "type": "record",
    "name": "Flight",
    "namespace": "org.example",
    "fields": [
        {"name": "tail", "type": ["null", "string"], "default": None},
        {"name": "miles", "type": "int"},
    ],
}


def rec(*fields: Any, name: str = "R") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


def f(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


@pytest.fixture
def registry() -> Iterator[RunningRegistry]:
    with running_registry() as found:
        yield found


def rows(topic: ms.Topic, payload: Any, **options: Any) -> list[dict[str, Any]]:
    """What a topic reads as, without the bookkeeping columns."""
    found = []
    for batch in topic.read(format=payload, **options):
        names = [name for name in batch.schema.names if not name.startswith("_")]
        found += batch.select(names).to_pylist()
    return found


def test_a_table_without_a_schema_comes_back_as_it_was(
    make_topic: MakeTopic, registry: RunningRegistry
) -> None:
    topic = make_topic()
    table = pa.table(
        {
            "i": pa.array([1, None], pa.int64()),
            "s": ["x", None],
            "when": pa.array([0, 1], pa.timestamp("us", "UTC")),
            "list": [[1.5], None],
            "deep": [{"a": 1, "b": ["z"]}, None],
            "map": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())),
            "big": pa.array([None, 1 << 63], pa.decimal128(20, 0)),
        }
    )
    payload = ms.Avro(registry.url)
    topic.append(table, format=payload)
    (batch,) = topic.read(format=ms.Avro(registry.url))
    assert batch.select(table.column_names).to_pylist() == table.to_pylist()
    assert registry.requests == [
        f"POST /subjects/{topic.name}-value/versions",
        "GET /schemas/ids/1",
    ]


def test_a_schema_is_asked_for_once(make_topic: MakeTopic, registry: RunningRegistry) -> None:
    topic = make_topic()
    payload = ms.Avro(registry.url, FLIGHT)
    for _ in range(5):
        topic.append([{"tail": "a", "miles": 1}], format=payload)
        assert len(rows(topic, payload)) > 0
    assert len(registry.requests) == 2


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("topic", "{topic}-value"),
        ("record", "org.example.Flight"),
        ("topic-record", "{topic}-org.example.Flight"),
        (lambda topic, record: f"{record}@{topic}", "org.example.Flight@{topic}"),
    ],
)
def test_subjects_are_named_as_wanted(
    make_topic: MakeTopic, registry: RunningRegistry, subject: Any, name: str
) -> None:
    topic = make_topic()
    payload = ms.Avro(registry.url, FLIGHT, subject=subject)
    topic.append([{"miles": 1}], format=payload)
    assert ms.Registry(registry.url).subjects() == [name.format(topic=topic.name)]


def test_without_registration_an_unknown_schema_is_refused(
    make_topic: MakeTopic, registry: RunningRegistry
) -> None:
    topic = make_topic()
    payload = ms.Avro(registry.url, FLIGHT, register=False)
    with pytest.raises(ms.Invalid, match="40401"):
        topic.append([{"miles": 1}], format=payload)
    topic.append([{"miles": 1}], format=ms.Avro(registry.url, FLIGHT))
    topic.append([{"miles": 2}], format=ms.Avro(registry.url, FLIGHT, register=False))
    assert [row["miles"] for row in rows(topic, payload)] == [1, 2]


def test_the_latest_schema_may_be_written(make_topic: MakeTopic, registry: RunningRegistry) -> None:
    topic = make_topic()
    ms.Registry(registry.url).register(f"{topic.name}-value", json.dumps(FLIGHT))
    payload = ms.Avro(registry.url, use_latest=True)
    topic.append([{"miles": 7}], format=payload)
    assert rows(topic, payload) == [{"tail": None, "miles": 7}]
    with pytest.raises(ms.Invalid, match=r"no field 'mile'.*'miles'"):
        topic.append([{"miles": 7, "mile": 1}], format=payload)


def test_without_a_registry_records_are_bare(make_topic: MakeTopic) -> None:
    topic = make_topic()
    payload = ms.Avro(schema=FLIGHT)
    topic.append([{"miles": 7}, {"tail": "x", "miles": -1}], format=payload)
    values = pa.concat_arrays([batch.column("value") for batch in topic.read()])
    assert values.to_pylist() == [b"\0\x0e", b"\2\2x\1"]
    assert rows(topic, payload) == [{"tail": None, "miles": 7}, {"tail": "x", "miles": -1}]


def test_records_of_several_schemas_are_put_together(
    make_topic: MakeTopic, registry: RunningRegistry
) -> None:
    topic = make_topic()
    payload = ms.Avro(registry.url)
    topic.append([{"a": 1, "b": "x"}], format=payload)
    topic.append([{"_key": b"gone", "value": None}])
    topic.append([{"a": 1.5, "c": True}], format=payload)
    topic.append([{"a": 3, "b": "y"}], format=payload)
    (batch,) = topic.read(format=payload)
    assert batch.select(["a", "b", "c"]).to_pylist() == [
        {"a": 1.0, "b": "x", "c": None},
        {"a": None, "b": None, "c": None},
        {"a": 1.5, "b": None, "c": True},
        {"a": 3.0, "b": "y", "c": None},
    ]


def test_columns_that_do_not_go_together_need_a_schema(
    make_topic: MakeTopic, registry: RunningRegistry
) -> None:
    topic = make_topic()
    topic.append([{"a": 1}], format=ms.Avro(registry.url, subject="record").bind("x"))
    topic.append([{"a": [1]}], format=ms.Avro(registry.url, subject=lambda *_: "other"))
    with pytest.raises(ms.Corrupt, match=r"do not go together.*give the schema"):
        rows(topic, ms.Avro(registry.url))


def test_a_reader_schema_chooses_renames_and_fills(
    make_topic: MakeTopic, registry: RunningRegistry
) -> None:
    topic = make_topic()
    topic.append([{"tail": "x", "miles": 5}], format=ms.Avro(registry.url, FLIGHT))
    reader = {
        "type": "record",
        "name": "Flight",
        "fields": [
            {"name": "distance", "type": "double", "aliases": ["miles"]},
            {"name": "source", "type": "string", "default": "unknown"},
        ],
    }
    assert rows(topic, ms.Avro(registry.url, reader)) == [{"distance": 5.0, "source": "unknown"}]


# --- what is bad ---------------------------------------------------------------------------------


def mixed(topic: ms.Topic, registry: RunningRegistry) -> ms.Avro:
    """Five records, of which the second, third and fifth cannot be read."""
    payload = ms.Avro(registry.url, FLIGHT)
    topic.append([{"miles": 1}], format=payload)
    topic.append([b"junk", b"\0\0\0\0\1\2"])
    topic.append([{"miles": 2}], format=payload)
    topic.append([b"\0\0\0\x7f\1\2"])
    return payload


def test_a_bad_record_is_an_error_that_names_it(
    make_topic: MakeTopic, registry: RunningRegistry
) -> None:
    topic = make_topic()
    payload = mixed(topic, registry)
    with pytest.raises(ms.Corrupt, match="offset 1: it does not begin with a schema id") as found:
        rows(topic, payload)
    assert found.value.code == 87
    with pytest.raises(ms.Corrupt, match="offset 2: tail: a variable-length number"):
        rows(topic, payload, start=2)
    with pytest.raises(ms.Corrupt, match=r"offset 4: .*has no schema with id 32513"):
        rows(topic, payload, start=3)


def test_bad_records_may_be_null(make_topic: MakeTopic, registry: RunningRegistry) -> None:
    topic = make_topic()
    mixed(topic, registry)
    found = rows(topic, ms.Avro(registry.url, FLIGHT, on_error="null"))
    assert [row["miles"] for row in found] == [1, None, None, 2, None]


def test_bad_records_may_go_to_another_topic(
    make_topic: MakeTopic, registry: RunningRegistry
) -> None:
    topic, letters = make_topic(), make_topic()
    mixed(topic, registry)
    topic.append([{"_key": b"k", "_headers": [{"key": "h", "value": b"v"}], "value": b"bad"}])
    payload = ms.Avro(registry.url, FLIGHT, on_error="side", side=letters.append)
    assert [row["miles"] for row in rows(topic, payload)] == [1, 2]
    (batch,) = letters.read()
    assert batch.column("value").to_pylist() == [
        b"junk",
        b"\0\0\0\0\1\2",
        b"\0\0\0\x7f\1\2",
        b"bad",
    ]
    assert batch.column("_key").to_pylist()[-1] == b"k"
    headers = batch.column("_headers").to_pylist()
    assert headers[-1][0] == {"key": "h", "value": b"v"}
    assert headers[-1][1]["key"] == "mainstem.error"
    assert b"offset 5" in headers[-1][1]["value"]


def test_an_unknown_id_is_not_asked_for_again_and_again(
    make_topic: MakeTopic, registry: RunningRegistry
) -> None:
    topic = make_topic()
    topic.append([b"\0\0\0\0\7x"] * 10)
    payload = ms.Avro(registry.url, on_error="null")
    for _ in range(3):
        assert len(rows(topic, payload, batch_rows=1)) == 10
    assert registry.requests == ["GET /schemas/ids/7"]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"tail": ["x"]}, "needs a column 'miles'"),
        ({"miles": [None]}, "row 0 cannot become Avro: field miles: it is null"),
        ({"miles": ["5"]}, "column 'miles' is string, its schema needs int32"),
        ({"miles": [1 << 31]}, "column 'miles' does not fit int32"),
        ({"miles": [1.5]}, "column 'miles' is double"),
        ({"miles": [1], "nite": [1]}, "no field 'nite'"),
    ],
)
def test_rows_that_do_not_fit_are_named(
    make_topic: MakeTopic, registry: RunningRegistry, table: Any, reason: str
) -> None:
    topic = make_topic()
    with pytest.raises(ms.Invalid, match=reason):
        topic.append(pa.table(table), format=ms.Avro(registry.url, FLIGHT))
    assert topic.offsets()[1] == {0: 0}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "needs a registry or a schema"),
        ({"schema": FLIGHT, "registry": "localhost:8081"}, "not the address"),
        ({"schema": FLIGHT, "on_error": "skip"}, "on_error='skip'"),
        ({"schema": FLIGHT, "on_error": "side"}, "belong together"),
        ({"schema": FLIGHT, "use_latest": True}, "leave schema out"),
        ({"schema": FLIGHT, "subject": "value"}, "subject='value'"),
        ({"schema": "{"}, "not an Avro schema"),
        ({"schema": rec(f("a", "strng"))}, "no type 'strng'"),
        ({"schema": rec(f("a", ["null", "R"]))}, "contains itself"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(arguments: Any, reason: str) -> None:
    with pytest.raises(ms.Invalid, match=reason):
        ms.Avro(**arguments)


# --- resolution, beside fastavro -----------------------------------------------------------------


def read_as(writer: Any, reader: Any, data: list[Any]) -> list[Any]:
    values = avro_cases.write(writer, data)
    payload = ms.Avro(schema=writer)
    old, new = compile_schema(parse(writer)), compile_schema(parse(reader))
    batch, faults = payload._decode(b"", values, True)
    assert not faults
    columns = resolve(old, new)(batch.columns)
    found = pa.RecordBatch.from_arrays(columns, schema=new.schema)
    found.validate(full=True)
    return [avro_cases.plain(reader, row) for row in found.to_pylist()]


def maps(*fields: Any) -> dict[str, Any]:
    """An array of maps of records."""
    return {"type": "array", "items": {"type": "map", "values": rec(*fields, name="X")}}


ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B", "C"]}
FEWER = {"type": "enum", "name": "E", "symbols": ["B", "A"], "default": "B"}
RESOLVED = {
    "promotions": (
        rec(f("a", "int"), f("b", "long"), f("c", "float"), f("d", "string"), f("e", "bytes")),
        rec(f("a", "long"), f("b", "double"), f("c", "double"), f("d", "bytes"), f("e", "string")),
        [{"a": 1, "b": 2, "c": 1.5, "d": "x", "e": b"y"}],
    ),
    "order and defaults": (
        rec(f("a", "int"), f("b", "string")),
        rec(
            f("b", "string"),
            f("n", ["null", "int"], default=None),
            f("m", {"type": "map", "values": "int"}, default={"k": 1}),
            f("l", {"type": "array", "items": "string"}, default=["p"]),
            f("r", rec(f("x", "boolean", default=True), name="Q"), default={}),
            f("y", "bytes", default="\u00ff"),
            f("u", ["string", "int"], default="u"),
        ),
        [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}],
    ),
    "into option": (rec(f("a", "int")), rec(f("a", ["null", "long"])), [{"a": 1}]),
    "out of option": (rec(f("a", ["null", "int"])), rec(f("a", "long")), [{"a": 1}]),
    "into union": (rec(f("a", "int")), rec(f("a", ["string", "double"])), [{"a": 1}]),
    "between unions": (
        rec(f("a", ["int", "string"])),
        rec(f("a", ["null", "string", "int", "boolean"])),
        [{"a": 1}, {"a": "x"}],
    ),
    "out of union": (rec(f("a", ["int", "long"])), rec(f("a", "long")), [{"a": 1}, {"a": 1 << 40}]),
    "union of records": (
        rec(f("a", ["null", rec(f("x", "int"), name="X")])),
        rec(f("a", ["null", rec(f("x", "long"), f("y", "int", default=9), name="X")])),
        [{"a": None}, {"a": {"x": 4}}, {"a": None}],
    ),
    "fewer symbols": (rec(f("e", ENUM)), rec(f("e", FEWER)), [{"e": c} for c in "ABC"]),
    "nested": (
        rec(f("a", maps(f("x", "int")))),
        rec(f("a", maps(f("z", "int", default=3), f("x", "double")))),
        [{"a": [{"k": {"x": 1}}, {}]}, {"a": []}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RESOLVED)
def test_resolution_is_fastavros(case: str) -> None:
    writer, reader, data = RESOLVED[case]
    values = avro_cases.write(writer, data)
    wanted = avro_cases.read(writer, values, reader)
    if case == "order and defaults":  # fastavro gives the JSON of these as it is
        wanted = [{**row, "r": {"x": True}, "y": b"\xff"} for row in wanted]
    assert read_as(writer, reader, data) == wanted


UNFIT = {
    "another type": (rec(f("a", "string")), rec(f("a", "int"))),
    "narrower": (rec(f("a", "long")), rec(f("a", "int"))),
    "no default": (rec(f("a", "int")), rec(f("b", "int"))),
    "another name": (rec(f("a", "int")), rec(f("a", "int"), name="S")),
    "no branch": (rec(f("a", ["int", "string"])), rec(f("a", "boolean"))),
    "another fixed": (
        rec(f("a", {"type": "fixed", "name": "F", "size": 2})),
        rec(f("a", {"type": "fixed", "name": "F", "size": 3})),
    ),
    "another scale": (
        rec(f("a", {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 1})),
        rec(f("a", {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2})),
    ),
    "record or not": (rec(f("a", "int")), "int"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_schemas_that_do_not_fit_are_told(case: str) -> None:
    writer, reader = UNFIT[case]
    assert not avro_can_read(json.dumps(writer), json.dumps(reader))
    assert avro_can_read(json.dumps(writer), json.dumps(writer))


@pytest.mark.parametrize(
    ("writer", "reader", "value", "reason"),
    [
        (rec(f("a", ["null", "int"])), rec(f("a", "int")), {"a": None}, "allows no null"),
        (rec(f("a", ["int", "string"])), rec(f("a", "int")), {"a": "x"}, "holds a string"),
        (
            rec(f("a", ENUM)),
            rec(f("a", {**FEWER, "default": None} | {"symbols": ["A"]})),
            {"a": "C"},
            "holds 'C'",
        ),
        (rec(f("a", "bytes")), rec(f("a", "string")), {"a": b"\xff"}, "does not fit string"),
    ],
)
def test_values_the_reader_has_no_place_for_are_corrupt(
    writer: Any, reader: Any, value: Any, reason: str
) -> None:
    if reader["fields"][0]["type"].__class__ is dict:
        reader["fields"][0]["type"].pop("default")
    with pytest.raises(ms.Corrupt, match=reason):
        read_as(writer, reader, [value])


def test_a_reader_equal_to_the_writer_changes_nothing() -> None:
    for seed in range(40):
        cases = avro_cases.Schemas(random.Random(seed))
        schema = cases.record()
        data = [cases.value(schema) for _ in range(20)]
        values = avro_cases.write(schema, data)
        assert read_as(schema, schema, data) == avro_cases.read(schema, values), f"seed {seed}"
