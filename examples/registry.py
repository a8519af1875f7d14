"""Avro and Protobuf with a schema registry: schemas derived, given, looked up, resolved."""

import tempfile

import pyarrow as pa

import mainstem as ms
from mainstem.testing import running_registry

table = pa.table({"tail": ["N14228", "N24211"], "delay": pa.array([2, None], pa.int32())})
schema = {
    "type": "record",
    "name": "Flight",
    "fields": [
        {"name": "tail", "type": "string"},
        {"name": "delay", "type": ["null", "int"], "default": None},
    ],
}
reader_schema = {**schema, "fields": [{"name": "delay", "type": ["null", "long"]}]}
Flight = 'syntax = "proto3"; message Flight { string tail = 1; optional int32 delay = 2; }'

with (
    tempfile.TemporaryDirectory() as directory,
    ms.open(directory) as stem,
    running_registry() as server,
):
    registry = ms.Registry(server.url)  # yours: "https://registry:8081", username=…, password=…

    topic = stem.topic("derived", create=True)
    topic.append(table, format=ms.Avro(registry))  # a schema from the columns
    topic = stem.topic("flights", create=True)
    topic.append(table, format=ms.Avro(registry, schema))  # yours
    topic.append(table, format=ms.Avro(registry, use_latest=True))  # the subject's newest

    as_written = topic.read(format=ms.Avro(registry))
    resolved = topic.read(format=ms.Avro(registry, reader_schema))  # by Avro's resolution
    print(pa.Table.from_batches(as_written)["tail"].to_pylist())
    print(pa.Table.from_batches(resolved)["delay"].type)

    topic = stem.topic("messages", create=True)
    topic.append(table, format=ms.Protobuf(registry, Flight))  # .proto text, or a generated class
    topic.append(table, format=ms.Protobuf(registry, use_latest=True))  # the subject's newest
    print(pa.Table.from_batches(topic.read(format=ms.Protobuf(registry)))["delay"].to_pylist())
