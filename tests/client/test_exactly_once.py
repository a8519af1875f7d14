"""A real broker behind a line that breaks: every record arrives once, in order, and is read.

A failure names its seed: ``run(seed, …)`` draws the same faults again.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import mainstem as ms
from mainstem.testing import FaultProxy, running_broker
from mainstem.testing.ports import lasting_port

PARTITIONS = 3


def rows(start: int, count: int) -> pa.Table:
    """Numbered, with keys that spread over all partitions."""
    numbers = range(start, start + count)
    values = [b"%09d" % number + bytes(150) for number in numbers]
    return pa.table({"value": values, "_key": [b"%d" % (number % 50) for number in numbers]})


def check(found: pa.Table, count: int, proxy: FaultProxy) -> None:
    """All rows once, in order per partition, at offsets without a gap."""
    numbers = sorted(int(value[:9]) for value in found["value"].to_pylist())
    assert numbers == list(range(count)), f"{proxy}: {len(numbers)} of {count} rows"
    for partition in range(PARTITIONS):
        mine = found.filter(pc.equal(found["_partition"], partition))
        values = mine["value"].to_pylist()
        assert values == sorted(values), f"{proxy}: order in partition {partition}"
        assert mine["_offset"].to_pylist() == list(range(len(mine))), f"{proxy}: offsets"


def run(seed: int, count: int, tmp_path: Path) -> None:
    with (
        FaultProxy(seed=seed, every=300_000) as proxy,
        running_broker(tmp_path, advertised_host=proxy.host, advertised_port=proxy.port) as broker,
    ):
        proxy.target = broker.address
        with ms.connect(proxy.address) as stem:
            topic = stem.topic("t", PARTITIONS, create=True)
            for start in range(0, count, count // 4):
                topic.append(rows(start, count // 4), batch_bytes=20_000)
            found = pa.Table.from_batches(topic.read())
        assert proxy.total > 1, f"{proxy} broke nothing"
    check(found, count, proxy)


def test_a_broken_line_neither_loses_nor_repeats_nor_reorders(tmp_path: Path) -> None:
    run(1, 12_000, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 8))
def test_many_broken_lines(seed: int, tmp_path: Path) -> None:
    run(seed, 24_000, tmp_path)


class Server:
    """``mainstem serve`` on one port and directory; killed without warning, started again."""

    def __init__(self, data: Path, advertise: str) -> None:
        self.address = f"127.0.0.1:{lasting_port()}"
        self._command = [sys.executable, "-m", "mainstem", "serve", "--data", str(data)]
        self._command += ["--kafka", self.address, "--http", "none", "--advertise", advertise]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        assert re.match("ready kafka=", self.process.stdout.readline())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.read()  # its broker holds the pipe until it has ended, too
        self.process.stdout.close()


@contextmanager
def serving(data: Path, advertise: str) -> Iterator[Server]:
    server = Server(data, advertise)
    try:
        yield server
    finally:
        server.kill()


class Crowd:
    """Writers, each with a client and a partition of its own, and one who reads on meanwhile."""

    def __init__(self, proxy: FaultProxy, writers: int) -> None:
        self.proxy = proxy
        self.written = [0] * writers
        self.found: list[pa.RecordBatch] = []
        self.done = threading.Event()
        self._counted = threading.Event()
        self._failures: list[BaseException] = []
        work = [lambda who=who: self._write(who) for who in range(writers)]
        self._writers = [threading.Thread(target=self._noting, args=(each,)) for each in work]
        self._reader = threading.Thread(target=self._noting, args=(self._read,))
        for thread in (*self._writers, self._reader):
            thread.start()

    def _noting(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._failures.append(error)
            self.done.set()

    def _write(self, who: int) -> None:
        with ms.connect(self.proxy.address, request_timeout=5.0) as stem:
            topic = stem.topic("t")
            while not self.done.is_set():
                batch = rows(self.written[who], 500)
                assert topic.append(batch, partition=who, batch_bytes=8_000).rows == 500
                self.written[who] += 500

    def _read(self) -> None:
        seen = 0
        with ms.connect(self.proxy.address) as stem, stem.topic("t").read(follow=True) as batches:
            while not self._counted.is_set() or seen < sum(self.written):
                self.found.append(next(batches))
                seen += self.found[-1].num_rows

    def finish(self, topic: ms.Topic) -> None:
        self.proxy.calm = True
        self.done.set()
        for writer in self._writers:
            writer.join(60)
        # Counted before it is there: the reader must not leave without it, nor wait for more.
        last = rows(self.written[0], 1)
        self.written[0] += 1
        self._counted.set()
        assert topic.append(last, partition=0).rows == 1
        self._reader.join(60)
        assert not any(thread.is_alive() for thread in (*self._writers, self._reader)), self.proxy
        if self._failures:
            raise self._failures[0]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [11])
def test_a_thousand_faults_and_a_broker_killed_in_between(seed: int, tmp_path: Path) -> None:
    """Nothing acknowledged is lost, nothing doubled, order kept: for who reads on and at last."""
    proxy = FaultProxy(seed=seed, every=12_000)
    proxy.calm = True
    with proxy, serving(tmp_path / "data", proxy.address) as server:
        proxy.target = server.address
        with ms.connect(proxy.address) as stem:
            topic = stem.topic("t", 8, create=True)
            crowd = Crowd(proxy, 8)
            proxy.calm, kills, until = False, 0, time.monotonic() + 45
            while proxy.total < 1000 and not crowd.done.wait(0.01):
                assert time.monotonic() < until, f"{proxy} is slow: {crowd.written}, {kills} kills"
                if proxy.total > (kills + 1) * 250:
                    kills += 1
                    server.kill()
                    server.start()
            crowd.finish(topic)
            found = pa.Table.from_batches(topic.read())
    assert kills >= 3
    assert set(proxy.counts) == {"cut", "delay", "slice", "half-close", "duplicate"}
    for table in (found, pa.Table.from_batches(crowd.found)):
        for partition, count in enumerate(crowd.written):
            mine = table.filter(pc.equal(table["_partition"], partition))
            assert mine["_offset"].to_pylist() == list(range(count)), f"{proxy}: {partition}"
            assert mine["value"].to_pylist() == rows(0, count)["value"].to_pylist(), proxy
