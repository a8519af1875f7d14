"""Protobuf through a topic: with and without a registry, classes and text, policies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import protobuf_cases
import pyarrow as pa
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from test_avro_format import rows

import mainstem as ms
from mainstem.testing import RunningRegistry, running_registry

MakeTopic = Callable[..., ms.Topic]
FLIGHT = """syntax = "proto3";
package org.example;
import "google/protobuf/timestamp.proto";
message Flight {
  string tail = 1; int32 miles = 2; optional double delay = 3; repeated string stops = 4;
  google.protobuf.Timestamp left = 5;
  message Seat { int32 row = 1; }
}
message Other { bool yes = 1; }
"""
ROW = {"tail": "", "miles": 0, "delay": None, "stops": [], "left": None}


@pytest.fixture
def registry() -> Iterator[RunningRegistry]:
    with running_registry() as found:
        yield found


def test_rows_come_back_as_the_registry_knows_them(
    make_topic: MakeTopic, registry: RunningRegistry
) -> None:
    topic = make_topic()
    table = pa.table(
        {
            "tail": ["N1", None],
            "miles": [7, -1],
            "stops": [["JFK"], None],
            "left": pa.array([1_000_000, None], pa.timestamp("us", "UTC")),
        }
    )
    topic.append(table, key="tail", format=ms.Protobuf(registry.url, FLIGHT))
    (batch,) = topic.read(format=ms.Protobuf(registry.url))
    assert batch.column("left").cast(pa.int64()).to_pylist() == [1_000_000_000, None]
    names = ["tail", "miles", "delay", "stops"]
    assert batch.select(names).to_pylist() == [
        {"tail": "N1", "miles": 7, "delay": None, "stops": ["JFK"]},
        {"tail": "", "miles": -1, "delay": None, "stops": []},
    ]
    assert registry.requests == [
        f"POST /subjects/{topic.name}-value/versions",
        "GET /schemas/ids/1",
    ]


def test_the_header_leads_to_the_message(make_topic: MakeTopic, registry: RunningRegistry) -> None:
    topic = make_topic()
    for name, row in (
        ("Flight", {"miles": 1}),
        ("Flight.Seat", {"row": 2}),
        ("Other", {"yes": True}),
    ):
        topic.append([row], format=ms.Protobuf(registry.url, FLIGHT, name=name))
    values = pa.concat_arrays([batch.column("value") for batch in topic.read()])
    assert values.to_pylist() == [
        b"\0\0\0\0\1\0\x10\1",
        b"\0\0\0\0\1\4\0\0\x08\2",
        b"\0\0\0\0\1\2\2\x08\1",
    ]
    (batch,) = topic.read(format=ms.Protobuf(registry.url))
    assert batch.column("miles").to_pylist() == [1, None, None]
    assert batch.column("row").to_pylist() == [None, 2, None]
    assert batch.column("yes").to_pylist() == [None, None, True]


def test_a_class_and_a_descriptor_do_as_well_as_text(make_topic: MakeTopic) -> None:
    kind = protobuf_cases.message_class(FLIGHT)
    topic = make_topic()
    topic.append([kind(tail="x", miles=3).SerializeToString()])
    for message in (kind, kind.DESCRIPTOR, kind(), FLIGHT):
        assert rows(topic, ms.Protobuf(message=message)) == [{**ROW, "tail": "x", "miles": 3}]


def test_another_message_reads_by_field_numbers(
    make_topic: MakeTopic, registry: RunningRegistry
) -> None:
    topic = make_topic()
    topic.append([{"tail": "x", "miles": 3}], format=ms.Protobuf(registry.url, FLIGHT))
    reader = 'syntax = "proto3"; message R { int64 distance = 2; string more = 99; }'
    assert rows(topic, ms.Protobuf(registry.url, reader)) == [{"distance": 3, "more": ""}]
    clash = 'syntax = "proto3"; message R { string distance = 2; }'
    with pytest.raises(ms.Corrupt, match="distance: a field has another wire type"):
        rows(topic, ms.Protobuf(registry.url, clash))


def test_what_a_class_imports_is_registered_with_it(
    make_topic: MakeTopic, registry: RunningRegistry
) -> None:
    pool = DescriptorPool()
    base = FileDescriptorProto(name="base.proto", syntax="proto3", package="b")
    base.message_type.add(name="Base").field.add(name="n", number=1, label=1, type=5)
    pool.AddSerializedFile(base.SerializeToString())
    top = FileDescriptorProto(name="top.proto", syntax="proto3", dependency=["base.proto"])
    top.message_type.add(name="Top").field.add(name="b", number=1, label=1, type_name="b.Base")
    file = pool.AddSerializedFile(top.SerializeToString())
    kind = message_factory.GetMessageClass(file.message_types_by_name["Top"])
    topic = make_topic()
    topic.append([{"b": {"n": 5}}], format=ms.Protobuf(registry.url, kind))
    client = ms.Registry(registry.url)
    assert client.subjects() == ["base.proto", f"{topic.name}-value"]
    (reference,) = client.latest(f"{topic.name}-value").references
    assert (reference.name, reference.subject, reference.version) == ("base.proto", "base.proto", 1)
    assert rows(topic, ms.Protobuf(registry.url)) == [{"b": {"n": 5}}]
    again = ms.Protobuf(registry.url, kind, register=False)
    topic.append([{"b": {"n": 6}}], format=again)
    topic.append([{"b": {"n": 7}}], format=ms.Protobuf(registry.url, use_latest=True))
    assert rows(topic, ms.Protobuf(registry.url), start=2) == [{"b": {"n": 7}}]


def test_bad_records_are_null_or_set_aside(
    make_topic: MakeTopic, registry: RunningRegistry
) -> None:
    topic = make_topic()
    payload = ms.Protobuf(registry.url, FLIGHT)
    topic.append([{"miles": 1}], format=payload)
    topic.append([b"\0\0\0\0\1\0\x10", b"junk", b"\0\0\0\0\1\x02"])
    topic.append([{"_key": b"k", "value": None}])
    topic.append([{"miles": 2}], format=payload)
    found = rows(topic, ms.Protobuf(registry.url, on_error="null"))
    assert [row["miles"] for row in found] == [1, None, None, None, None, 2]
    aside: list[Any] = []
    payload = ms.Protobuf(registry.url, on_error="side", side=aside.append)
    assert [row["miles"] for row in rows(topic, payload)] == [1, None, 2]
    reasons = aside[0].column("_error").to_pylist()
    assert [reason.split(": ")[0].rpartition(" ")[2] for reason in reasons] == ["1", "2", "3"]
    with pytest.raises(ms.Corrupt, match="offset 1: miles: a variable-length"):
        rows(topic, ms.Protobuf(registry.url))


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"mile": [1]}, "no field 'mile': did you mean 'miles'"),
        ({"miles": ["x"]}, "column 'miles' is string"),
        ({"miles": [1 << 40]}, "column 'miles' does not fit int32"),
        ({"stops": [["a", None]]}, "row 0 cannot become Protobuf: field stops: it is null"),
        ({"left": [5]}, "column 'left' is int64"),
    ],
)
def test_rows_that_do_not_fit_are_named(make_topic: MakeTopic, table: Any, reason: str) -> None:
    with pytest.raises(ms.Invalid, match=reason):
        make_topic().append(pa.table(table), format=ms.Protobuf(message=FLIGHT))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "needs a registry or a message"),
        ({"message": 5}, "is not a Protobuf message"),
        ({"message": FLIGHT, "name": "Flite"}, "no message 'Flite': it has"),
        ({"message": "messag M {}"}, "'messag' is not known"),
        ({"message": "message M { Gone g = 1; }"}, "does not hold together"),
        ({"message": ""}, "has no message at"),
        ({"message": FLIGHT, "registry": "http://r", "use_latest": True}, "leave message out"),
        ({"use_latest": True}, "needs a registry or a message"),
    ],
)
def test_wrong_arguments_are_refused(arguments: Any, reason: str) -> None:
    with pytest.raises(ms.Invalid, match=reason):
        ms.Protobuf(**arguments)


def test_writing_needs_a_message(make_topic: MakeTopic, registry: RunningRegistry) -> None:
    with pytest.raises(ms.Invalid, match="which one shall it write"):
        make_topic().append([{"a": 1}], format=ms.Protobuf(registry.url))


def test_the_newest_schema_of_the_subject_is_written(
    make_topic: MakeTopic, registry: RunningRegistry
) -> None:
    topic, client = make_topic(), ms.Registry(registry.url)
    latest = ms.Protobuf(registry.url, use_latest=True)
    for text, row in (
        ("message R { int32 a = 1; }", {"a": 1}),
        ("message R { int32 a = 1; int32 b = 2; }", {"a": 2, "b": 3}),
    ):
        client.register(f"{topic.name}-value", f'syntax = "proto3"; {text}', "PROTOBUF")
        topic.append([row], format=ms.Protobuf(registry.url, use_latest=True))
    assert rows(topic, latest) == [{"a": 1, "b": None}, {"a": 2, "b": 3}]
    assert client.versions(f"{topic.name}-value") == [1, 2]
    assert latest.columns(topic.name) == pa.schema([("a", pa.int32()), ("b", pa.int32())])


def test_a_message_of_the_newest_schema_is_chosen_by_name(
    make_topic: MakeTopic, registry: RunningRegistry
) -> None:
    topic = make_topic()
    ms.Registry(registry.url).register(f"{topic.name}-value", FLIGHT, "PROTOBUF")
    for name, row in (("Other", {"yes": True}), ("org.example.Flight.Seat", {"row": 3})):
        topic.append([row], format=ms.Protobuf(registry.url, name=name, use_latest=True))
    found = [batch["value"].to_pylist() for batch in topic.read()]
    assert found == [[b"\0\0\0\0\1\x02\x02\x08\1", b"\0\0\0\0\1\x04\0\0\x08\3"]]


def test_a_schema_of_another_type_is_told(make_topic: MakeTopic, registry: RunningRegistry) -> None:
    topic = make_topic()
    topic.append([{"a": 1}], format=ms.Avro(registry.url))
    topic.append([b"\0\0\0\0\1\0\x08"])
    with pytest.raises(ms.Corrupt, match="of type AVRO, not Protobuf"):
        rows(topic, ms.Protobuf(registry.url), start=1)
