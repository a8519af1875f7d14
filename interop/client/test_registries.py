"""Avro and Protobuf with confluent-kafka's serializers, both ways, and with a real registry."""

from __future__ import annotations

import datetime
import decimal
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor
from interop.registry import running_apicurio

import mainstem as ms
from mainstem.client.protobuf_schema import file_from
from mainstem.testing import running_registry

UTC = datetime.UTC
_numbers = itertools.count()
MakeTopic = Callable[[], ms.Topic]

FLIGHT = {
    "type": "record",
    "name": "Flight",
    "namespace": "org.example",
    "fields": [
        {"name": "tail", "type": ["null", "string"], "default": None},
        {"name": "miles", "type": "int"},
        {"name": "delay", "type": "double"},
        {"name": "left", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "fare", "type": {"type": "bytes", "logicalType": "decimal",
                                  "precision": 9, "scale": 2}},
        {"name": "stops", "type": {"type": "array", "items": "string"}},
        {"name": "tags", "type": {"type": "map", "values": "long"}},
        {"name": "class", "type": {"type": "enum", "name": "Class", "symbols": ["Y", "J"]}},
        {"name": "crew", "type": ["null", {"type": "record", "name": "Crew",
                                            "fields": [{"name": "size", "type": "long"}]}]},
    ],
}  # fmt: skip


def flight(number: int) -> dict[str, Any]:
    return {
        "tail": None if number % 3 == 0 else f"N{number}",
        "miles": number - 2,
        "delay": number / 7,
        "left": datetime.datetime(2013, 1, 1, tzinfo=UTC) + datetime.timedelta(microseconds=number),
        "day": datetime.date(1969, 12, 30) + datetime.timedelta(days=number),
        "fare": decimal.Decimal(number - 3).scaleb(-2),
        "stops": [f"é{at}" for at in range(number % 3)],
        "tags": {"a": number},
        "class": "YJ"[number % 2],
        "crew": None if number % 2 else {"size": -number},
    }


ROWS = [flight(number) for number in range(20)]
FLIGHTS = pa.schema([
    ("tail", pa.string()), ("miles", pa.int32()), ("delay", pa.float64()),
    ("left", pa.timestamp("us", "UTC")), ("day", pa.date32()), ("fare", pa.decimal128(9, 2)),
    ("stops", pa.list_(pa.string())), ("tags", pa.map_(pa.string(), pa.int64())),
    ("class", pa.string()), ("crew", pa.struct([("size", pa.int64())])),
])  # fmt: skip
MESSAGE = """syntax = "proto3";
package org.example;
import "google/protobuf/timestamp.proto";
message Other { bool yes = 1; }
message Trip {
  message Seat { int32 row = 1; string letter = 2; }
  string tail = 1; sint64 miles = 2; optional double delay = 3; repeated Seat seats = 4;
  map<string, int32> tags = 5; google.protobuf.Timestamp left = 6;
  enum Kind { NONE = 0; JET = 1; } Kind kind = 7; bytes raw = 8;
}
"""


@pytest.fixture(scope="module", params=["apicurio", "ours"])
def registry(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an Apicurio Registry, or of the one for tests, which must behave alike."""
    if request.param == "ours":
        with running_registry() as found:
            yield found.url
        return
    with running_apicurio(tmp_path_factory.mktemp("apicurio")) as url:
        yield url


@pytest.fixture(scope="module")
def peer(registry: str) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": registry}) as found:
        yield found


@pytest.fixture(scope="module")
def stem(cluster: str) -> Iterator[ms.Stem]:
    with ms.connect(cluster) as found:
        yield found


@pytest.fixture
def make_topic(stem: ms.Stem) -> MakeTopic:
    return lambda: stem.create_topic(f"formats-{next(_numbers)}", 1)


def context(topic: ms.Topic) -> SerializationContext:
    return SerializationContext(topic.name, MessageField.VALUE)


def plain(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "tags": dict(row["tags"])}


def raw(topic: ms.Topic) -> list[bytes]:
    return [value for batch in topic.read() for value in batch.column("value").to_pylist()]


def flights() -> Any:
    return pa.Table.from_pylist(ROWS, schema=FLIGHTS)


def rows(topic: ms.Topic, payload: Any, names: list[str]) -> list[dict[str, Any]]:
    return [row for b in topic.read(format=payload) for row in b.select(names).to_pylist()]


# --- Avro ----------------------------------------------------------------------------------------


def test_avro_that_confluent_wrote_is_read(
    registry: str, peer: SchemaRegistryClient, make_topic: MakeTopic
) -> None:
    topic = make_topic()
    serialize = AvroSerializer(peer, json.dumps(FLIGHT))
    topic.append([serialize(row, context(topic)) for row in ROWS])
    assert [plain(row) for row in rows(topic, ms.Avro(registry), list(ROWS[0]))] == ROWS


def test_avro_that_we_wrote_is_read_by_confluent_and_has_the_same_bytes(
    registry: str, peer: SchemaRegistryClient, make_topic: MakeTopic
) -> None:
    topic = make_topic()
    topic.append(flights(), format=ms.Avro(registry, FLIGHT))
    deserialize = AvroDeserializer(peer)
    values = raw(topic)
    assert [deserialize(value, context(topic)) for value in values] == ROWS
    serialize = AvroSerializer(peer, json.dumps(FLIGHT))
    assert [serialize(row, context(topic)) for row in ROWS] == values


def test_an_avro_reader_schema_resolves_as_confluents(
    registry: str, peer: SchemaRegistryClient, make_topic: MakeTopic
) -> None:
    topic = make_topic()
    topic.append(flights(), format=ms.Avro(registry, FLIGHT))
    reader = {
        "type": "record", "name": "Flight", "namespace": "org.example",
        "fields": [{"name": "miles", "type": "double"},
                   {"name": "gate", "type": "string", "default": "?"}],
    }  # fmt: skip
    deserialize = AvroDeserializer(peer, json.dumps(reader))
    wanted = [deserialize(value, context(topic)) for value in raw(topic)]
    assert rows(topic, ms.Avro(registry, reader), ["miles", "gate"]) == wanted


# --- Protobuf ------------------------------------------------------------------------------------


def trip_class() -> Any:
    descriptor: Descriptor = file_from(MESSAGE, "trip.proto", {}).message_types_by_name["Trip"]
    return message_factory.GetMessageClass(descriptor)


def trips(kind: Any) -> list[Any]:
    found = []
    for number in range(12):
        trip = kind(tail=f"N{number}", miles=number - 5, kind=number % 2, raw=b"\xff" * number)
        if number % 2:
            trip.delay = number / 7
            trip.left.FromMicroseconds(number - 3)
        for row in range(number % 3):
            trip.seats.add(row=row, letter="é")
        trip.tags["a"] = number
        found.append(trip)
    return found


def trip_row(trip: Any) -> dict[str, Any]:
    return {
        "tail": trip.tail,
        "miles": trip.miles,
        "delay": trip.delay if trip.HasField("delay") else None,
        "seats": [{"row": seat.row, "letter": seat.letter} for seat in trip.seats],
        "tags": list(trip.tags.items()),
        "kind": ["NONE", "JET"][trip.kind],
        "raw": trip.raw,
    }


NAMES = ["tail", "miles", "delay", "seats", "tags", "kind", "raw"]


def test_protobuf_that_confluent_wrote_is_read(
    registry: str, peer: SchemaRegistryClient, make_topic: MakeTopic
) -> None:
    topic, kind = make_topic(), trip_class()
    serialize = ProtobufSerializer(kind, peer, {"use.deprecated.format": False})
    messages = trips(kind)
    topic.append([serialize(message, context(topic)) for message in messages])
    assert rows(topic, ms.Protobuf(registry), NAMES) == list(map(trip_row, messages))


def test_protobuf_that_we_wrote_is_read_by_confluent(registry: str, make_topic: MakeTopic) -> None:
    topic, kind = make_topic(), trip_class()
    messages = trips(kind)
    table = pa.Table.from_pylist(
        [{**trip_row(m), "left": m.left.ToNanoseconds() if m.HasField("left") else None}
         for m in messages],
        schema=pa.schema([
            ("tail", pa.string()), ("miles", pa.int64()), ("delay", pa.float64()),
            ("seats", pa.list_(pa.struct([("row", pa.int32()), ("letter", pa.string())]))),
            ("tags", pa.map_(pa.string(), pa.int32())), ("kind", pa.string()), ("raw", pa.binary()),
            ("left", pa.timestamp("ns", "UTC")),
        ]),
    )  # fmt: skip
    topic.append(table, format=ms.Protobuf(registry, MESSAGE, name="Trip"))
    deserialize = ProtobufDeserializer(kind, {"use.deprecated.format": False})
    values = raw(topic)
    assert [deserialize(value, context(topic)) for value in values] == messages
    # The message's place in its file: the second one, as Confluent writes it.
    assert all(value[5:7] == b"\2\2" for value in values)


# --- the registry's own rules --------------------------------------------------------------------


def avro(*fields: dict[str, Any]) -> str:
    return json.dumps({"type": "record", "name": "R", "fields": list(fields)})


A = {"name": "a", "type": "int"}
B = {"name": "b", "type": "int"}


@pytest.fixture
def client(registry: str) -> ms.Registry:
    return ms.Registry(registry)


@pytest.fixture
def subject() -> str:
    return f"subject-{next(_numbers)}"


def test_a_schema_has_one_id_and_rising_versions(client: ms.Registry, subject: str) -> None:
    first = client.register(subject, avro(A))
    assert client.register(subject, avro(A)) == first == client.lookup(subject, avro(A))
    second = client.register(subject, avro(A, {**B, "default": 0}))
    assert second != first
    assert client.versions(subject) == [1, 2]
    assert client.latest(subject).id == second
    assert json.loads(client.version(subject, 1).text) == json.loads(avro(A))
    assert json.loads(client.schema(first).text) == json.loads(avro(A))
    assert subject in client.subjects()


def test_what_is_not_there_is_invalid(client: ms.Registry, subject: str) -> None:
    with pytest.raises(ms.Invalid, match="no schema with id 999999"):
        client.schema(999_999)
    with pytest.raises(ms.Invalid, match="404"):
        client.latest(subject)
    client.register(subject, avro(A))
    with pytest.raises(ms.Invalid, match="404"):
        client.lookup(subject, avro(B))


def test_what_is_no_schema_is_invalid(client: ms.Registry, subject: str) -> None:
    with pytest.raises(ms.Invalid, match="422"):
        client.register(subject, '{"type": "nothing"}')


def test_an_incompatible_schema_is_a_conflict(
    client: ms.Registry, subject: str, peer: SchemaRegistryClient
) -> None:
    client.register(subject, avro(A))
    peer.set_compatibility(subject, level="BACKWARD")
    assert not client.compatible(subject, avro(A, B))
    assert client.compatible(subject, avro(A, {**B, "default": 0}))
    with pytest.raises(ms.Conflict, match="make the schema compatible"):
        client.register(subject, avro(A, B))


def test_a_schema_may_be_built_on_another(
    registry: str, client: ms.Registry, subject: str, make_topic: MakeTopic,
    peer: SchemaRegistryClient,
) -> None:  # fmt: skip
    from mainstem.client import Reference

    inner = json.dumps({"type": "record", "name": "Inner", "fields": [A]})
    outer = avro({"name": "i", "type": "Inner"})
    client.register(f"{subject}-inner", inner)
    references = [Reference("Inner", f"{subject}-inner", 1)]
    number = client.register(subject, outer, references=references)
    topic = make_topic()
    topic.append([b"\0" + number.to_bytes(4, "big") + b"\x54"])
    assert rows(topic, ms.Avro(registry), ["i"]) == [{"i": {"a": 42}}]
    value = raw(topic)[0]
    assert AvroDeserializer(peer)(value, context(topic)) == {"i": {"a": 42}}


def test_a_deleted_subject_is_gone_and_its_ids_stay(client: ms.Registry, subject: str) -> None:
    number = client.register(subject, avro(A, {"name": subject.replace("-", "_"), "type": "int"}))
    assert client.delete(subject) == [1]
    assert subject not in client.subjects()
    assert ms.Registry(client.url).schema(number).id == number
