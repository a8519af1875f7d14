"""Snapshots, checkpoints, runs made elsewhere, and a look at every byte."""

import tempfile

import pyarrow as pa

from mainstem.lsm import Store, check, write_run

with tempfile.TemporaryDirectory() as directory:
    path = f"{directory}/state"
    with Store.open(path) as store:
        store.put_batch([b"a", b"b"], [b"1", b"2"])

        # What a snapshot reads stays as it is, whatever is written meanwhile.
        with store.snapshot() as before:
            store.put_batch([b"a", b"c"], [b"changed", b"3"])
            print(before.get(b"a"), list(before), store.get(b"a"))

        # A checkpoint is a store of its own: a backup, or the state of another process.
        store.checkpoint(f"{directory}/backup")

        # Rows that are sorted already skip log and memtable: a table is built, then added.
        batches = [
            pa.record_batch({"key": [b"x%03d" % n for n in range(500)], "value": [b"new"] * 500}),
            pa.record_batch({"key": [b"y%03d" % n for n in range(500)], "value": [b"new"] * 500}),
        ]
        rows = write_run(f"{directory}/bulk.run", batches)
        store.ingest(f"{directory}/bulk.run")
        print(rows, "rows added,", len(list(store)), "keys")
        print(store.stats().families[0].disk_rows, "rows on disk")

    with Store.open(f"{directory}/backup", create=False) as backup:
        print("the backup has", dict(backup.items()))

    for finding in check(path):  # of a store that nobody has open
        print(finding.severity, finding.message)
