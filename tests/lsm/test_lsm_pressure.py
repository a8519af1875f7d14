"""Back-pressure on a virtual clock: no cliff, no long wait, memory and layers bounded."""

from __future__ import annotations

import itertools
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mainstem.errors import Unavailable
from mainstem.lsm import FamilyOptions, Store
from mainstem.lsm.beats import Beats, Merge
from mainstem.lsm.layers import LAST_LEVEL, DiskLayer
from mainstem.lsm.manifest import FileRecord, LayerRecord
from mainstem.lsm.pressure import Drain, Pressure, rate_at
from mainstem.testing.filesystem import CrashFileSystem

MEMTABLE = 64e6
BATCH = 0.2e6


def test_rates_fall_with_debt_without_a_cliff() -> None:
    debts = [n / 1000 for n in range(1001)]
    rates = [rate_at(debt, 200e6) for debt in debts]
    assert rates[0] == math.inf
    assert rates == sorted(rates, reverse=True)
    assert min(rates) == 2e6  # of a small batch at the worst: no longer than it takes to write
    assert rate_at(0.5, 200e6) == pytest.approx(200e6, rel=0.1)
    for one, other in itertools.pairwise(rates[100:950]):  # below, there is hardly a delay
        assert other > 0.9 * one


class Machine:
    """A store's debts, a background that flushes a memtable at a time, and one writer."""

    def __init__(self, flush_rate: float) -> None:
        self.store = Store.open(
            "s",
            filesystem=CrashFileSystem(),
            background="manual",
            memtable_bytes=int(MEMTABLE),
        )
        self.state = self.store.state
        self.drain = Drain()
        self.pressure = Pressure(self.state, self.drain, lambda: self.now)
        self.now = 0.0
        self.flush_rate = flush_rate
        self.worked = 0.0  # up to when the background has worked
        self.frozen: list[float] = []
        self.largest = 0.0

    def work(self) -> None:
        """Let the background catch up with the clock, in slices of 2 MB."""
        while self.frozen and self.worked < self.now:
            self.worked += 2e6 / self.flush_rate
            self.drain.add(2e6 / self.flush_rate, 2e6)
            self.state.flushed_bytes += 2e6
            if self.state.flushed_bytes >= self.frozen[0]:
                self.frozen.pop(0)
                self.state.flushed_bytes = 0.0
                self.state.frozen_bytes = int(sum(self.frozen))
        if not self.frozen:
            self.worked = self.now

    def write(self) -> float:
        """Put a batch as soon as it may go; returns the wait in seconds."""
        began = self.now
        self.now = max(self.now, self.pressure.next_write)
        self.work()
        while self.pressure.debt() >= 1:
            self.now += 0.001
            self.work()
        self.now += BATCH / 1e9  # what the put itself takes
        self.state.active_size += int(BATCH)
        self.pressure.charge(int(BATCH))
        if self.state.active_size >= MEMTABLE:
            self.frozen.append(self.state.active_size)
            self.state.frozen_bytes = int(sum(self.frozen))
            self.state.active_size = 0
        self.largest = max(self.largest, self.state.frozen_bytes + self.state.active_size)
        return self.now - began


@pytest.mark.parametrize("flush_rate", [20e6, 100e6, 500e6])
def test_writers_settle_at_the_speed_of_flushes_and_wait_a_little_each(flush_rate: float) -> None:
    machine = Machine(flush_rate)
    for _ in range(2000):
        machine.write()
    began, waits = machine.now, [machine.write() for _ in range(4000)]
    speed = 4000 * BATCH / (machine.now - began)
    assert speed == pytest.approx(flush_rate, rel=0.05)
    even = BATCH / flush_rate
    assert max(waits) < 3 * even
    assert machine.largest < 4 * MEMTABLE + BATCH


def test_a_disk_that_hesitates_slows_writers_before_it_stops_them() -> None:
    machine = Machine(400e6)
    for _ in range(3000):
        machine.write()
    machine.worked = machine.now + 0.5  # half a second in which nothing is flushed
    before = machine.now
    waits = []
    while machine.now < before + 0.5:
        waits.append(machine.write())
    assert max(waits) < 0.1
    assert all(other < 1.5 * one + 1e-3 for one, other in itertools.pairwise(waits))
    assert machine.largest < 5 * MEMTABLE  # four, and what a flush has written but not let go of


def test_many_layers_slow_writers_too() -> None:
    machine = Machine(100e6)
    debts = []
    for crowding in (0.0, 3.0, 4.5, 6.0):
        machine.state.crowding = crowding
        debts.append(machine.pressure.debt())
    assert debts == [0.0, 0.0, 0.5, 1.0]


def layer(level: int, size: int) -> DiskLayer:
    found = DiskLayer(LayerRecord(level, (FileRecord(1, size, size // 100, b"a", b"b", 0),)), ())
    found.size, found.rows = size, size // 100
    return found


@pytest.mark.parametrize("base", [0, 1, 6])
def test_a_merge_is_over_when_half_of_the_next_ones_inputs_are_flushed(base: int) -> None:
    def job() -> None: ...

    layers = (*(layer(0, 1_000_000) for _ in range(6)), layer(LAST_LEVEL, base * 1_000_000))
    merge = Merge(job(), layers)  # type: ignore[func-returns-value,arg-type]
    beats, flushed, left, in_a_row, longest = Beats(), 0, float(merge.size), 0, 0
    while left > 0:
        if beats.merge_is_due([merge]):
            left -= merge.bytes_of(200)
            beats.merged(merge.bytes_of(200))
            in_a_row += 1
            longest = max(longest, in_a_row)
        else:
            flushed, in_a_row = flushed + 20_000, 0
            beats.flushed(20_000, [merge], 1.0)
    assert flushed == pytest.approx(3_000_000, rel=0.02)
    assert longest <= 5  # slices for which a flush waits: as many as its slice is worth


def test_what_no_merge_takes_is_not_owed_to_the_next() -> None:
    beats = Beats()
    beats.flushed(1e9, [], 1.0)
    assert not beats.merge_is_due([])
    merge = Merge(iter(()), (layer(0, 100),))  # type: ignore[arg-type]
    beats.flushed(1e9, [merge], 1.0)
    assert not beats.merge_is_due([])
    assert not beats.merge_is_due([merge])


def test_layers_stay_few_while_something_always_waits_to_be_flushed(tmp_path: Path) -> None:
    store = Store.open(
        tmp_path / "s",
        sync="none",
        background="manual",
        memtable_bytes=1 << 16,
        slice_bytes=1 << 12,
        family_options=FamilyOptions(fan_in=4),
    )
    keys = [b"%04d" % n for n in range(1000)]
    most = 0
    for number in range(150):
        store.put_batch(keys, [b"%044d" % number] * len(keys))
        while len(store.state.frozen) > 1:
            store.step()
        most = max(most, len(store.state.disk[0]))
    assert store.stats().merges > 10
    assert most <= 8  # fan_in, half of it that came meanwhile, the last level, and one more
    assert store.get_batch(keys[:1]).to_pylist() == [b"%044d" % 149]
    store.close()


def test_whoever_waits_is_told_when_the_disk_fails(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s", sync="none", memtable_bytes=1 << 14)
    with store.background.turn:  # so that nothing is flushed
        while store.stats().debt < 1:
            store.put_batch([b"k"], [b"v" * 1000])
        waiting = threading.Event()
        pause = store.state.changed.wait

        def noticed(timeout: float | None = None) -> bool:
            waiting.set()
            return pause(timeout)

        store.state.changed.wait = noticed  # type: ignore[method-assign]
        with ThreadPoolExecutor(1) as pool:
            writer = pool.submit(store.put_batch, [b"k"], [b"v"])
            assert waiting.wait(timeout=30)
            store.state.poison(OSError("the disk went away"))
            with pytest.raises(Unavailable, match="went away"):
                writer.result(timeout=30)
    store.close()
