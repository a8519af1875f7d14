"""A topic and its batches for plain Python: each call waits. ``async_topic`` has the same names."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mainstem.client import (
    BATCH_BYTES,
    Acks,
    Appended,
    Format,
    Isolation,
    Points,
    Reader,
    TopicDescription,
)
from mainstem.errors import Invalid
from mainstem.face.async_topic import AsyncTopic
from mainstem.face.loop import later, run

if TYPE_CHECKING:
    from mainstem.face.blocking import Stem


class Batches(Iterator[Any]):
    """Batches of a topic, one ``pyarrow.RecordBatch`` a step; a context manager.

    One thread at a time. ``close`` (or the end, or dropping it) stops the reading ahead.
    """

    def __init__(self, stem: Stem, reader: Reader) -> None:
        self._stem = stem
        self._reader: Reader | None = reader
        self._batches: deque[Any] = deque()
        self._turn = threading.Lock()
        self._pid = os.getpid()

    def __next__(self) -> Any:
        reader = self._reader
        if reader is None:
            raise StopIteration
        self._stem.check()
        if not self._turn.acquire(blocking=False):
            raise Invalid(
                "another thread waits for this read's next batch: one at a time, or begin a read "
                "for each"
            )
        try:
            return self._next(reader)
        finally:
            self._turn.release()

    def _next(self, reader: Reader) -> Any:
        if not self._batches:
            try:
                run(self._fill, reader)
            except Exception:
                self.close()
                raise
        try:
            return self._batches.popleft()
        except IndexError:  # the end, or closed meanwhile
            self._stem.check()
            self.close()
            raise StopIteration from None

    async def _fill(self, reader: Reader) -> None:
        """On the loop: what comes is kept, also where Ctrl-C ends the waiting for it."""
        self._batches.extend(await reader.next_ones())

    def close(self) -> None:
        """Stop; the iteration is over. May be called twice."""
        reader, self._reader = self._reader, None
        self._batches.clear()
        if reader is not None and self._pid == os.getpid():
            run(reader.close)

    def __del__(self) -> None:
        if self._reader is not None and self._pid == os.getpid():
            later(self._reader.close())

    def __enter__(self) -> Batches:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Topic:
    """A topic of a stem, see ``Stem.topic``. Thread-safe."""

    def __init__(self, stem: Stem, topic: AsyncTopic) -> None:
        self.name = topic.name
        self._stem = stem
        self._topic = topic

    def __repr__(self) -> str:
        return f"Topic({self.name!r})"

    def append(
        self,
        table: Any,
        *,
        key: str | None = None,
        timestamp: str | None = None,
        partition: int | None = None,
        format: Format | None = None,  # noqa: A002 - the word users expect
        acks: Acks = "all",
        compression: str | None = None,
        compression_level: int | None = None,
        batch_bytes: int = 1_000_000,
    ) -> Appended:
        """Write all rows, return where they went once they are acknowledged.

        ``table`` is anything with the Arrow C data or stream interface, a dict of columns, a
        list of dicts, or a list of bytes. Columns ``_key``, ``_timestamp``, ``_headers`` and
        ``_partition`` are used where present; ``key`` and ``timestamp`` name other columns for
        it. The rest is the payload as ``format`` writes it: ``Raw()`` (default) takes the
        column ``value``, ``Json()`` all of them.

        Rows with a key go where Kafka's own clients put them (murmur2), rows without one to the
        partitions in turn; ``partition`` sends all to one. ``acks`` is ``"all"`` (on disk;
        retries never duplicate), ``1`` (taken by the leader) or ``0`` (not answered).
        ``compression`` is ``None``, ``"gzip"``, ``"snappy"``, ``"lz4"`` or ``"zstd"``, with
        ``compression_level`` as the codec has them (zstd's is 1 unless given); ``batch_bytes``
        the most that a record batch takes on the wire; compressed ones hold up to three
        times as much.

        Raises ``Invalid`` for columns or arguments, ``Unavailable`` when the time is over: its
        message says how many rows were acknowledged.
        """
        self._stem.check()
        return run(
            self._topic.append,
            table,
            key=key,
            timestamp=timestamp,
            partition=partition,
            format=format,
            acks=acks,
            compression=compression,
            compression_level=compression_level,
            batch_bytes=batch_bytes,
        )

    def read(
        self,
        start: Points = "earliest",
        *,
        end: Points | None = None,
        follow: bool = False,
        partitions: Sequence[int] | None = None,
        format: Format | None = None,  # noqa: A002
        batch_rows: int = 65_536,
        batch_bytes: int = BATCH_BYTES,
        max_wait: float = 0.0,
        isolation: Isolation = "read_uncommitted",
    ) -> Batches:
        """Iterate over the records as ``pyarrow.RecordBatch``, in order per partition.

        ``start`` and ``end`` (not included) are ``"earliest"``, ``"latest"``, an offset, a
        ``datetime`` with a zone (the first record at or after it), or a dict of these by
        partition. Without ``end`` it stops at what was the end when it began, or never with
        ``follow``, and then reads partitions that are added, too (it looks every
        ``metadata_max_age``). Columns: ``_topic``, ``_partition``, ``_offset``,
        ``_timestamp``, ``_key``, ``_headers``, then ``value`` (binary), or those of ``format``.

        Reads ahead, in about 64 MiB at most. A batch has at most ``batch_rows`` rows and
        about ``batch_bytes`` (one record batch of the log at least); fewer when no more have
        arrived within ``max_wait`` seconds.
        ``isolation="read_committed"`` leaves out records of aborted transactions, and ends or
        waits before those of open ones. Raises ``Invalid`` for a place outside the topic,
        ``Corrupt`` for damaged records, naming the offset.
        """
        self._stem.check()
        reader = run(
            self._topic.reader,
            start,
            end=end,
            follow=follow,
            partitions=partitions,
            format=format,
            batch_rows=batch_rows,
            batch_bytes=batch_bytes,
            max_wait=max_wait,
            isolation=isolation,
        )
        return Batches(self._stem, reader)

    def offsets(self, *, committed: bool = False) -> tuple[dict[int, int], dict[int, int]]:
        """By partition, the first offset and the one after the last.

        With ``committed`` the last is what comes before the first open transaction.
        """
        self._stem.check()
        return run(self._topic.offsets, committed=committed)

    def describe(self) -> TopicDescription:
        """Partitions, offsets and settings."""
        self._stem.check()
        return run(self._topic.describe)
