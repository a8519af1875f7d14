"""The usual steps of a confluent-kafka program, in Mainstem: docs/guides has both beside."""

import datetime
import re
import tempfile

import pyarrow as pa

import mainstem as ms

# With a cluster of yours: ms.connect("broker:9092")
with tempfile.TemporaryDirectory() as directory, ms.open(directory) as stem:
    # --- create a topic
    orders = stem.topic("orders", partitions=3, create=True)

    # --- produce
    table = pa.table({"customer": ["ada", "bob", "ada"], "amount": [3, 5, 8]})
    written = orders.append(table, key="customer", format=ms.Json(), compression="zstd")
    print(f"{written.rows} rows acknowledged")

    # --- consume as a group, commit by hand
    with stem.consumer("billing", "orders", format=ms.Json(), auto_commit=None) as consumer:
        total = 0
        for batch in consumer:
            total += sum(batch["amount"].to_pylist())
            consumer.commit()
            if total == 16:
                break
    print(f"billed {total}")

    # --- topics by pattern, rebalances, seek and pause
    def assigned(partitions: list[tuple[str, int]]) -> None:
        print(f"took {len(partitions)} partitions")

    pattern = re.compile("orders|invoices-.*")
    with stem.consumer("audit", pattern, format=ms.Json(), on_assigned=assigned) as consumer:
        seen = 0
        while seen < 3:
            seen += next(consumer).num_rows
        consumer.pause([("orders", 0)])
        consumer.resume([("orders", 0)])
        consumer.seek("orders", 0, "earliest")

    # --- read without a group, from a place or a time to the end
    rows = sum(batch.num_rows for batch in orders.read(start="earliest"))
    print(f"{rows} rows in all, billing is {stem.describe_group('billing').lag} behind")
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    print(f"{sum(batch.num_rows for batch in orders.read(start=yesterday))} since yesterday")

    # --- errors
    try:
        stem.topic("order")
    except ms.Invalid as error:
        print(error)
