"""Arrow columns to acknowledged records: format, partition, encode, send, in bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import pyarrow as pa

from mainstem.client.arguments import check_count, check_text
from mainstem.client.cluster import Cluster
from mainstem.client.columns import Columns, record_columns, slices
from mainstem.client.formats import Format, Raw, check_format
from mainstem.client.gathering import Gatherer, Piece, StickyTurn, weight
from mainstem.client.lanes import Batch
from mainstem.client.partitioning import Turn, split
from mainstem.client.producer import Producer
from mainstem.client.retry import Deadline
from mainstem.client.threads import off_loop
from mainstem.clock import Clock, SystemClock
from mainstem.errors import Invalid, MainstemError
from mainstem.wire import encode_batches

Acks = Literal["all", 1, 0]
_ACKS: dict[Any, int] = {"all": -1, -1: -1, 1: 1, 0: 0}
CODECS: dict[str | None, int] = {None: 0, "none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
_LEVELS = {"gzip": 9, "lz4": 12, "zstd": 22}
_SMALL_ROWS = 512
_BATCH_BYTES = 1_000_000  # below Kafka's default max.message.bytes with the header on top


@dataclass(frozen=True, slots=True)
class Written:
    """Rows written to one partition; offsets are -1 with ``acks=0`` or for a late duplicate.

    Another producer's records may lie between ``first_offset`` and ``last_offset``.
    """

    first_offset: int
    last_offset: int
    rows: int


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append wrote: all its rows, and where, by partition."""

    rows: int
    partitions: dict[int, Written] = field(default_factory=dict)


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
            check_count("partition", self.partition, least=0, code=3)
        check_count("batch_bytes", self.batch_bytes, least=1024)
        check_format(self.format)

    def _check_level(self) -> None:
        level, highest = self.compression_level, _LEVELS.get(self.compression or "none", 0)
        if level is not None and not (type(level) is int and 1 <= level <= highest):
            known = f"1 to {highest}" if highest else "no levels"
            raise Invalid(
                f"compression_level={level!r} is not valid: {self.compression!r} has {known}"
            )


class Appender:
    """Appends for one topic. Belongs to the client's event loop; calls may run side by side."""

    def __init__(
        self, cluster: Cluster, producer: Producer, topic: str, clock: Clock | None = None
    ) -> None:
        self._cluster = cluster
        self._producer = producer
        self._topic = topic
        self._turn = Turn()
        self._gatherer: Gatherer | None = None
        if cluster.config.linger > 0:
            self._turn = sticky = StickyTurn()
            self._gatherer = Gatherer(cluster.config.linger, sticky, self._submit)
        self._clock = clock or SystemClock()

    async def append(self, data: Any, options: AppendOptions) -> Appended:
        """Write all rows; returns when they are acknowledged as ``acks`` asks.

        On an error nothing is taken back: the message says how many rows were
        acknowledged, and the error of the first batch that failed is raised.
        """
        bind = getattr(options.format, "bind", None)
        if bind is not None:  # its schema's name needs the topic's
            options = replace(options, format=bind(self._topic))
        sent = _Sent()
        source = slices(data)
        run = _at_once if _is_small(data) else off_loop
        try:
            while sent.failure is None:
                batch = await run(lambda: next(source, None))
                if batch is None:
                    break
                await self._send(batch, options, sent)
        except BaseException as error:
            await sent.settle(cancel=True)
            raise sent.partial(error) from error
        await sent.settle(cancel=sent.failure is not None)
        if sent.failure is not None:
            raise sent.partial(sent.failure)
        return sent.summary()

    async def _send(self, batch: Any, options: AppendOptions, sent: _Sent) -> None:
        deadline = self._cluster.deadline()
        partitions = len((await self._cluster.topic(self._topic, deadline)).partitions)
        small = batch.num_rows <= _SMALL_ROWS
        # A format that may ask a schema registry must not do so on the loop.
        run = _at_once if small and getattr(options.format, "quick", True) else off_loop
        columns = await run(
            lambda: record_columns(
                batch,
                options.format,
                key=options.key,
                timestamp=options.timestamp,
                partition=options.partition,
            )
        )
        for partition, rows in split(columns, partitions, self._turn, self._topic):
            alike = columns.rows == batch.num_rows  # unless a record holds many rows
            if self._gatherer is not None:
                if small and 2 * weight(rows) <= options.batch_bytes:
                    piece = self._gatherer.add(partition, rows, options, deadline)
                    last = rows.number(rows.rows - 1)
                    sent.add(partition, piece, (rows.number(0), last), alike)
                    continue
                await self._gatherer.flush()
            first = 0
            for found in await self._submit(partition, rows, options, deadline):
                last = first + found.rows - 1
                sent.add(partition, found, (rows.number(first), rows.number(last)), alike)
                first = last + 1
        sent.begun += batch.num_rows

    async def _submit(
        self, partition: int, rows: Columns, options: AppendOptions, deadline: Deadline
    ) -> list[Batch]:
        """Encode rows and queue their batches."""
        run = _at_once if rows.rows <= _SMALL_ROWS else off_loop
        acks = _ACKS[options.acks]
        return [
            await self._producer.submit(self._topic, partition, acks, data, deadline)
            for data in await run(partial(self._encode, rows, options))
        ]

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
                sealed=_ACKS[options.acks] != -1,  # else a lane does, with its producer's numbers
                now_ms=self._clock.now_ms(),
            )
        )


def _is_small(data: Any) -> bool:
    """Whether all rows are here and few: then a thread costs more than it saves."""
    return isinstance(data, list | tuple | pa.RecordBatch) and len(data) <= _SMALL_ROWS


async def _at_once(work: Callable[[], Any]) -> Any:
    return work()


class _Sent:
    """The batches of one append, in order, and the first failure among them."""

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self.begun = 0  # rows of the slices before the one under way
        self._batches: list[tuple[int, Batch | Piece]] = []
        self._rows: list[tuple[int, int] | None] = []  # first and last of each batch

    def add(self, partition: int, batch: Batch | Piece, rows: tuple[int, int], known: bool) -> None:
        self._batches.append((partition, batch))
        first, last = rows
        self._rows.append((self.begun + first, self.begun + last) if known else None)
        batch.done.add_done_callback(self._note)

    def _note(self, done: asyncio.Future[int]) -> None:
        if not done.cancelled() and done.exception() is not None and self.failure is None:
            self.failure = done.exception()

    async def settle(self, *, cancel: bool) -> None:
        """Wait for all; with ``cancel``, first take back those that were never sent."""
        for _, batch in self._batches:
            batch.unwanted = cancel
            if cancel and not batch.departed:
                batch.done.cancel()
        waiting = [batch.done for _, batch in self._batches]
        if len(waiting) == 1:  # the usual one, without the machinery for many
            with suppress(Exception):
                await waiting[0]
        elif waiting:
            await asyncio.gather(*waiting, return_exceptions=True)

    def partial(self, error: BaseException) -> BaseException:
        """``error``, with the rows that failed and how many were acknowledged."""
        if not isinstance(error, MainstemError) or not self._batches:
            return error
        which = self._where(error)
        written = sum(batch.rows for _, batch in self._batches if _acknowledged(batch))
        return type(error)(f"{error} [{which}{written} rows were acknowledged]", code=error.code)

    def _where(self, error: BaseException) -> str:
        """The rows of the batch that failed with ``error``, numbered from 0 as appended."""
        for rows, (partition, batch) in zip(self._rows, self._batches, strict=True):
            done = batch.done
            if rows and done.done() and not done.cancelled() and done.exception() is error:
                first, last = rows
                if first == last:
                    return f"row {first} failed; "
                if last - first < batch.rows:
                    return f"rows {first} to {last} failed; "
                return f"of rows {first} to {last} those of partition {partition} failed; "
        return ""

    def summary(self) -> Appended:
        """Where the rows went; all batches are acknowledged."""
        found: dict[int, Written] = {}
        for partition, batch in self._batches:
            base, rows = batch.done.result(), batch.rows
            last = base + rows - 1 if base >= 0 else -1
            before = found.get(partition)
            if before is None:
                found[partition] = Written(base, last, rows)
            else:
                found[partition] = Written(before.first_offset, last, before.rows + rows)
        return Appended(sum(batch.rows for _, batch in self._batches), dict(sorted(found.items())))


def _acknowledged(batch: Batch | Piece) -> bool:
    done = batch.done
    return done.done() and not done.cancelled() and done.exception() is None
