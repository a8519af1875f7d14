"""The usual steps of a confluent-kafka program, in Mainstem: docs/guides has both beside."""

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

    # --- read without a group, from a place to the end
    rows = sum(batch.num_rows for batch in orders.read(start="earliest"))
    print(f"{rows} rows in all, billing is {stem.describe_group('billing').lag} behind")

    # --- errors
    try:
        stem.topic("order")
    except ms.Invalid as error:
        print(error)
