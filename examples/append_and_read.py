"""Append an Arrow table to a log inside this process, and read it back."""

import tempfile

import pyarrow as pa

import mainstem as ms

table = pa.table(
    {
        "tailnum": ["N14228", "N24211", "N619AA"],
        "origin": ["EWR", "LGA", "JFK"],
        "delay": [2, 4, None],
    }
)

with tempfile.TemporaryDirectory() as directory, ms.open(directory) as stem:
    flights = stem.topic("flights", partitions=3, create=True)
    written = flights.append(table, key="tailnum", format=ms.Json())
    print(f"{written.rows} rows in partitions {sorted(written.partitions)}")

    for batch in flights.read(format=ms.Json(table.schema)):
        for row in batch.select(["tailnum", "origin", "delay"]).to_pylist():
            print(row)
