"""Counting flights per aircraft: merged states, atomic with the position they come from."""

from __future__ import annotations

import sys

import pyarrow as pa

from mainstem.lsm import Store, WriteBatch, encode_key


def main(path: str) -> None:
    with Store.open(path) as store:
        delays = store.family("delays")
        departures = pa.record_batch(
            {"tailnum": ["N101", "N202", "N101"], "delay": [12.0, -3.0, 30.0]}
        )
        delays.merge_batch(
            departures["tailnum"],
            {"flights": None, "total": departures["delay"], "worst": departures["delay"]},
            ["count", "sum", "max"],
        )
        print(delays.states(pa.array(["N101", "N202", "N303"])).to_pylist())

        seen = store.family("seen")
        batch = WriteBatch().put(seen, [encode_key("N101", 1), encode_key("N101", 2)], [b"", b""])
        store.write(batch, position={"departures-0": 3})
        print(store.position, len(list(seen.keys(prefix=encode_key("N101")))))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "./state")
