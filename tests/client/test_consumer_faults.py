"""Groups when things break: members that die or dawdle, brokers that restart, at random."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import mainstem as ms
from mainstem.testing import FaultProxy, RunningBroker, running_broker
from mainstem.testing.ports import lasting_port

SECONDS = 120.0  # a line that stays half open is found after half a minute


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"gave up waiting for {what}"


MEMBER = """
import sys
import mainstem as ms
with ms.connect(sys.argv[1]) as stem:
    with stem.consumer(sys.argv[2], sys.argv[2], session_timeout=6.0, batch_rows=10,
                       auto_commit=None) as consumer:
        batch = consumer.poll()
        consumer.commit()
        batch = consumer.poll()
        print(batch.num_rows, flush=True)
        sys.stdin.read()
"""


@pytest.mark.slow
def test_what_a_killed_member_did_not_commit_is_read_by_the_next(
    mainstem_session_broker: RunningBroker,
) -> None:
    address, name = mainstem_session_broker.address, "killed-member"
    with ms.connect(address) as stem:
        stem.create_topic(name, 1).append([f"{n}".encode() for n in range(30)])
        command = [sys.executable, "-c", MEMBER, address, name]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"10\n"
            process.send_signal(signal.SIGKILL)
            process.wait(30)
        with stem.consumer(name, name, heartbeat_interval=0.1, auto_commit=None) as consumer:
            batch = consumer.poll(SECONDS)
            assert batch["value"].to_pylist() == [f"{n}".encode() for n in range(10, 30)]


def test_a_consumer_goes_on_when_the_broker_comes_back(tmp_path: Path) -> None:
    port = lasting_port()
    with running_broker(tmp_path / "data", port=port) as first:
        stem = ms.connect(first.address, retry_for=60.0)
        topic = stem.create_topic("t", 2)
        topic.append([{"value": "before", "_partition": n} for n in (0, 1)])
        consumer = stem.consumer("g", "t", heartbeat_interval=0.1, auto_commit=None)
        seen = 0
        while seen < 2:
            seen += consumer.poll().num_rows
        consumer.commit()
    with running_broker(tmp_path / "data", port=port):
        topic.append([{"value": "after", "_partition": n} for n in (0, 1)])
        values: list[bytes] = []

        def both() -> bool:
            batch = consumer.poll(0.2)
            values.extend([] if batch is None else batch["value"].to_pylist())
            return len(values) >= 2

        until(both, "what was written afterwards")
        assert values == [b"after", b"after"]
        consumer.commit()
        consumer.close()
        assert stem.committed("g") == {("t", 0): 2, ("t", 1): 2}
        stem.close()


class Worker(threading.Thread):
    """Consumes and commits, and now and then stops, fails, dawdles or starts anew."""

    def __init__(self, address: str, name: str, seed: str, assignor: str) -> None:
        super().__init__()
        self.handed: Counter[int] = Counter()
        self.committed: list[dict[tuple[str, int], int]] = []
        self.failure: BaseException | None = None
        self.over = threading.Event()
        self._address, self._name = address, name
        self._source = random.Random(seed)
        self._assignor = assignor

    def run(self) -> None:
        try:
            while not self.over.is_set():
                with suppress(ms.Unavailable), ms.connect(self._address) as stem:
                    while not self.over.is_set():
                        self._session(stem)
        except BaseException as error:
            self.failure = error

    def _session(self, stem: ms.Stem) -> None:
        options: dict[str, Any] = {
            "assignor": self._assignor,
            "heartbeat_interval": 0.05,
            "max_poll_interval": 0.7,
            "session_timeout": 6.0,  # a farewell may be lost
            "batch_rows": self._source.choice([1, 20, 500]),
            "auto_commit": self._source.choice([None, 0.05]),
        }
        try:
            with stem.consumer(self._name, self._name, **options) as consumer:
                while not self.over.is_set():
                    self._step(consumer, options["auto_commit"] is None)
                    if self._source.random() < 0.03:
                        return
                    if self._source.random() < 0.02:
                        raise ZeroDivisionError
        except (ZeroDivisionError, ms.Conflict):
            return  # a failure of its own, or too slow: the next session joins anew

    def _step(self, consumer: ms.Consumer, manual: bool) -> None:
        batch = consumer.poll(0.05)
        if batch is None:
            return
        self.handed.update(int(value) for value in batch["value"].to_pylist())
        if self._source.random() < 0.02:
            self.over.wait(1.0)  # too long: the group goes on without this one
        if manual:
            consumer.commit(wait=self._source.random() < 0.7)


def churn(address: str, assignor: str, what: str, enough: Callable[[], object]) -> None:
    """Members that come and go share what is written, until it is enough.

    Each value is handed out at least once, and the commits end exactly at the end.
    """
    name = "churn-" + re.sub("[^a-z0-9]+", "-", what)
    with ms.connect(address) as stem:
        topic = stem.create_topic(name, 6)
        workers = [Worker(address, name, f"{what} {n}", assignor) for n in range(4)]
        for worker in workers:
            worker.start()
        total = 0
        until_time = time.monotonic() + SECONDS
        while not enough() and all(worker.is_alive() for worker in workers):
            assert time.monotonic() < until_time, f"{what} takes too long"
            rows = [{"value": f"{total + n}", "_partition": n % 6} for n in range(60)]
            total += topic.append(rows).rows
            workers[0].over.wait(0.02)
        for worker in workers:
            worker.over.set()
        for worker in workers:
            worker.join()
            if worker.failure is not None:
                raise AssertionError(what) from worker.failure
        seen: Counter[int] = sum((worker.handed for worker in workers), Counter())
        with stem.consumer(name, name, assignor=assignor, heartbeat_interval=0.05) as last:
            until(lambda: _rest(last, seen), f"the rest, {what}")
        assert set(seen) == set(range(total)), what
        _, ends = topic.offsets()
        assert stem.committed(name) == {(name, n): end for n, end in ends.items()}, what


@pytest.mark.slow
@pytest.mark.parametrize("assignor", ["range", "sticky", "cooperative-sticky"])
def test_nothing_is_lost_whatever_members_do(
    mainstem_session_broker: RunningBroker, assignor: str
) -> None:
    address, end = mainstem_session_broker.address, time.monotonic() + 8.0
    what = f"{assignor} seed {random.randrange(2**32)}"
    churn(address, assignor, what, lambda: time.monotonic() > end)


def behind_a_broken_line(seed: int, assignor: str, faults: int, data: Path) -> None:
    with (
        FaultProxy(seed=seed, every=2_000) as proxy,
        running_broker(data, advertised_host=proxy.host, advertised_port=proxy.port) as broker,
    ):
        proxy.target, proxy.calm = broker.address, True

        def enough() -> bool:
            proxy.calm = proxy.total >= faults
            return proxy.calm

        churn(proxy.address, assignor, f"{assignor} behind a line with seed {seed}", enough)


def test_a_group_behind_a_broken_line_loses_nothing(tmp_path: Path) -> None:
    behind_a_broken_line(1, "cooperative-sticky", 30, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2])
@pytest.mark.parametrize("assignor", ["range", "cooperative-sticky"])
def test_groups_behind_many_broken_lines_lose_nothing(
    seed: int, assignor: str, tmp_path: Path
) -> None:
    behind_a_broken_line(seed, assignor, 250, tmp_path)


def _rest(consumer: ms.Consumer, seen: Counter[int]) -> bool:
    batch = consumer.poll(0.1)
    if batch is not None:
        seen.update(int(value) for value in batch["value"].to_pylist())
    return len(consumer.assignment) == 6 and not any(consumer.lag().values())
