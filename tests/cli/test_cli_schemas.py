"""``produce`` with the schema of a topic's subject in the registry: text becomes its types."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mainstem as ms
from mainstem.testing import RunningBroker, RunningRegistry, running_registry

Cli = Any
TRIP = """syntax = "proto3";
package org.example;
import "google/protobuf/timestamp.proto";
message Other { bool yes = 1; }
message Trip {
  string tail = 1; sint32 miles = 2; optional double delay = 3; google.protobuf.Timestamp left = 4;
  repeated int32 stops = 5; map<string, int32> tags = 6; Class class = 7;
  enum Class { ECONOMY = 0; FIRST = 1; }
}
"""
AVRO = {
    "type": "record",
    "name": "Trip",
    "fields": [
        {"name": "tail", "type": "string"},
        {"name": "miles", "type": "int"},
        {"name": "left", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "crew", "type": "int", "default": 2},
        {"name": "tags", "type": {"type": "map", "values": "long"}, "default": {}},
    ],
}
LEFT = datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
JSON = (
    b'{"tail":"007","miles":-5,"left":"2024-01-02T03:04:05Z","tags":{"a":1}}\n'
    b'{"tail":"y","miles":6,"left":"2024-01-02T03:04:05Z","tags":{}}\n'
)
CSV = b"tail,miles,left\n007,-5,2024-01-02T03:04:05Z\n12,6,2024-01-02T03:04:05Z\n"


@pytest.fixture
def topic(cli: Cli, name: str) -> str:
    assert cli("topic", "create", name).code == 0
    return name


@pytest.fixture
def registry() -> Iterator[RunningRegistry]:
    with running_registry() as found:
        yield found


@pytest.fixture
def produce(cli: Cli, topic: str, registry: RunningRegistry) -> Any:
    """``produce`` to the topic with the registry; its schemas are there."""
    ms.Registry(registry.url).register(f"{topic}-value", TRIP, "PROTOBUF")
    return lambda *arguments, stdin=b"": cli(
        "produce", topic, *arguments, "--registry", registry.url, stdin=stdin
    )


def rows(broker: RunningBroker, topic: str, payload: Any) -> list[dict[str, Any]]:
    with ms.connect(broker.address) as stem:
        table = pa.Table.from_batches(stem.topic(topic).read(format=payload))
    names = [name for name in table.column_names if not name.startswith("_")]
    found: list[dict[str, Any]] = table.select(names).to_pylist()
    return found


TRIP_ARGUMENTS = ("--payload", "protobuf", "--message", "Trip")


def test_csv_becomes_the_message_of_the_subject(
    produce: Any, topic: str, registry: RunningRegistry, mainstem_session_broker: RunningBroker
) -> None:
    found = produce("--format", "csv", *TRIP_ARGUMENTS, "--key", "tail", stdin=CSV)
    assert (found.code, found.out) == (0, ""), found.err
    first, second = rows(mainstem_session_broker, topic, ms.Protobuf(registry.url))
    assert first == {
        "tail": "007", "miles": -5, "delay": None, "left": LEFT, "stops": [], "tags": [],
        "class": "ECONOMY",
    }  # fmt: skip
    assert (second["tail"], second["miles"]) == ("12", 6)


def test_the_bytes_are_the_registrys_wire_format(
    produce: Any, topic: str, registry: RunningRegistry, mainstem_session_broker: RunningBroker
) -> None:
    """Magic byte, id of the schema, the path of the second message, then the message itself."""
    assert produce("--format", "csv", *TRIP_ARGUMENTS, stdin=b"miles\n-5\n").code == 0
    latest = ms.Registry(registry.url).latest(f"{topic}-value")
    (row,) = rows(mainstem_session_broker, topic, ms.Raw())
    assert row["value"] == b"\0" + latest.id.to_bytes(4, "big") + b"\x02\x02" + b"\x10\x09"


def test_json_becomes_the_message_of_the_subject_and_back(
    cli: Cli, produce: Any, topic: str, registry: RunningRegistry
) -> None:
    lines = (
        b'{"tail":"a","miles":1,"left":"2024-01-02T03:04:05Z","stops":[1,2],"class":"FIRST",'
        b'"tags":{"x":3},"delay":null}\n'
    )
    found = produce("--format", "protobuf", "--message", "org.example.Trip", stdin=lines)
    assert found.code == 0, found.err
    out = cli("consume", topic, "--format", "protobuf", "--registry", registry.url).out
    value = json.loads(out)["value"]
    assert value.pop("left").startswith("2024-01-02T03:04:05")
    assert value == {
        "tail": "a", "miles": 1, "delay": None, "stops": [1, 2], "tags": {"x": 3}, "class": "FIRST",
    }  # fmt: skip


def test_parquet_becomes_the_message_of_the_subject(
    produce: Any,
    topic: str,
    registry: RunningRegistry,
    mainstem_session_broker: RunningBroker,
    tmp_path: Path,
) -> None:
    path = tmp_path / "trips.parquet"
    left = pa.array([LEFT] * 100, pa.timestamp("us", "UTC"))
    table = pa.table({"miles": pa.array(range(100), pa.int32()), "left": left})
    pq.write_table(table, path)
    assert produce(str(path), "--format", "parquet", *TRIP_ARGUMENTS).code == 0
    found = rows(mainstem_session_broker, topic, ms.Protobuf(registry.url))
    assert [(row["miles"], row["left"]) for row in found] == [(n, LEFT) for n in range(100)]


def test_without_a_name_the_first_message_is_written(
    produce: Any, topic: str, registry: RunningRegistry, mainstem_session_broker: RunningBroker
) -> None:
    assert produce("--format", "csv", "--payload", "protobuf", stdin=b"yes\ntrue\n").code == 0
    assert rows(mainstem_session_broker, topic, ms.Protobuf(registry.url)) == [{"yes": True}]


@pytest.mark.parametrize(
    ("arguments", "stdin", "told"),
    [
        (("csv", *TRIP_ARGUMENTS), b"tial\nx\n",
         "the message org.example.Trip has no field 'tial': did you mean 'tail'?"),
        (("json", *TRIP_ARGUMENTS), b'{"tail":"x","tial":"x"}\n',
         "the message org.example.Trip has no field 'tial': did you mean 'tail'?"),
        (("csv", *TRIP_ARGUMENTS), b"miles\n1\nmany\n", "invalid value 'many'"),
        (("json", *TRIP_ARGUMENTS), b'{"miles":1}\n\n{"miles":"many"}\n',
         "line 3: miles: "),
        (("json", *TRIP_ARGUMENTS), b'{"miles":3000000000}\n', "does not fit its type (int32)"),
        (("json", *TRIP_ARGUMENTS), b"{}\n", "line 1: an object without members is no row"),
        (("csv", *TRIP_ARGUMENTS), b"class\nSECOND\n", "its enum has ECONOMY, FIRST"),
        (("csv", "--payload", "protobuf", "--message", "Tripp"), b"miles\n1\n",
         "the Protobuf schema has no message 'Tripp': it has org.example.Other, org.example.Trip"),
        (("json", "--payload", "avro", "--use-latest"), b'{"miles":1}\n',
         "holds schemas of type PROTOBUF, not AVRO"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_schema_is_one_sentence(
    produce: Any, arguments: tuple[str, ...], stdin: bytes, told: str
) -> None:
    found = produce("--format", *arguments, stdin=stdin)
    assert (found.code, found.out) == (1, "")
    assert found.err.count("\n") == 1, found.err
    assert told in found.err


def test_a_topic_without_a_schema_is_one_sentence(
    cli: Cli, topic: str, registry: RunningRegistry
) -> None:
    arguments = ("--format", "protobuf", "--registry", registry.url)
    found = cli("produce", topic, *arguments, stdin=b'{"miles":1}\n')
    assert (found.code, found.err.count("\n")) == (1, 1)
    assert f"{topic}-value" in found.err


@pytest.fixture
def produce_avro(cli: Cli, topic: str, registry: RunningRegistry) -> Any:
    ms.Registry(registry.url).register(f"{topic}-value", json.dumps(AVRO))
    return lambda *arguments, stdin=b"": cli(
        "produce", topic, *arguments, "--use-latest", "--registry", registry.url, stdin=stdin
    )


@pytest.mark.parametrize(
    ("source", "stdin", "tags"), [("avro", JSON, [("a", 1)]), ("csv", CSV, [])]
)
def test_avro_is_written_with_the_schema_of_the_subject(
    produce_avro: Any,
    topic: str,
    registry: RunningRegistry,
    mainstem_session_broker: RunningBroker,
    source: str,
    stdin: bytes,
    tags: list[Any],
) -> None:
    payload = () if source == "avro" else ("--payload", "avro")
    found = produce_avro("--format", source, *payload, stdin=stdin)
    assert found.code == 0, found.err
    first, _ = rows(mainstem_session_broker, topic, ms.Avro(registry.url))
    assert first == {"tail": "007", "miles": -5, "left": LEFT, "crew": 2, "tags": tags}
    assert ms.Registry(registry.url).versions(f"{topic}-value") == [1]


def test_a_column_that_the_avro_schema_needs_is_named(produce_avro: Any) -> None:
    found = produce_avro("--format", "avro", stdin=b'{"tail":"x","miles":1}\n')
    assert (found.code, found.err.count("\n")) == (1, 1)
    assert "the Avro schema needs a column 'left', there are 'tail', 'miles'" in found.err


def test_a_key_that_the_schema_does_not_have_is_only_a_key(
    cli: Cli, produce: Any, topic: str, registry: RunningRegistry
) -> None:
    for source, stdin in (("json", b'{"id":"k","miles":1}\n'), ("csv", b"id,miles\nk,1\n")):
        found = produce("--format", source, *TRIP_ARGUMENTS, "--key", "id", stdin=stdin)
        assert found.code == 0, found.err
    out = cli("consume", topic, "--format", "protobuf", "--registry", registry.url).out
    found = [json.loads(line) for line in out.splitlines()]
    assert [(row["key"], row["value"]["miles"]) for row in found] == [("k", 1), ("k", 1)]
