"""A state store beside Polars and DuckDB: they give columns, and read what a scan gives."""

import tempfile

import duckdb
import polars as pl

from mainstem.lsm import Store

with tempfile.TemporaryDirectory() as directory, Store.open(f"{directory}/state") as store:
    frame = pl.DataFrame({"tail": ["N14228", "N24211"], "state": ["airborne", "parked"]})
    store.put_batch(frame["tail"].to_arrow(), frame["state"].to_arrow())

    scanned = pl.from_arrow(store.scan().read_all())
    print(scanned.with_columns(pl.col("key", "value").cast(pl.String)))

    rows = store.scan(prefix=b"N1")
    print(duckdb.sql("select decode(key) as tail, decode(value) as state from rows").fetchall())
