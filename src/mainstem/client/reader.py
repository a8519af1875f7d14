"""Fetched bytes to Arrow batches of a sensible size, decoded ahead of whoever reads them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, NamedTuple

import pyarrow as pa

from mainstem.client.fetcher import Fetched, Fetcher
from mainstem.client.formats import Decode, Format, check_format
from mainstem.client.leader_epochs import Epochs
from mainstem.client.side_output import set_aside
from mainstem.client.spreading import spread
from mainstem.client.threads import off_loop
from mainstem.errors import Corrupt, MainstemError
from mainstem.wire import decode_batches

_AHEAD = 2
_MERGE_BYTES = 64 << 20
_SMALL_BYTES = 16 << 10  # a thread would take longer to wake up than this to decode
_TOPIC: Final = pa.dictionary(pa.int32(), pa.string())
_HEAD: Final = ("_offset", "_timestamp", "_key", "_headers")


class Place(NamedTuple):
    """Where to go on in a partition, and which leaders wrote what came before it."""

    offset: int
    epochs: Epochs


#: Where to go on behind a batch, by topic and partition.
Places = dict[tuple[str, int], Place]


@dataclass(frozen=True, slots=True)
class Piece:
    """Decoded records of one partition, maybe none; ``next_offset`` comes behind them."""

    topic: str
    partition: int
    records: Any
    next_offset: int
    epochs: Epochs = ()


def decode(chunk: Fetched) -> list[Piece]:
    """Records of a fetched chunk, those outside its bounds dropped. Raises ``Corrupt``."""
    pieces: list[Piece] = []
    position = 0
    while True:
        found = decode_batches(
            chunk.data, start=position, from_offset=chunk.start, aborted=chunk.aborted
        )
        records, next_offset = found.records, found.next_offset
        if chunk.end is not None and next_offset > chunk.end:
            records = records.slice(0, _rows_below(records.column(0), chunk.end))
            next_offset = chunk.end
        pieces.append(Piece(chunk.topic, chunk.partition, records, next_offset, chunk.epochs))
        if found.end <= position or found.end >= len(chunk.data):
            return pieces
        position = found.end


def _rows_below(offsets: Any, end: int) -> int:
    """Offsets rise, so a binary search finds the cut."""
    low, high = 0, len(offsets)
    while low < high:
        middle = (low + high) // 2
        if offsets[middle].as_py() < end:
            low = middle + 1
        else:
            high = middle
    return low


def cut(pieces: list[Piece], rows: int) -> tuple[list[Piece], list[Piece]]:
    """The first ``rows`` rows, and the rest."""
    head: list[Piece] = []
    for index, piece in enumerate(pieces):
        records = piece.records
        if rows < records.num_rows:
            if rows:
                behind = records.column(0)[rows].as_py()
                head.append(replace(piece, records=records.slice(0, rows), next_offset=behind))
            rest = replace(piece, records=records.slice(rows))
            return head, [rest, *pieces[index + 1 :]]
        head.append(piece)
        rows -= records.num_rows
    return head, []


def places(pieces: list[Piece]) -> Places:
    """Where to go on behind these."""
    found: Places = {}
    for piece in pieces:
        where = piece.topic, piece.partition
        before = found.get(where)
        epochs = piece.epochs if before is None else before.epochs + piece.epochs
        found[where] = Place(piece.next_offset, epochs)
    return found


def assemble(pieces: list[Piece], decode_payload: Decode) -> Any:
    """One ``pa.RecordBatch`` of all columns, pieces joined; ``None`` without rows."""
    pieces = [piece for piece in pieces if piece.records.num_rows]
    if not pieces:
        return None
    records = (
        pieces[0].records
        if len(pieces) == 1
        else pa.concat_batches([piece.records for piece in pieces])
    )
    origin, partitions = _origins(pieces)
    offsets = records.column(0)

    def where(row: int) -> str:
        at = f"partition {partitions[row]} offset {offsets[row]}"
        return f"topic {origin[row].as_py()!r} {at}"

    columns = {"_topic": origin, "_partition": partitions}
    columns |= {name: records.column(name) for name in _HEAD}
    try:
        payload = decode_payload(records.column("value"), where)
    except Corrupt as error:
        advice = "read it with format=Raw(), or start behind it"
        raise Corrupt(f"{error}: {advice}", code=error.code) from error
    rows, rejected = getattr(payload, "rows", None), getattr(payload, "rejected", None)
    if rows is None:
        columns |= payload
    batch = pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    if rejected is not None:
        rest = set_aside(batch, records.column("value"), rejected, where)
        batch = rest if rows is None else batch
    return batch if rows is None else spread(batch, rows, payload)


def _origins(pieces: list[Piece]) -> tuple[Any, Any]:
    topics = list(dict.fromkeys(piece.topic for piece in pieces))
    ids, partitions = [], []
    for piece in pieces:
        size = piece.records.num_rows
        ids.append(pa.repeat(pa.scalar(topics.index(piece.topic), pa.int32()), size))
        partitions.append(pa.repeat(pa.scalar(piece.partition, pa.int32()), size))
    names = pa.array(topics, pa.string())
    origin = pa.DictionaryArray.from_arrays(pa.concat_arrays(ids), names)
    return origin, pa.concat_arrays(partitions)


class Reader:
    """Batches in order per partition. ``next`` may be called by one task at a time.

    Two batches are decoded ahead. ``batch_rows`` bounds a batch from above; below it, whatever
    has arrived is handed out, after waiting ``max_wait`` seconds for more.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        payload: Format,
        *,
        batch_rows: int,
        max_wait: float,
    ) -> None:
        self._fetcher = fetcher
        self._decode = check_format(payload).decoder()
        # A format that may ask a schema registry must not do so on the loop.
        self._quick = getattr(payload, "quick", True)
        self._batch_rows = batch_rows
        self._max_wait = max_wait
        self._ready: asyncio.Queue[Any] = asyncio.Queue(_AHEAD)
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self._ended = False

    async def next(self) -> Any:
        """A ``pa.RecordBatch``, or ``None`` at the end. Raises what fetching or decoding raised."""
        while (found := await self.take()) is not None:
            if found[0] is not None:
                return found[0]
        return None

    async def take(self) -> tuple[Any, Places] | None:
        """As ``next``, with where to go on behind it. The batch is ``None`` where there were
        only markers or aborted records."""
        if self._over:
            return None
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        found = await self._ready.get()
        if found is None or isinstance(found, BaseException):
            self._over = True
        if isinstance(found, BaseException):
            raise found
        return found  # type: ignore[no-any-return]  # the queue holds this, or what is above

    async def close(self) -> None:
        """Stop reading ahead; ``next`` gives ``None`` from now on, also to one that waits."""
        self._over = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while not self._ready.empty():
            self._ready.get_nowait()
        self._ready.put_nowait(None)
        await self._fetcher.close()

    async def _run(self) -> None:
        pieces: list[Piece] = []
        try:
            while pieces or not self._ended:
                whole = await self._gather(pieces)
                rows = sum(piece.records.num_rows for piece in pieces)
                # A remainder goes to the front of the next batch while there is more to come.
                ready, pieces = cut(pieces, rows - rows % self._batch_rows if whole else rows)
                while ready:
                    part, ready = cut(ready, self._batch_rows)
                    work = partial(assemble, part, self._decode)
                    small = self._quick and sum(p.records.nbytes for p in part) <= _SMALL_BYTES
                    batch = work() if small else await off_loop(work)
                    await self._ready.put((batch, places(part)))
            await self._ready.put(None)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            await self._ready.put(error)

    async def _gather(self, pieces: list[Piece]) -> bool:
        """Add decoded pieces for about one batch; whether they are enough for a whole one."""
        loop = asyncio.get_running_loop()
        rows = sum(piece.records.num_rows for piece in pieces)
        size = sum(piece.records.nbytes for piece in pieces)
        until = loop.time() + self._max_wait if pieces else None
        while rows < self._batch_rows and size < _MERGE_BYTES:
            chunk = self._fetcher.take()
            if chunk is None and pieces:
                until = loop.time() + self._max_wait if until is None else until
                chunk = await self._wait_for_more(until - loop.time())
            elif chunk is None:
                chunk = await self._fetcher.next()
                self._ended = chunk is None
            if chunk is None:
                return False
            if len(chunk.data) <= _SMALL_BYTES:
                found = decode(chunk)
            else:
                found = await off_loop(partial(decode, chunk))
            pieces += found
            rows += sum(piece.records.num_rows for piece in found)
            size += sum(piece.records.nbytes for piece in found)
        return bool(rows >= self._batch_rows)

    async def _wait_for_more(self, seconds: float) -> Fetched | None:
        if seconds <= 0:
            return None
        try:
            async with asyncio.timeout(seconds):
                return await self._fetcher.next()
        except (TimeoutError, MainstemError):  # an error comes again, after what is here
            return None
