"""Small appends that meet become one record batch: what ``linger`` is for.

An append returns when its rows are acknowledged, so one that waits for others costs them time and
the broker nothing; without ``linger`` nothing here is used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from mainstem.client.columns import Columns
from mainstem.client.lanes import Batch
from mainstem.client.partitioning import Turn
from mainstem.client.retry import Deadline

#: Encodes rows and queues the batches: partition, rows, what else is alike, by when.
Submit = Callable[[int, Columns, Any, Deadline], Awaitable[list[Batch]]]


@dataclass(slots=True, eq=False)
class Piece:
    """Rows of one append in a batch of several; ``done`` becomes its base offset, as a batch's."""

    columns: Columns
    done: asyncio.Future[int]
    departed: bool = False
    unwanted: bool = False

    @property
    def rows(self) -> int:
        """How many."""
        return self.columns.rows


@dataclass(slots=True, eq=False)
class _Bucket:
    """What waits for one partition, and until when."""

    partition: int
    options: Any
    deadline: Deadline
    pieces: list[Piece] = field(default_factory=list)
    size: int = 0
    timer: asyncio.TimerHandle | None = None


class StickyTurn(Turn):
    """Rows without a key stay with one partition until its batch goes (KIP-480)."""

    def __init__(self) -> None:
        super().__init__()
        self._stay: int | None = None

    def take(self, partitions: int) -> int:
        """See ``Turn``."""
        stay = self._stay  # large slices are split in threads: the loop may move on meanwhile
        if stay is None or stay >= partitions:
            stay = self._stay = super().take(partitions)
        return stay

    def move_on(self, partition: int) -> None:
        """This partition's batch has gone."""
        if self._stay == partition:
            self._stay = None


class Gatherer:
    """One per topic and client. Belongs to the client's event loop."""

    def __init__(self, linger: float, turn: StickyTurn, submit: Submit) -> None:
        self._linger = linger
        self._turn = turn
        self._submit = submit
        self._buckets: dict[Any, _Bucket] = {}
        self._order = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, partition: int, rows: Columns, options: Any, deadline: Deadline) -> Piece:
        """Have rows wait for more, for ``linger`` seconds or until ``batch_bytes`` are there."""
        loop = asyncio.get_running_loop()
        piece = Piece(rows, loop.create_future())
        types = tuple(None if part is None else part.type for part in _parts(rows))
        squeeze = options.compression, options.compression_level
        key = (partition, options.acks, squeeze, options.batch_bytes, types)
        size = weight(rows)
        bucket = self._buckets.get(key)
        if bucket is not None and bucket.size + size > options.batch_bytes:
            self._go(key)
            bucket = None
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(partition, options, deadline)
            bucket.timer = loop.call_later(self._linger, self._go, key)
        bucket.pieces.append(piece)
        bucket.size += size
        return piece

    async def flush(self) -> None:
        """Send what waits; what is submitted after this comes behind it."""
        for key in list(self._buckets):
            self._go(key)
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    def _go(self, key: Any) -> None:
        bucket = self._buckets.pop(key)
        if bucket.timer is not None:
            bucket.timer.cancel()
        self._turn.move_on(bucket.partition)
        task = asyncio.get_running_loop().create_task(self._depart(bucket))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _depart(self, bucket: _Bucket) -> None:
        async with self._order:  # first come, first sent: a later bucket waits here
            pieces = [piece for piece in bucket.pieces if not piece.done.done()]
            for piece in pieces:
                piece.departed = True
            try:
                if pieces and not await self._together(bucket, pieces):
                    for piece in pieces:
                        await self._alone(bucket, piece)
            except BaseException as error:
                for piece in pieces:
                    if not piece.done.done():
                        piece.done.set_exception(error)
                        piece.done.exception()  # its append may have gone
                if isinstance(error, asyncio.CancelledError):
                    raise

    async def _together(self, bucket: _Bucket, pieces: list[Piece]) -> bool:
        """Whether all went in one record batch."""
        rows = _joined([piece.columns for piece in pieces])
        if weight(rows) > bucket.options.batch_bytes:
            return False
        batches = await self._submit(bucket.partition, rows, bucket.options, bucket.deadline)
        start = 0
        for batch in batches:
            stop = start + batch.rows
            at = 0
            for piece in pieces:
                if start <= at < stop:
                    _follow(piece, batch, at - start)
                at += piece.rows
            start = stop
        return True

    async def _alone(self, bucket: _Bucket, piece: Piece) -> None:
        where = bucket.partition, piece.columns, bucket.options, bucket.deadline
        for batch in (await self._submit(*where))[:1]:
            _follow(piece, batch, 0)


def weight(rows: Columns) -> int:
    """Bytes of a record batch of these rows, or somewhat more: 32 a row for what frames them."""
    return 32 * rows.rows + sum(int(p.nbytes) for p in _parts(rows) if p is not None)


def _parts(rows: Columns) -> tuple[Any, ...]:
    return rows.value, rows.key, rows.timestamp, rows.headers


def _joined(found: list[Columns]) -> Columns:
    if len(found) == 1:
        return found[0]
    parts = zip(*map(_parts, found), strict=True)
    joined = [None if part[0] is None else pa.concat_arrays(part) for part in parts]
    return Columns(sum(rows.rows for rows in found), joined[0], joined[1], joined[2], joined[3])


def _follow(piece: Piece, batch: Batch, at: int) -> None:
    """Tell the piece what becomes of its batch."""

    def tell(done: asyncio.Future[int]) -> None:
        if piece.done.done():
            return
        if done.cancelled():
            piece.done.cancel()
        elif (error := done.exception()) is not None:
            piece.done.set_exception(error)
            piece.done.exception()
        else:
            base = done.result()
            piece.done.set_result(base + at if base >= 0 else -1)

    batch.done.add_done_callback(tell)
