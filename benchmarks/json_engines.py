"""JSON objects to Arrow columns: what an engine costs, one thread, the same records.

``python -m benchmarks.json_engines`` (with the group ``bench-formats``) prints the table of
decision record 0110. Each engine gets what a reader has, an Arrow array of binary values, and
gives columns of the same schema; what it needs to get there (lines joined, text cast) is its own
cost. Best of several rounds, because other work on the machine only ever adds.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as pa_json

import mainstem as ms

_ROWS = 100_000
_ROUNDS = 7
SMALL = pa.schema(
    [("id", pa.int64()), ("tail", pa.string()), ("delay", pa.float64()), ("late", pa.bool_())]
)
WIDE = pa.schema(
    [*((f"n{at}", pa.int64()) for at in range(10)), *((f"s{at}", pa.string()) for at in range(10)),
     ("list", pa.list_(pa.float64())),
     ("inner", pa.struct([("a", pa.int64()), ("b", pa.string())]))]
)  # fmt: skip


def small(source: random.Random) -> dict[str, Any]:
    return {
        "id": source.randrange(10**9),
        "tail": f"N{source.randrange(10**5)}",
        "delay": source.uniform(-60, 600),
        "late": source.random() < 0.5,
    }


def wide(source: random.Random) -> dict[str, Any]:
    row: dict[str, Any] = {f"n{at}": source.randrange(10**9) for at in range(10)}
    row |= {f"s{at}": f"some text, {source.randrange(10**6)}" for at in range(10)}
    row["list"] = [source.random() for _ in range(3)]
    row["inner"] = {"a": source.randrange(100), "b": "é"}
    return row


def _lines(values: Any) -> Any:
    return pc.binary_join(
        pa.ListArray.from_arrays([0, len(values)], values.cast(pa.string())), "\n"
    )[0].as_buffer()


def ours(values: Any, schema: Any) -> Any:
    return ms.Json(schema).decoder()(values, str)


def ours_inferring(values: Any, schema: Any) -> Any:
    del schema
    return ms.Json().decoder()(values, str)


def arrow(values: Any, schema: Any) -> Any:
    options = pa_json.ParseOptions(explicit_schema=schema)
    reading = pa_json.ReadOptions(use_threads=False, block_size=1 << 24)
    return pa_json.read_json(pa.BufferReader(_lines(values)), reading, options)


def polars(values: Any, schema: Any) -> Any:
    import polars

    wanted = polars.from_arrow(schema.empty_table()).schema
    return polars.from_arrow(values.cast(pa.string())).str.json_decode(polars.Struct(wanted))


def duckdb(values: Any, schema: Any) -> Any:
    import duckdb

    found = duckdb.connect(config={"threads": 1})
    shape = json.dumps({field.name: _duck(field.type) for field in schema})
    found.register("records", pa.table({"value": values.cast(pa.string())}))
    return found.execute(
        f"SELECT unnest(from_json(value, '{shape}')) FROM records"
    ).to_arrow_table()


def _duck(kind: Any) -> Any:
    if pa.types.is_struct(kind):
        return {field.name: _duck(field.type) for field in kind}
    if pa.types.is_list(kind):
        return [_duck(kind.value_type)]
    return {"int64": "BIGINT", "string": "VARCHAR", "double": "DOUBLE", "bool": "BOOLEAN"}[
        str(kind)
    ]


def msgspec_rows(values: Any, schema: Any) -> Any:
    import msgspec

    decode = msgspec.json.Decoder().decode
    return pa.RecordBatch.from_pylist(list(map(decode, values.to_pylist())), schema=schema)


ENGINES: dict[str, Callable[[Any, Any], Any]] = {
    "mainstem, schema": ours,
    "mainstem, inferred": ours_inferring,
    "pyarrow.json": arrow,
    "polars str.json_decode": polars,
    "duckdb from_json": duckdb,
    "msgspec, row by row": msgspec_rows,
}


def main() -> None:
    for name, make, schema in (("4 members", small, SMALL), ("22 members", wide, WIDE)):
        source = random.Random(1)
        values = pa.array([json.dumps(make(source)).encode() for _ in range(_ROWS)])
        size = values.nbytes / 1e6
        print(f"{name}: {_ROWS:,} records, {size:.0f} MB")
        for engine, run in ENGINES.items():
            best = float("inf")
            for _ in range(_ROUNDS):
                started = time.process_time()
                run(values, schema)
                best = min(best, time.process_time() - started)
            print(f"  {engine:24} {_ROWS / best / 1e6:7.2f} M records/s {size / best:7.0f} MB/s")


if __name__ == "__main__":
    main()
