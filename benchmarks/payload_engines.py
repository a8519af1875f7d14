"""Avro and Protobuf to Arrow columns and back: our kernels beside the packages row by row.

``python -m benchmarks.payload_engines`` prints the table of decision record 0111: one thread,
processor time, best of several rounds.
"""

from __future__ import annotations

import io
import json
import random
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa

import mainstem as ms

_ROWS = 50_000
_ROUNDS = 5
SCHEMA = {
    "type": "record",
    "name": "R",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "tail", "type": ["null", "string"], "default": None},
        {"name": "delay", "type": "double"},
        {"name": "stops", "type": {"type": "array", "items": "string"}},
    ],
}
MESSAGE = """syntax = "proto3";
message R { int64 id = 1; optional string tail = 2; double delay = 3; repeated string stops = 4; }
"""


def rows() -> list[dict[str, Any]]:
    source = random.Random(1)
    return [
        {
            "id": source.randrange(10**9),
            "tail": f"N{source.randrange(10**5)}",
            "delay": source.uniform(-60, 600),
            "stops": ["JFK", "LAX"][: source.randrange(3)],
        }
        for _ in range(_ROWS)
    ]


def best(run: Callable[[], Any]) -> float:
    found = float("inf")
    for _ in range(_ROUNDS):
        started = time.process_time()
        run()
        found = min(found, time.process_time() - started)
    return _ROWS / found / 1e6


def show(what: str, ours: Callable[[], Any], theirs: Callable[[], Any]) -> None:
    left, right = best(ours), best(theirs)
    print(f"{what:16} {left:7.2f} M records/s, row by row {right:6.3f}: {left / right:4.0f} times")


def avro(found: list[dict[str, Any]]) -> None:
    import fastavro

    parsed = fastavro.parse_schema(json.loads(json.dumps(SCHEMA)))
    payload = ms.Avro(schema=SCHEMA)
    batch = pa.RecordBatch.from_pylist(found)
    values = payload.encode(batch, used=frozenset())
    plain = values.to_pylist()

    def read() -> Any:
        reader = fastavro.schemaless_reader
        return pa.RecordBatch.from_pylist([reader(io.BytesIO(v), parsed, None) for v in plain])

    def write() -> Any:
        texts = []
        for row in batch.to_pylist():
            out = io.BytesIO()
            fastavro.schemaless_writer(out, parsed, row)
            texts.append(out.getvalue())
        return pa.array(texts)

    assert read().to_pylist() == found
    show("Avro, read", lambda: payload.decoder()(values, str), read)
    show("Avro, write", lambda: payload.encode(batch, used=frozenset()), write)


def protobuf(found: list[dict[str, Any]]) -> None:
    from google.protobuf import message_factory

    from mainstem.client.protobuf_schema import file_from

    kind = message_factory.GetMessageClass(
        file_from(MESSAGE, "r.proto", {}).message_types_by_name["R"]
    )
    payload = ms.Protobuf(message=MESSAGE)
    batch = pa.RecordBatch.from_pylist(found)
    values = payload.encode(batch, used=frozenset())
    plain = values.to_pylist()

    def read() -> Any:
        texts = []
        for value in plain:
            row = kind.FromString(value)
            texts.append(
                {
                    "id": row.id,
                    "tail": row.tail if row.HasField("tail") else None,
                    "delay": row.delay,
                    "stops": list(row.stops),
                }
            )
        return pa.RecordBatch.from_pylist(texts)

    def write() -> Any:
        return pa.array([kind(**row).SerializeToString() for row in batch.to_pylist()])

    assert read().to_pylist() == found
    show("Protobuf, read", lambda: payload.decoder()(values, str), read)
    show("Protobuf, write", lambda: payload.encode(batch, used=frozenset()), write)


if __name__ == "__main__":
    everything = rows()
    avro(everything)
    protobuf(everything)
