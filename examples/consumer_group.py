"""A consumer group: members share partitions, commit what they processed, go on after a break."""

import tempfile

import mainstem as ms

with tempfile.TemporaryDirectory() as directory, ms.open(directory) as stem:
    flights = stem.topic("flights", partitions=4, create=True)
    flights.append([{"_key": f"N{n}", "value": f"departure {n}"} for n in range(1000)])

    # Commits are the program's own here: nothing counts as done before it says so.
    with stem.consumer("delays", ["flights"], auto_commit=None, batch_rows=400) as consumer:
        batch = next(consumer)
        print(f"handed out {batch.num_rows}, of partitions {sorted(set(consumer.assignment))}")
        consumer.commit()
    print(f"{stem.describe_group('delays').lag} to go")

    def assigned(partitions: list[tuple[str, int]]) -> None:
        print(f"took {len(partitions)} partitions")

    rows = 0
    with stem.consumer("delays", ["flights"], on_assigned=assigned) as consumer:
        for batch in consumer:  # pyarrow.RecordBatch
            rows += batch.num_rows
            if rows == 600:
                break
    print(f"then {rows}; {stem.describe_group('delays').lag} to go")
