"""Arrow columns to acknowledged records: format, partition, encode, send, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from mainstem.client.arguments import MOST_COUNT, check_count, check_text
from mainstem.client.cluster import Cluster
from mainstem.client.columns import Columns, record_columns, row_count, slices
from mainstem.client.formats import Format, Raw, check_format, is_quick
from mainstem.client.gathering import Gatherer, StickyTurn, weight
from mainstem.client.in_order import InOrder
from mainstem.client.lanes import Batch
from mainstem.client.partitioning import Turn, split
from mainstem.client.producer import Producer
from mainstem.client.retry import Deadline
from mainstem.client.sent import Appended, Sent
from mainstem.client.threads import CORES, off_loop, on_cores
from mainstem.clock import Clock, SystemClock
from mainstem.errors import Invalid
from mainstem.wire import Squeeze, encode_batches

Acks = Literal["all", 1, 0]
_ACKS: dict[Any, int] = {"all": -1, -1: -1, 1: 1, 0: 0}
CODECS: dict[str | None, int] = {None: 0, "none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
_LEVELS = {"gzip": 9, "lz4": 12, "zstd": 22}
_SMALL_ROWS = 512
_UNKNOWN_PARTITION = 3
#: Slices under way: one a core. With more the cores lose sight of theirs; the loop keeps up.
_AHEAD = max(2, min(4, CORES))
#: Tables of more chunks than this take a while to be looked through.
_FEW_CHUNKS = 1024
_BATCH_BYTES = 1_000_000  # below Kafka's default max.message.bytes with the header on top


@dataclass(frozen=True, slots=True)
class AppendOptions:
    """See ``Topic.append`` for each."""

    key: str | None = None
    timestamp: str | None = None
    partition: int | None = None
    format: Format = field(default_factory=Raw)
    acks: Acks = "all"
    compression: str | None = None
    compression_level: int | None = None
    batch_bytes: int = _BATCH_BYTES

    def __post_init__(self) -> None:
        if self.acks not in tuple(_ACKS):
            raise Invalid(f'acks={self.acks!r} is not valid: use "all", 1 or 0', code=21)
        if self.compression not in tuple(CODECS):
            names = ", ".join(repr(name) for name in CODECS)
            raise Invalid(f"compression={self.compression!r} is not valid: use one of {names}")
        self._check_level()
        for name in ("key", "timestamp"):
            if getattr(self, name) is not None:
                check_text(name, getattr(self, name))
        if self.partition is not None:
            check_count("partition", self.partition, least=0, most=MOST_COUNT, code=3)
        check_count("batch_bytes", self.batch_bytes, least=1024)
        check_format(self.format)

    def _check_level(self) -> None:
        level, highest = self.compression_level, _LEVELS.get(self.compression or "none", 0)
        if level is not None and not (type(level) is int and 1 <= level <= highest):
            known = f"1 to {highest}" if highest else "no levels"
            raise Invalid(
                f"compression_level={level!r} is not valid: {self.compression!r} has {known}"
            )


class _Part(NamedTuple):
    """Rows of one partition, encoded unless they are to wait for more."""

    partition: int
    rows: Columns
    batches: list[memoryview] | None


class _Slice(NamedTuple):
    """What is sent for some rows of an append; ``alike`` where each became one record."""

    rows: int
    alike: bool
    parts: list[_Part]


class Appender:
    """Appends for one topic. Belongs to the client's event loop; calls may run side by side."""

    def __init__(
        self, cluster: Cluster, producer: Producer, topic: str, clock: Clock | None = None
    ) -> None:
        self._cluster = cluster
        self._producer = producer
        self._topic = topic
        self._turn = Turn()
        self._squeezes: dict[str | None, Squeeze] = {}
        self._gatherer: Gatherer | None = None
        if cluster.config.linger > 0:
            self._turn = sticky = StickyTurn()
            self._gatherer = Gatherer(cluster.config.linger, sticky, self._submit)
        self._clock = clock or SystemClock()

    async def append(self, data: Any, options: AppendOptions) -> Appended:
        """Write all rows; returns when they are acknowledged as ``acks`` asks.

        On an error nothing is taken back: the message says which rows failed or were not
        sent and how many were acknowledged, and the error of the first batch that failed is raised.
        """
        bind = getattr(options.format, "bind", None)
        if bind is not None:  # its schema's name needs the topic's
            options = replace(options, format=bind(self._topic))
        sent = Sent(row_count(data))
        ahead: InOrder[_Slice] = InOrder(_AHEAD, partial(self._send, options=options, sent=sent))
        try:
            await self._work_through(data, options, sent, ahead)
        except BaseException as error:
            await ahead.stop()
            await sent.settle(cancel=True)
            raise sent.partial(error) from error
        await sent.settle(cancel=sent.failure is not None)
        if sent.failure is not None:
            raise sent.partial(sent.failure)
        return sent.summary()

    async def _work_through(
        self, data: Any, options: AppendOptions, sent: Sent, ahead: InOrder[_Slice]
    ) -> None:
        source = slices(data)
        run = _at_once if _is_at_hand(data) else off_loop
        read = 0
        while sent.failure is None:
            batch = await run(lambda: next(source, None))
            if batch is None:
                sent.total = read
                break
            read += batch.num_rows
            work = self._prepare(batch, options)
            if sent.begun:
                await ahead.put(work)
            else:  # alone: most appends have no other, and a format may learn from its first rows
                await self._send(await work, options, sent)
        await ahead.finish()

    async def _prepare(self, batch: Any, options: AppendOptions) -> _Slice:
        """Encode a slice, in a thread unless it is small."""
        known = await self._cluster.topic(self._topic, self._cluster.deadline())
        # A format that may ask a schema registry must not do so on the loop.
        small = batch.num_rows <= _SMALL_ROWS
        run = (_at_once if small else on_cores) if is_quick(options.format) else off_loop
        count = len(known.partitions)
        try:
            found: _Slice = await run(partial(self._encode_slice, batch, options, count))
        except Invalid as error:
            if error.code != _UNKNOWN_PARTITION:
                raise
            # It may have been added since the metadata were asked for.
            known = await self._cluster.topic(self._topic, self._cluster.deadline(), fresh=True)
            if len(known.partitions) == count:
                raise
            count = len(known.partitions)
            found = await run(partial(self._encode_slice, batch, options, count))
        return found

    def _encode_slice(self, batch: Any, options: AppendOptions, partitions: int) -> _Slice:
        columns = record_columns(
            batch,
            options.format,
            key=options.key,
            timestamp=options.timestamp,
            partition=options.partition,
        )
        parts = []
        for partition, rows in split(columns, partitions, self._turn, self._topic):
            gathered = (
                self._gatherer is not None
                and batch.num_rows <= _SMALL_ROWS
                and 2 * weight(rows) <= options.batch_bytes
            )
            parts.append(_Part(partition, rows, None if gathered else self._encode(rows, options)))
        alike = columns.rows == batch.num_rows  # unless a record holds many rows
        return _Slice(batch.num_rows, alike, parts)

    async def _send(self, found: _Slice, options: AppendOptions, sent: Sent) -> None:
        """Queue the batches of a slice."""
        if sent.failure is not None:
            return
        deadline = self._cluster.deadline()
        sent.touched += found.rows
        for partition, rows, batches in found.parts:
            if self._gatherer is not None:
                if batches is None:
                    piece = self._gatherer.add(partition, rows, options, deadline)
                    last = rows.number(rows.rows - 1)
                    sent.add(partition, piece, (rows.number(0), last), found.alike)
                    continue
                await self._gatherer.flush()
            first = 0
            for batch in await self._queue(partition, batches or [], options, deadline):
                last = first + batch.rows - 1
                sent.add(partition, batch, (rows.number(first), rows.number(last)), found.alike)
                first = last + 1
        sent.begun += found.rows

    async def _submit(
        self, partition: int, rows: Columns, options: AppendOptions, deadline: Deadline
    ) -> list[Batch]:
        """Encode rows and queue their batches."""
        run = _at_once if rows.rows <= _SMALL_ROWS else on_cores
        batches = await run(partial(self._encode, rows, options))
        return await self._queue(partition, batches, options, deadline)

    async def _queue(
        self,
        partition: int,
        batches: list[memoryview],
        options: AppendOptions,
        deadline: Deadline,
    ) -> list[Batch]:
        acks = _ACKS[options.acks]
        submit = self._producer.submit
        return [await submit(self._topic, partition, acks, data, deadline) for data in batches]

    def _encode(self, rows: Columns, options: AppendOptions) -> list[memoryview]:
        return list(
            encode_batches(
                rows.value,
                rows.key,
                rows.timestamp,
                rows.headers,
                batch_bytes=options.batch_bytes,
                codec=CODECS[options.compression],
                level=options.compression_level,
                squeeze=self._squeezes.setdefault(options.compression, Squeeze()),
                now_ms=self._clock.now_ms(),
            )
        )


def _is_at_hand(data: Any) -> bool:
    """Whether the next slice is there at once: then a thread costs more than it saves."""
    if isinstance(data, pa.Table):
        chunks: int = sum(column.num_chunks for column in data.columns)
        return chunks <= _FEW_CHUNKS
    if isinstance(data, list | tuple):
        return len(data) <= _SMALL_ROWS
    return isinstance(data, pa.RecordBatch)


async def _at_once(work: Callable[[], Any]) -> Any:
    return work()
