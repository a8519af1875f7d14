"""A seeded life of one partition on the crash file system, and what must hold after a crash."""

from __future__ import annotations

import contextlib
import errno
import random
from dataclasses import dataclass, field

from log_batches import batch

from mainstem.errors import Unavailable
from mainstem.kernels import read_batches
from mainstem.log import Log, LogConfig, Partition, check
from mainstem.testing.clock import VirtualClock
from mainstem.testing.filesystem import CrashFileSystem, PowerCut

CONFIG = LogConfig(
    segment_bytes=4000, index_interval_bytes=256, retention_bytes=12_000, segment_ms=10**12
)


@dataclass
class Written:
    """What one append put in the log; ``sequence`` is its producer's (id, epoch, first)."""

    data: bytes
    base_offset: int
    last_offset: int
    sequence: tuple[int, int, int]
    timestamp: int


@dataclass
class Life:
    """Runs random operations and remembers what the log promised."""

    seed: int
    filesystem: CrashFileSystem
    clock: VirtualClock = field(default_factory=VirtualClock)
    written: list[Written] = field(default_factory=list)
    flight: Written | None = None  # sent, but the power went before an answer
    durable_offset: int = 0
    kept_offset: int = 0
    faulty: bool = False
    accepted: bool = False  # an append, since the last clean stop
    cut: bool = False  # since the last look
    log_start_offset: int = 0
    log_start_tried: int = 0
    epoch: int = -1
    sequences: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def live(self, steps: int) -> None:
        """Open and work until the power goes or ``steps`` are done."""
        try:
            self.open()
            self.filesystem.fault = self.fault if self.faulty else None
            for _ in range(steps):
                try:
                    self.step()
                except Unavailable:
                    if not self.faulty:
                        raise
                    self.after_failure()
        except PowerCut:
            return

    def after_failure(self) -> None:
        """The disk refused something: give up on this process, start again on a healthy disk."""
        self.filesystem.fault = None
        self.log.close(clean=False)
        self.cut, self.kept_offset = True, 0
        self.verify()
        self.filesystem.fault = self.fault

    def fault(self, _call: int, operation: str, path: str) -> OSError | None:
        if self.rng.random() < 0.01 and not operation.startswith("fsync_dir"):
            return OSError(self.rng.choice((errno.ENOSPC, errno.EIO)), operation, path)
        return None

    def open(self) -> None:
        self.log = Log("d", filesystem=self.filesystem, clock=self.clock)
        self.partition = self.log.open("t", 0, CONFIG)
        self.epoch = max(self.epoch, self.partition.leader_epoch)

    def step(self) -> None:
        self.clock.advance(self.rng.random())
        roll = self.rng.random()
        if roll < 0.70:
            self.append()
        elif roll < 0.84:
            self.partition.sync()
            self.durable_offset = max(self.durable_offset, self.partition.durable_offset)
        elif roll < 0.88:
            self.partition.checkpoint()
            self.durable_offset = max(self.durable_offset, self.partition.durable_offset)
        elif roll < 0.94:
            self.delete()
        elif roll < 0.97:
            self.accepted = False  # even if the power goes: the marker may be there by then
            self.log.close()
            self.durable_offset = self.partition.log_end_offset
            self.open()
        else:
            found = self.partition.read(
                self.rng.randint(self.partition.log_start_offset, self.partition.log_end_offset),
                self.rng.choice((1, 500, 10_000)),
            )
            assert found is None or read_batches(found.read())

    def append(self) -> None:
        producer = self.rng.choice((-1, 1, 2, 3))
        count, size = self.rng.randint(1, 4), self.rng.choice((1, 30, 300, 700))
        first = self.sequences.get(producer, 0)
        identity = (producer, 0, first) if producer >= 0 else (-1, -1, -1)
        now = self.clock.now_ms()
        data = batch(count, size, producer=identity, timestamps=now)
        base = self.partition.log_end_offset
        try:
            appended = self.partition.append(data)
        except Unavailable:
            assert self.partition.log_end_offset == base
            raise
        except PowerCut:
            self.flight = Written(bytes(data), base, base + count - 1, identity, now)
            raise
        assert (appended.base_offset, appended.duplicate) == (base, False)
        self.accepted = True
        self.written.append(Written(bytes(data), base, base + count - 1, identity, now))
        if producer >= 0:
            self.sequences[producer] = first + count

    def delete(self) -> None:
        before = self.partition.log_start_offset
        if self.rng.random() < 0.5:
            offset = self.rng.randint(before, self.partition.high_watermark)
            self.log_start_tried = max(self.log_start_tried, offset)
            self.partition.delete_records_before(offset)
            self.durable_offset = max(self.durable_offset, offset)
        else:
            self.log_start_tried = self.partition.log_end_offset
            self.partition.enforce_retention(self.clock.now_ms())
        self.log_start_offset = self.partition.log_start_offset

    def reboot(self, seed: int, crash_at: int | None = None) -> None:
        """Come back on what survived a power cut, or with everything if only we were killed."""
        if self.rng.random() < 0.3:
            self.filesystem.restart()
            self.kept_offset = 0 if self.cut else max([0, *self._ends()])
        else:
            self.cut, self.kept_offset = True, 0
            self.filesystem = self.filesystem.crash(seed)
        self.filesystem.fault = None
        self.filesystem.crash_at = crash_at and self.filesystem.calls + crash_at

    def _ends(self) -> list[int]:
        return [item.last_offset + 1 for item in self.written]

    def verify(self) -> None:
        """Open what survived, hold it against the promises, and go on from there."""
        before = self.epoch
        self.filesystem.fault = None
        self.open()
        partition = self.partition
        end = partition.log_end_offset
        assert end >= self.durable_offset, "a durable record is gone"
        assert end >= self.kept_offset, "a record is gone though only the process died"
        assert self.log_start_offset <= partition.log_start_offset <= self.log_start_tried
        assert partition.durable_offset == end
        candidates = [*self.written, *([self.flight] if self.flight else [])]
        survivors = [item for item in candidates if item.last_offset < end]
        assert not survivors or survivors[-1].last_offset == end - 1 or end <= self.log_start_tried
        assert partition.leader_epoch > before or not self.accepted
        self._verify_content(partition, survivors)
        self._verify_times(partition, survivors)
        self._verify_producers(partition, survivors)
        self._continue_from(survivors, end)
        errors = [f for f in check("d", filesystem=self.filesystem) if f.severity == "error"]
        assert not errors, errors

    def _verify_content(self, partition: Partition, survivors: list[Written]) -> None:
        offset, got = partition.log_start_offset, bytearray()
        while found := partition.read(offset, self.rng.choice((1, 900, 10_000))):
            got += found.read()
            offset = found.next_offset
        assert offset == partition.log_end_offset
        expected = b"".join(
            item.data for item in survivors if item.last_offset >= partition.log_start_offset
        )
        assert got == expected, "other bytes came back than were written"

    def _verify_times(self, partition: Partition, survivors: list[Written]) -> None:
        """Looked up through the indexes, which must be those of these bytes."""
        start = partition.log_start_offset
        left = [item for item in survivors if item.last_offset >= start]
        for item in self.rng.sample(left, min(6, len(left))):
            first = next(other for other in left if other.timestamp >= item.timestamp)
            expected = (max(first.base_offset, start), first.timestamp)
            assert partition.offset_for_timestamp(item.timestamp) == expected
        largest = max((item.timestamp for item in left), default=-1)
        assert not left or partition.largest_timestamp == largest

    def _verify_producers(self, partition: Partition, survivors: list[Written]) -> None:
        last = {item.sequence[0]: item for item in survivors if item.sequence[0] >= 0}
        known = {producer.producer_id for producer in partition.active_producers()}
        for producer, item in last.items():
            if producer not in known:  # its records are before the log start
                assert item.last_offset < self.log_start_tried
                continue
            answer = partition.append(bytearray(item.data))
            assert answer.duplicate, "a retry was stored twice"
            assert answer.base_offset == item.base_offset

    def _continue_from(self, survivors: list[Written], end: int) -> None:
        self.sequences = {
            item.sequence[0]: item.sequence[2] + item.last_offset - item.base_offset + 1
            for item in survivors
        }
        self.written, self.flight, self.cut, self.accepted = survivors, None, False, False
        self.durable_offset, self.epoch = end, self.partition.leader_epoch
        self.log_start_offset = self.partition.log_start_offset
        self.log_start_tried = max(self.log_start_tried, self.log_start_offset)


def lives(seed: int, crashes: int = 3) -> int:
    """One partition through several power cuts, some of them during recovery; how many."""
    rng = random.Random(seed)
    filesystem = CrashFileSystem(crash_at=rng.randint(1, 250), seed=seed)
    life = Life(seed, filesystem, faulty=rng.random() < 0.4)
    count = 0
    for _ in range(crashes):
        life.live(120)
        count += 1
        life.reboot(rng.getrandbits(32))
        while rng.random() < 0.4:  # again, while it recovers
            life.filesystem.crash_at = life.filesystem.calls + rng.randint(1, 25)
            with contextlib.suppress(PowerCut):
                life.open()
            life.reboot(rng.getrandbits(32))
            count += 1
        life.verify()
        life.reboot(rng.getrandbits(32), rng.randint(1, 250))
    return count
