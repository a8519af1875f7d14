"""State whose log is a topic: no second log on disk, and what was not flushed is replayed."""

import tempfile

import mainstem as ms
from mainstem.lsm import Store, WriteBatch


def catch_up(store: Store, orders: ms.Topic) -> int:
    """Apply what the store has not seen; the offset and the rows it stands for go together."""
    totals = store.family("totals")
    start = store.position.get("orders-0", 0)
    rows = 0
    for batch in orders.read(start, partitions=[0]):
        changes = WriteBatch().put(totals, batch["_key"], batch["value"])
        store.write(changes, position={"orders-0": batch["_offset"][-1].as_py() + 1})
        rows += batch.num_rows
    return rows


with tempfile.TemporaryDirectory() as directory, ms.open(f"{directory}/log") as stem:
    orders = stem.topic("orders", create=True)
    orders.append([{"_key": b"ann", "value": b"3"}, {"_key": b"bob", "value": b"5"}])

    with Store.open(f"{directory}/state", sync="external") as store:
        print("read", catch_up(store, orders))
        store.checkpoint(f"{directory}/copy")  # flushed: who begins here begins at offset 2

        orders.append([{"_key": b"ann", "value": b"8"}])
        print("read", catch_up(store, orders))

    orders.append([{"_key": b"cyd", "value": b"13"}])
    with Store.open(f"{directory}/copy", sync="external") as store:  # as after a crash
        print("position", store.position)
        print("read", catch_up(store, orders), dict(store.family("totals").items()))
