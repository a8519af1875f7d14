"""The past, read from the log for whoever resumes: cached, read once for many, and paced.

Chunks of the log are kept as columns in bounded memory; the live reader adds what it reads, so
that a storm of reconnecting viewers finds the last minutes there. A chunk that is missing is
read by one reader however many ask. Reads of the past share a budget of bytes per second and
give the event loop back between slices: live viewers never wait for catch-up.
"""

from __future__ import annotations

import asyncio
import bisect
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from mainstem.client import Cluster, Fetcher, Position, decode_chunk
from mainstem.clock import Clock, SystemClock
from mainstem.live.bus import Stream
from mainstem.live.pacing import Pace

_ENTRY_BYTES = 4096  # what a chunk costs besides its records
_READERS = 4
_SMALL_ROWS, _MERGED = 256, 64
_SILENCE_S = 2.0


@dataclass(slots=True, eq=False)
class Chunk:
    """All committed records of a stream from ``start`` to before ``next_offset``."""

    start: int
    next_offset: int
    records: Any
    #: Finished JSON by channel: (offset, bytes) in order, made once for all who replay.
    rendered: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    size: int = 0


class History:
    """Chunks of streams. Belongs to one event loop; any number of tasks may read."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        cache_bytes: int,
        bytes_per_second: float,
        clock: Clock | None = None,
    ) -> None:
        self._cluster = cluster
        self._limit = cache_bytes
        self.pace = Pace(bytes_per_second, clock or SystemClock())
        self._starts: dict[Stream, list[int]] = {}
        self._chunks: OrderedDict[tuple[Stream, int], Chunk] = OrderedDict()
        self._fresh: dict[Stream, list[Chunk]] = {}
        self._reading: dict[tuple[Stream, int], asyncio.Task[Chunk]] = {}
        self._parked: OrderedDict[tuple[Stream, int], _Reader] = OrderedDict()
        self._turns = asyncio.Semaphore(_READERS)
        self.held = 0
        self.hits = 0
        self.misses = 0

    async def chunks(
        self, stream: Stream, start: int, end: int, *, keep: bool = True
    ) -> AsyncIterator[Chunk]:
        """Chunks that cover ``[start, end)``; the first and last may reach beyond.

        Without ``keep`` what is read is not held: for a pass over all of a partition.

        ``end`` must not lie behind what is committed. Raises ``Invalid`` (code 1) where ``start``
        is not in the log any more, ``Unavailable`` when the cluster is away too long.
        """
        while start < end:
            chunk = self._find(stream, start)
            if chunk is None:
                self.misses += 1
                chunk = await self._read(stream, start, end, keep=keep)
            else:
                self.hits += 1
                await asyncio.sleep(0)
            yield chunk
            start = chunk.next_offset

    def remember(self, stream: Stream, start: int, next_offset: int, records: Any) -> None:
        """Keep what the live reader has read. ``start`` is where it stood before."""
        if next_offset <= start:
            return
        self._keep(stream, Chunk(start, next_offset, records))
        if records.num_rows >= _SMALL_ROWS:
            self._fresh.pop(stream, None)
            return
        fresh = self._fresh.setdefault(stream, [])
        if fresh and fresh[-1].next_offset != start:
            fresh.clear()
        fresh.append(self._chunks[stream, start])
        if len(fresh) == _MERGED:
            self._merge(stream, self._fresh.pop(stream))

    def _merge(self, stream: Stream, fresh: list[Chunk]) -> None:
        """Many small chunks become one: replays cost per chunk."""
        if any(self._chunks.get((stream, chunk.start)) is not chunk for chunk in fresh):
            return  # some had to make room meanwhile
        for chunk in fresh:
            self._drop((stream, chunk.start))
        records = pa.concat_batches([chunk.records for chunk in fresh])
        self._keep(stream, Chunk(fresh[0].start, fresh[-1].next_offset, records))

    def forget(self, topic: str) -> None:
        """Drop what is held of a topic: it was created anew, or cut."""
        for key in [key for key in self._chunks if key[0][0] == topic]:
            self._drop(key)
        for stream in [stream for stream in self._fresh if stream[0] == topic]:
            del self._fresh[stream]

    def grown(self, stream: Stream, chunk: Chunk, size: int) -> None:
        """Rendered JSON was added to a chunk; it counts while the chunk is held."""
        if self._chunks.get((stream, chunk.start)) is chunk:
            chunk.size += size
            self.held += size
            self._shrink()

    async def close(self) -> None:
        """Stop reading."""
        tasks = list(self._reading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        parked, self._parked = list(self._parked.values()), OrderedDict()
        for reader in parked:
            await reader.close()

    # --- cache -------------------------------------------------------------------------------

    def _find(self, stream: Stream, offset: int) -> Chunk | None:
        starts = self._starts.get(stream)
        place = bisect.bisect_right(starts, offset) - 1 if starts else -1
        if starts is None or place < 0:
            return None
        chunk = self._chunks[stream, starts[place]]
        if offset >= chunk.next_offset:
            return None
        self._chunks.move_to_end((stream, chunk.start))
        return chunk

    def _keep(self, stream: Stream, chunk: Chunk) -> None:
        key = stream, chunk.start
        if key in self._chunks:
            self._drop(key)
        bisect.insort(self._starts.setdefault(stream, []), chunk.start)
        chunk.size = chunk.records.nbytes + _ENTRY_BYTES
        self._chunks[key] = chunk
        self.held += chunk.size
        self._shrink()

    def _shrink(self) -> None:
        while self.held > self._limit and self._chunks:
            self._drop(next(iter(self._chunks)))

    def _drop(self, key: tuple[Stream, int]) -> None:
        chunk = self._chunks.pop(key)
        self.held -= chunk.size
        starts = self._starts[key[0]]
        starts.pop(bisect.bisect_left(starts, key[1]))
        if not starts:
            del self._starts[key[0]]

    # --- reading -----------------------------------------------------------------------------

    async def _read(self, stream: Stream, start: int, end: int, *, keep: bool) -> Chunk:
        key = stream, start
        task = self._reading.get(key)
        if task is None:
            task = asyncio.create_task(self._load(stream, start, end, keep=keep))
            self._reading[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        return await asyncio.shield(task)

    def _finished(self, key: tuple[Stream, int], task: asyncio.Task[Chunk]) -> None:
        self._reading.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever waits has it, and maybe nobody does any more

    async def _load(self, stream: Stream, start: int, end: int, *, keep: bool) -> Chunk:
        async with self._turns:
            chunk = await self._fetch(stream, start, end)
        await self.pace.spend(chunk.records.nbytes)
        if keep:
            self._keep(stream, chunk)
        return chunk

    async def _fetch(self, stream: Stream, start: int, end: int) -> Chunk:
        parked = self._parked.pop((stream, start), None)
        reader = parked or _Reader(self._cluster, stream, start)
        done: _Reader | None = reader
        try:
            chunk = await reader.next(start, end)
        except BaseException:
            await reader.close()
            raise
        if chunk.next_offset < end:
            self._parked[stream, chunk.next_offset] = reader
            full = len(self._parked) > _READERS
            done = self._parked.popitem(last=False)[1] if full else None
        if done is not None:
            await done.close()
        return chunk


class _Reader:
    """One partition read in order, one answer ahead."""

    def __init__(self, cluster: Cluster, stream: Stream, start: int) -> None:
        topic, _, partition = stream
        self._position = Position(topic, partition, start)
        self._fetcher = Fetcher(cluster, [self._position], prefetch_bytes=1, committed=True)

    async def next(self, start: int, end: int) -> Chunk:
        """What comes at ``start``; empty up to ``end`` where compaction left nothing."""
        while True:
            try:
                async with asyncio.timeout(_SILENCE_S):
                    found = await self._fetcher.next()
                break
            except TimeoutError:
                if self._position.high_watermark >= end:
                    return Chunk(start, end, _empty())
        assert found is not None  # its position has no end
        pieces = await asyncio.to_thread(decode_chunk, found)
        records = [piece.records for piece in pieces]
        whole = records[0] if len(records) == 1 else pa.concat_batches(records)
        return Chunk(start, max(pieces[-1].next_offset, start + 1), whole)

    async def close(self) -> None:
        await self._fetcher.close()


def _empty() -> Any:
    return pa.record_batch(
        {
            "_offset": pa.array([], pa.int64()),
            "_timestamp": pa.array([], pa.timestamp("ms", tz="UTC")),
            "_key": pa.array([], pa.binary()),
            "_headers": pa.array(
                [], pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
            ),
            "value": pa.array([], pa.binary()),
        }
    )
