"""A topic for asyncio. ``topic`` has the same for everybody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mainstem.client import (
    BATCH_BYTES,
    Acks,
    Appended,
    Appender,
    AppendOptions,
    Fetcher,
    Format,
    Isolation,
    Points,
    Position,
    Raw,
    Reader,
    TopicDescription,
    bounds,
    check_count,
    check_isolation,
    check_seconds,
    indexes_of,
    resolve,
)
from mainstem.errors import Invalid
from mainstem.face.async_batches import AsyncBatches

if TYPE_CHECKING:
    from mainstem.face.asynchronous import AsyncStem

BATCH_ROWS = 65_536


class AsyncTopic:
    """A topic of a stem, see ``AsyncStem.topic``. Calls may run side by side on its loop."""

    def __init__(self, stem: AsyncStem, name: str) -> None:
        self.name = name
        self._stem = stem
        self._appender = Appender(stem.cluster, stem.producer, name)

    def __repr__(self) -> str:
        return f"AsyncTopic({self.name!r})"

    async def append(
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
        """Write all rows; returns when they are acknowledged. See ``Topic.append``."""
        options = AppendOptions(
            key=key,
            timestamp=timestamp,
            partition=partition,
            format=Raw() if format is None else format,
            acks=acks,
            compression=compression,
            compression_level=compression_level,
            batch_bytes=batch_bytes,
        )
        return await self._appender.append(table, options)

    async def offsets(self, *, committed: bool = False) -> tuple[dict[int, int], dict[int, int]]:
        """By partition, the first offset and the one after the last. See ``Topic.offsets``."""
        cluster = self._stem.cluster
        topic = await cluster.topic(self.name, cluster.deadline(), fresh=True)
        indexes = [part.index for part in topic.partitions]
        return await bounds(cluster, self.name, indexes, committed=committed)

    async def reader(
        self,
        start: Points = "earliest",
        *,
        end: Points | None = None,
        follow: bool = False,
        partitions: Sequence[int] | None = None,
        format: Format | None = None,  # noqa: A002
        batch_rows: int = BATCH_ROWS,
        batch_bytes: int = BATCH_BYTES,
        max_wait: float = 0.0,
        isolation: Isolation = "read_uncommitted",
    ) -> Reader:
        """What ``read`` iterates over: ``next()`` gives a batch or ``None``; close it."""
        check_count("batch_rows", batch_rows)
        check_count("batch_bytes", batch_bytes, least=1024)
        check_seconds("max_wait", max_wait, zero=True)
        check_isolation(isolation)
        committed = isolation == "read_committed"
        cluster = self._stem.cluster
        first, last = await self.offsets(committed=committed)
        which = cluster.metadata.topics[self.name].id
        chosen = first.keys() if partitions is None else indexes_of("partitions", partitions)
        for partition in set(chosen) - first.keys():
            raise Invalid(
                f"topic {self.name!r} has no partition {partition}: it has {len(first)}, from 0 "
                f"to {len(first) - 1}",
                code=3,
            )
        first = {index: first[index] for index in chosen}
        last = {index: last[index] for index in chosen}
        begin = await resolve(cluster, self.name, start, first, last, what="start")
        stop: dict[int, int] = {}
        if end is not None or not follow:
            until: Points = "latest" if end is None else end
            stop = await resolve(cluster, self.name, until, first, last, what="end")
        positions = [
            Position(
                self.name,
                index,
                offset,
                stop.get(index, None if follow else offset),
                topic_id=which,
            )
            for index, offset in begin.items()
        ]
        whole = partitions is None and not isinstance(start, Mapping)
        growing = self.name if whole and follow and end is None else None
        fetcher = Fetcher(cluster, positions, committed=committed, growing=growing)
        sizes: Any = {"batch_rows": batch_rows, "batch_bytes": batch_bytes, "max_wait": max_wait}
        reader = Reader(fetcher, format or Raw(), **sizes)
        self._stem.readers.add(reader)
        return reader

    def read(
        self,
        start: Points = "earliest",
        *,
        end: Points | None = None,
        follow: bool = False,
        partitions: Sequence[int] | None = None,
        format: Format | None = None,  # noqa: A002
        batch_rows: int = BATCH_ROWS,
        batch_bytes: int = BATCH_BYTES,
        max_wait: float = 0.0,
        isolation: Isolation = "read_uncommitted",
    ) -> AsyncBatches:
        """Iterate over the records as ``pyarrow.RecordBatch``. See ``Topic.read``.

        ``async for batch in topic.read()`` looks up where it begins with the first batch;
        ``async with topic.read("latest", follow=True) as batches`` at once: nothing that is
        appended inside the block is missed.
        """
        return AsyncBatches(
            lambda: self.reader(
                start,
                end=end,
                follow=follow,
                partitions=partitions,
                format=format,
                batch_rows=batch_rows,
                batch_bytes=batch_bytes,
                max_wait=max_wait,
                isolation=isolation,
            ),
            self._stem.cluster.check,
        )

    async def describe(self) -> TopicDescription:
        """Partitions, offsets and settings."""
        return await self._stem.describe_topic(self.name)
