"""A partition: append, read, and what else a broker asks of one."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from typing_extensions import Buffer

from mainstem.errors import Closed, Invalid, Unavailable
from mainstem.kernels import BatchHeader
from mainstem.log import checkpoints, retention, timestamps
from mainstem.log.appending import Appended, Appender
from mainstem.log.config import LogConfig
from mainstem.log.durability import KAFKA_STORAGE_ERROR, Durability
from mainstem.log.producers import Producer
from mainstem.log.reading import OFFSET_OUT_OF_RANGE, Reader, Slice
from mainstem.log.storage import Storage
from mainstem.log.validation import parse_batches


class Partition:
    """One partition of a topic. Made by :meth:`Log.open`.

    Every method may be called from any thread; appends, reads and retention are meant for one,
    :meth:`sync` for others. After a failed write that could not be undone, or a failed
    fdatasync, the partition is poisoned: appends and syncs raise ``Unavailable``
    (KAFKA_STORAGE_ERROR) until it is opened again; reads go on.
    """

    def __init__(
        self, topic: str, index: int, config: LogConfig, storage: Storage, *, clean: bool
    ) -> None:
        self.topic = topic
        self.index = index
        self.config = config
        self._storage = storage
        self._clock = storage.environment.clock
        self._filesystem = storage.environment.filesystem
        self._lock = threading.RLock()
        self._durability = Durability(storage, self._lock)
        self._reader = Reader(storage)
        self._appender = Appender(storage, self._durability, clean=clean)
        self._closed = False

    @property
    def name(self) -> str:
        return f"{self.topic}-{self.index}"

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def poisoned(self) -> bool:
        """Whether the disk failed so that nothing more is written until it is opened again."""
        return self._durability.failure is not None

    @property
    def directory(self) -> str:
        return self._storage.directory

    @property
    def log_start_offset(self) -> int:
        return self._storage.log_start_offset

    @property
    def log_end_offset(self) -> int:
        return self._storage.log_end_offset

    @property
    def high_watermark(self) -> int:
        """Everything below may be read; on one node that is everything."""
        return self._storage.log_end_offset

    @property
    def last_stable_offset(self) -> int:
        """Everything below is decided; without transactions that is everything."""
        return self._storage.log_end_offset

    @property
    def durable_offset(self) -> int:
        """Everything below survives a power cut."""
        return self._durability.offset

    @property
    def leader_epoch(self) -> int:
        return self._storage.epochs.latest

    @property
    def size_bytes(self) -> int:
        return sum(segment.size for segment in self._storage.segments)

    @property
    def largest_timestamp(self) -> int:
        """Milliseconds since the epoch, -1 for none."""
        with self._lock:
            return max(segment.largest_timestamp()[0] for segment in self._storage.segments)

    def active_producers(self) -> list[Producer]:
        """Producers remembered here; do not change them."""
        with self._lock:
            return list(self._storage.producers.by_id.values())

    def append(
        self,
        data: Buffer,
        headers: Sequence[BatchHeader] | None = None,
        *,
        start: int = 0,
        end: int | None = None,
    ) -> Appended:
        """Add the whole batches in ``data[start:end]``; readable at once, durable after a sync.

        ``data`` is a writable buffer of bytes; base offsets, leader epoch and (for
        LogAppendTime) time and CRC are stamped in it, and it is not kept. ``headers`` are those
        of ``read_batches(data, start, end)`` where the caller has them; else they are read and
        their CRCs checked here. All or nothing. Raises ``Invalid``, ``Corrupt``, ``Conflict``
        or ``Unavailable``, each with Kafka's error code.
        """
        view = memoryview(data)
        if end is None:
            end = len(view)
        if headers is None:
            headers = parse_batches(view, start, end)
        with self._lock:
            self._writable()
            return self._appender.append(view, headers, start, end, self.config)

    def _unreadable(self, error: OSError) -> Unavailable:
        return Unavailable(f"{self.name} cannot be read: {error}", code=KAFKA_STORAGE_ERROR)

    def _usable(self) -> None:
        if self._closed:
            raise Closed(f"{self.name} is closed")

    def _writable(self) -> None:
        self._usable()
        failure = self._durability.failure
        if failure is not None:
            raise failure

    def read(
        self,
        offset: int,
        max_bytes: int,
        *,
        up_to: int | None = None,
        at_least_one: bool = True,
    ) -> Slice | None:
        """Whole batches of one segment, the first of which contains ``offset``.

        Nothing at or past ``up_to`` (default the high watermark) is included; ``None`` means
        nothing to read yet. With ``at_least_one`` the first batch comes even if it alone is
        over ``max_bytes``. Raises ``Invalid`` (OFFSET_OUT_OF_RANGE) and ``Corrupt``.
        """
        with self._lock:
            self._usable()
            limit = self._storage.log_end_offset
            if up_to is not None and up_to < limit:
                limit = up_to
            try:
                return self._reader.read(offset, max_bytes, limit, at_least_one)
            except OSError as error:
                raise self._unreadable(error) from error

    def offset_for_timestamp(self, timestamp: int) -> tuple[int, int] | None:
        """(offset, timestamp) of the first record at or after ``timestamp`` (ms), if any."""
        with self._lock:
            self._usable()
            try:
                return timestamps.first_at_or_after(self._storage, timestamp)
            except OSError as error:
                raise self._unreadable(error) from error

    def offset_of_max_timestamp(self) -> tuple[int, int] | None:
        """(offset, timestamp) of the first record with the largest timestamp, if any."""
        with self._lock:
            self._usable()
            try:
                return timestamps.first_with_largest(self._storage)
            except OSError as error:
                raise self._unreadable(error) from error

    def end_offset_for_epoch(self, epoch: int) -> tuple[int, int]:
        """(epoch, end offset) as OffsetForLeaderEpoch answers it; (-1, -1) if unknown."""
        return self._storage.epochs.end_offset(epoch, self._storage.log_end_offset)

    def delete_records_before(self, offset: int) -> int:
        """Move the log start offset up to ``offset`` (-1 for all), durably; returns it."""
        if offset == -1:
            offset = self.high_watermark
        if not self.log_start_offset <= offset <= self.high_watermark:
            if 0 <= offset < self.log_start_offset:
                return self.log_start_offset
            raise Invalid(
                f"{self.name}: cannot delete up to offset {offset}, the log ends at "
                f"{self.high_watermark}",
                code=OFFSET_OUT_OF_RANGE,
            )
        if offset > self.durable_offset:
            self.sync()  # or a crash could leave the log ending before it starts
        with self._lock:
            self._writable()
            retention.advance_start(self._storage, offset)
            self._reader.forget()
            return self.log_start_offset

    def enforce_retention(self, now_ms: int) -> int:
        """Remove segments that are too old, too many, or before the log start offset.

        Returns how many. Time counts from each segment's largest record timestamp. The active
        segment goes only if it expired, after a roll.
        """
        with self._lock:
            self._writable()
            config, storage = self.config, self._storage
            storage.producers.expire(now_ms - config.producer_expiry_ms)
            count = retention.expired_segments(storage, config, now_ms)
            if count == len(storage.segments):
                self._appender.roll(now_ms)
            if count:
                retention.advance_start(storage, storage.bases[count])
                self._reader.forget()
            return count

    def sync(self) -> None:
        """Make everything appended so far durable; blocks, so meant for a thread of its own.

        Raises ``Unavailable`` and poisons the partition if the disk refuses.
        """
        self._usable()
        self._durability.sync()

    def checkpoint(self) -> None:
        """Sync, and let a recovery begin from here; blocks."""
        self._usable()
        self._durability.checkpoint()

    def close(self, *, clean: bool = True) -> None:
        """Stop using the files. ``clean`` syncs and writes what a quick start needs."""
        with self._lock:
            if self._closed:
                return
            try:
                if clean and not self.poisoned and not self._appender.has_marker:
                    self._storage.active.give_room_back()
                    self.sync()
                    self._leave_clean()
            except OSError as error:
                raise Unavailable(
                    f"{self.name}: closed, but the next start has to recover it: {error}",
                    code=KAFKA_STORAGE_ERROR,
                ) from error
            finally:
                self._closed = True
                self._durability.close()
                for segment in self._storage.segments:
                    self._storage.environment.handles.forget(segment)

    def _leave_clean(self) -> None:
        storage = self._storage
        if self._durability.indexes_unknown:
            return
        storage.active.save_indexes()
        storage.active.sync_indexes()
        storage.snapshot(sync=True)
        storage.remove_snapshots(before=storage.log_end_offset)
        checkpoints.write_numbers(
            self._filesystem,
            storage.directory,
            checkpoints.RECOVERY_POINT,
            offset=storage.log_end_offset,
        )
        checkpoints.write_numbers(
            self._filesystem,
            storage.directory,
            checkpoints.CLEAN_SHUTDOWN,
            log_end_offset=storage.log_end_offset,
            active_base=storage.active.base_offset,
            active_size=storage.active.size,
        )
        self._appender.has_marker = True
