"""Payload formats: typed columns in JSON, Avro and Arrow, and what becomes of bad records."""

import tempfile

import pyarrow as pa

import mainstem as ms
from mainstem.testing import running_registry

schema = pa.schema(
    [("tail", pa.string()), ("delay", pa.int32()), ("left", pa.timestamp("s", "UTC"))]
)
flights = pa.table(
    {"tail": ["N14228", "N24211"], "delay": [2, None], "left": [1357034400, 1357037640]},
    schema=schema,
)

with tempfile.TemporaryDirectory() as directory, ms.open(directory) as stem:
    # JSON: the schema says what a value must be; what is not goes to a topic of its own.
    json_topic = stem.topic("json", create=True)
    rejected = stem.topic("rejected", create=True)
    json_topic.append(flights, key="tail", format=ms.Json())
    json_topic.append([b'{"tail":"N1","delay":2.5}', b"not JSON at all"])
    payload = ms.Json(schema, clash="side", malformed="side", side=rejected.append)
    for batch in json_topic.read(format=payload):
        print("json:", batch.select(schema.names).to_pylist()[0])
    for batch in rejected.read():
        for header in batch["_headers"].to_pylist():
            print("rejected:", header[-1]["value"].decode())

    # Avro: the registry keeps the schema, and what would break its readers is a conflict.
    with running_registry() as server:
        registry = ms.Registry(server.url)
        avro_topic = stem.topic("avro", create=True)
        avro_topic.append(flights, format=ms.Avro(registry))
        print(
            "avro:",
            pa.Table.from_batches(avro_topic.read(format=ms.Avro(registry))).num_rows,
            "rows",
        )
        try:
            avro_topic.append(pa.table({"delay": ["text"]}), format=ms.Avro(registry))
        except ms.Conflict as error:
            print("conflict:", str(error).partition(": ")[2][:60])

    # Arrow: a table is one record, and comes back as it was.
    arrow_topic = stem.topic("arrow", create=True)
    arrow_topic.append(flights, format=ms.Arrow())
    found = pa.Table.from_batches(arrow_topic.read(format=ms.Arrow()))
    print("arrow:", found.select(schema.names).equals(flights), set(found["_offset"].to_pylist()))
