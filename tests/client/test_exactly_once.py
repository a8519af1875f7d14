"""A real broker behind a line that breaks: every record arrives once, in order, and is read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from fault_proxy import fault_proxy

import mainstem as ms
from mainstem.testing import running_broker


def run(seed: int, rows: int, tmp_path: Path) -> None:
    with (
        fault_proxy(seed, every=700_000) as proxy,
        running_broker(tmp_path, advertised_host="127.0.0.1", advertised_port=proxy.port) as broker,
    ):
        host, port = broker.address.split(":")
        proxy.target = (host, int(port))
        with ms.connect(f"127.0.0.1:{proxy.port}") as stem:
            topic = stem.topic("t", 3, create=True)
            values = [b"%07d" % number + bytes(150) for number in range(rows)]
            keys = [b"%d" % (number % 50) for number in range(rows)]
            for start in range(0, rows, rows // 4):
                part = slice(start, start + rows // 4)
                table = pa.table({"value": values[part], "_key": keys[part]})
                topic.append(table, batch_bytes=20_000)
            found = pa.Table.from_batches(topic.read())
        assert proxy.cuts > 1, f"seed {seed} broke nothing"
    assert sorted(found["value"].to_pylist()) == values, f"seed {seed}"
    for partition in range(3):
        mine = found.filter(pa.compute.equal(found["_partition"], partition))
        assert mine["value"].to_pylist() == sorted(mine["value"].to_pylist()), f"seed {seed}"


def test_a_broken_line_neither_loses_nor_repeats_nor_reorders(tmp_path: Path) -> None:
    run(1, 12_000, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 10))
def test_many_broken_lines(seed: int, tmp_path: Path) -> None:
    run(seed, 24_000, tmp_path)
