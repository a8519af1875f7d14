"""The write path: check, stamp, roll, write, account. One partition, under its lock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mainstem.errors import Unavailable
from mainstem.filesystem import write_all
from mainstem.kernels import BatchHeader, clear_append_time, stamp, stamp_append_time
from mainstem.log import checkpoints
from mainstem.log.config import LogConfig
from mainstem.log.durability import KAFKA_STORAGE_ERROR, Durability
from mainstem.log.indexes import MAX_OFFSET_ENTRIES, MAX_RELATIVE_OFFSET
from mainstem.log.segment import Segment
from mainstem.log.storage import Storage
from mainstem.log.validation import check_batches, check_keys


class Appended(NamedTuple):
    """Offsets are inclusive. ``log_append_time`` is -1 unless the topic stamps it."""

    base_offset: int
    last_offset: int
    log_append_time: int
    duplicate: bool


class Appender:
    """Appends to one partition; ``has_marker`` while the clean-shutdown marker is on disk."""

    def __init__(self, storage: Storage, durability: Durability, *, clean: bool) -> None:
        self._storage = storage
        self._durability = durability
        self._clock = storage.environment.clock
        self.has_marker = clean

    def append(
        self,
        view: memoryview,
        headers: Sequence[BatchHeader],
        start: int,
        end: int,
        config: LogConfig,
    ) -> Appended:
        """See :meth:`Partition.append`."""
        storage, now_ms = self._storage, self._clock.now_ms()
        check_batches(headers, start, end, config, now_ms)
        if "compact" in config.cleanup_policy:
            check_keys(view, headers)
        first = headers[0]
        if first.producer_id >= 0:
            known = storage.producers.check(first)
            if known is not None:
                return Appended(known.base_offset, known.last_offset, known.timestamp, True)
        append_time = now_ms if config.timestamp_type == "LogAppendTime" else -1
        base_offset = offset = storage.log_end_offset
        epoch = storage.epochs.latest
        largest = append_time
        for header in headers:
            stamp(view, header.position, offset, epoch)
            if append_time >= 0:
                stamp_append_time(view, header.position, append_time)
            else:
                if header.log_append_time:
                    # The topic says whose time it is; readers would take the largest for all.
                    clear_append_time(view, header.position)
                largest = max(largest, header.max_timestamp)
            offset += header.last_offset_delta + 1
        segment = self._segment_for(end - start, offset - 1, largest, now_ms, config)
        self._write(segment, view[start:end], config.segment_bytes)
        self._account(segment, headers, append_time, now_ms, config.index_interval_bytes)
        return Appended(base_offset, offset - 1, append_time, False)

    def _account(
        self,
        segment: Segment,
        headers: Sequence[BatchHeader],
        append_time: int,
        now_ms: int,
        interval: int,
    ) -> None:
        """Make what was written part of the log."""
        storage = self._storage
        offset = storage.log_end_offset
        for header in headers:
            last = offset + header.last_offset_delta
            time = header.max_timestamp if append_time < 0 else append_time
            segment.note(header.size, last, time, interval)
            if header.producer_id >= 0:
                storage.producers.record(
                    header.producer_id,
                    header.producer_epoch,
                    header.base_sequence,
                    offset,
                    last,
                    append_time,
                    now_ms,
                )
            offset = last + 1
        storage.log_end_offset = offset

    def _segment_for(
        self, size: int, last_offset: int, largest: int, now_ms: int, config: LogConfig
    ) -> Segment:
        """The active segment, or a new one (Kafka's LogSegment.shouldRoll)."""
        if self.has_marker:
            self._remove_marker()
        active = self._storage.active
        if not active.size:
            return active
        if active.first_timestamp is not None and active.first_timestamp >= 0 and largest >= 0:
            waited = largest - active.first_timestamp
        else:
            waited = now_ms - active.created_ms
        if (
            active.size + size > config.segment_bytes
            or waited > config.segment_ms
            or last_offset - active.base_offset > MAX_RELATIVE_OFFSET
            or active.entries() >= MAX_OFFSET_ENTRIES
        ):
            return self.roll(now_ms)
        return active

    def roll(self, now_ms: int) -> Segment:
        """Begin a new segment; raises ``Unavailable`` with the old one still in use."""
        if self.has_marker:
            self._remove_marker()
        sealed = self._storage.active
        try:
            segment = self._storage.roll(now_ms)
        except OSError as error:
            raise Unavailable(
                f"{self._storage.name}: no new segment could be made: {error}; free some space "
                "and retry",
                code=KAFKA_STORAGE_ERROR,
            ) from error
        self._durability.rolled(sealed)
        sealed.give_room_back()
        return segment

    def _remove_marker(self) -> None:
        """The first append since a clean start: from here on a crash needs recovery."""
        filesystem, directory = self._storage.environment.filesystem, self._storage.directory
        marker = f"{directory}/{checkpoints.CLEAN_SHUTDOWN}"
        try:
            if filesystem.exists(marker):
                filesystem.unlink(marker)
            filesystem.fsync_directory(directory)
        except OSError as error:
            raise Unavailable(
                f"{self._storage.name}: cannot begin to write: {error}", code=KAFKA_STORAGE_ERROR
            ) from error
        self.has_marker = False

    def _write(self, segment: Segment, data: memoryview, limit: int) -> None:
        """All of ``data`` at the end of ``segment``, or none of it."""
        position = segment.size
        try:
            file = segment.file()
        except OSError as error:
            raise Unavailable(
                f"{self._storage.name}: its file cannot be opened: {error}",
                code=KAFKA_STORAGE_ERROR,
            ) from error
        self._durability.wrote(segment)
        segment.make_room(file, len(data), limit)
        try:
            if file.pwrite(data, position) != len(data):
                write_all(file, data, position)
        except OSError as error:
            failure = Unavailable(
                f"{self._storage.name}: {len(data)} bytes could not be written: {error}; "
                "nothing was accepted, free some space and retry",
                code=KAFKA_STORAGE_ERROR,
            )
            try:
                file.truncate(position)
            except OSError as second:
                self._durability.poison(f"a failed write could not be undone: {second}")
            raise failure from error
