"""A state store by batch: put, get, scan; single keys where there is no batch."""

import tempfile

import pyarrow as pa

from mainstem.lsm import Store, encode_key, encode_keys

with tempfile.TemporaryDirectory() as directory:
    with Store.open(f"{directory}/state") as store:
        flights = pa.table(
            {
                "origin": ["EWR", "JFK", "EWR", "LGA"],
                "number": [1545, 1141, 1696, 461],
                "status": ["boarding", "delayed", "departed", "on time"],
            }
        )
        keys = encode_keys(flights["origin"], flights["number"])
        store.put_batch(keys, flights["status"])

        wanted = [encode_key("EWR", 1696), encode_key("EWR", 1), encode_key("LGA", 461)]
        print(store.get_batch(wanted).to_pylist())

        for batch in store.scan(prefix=encode_key("EWR")):  # pyarrow.RecordBatch: key, value
            print(batch.num_rows, "from EWR:", batch["value"].to_pylist())

        last = store.scan(reverse=True, limit=1).read_all()
        print("last:", last["value"].to_pylist())

        store[b"note"] = b"single keys are bytes"
        print(store.get(b"note"), b"nothing" in store)
        store.delete_batch(wanted[:1])
        store.delete_range(encode_key("JFK"), encode_key("K"))

    with Store.open(f"{directory}/state", create=False) as store:  # what was put is there
        print([value.decode() for value in store.values()])
