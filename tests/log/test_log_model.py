"""A partition beside a plain list of records, through anything a broker may do to it."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from log_batches import encode_batch, whole

from mainstem.kernels import read_batches
from mainstem.log import Log, LogConfig
from mainstem.testing.clock import VirtualClock
from mainstem.testing.filesystem import CrashFileSystem

NOW = 1_700_000_000_000


class PartitionMachine(RuleBasedStateMachine):
    """``records`` is the model: the timestamp of every record ever appended, by offset."""

    @initialize(
        segment_bytes=st.sampled_from((600, 1500, 100_000)),
        interval=st.sampled_from((0, 100, 4096)),
        files=st.sampled_from((1, 2, 100)),
    )
    def start(self, segment_bytes: int, interval: int, files: int) -> None:
        self.clock, self.disk, self.files = VirtualClock(NOW), CrashFileSystem(), files
        self.config = LogConfig(
            segment_bytes=segment_bytes,
            index_interval_bytes=interval,
            retention_ms=-1,
            segment_ms=10**15,
            message_timestamp_after_max_ms=10**15,
        )
        self.records: list[int] = []
        self.batches: list[tuple[int, int, bytes]] = []
        self.log_start = self.durable = self.epoch = 0
        self.epoch_starts = [0]
        self.open()

    def open(self) -> None:
        self.log = Log("d", filesystem=self.disk, clock=self.clock, max_open_files=self.files)
        self.partition = self.log.open("t", 0, self.config)

    @rule(
        offsets=st.lists(st.integers(-1000, 1000), min_size=1, max_size=4),
        size=st.integers(0, 90),
        codec=st.sampled_from((0, 0, 0, 4)),
    )
    def append(self, offsets: list[int], size: int, codec: int) -> None:
        times = [NOW + offset for offset in offsets]
        data = encode_batch([b"v" * size] * len(times), timestamps=times, codec=codec)
        answer = self.partition.append(data)
        base = len(self.records)
        assert answer == (base, base + len(times) - 1, -1, False)
        self.records += times
        self.batches.append((base, base + len(times), bytes(data)))

    @rule(where=st.floats(0, 1), max_bytes=st.integers(0, 5000), up_to=st.floats(0, 1.2))
    def read(self, where: float, max_bytes: int, up_to: float) -> None:
        offset = self.log_start + int(where * (len(self.records) - self.log_start))
        limit = int(up_to * len(self.records))
        found = self.partition.read(offset, max_bytes, up_to=limit)
        expected = [b for b in self.batches if b[1] > offset and b[1] <= limit]
        containing = next((b for b in self.batches if b[0] <= offset < b[1]), None)
        if not expected or containing is None or offset >= limit or containing[1] > limit:
            assert found is None
            return
        assert found is not None
        data = found.read()
        count = len(read_batches(data))
        assert data == b"".join(batch[2] for batch in expected[:count])
        assert found.next_offset == expected[count - 1][1]
        assert len(data) <= max_bytes or count == 1

    @rule(delta=st.integers(-1100, 1100))
    def look_up_time(self, delta: int) -> None:
        found = next(
            (
                (offset, time)
                for offset, time in enumerate(self.records)
                if offset >= self.log_start and time >= NOW + delta
            ),
            None,
        )
        assert self.partition.offset_for_timestamp(NOW + delta) == found

    @rule(where=st.floats(0, 1))
    def delete_records(self, where: float) -> None:
        offset = self.log_start + int(where * (len(self.records) - self.log_start))
        assert self.partition.delete_records_before(offset) == offset
        self.log_start = offset
        self.durable = max(self.durable, offset)

    @rule(limit=st.integers(0, 5000))
    def retain(self, limit: int) -> None:
        sizes = self.partition.size_bytes
        self.partition.config = LogConfig(retention_bytes=limit, retention_ms=-1)
        removed = self.partition.enforce_retention(self.clock.now_ms())
        self.partition.config = self.config
        start = self.partition.log_start_offset
        assert start >= self.log_start
        assert removed or start == self.log_start
        # Segments wholly before the start go whatever the limit; others only down to it.
        assert start == self.log_start or self.partition.size_bytes >= min(limit, sizes)
        self.log_start = start

    @rule()
    def sync(self) -> None:
        self.partition.sync()
        self.durable = len(self.records)
        assert self.partition.durable_offset == self.durable

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        was_marked = self.disk.exists("d/topics/t-0/clean-shutdown")
        self.log.close(clean=clean)
        self.open()
        self.durable = len(self.records)
        if not clean and not was_marked:
            self._new_epoch(len(self.records))

    @rule(seed=st.integers(0, 2**32))
    def power_cut(self, seed: int) -> None:
        was_marked = self.disk.exists("d/topics/t-0/clean-shutdown")
        self.disk = self.disk.crash(seed)
        self.open()
        end = self.partition.log_end_offset
        assert self.durable <= end <= len(self.records) or end == self.log_start
        assert end in {0, self.log_start, *(batch[1] for batch in self.batches)}
        del self.records[end:]
        self.records += [-1] * (end - len(self.records))  # below the log start offset
        self.batches = [batch for batch in self.batches if batch[1] <= end]
        self.durable = end
        if not was_marked:
            self._new_epoch(end)

    def _new_epoch(self, end: int) -> None:
        self.epoch += 1
        assert self.partition.leader_epoch == self.epoch

    @invariant()
    def offsets_agree(self) -> None:
        if not hasattr(self, "partition"):
            return
        partition = self.partition
        assert partition.log_end_offset == partition.high_watermark == len(self.records)
        assert partition.log_start_offset == self.log_start
        assert partition.durable_offset >= self.durable
        assert partition.end_offset_for_epoch(self.epoch) == (self.epoch, len(self.records))

    def teardown(self) -> None:
        if hasattr(self, "partition"):
            expected = (batch[2] for batch in self.batches if batch[1] > self.log_start)
            assert whole(self.partition) == b"".join(expected)


def machine(examples: int) -> Any:
    class Sized(PartitionMachine):
        pass

    Sized.TestCase.settings = settings(
        max_examples=examples,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    return Sized.TestCase


TestPartitionAgainstAModel = machine(60)
