"""The one reader of a node: follows exactly the partitions that somebody is interested in."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable
from typing import Any, Protocol

from mainstem.client import Cluster, Fetched, Fetcher, Position, bounds, decode_chunk
from mainstem.errors import Corrupt, Invalid, MainstemError, Unavailable
from mainstem.live.topics import Place, Topics

logger = logging.getLogger("mainstem.live")

_OUT_OF_RANGE, _UNKNOWN_TOPIC = 1, 3
_PREFETCH_BYTES = 8 << 20
_SMALL_BYTES = 64 << 10  # below, a thread would take longer to wake up than decoding takes
_SETTLE_S = 0.003  # changes of a moment, as a page's several channels, become one
_LOOK_S = 10.0
_LONGEST_PAUSE_S = 2.0


class Sink(Protocol):
    """Who gets what is read."""

    async def records(self, place: Place, records: Any, next_offset: int) -> None:
        """A ``pa.RecordBatch`` of one partition, maybe without rows; all before ``next_offset``
        has been handed over now. Awaited before the next: this is the back-pressure."""
        ...

    def lost(self, place: Place, reason: str) -> None:
        """What was to be read next is gone: ``expired``, ``truncated`` or ``epoch``. The
        partition is not read any more."""
        ...


class LogReader:
    """Reads committed records of assigned partitions, each from an offset on.

    Failures of the cluster are waited out; those of a partition are told to the sink. Belongs to
    one event loop; ``run`` is its one task.
    """

    def __init__(self, cluster: Cluster, topics: Topics, sink: Sink) -> None:
        self._cluster = cluster
        self._topics = topics
        self._sink = sink
        self._positions: dict[Place, int] = {}
        self._epochs: dict[Place, int] = {}
        self._changed = asyncio.Event()
        self._random = random.Random()
        self._misplaced: set[str] = set()
        self.restarts = 0

    @property
    def places(self) -> list[Place]:
        """What is read."""
        return list(self._positions)

    def assign(self, place: Place, offset: int, epoch: int) -> None:
        """Read from ``offset`` on, as long as the topic's epoch is this."""
        self._positions[place] = offset
        self._epochs[place] = epoch
        self._changed.set()

    def release(self, place: Place) -> None:
        """Read this no more."""
        if self._positions.pop(place, None) is not None:
            self._epochs.pop(place, None)
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        looking = asyncio.create_task(self._look())
        pause = 0.05
        try:
            while True:
                while not self._positions:
                    self._changed.clear()
                    await self._changed.wait()
                await asyncio.sleep(_SETTLE_S)
                try:
                    await self._follow()
                    pause = 0.05
                except MainstemError as error:
                    logger.warning("reading stopped: %s", error)
                    await self._recover()
                    await asyncio.sleep(self._random.uniform(0, pause))
                    pause = min(_LONGEST_PAUSE_S, pause * 2)
                self.restarts += 1
        finally:
            looking.cancel()

    async def _follow(self) -> None:
        """Read until the assignment changes."""
        self._changed.clear()
        positions = [Position(*place, offset) for place, offset in self._positions.items()]
        fetcher = Fetcher(self._cluster, positions, prefetch_bytes=_PREFETCH_BYTES, committed=True)
        changed = asyncio.create_task(self._changed.wait())
        arriving: asyncio.Task[Fetched | None] | None = None
        try:
            while not self._changed.is_set():
                chunk = fetcher.take()
                if chunk is None:
                    arriving = asyncio.create_task(fetcher.next())
                    await asyncio.wait({arriving, changed}, return_when=asyncio.FIRST_COMPLETED)
                    if not arriving.done():
                        break
                    chunk, arriving = arriving.result(), None
                if chunk is not None:
                    await self._hand_over(chunk)
        finally:
            changed.cancel()
            try:
                if arriving is not None:
                    arriving.cancel()
                    await asyncio.gather(arriving, return_exceptions=True)
            finally:
                await fetcher.close()

    async def _hand_over(self, chunk: Fetched) -> None:
        place = chunk.topic, chunk.partition
        if not self._same(place):
            self._lose(place, "epoch")
            return
        try:
            if len(chunk.data) <= _SMALL_BYTES:
                pieces = decode_chunk(chunk)
            else:
                pieces = await asyncio.to_thread(decode_chunk, chunk)
        except (Corrupt, Invalid) as error:
            logger.error("partition %s-%d: %s: the batch is skipped", *place, error)
            self._lose(place, "truncated")
            return
        for piece in pieces:
            if place not in self._positions:
                return
            self._positions[place] = piece.next_offset
            self._check_place(place, piece.records)
            await self._sink.records(place, piece.records, piece.next_offset)

    def _check_place(self, place: Place, records: Any) -> None:
        """Say once per topic that its producers hash keys otherwise: viewers would miss records."""
        topic, partition = place
        found = self._topics.known(topic)
        if topic in self._misplaced or found is None or not records.num_rows:
            return
        key = records.column("_key")[0].as_py()
        if key is not None and found.stream_of(key)[2] != partition:
            self._misplaced.add(topic)
            other = "crc32" if found.partitioner == "murmur2" else "murmur2"
            logger.warning(
                "topic %s: key %r is in partition %d, where partitioner %r does not put it; "
                "viewers miss such records: set the namespace's partitioner to %r if that is how "
                "its producers hash (confluent-kafka, kcat: crc32), or use one partition",
                topic,
                key[:80],
                partition,
                found.partitioner,
                other,
            )

    def _same(self, place: Place) -> bool:
        """A chunk of another topic by the same name is never older than what metadata says."""
        found = self._topics.known(place[0])
        return found is None or found.epoch == self._epochs.get(place)

    def _lose(self, place: Place, reason: str) -> None:
        if place in self._positions:
            self.release(place)
            self._sink.lost(place, reason)

    # --- when something is wrong -------------------------------------------------------------

    async def _recover(self) -> None:
        """Find out which partitions cannot go on where they are, and let them go."""
        for topic in {place[0] for place in self._positions}:
            try:
                await self._examine(topic)
            except MainstemError as trouble:
                if not isinstance(trouble, Unavailable):
                    logger.warning("topic %s: %s", topic, trouble)

    async def _examine(self, topic: str) -> None:
        mine = [place for place in self._positions if place[0] == topic]
        try:
            found = await self._topics.find(topic, fresh=True)
        except MainstemError as error:
            if error.code == _UNKNOWN_TOPIC:
                for place in mine:
                    self._lose(place, "epoch")
            raise
        stale = [place for place in mine if self._epochs.get(place) != found.epoch]
        for place in stale:
            self._lose(place, "epoch")
        numbers = [place[1] for place in mine if place not in stale]
        first, last = await bounds(self._cluster, topic, numbers)
        for number in numbers:
            offset = self._positions.get((topic, number))
            if offset is not None and offset < first[number]:
                self._lose((topic, number), "expired")
            elif offset is not None and offset > last[number]:
                self._lose((topic, number), "truncated")

    async def _look(self) -> None:
        """A topic that was created anew and is empty gives no chunk that would show it."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for topic in {place[0] for place in self._positions}:
                await _quietly(self._topics.find(topic, fresh=True))
                for place in [found for found in self._positions if found[0] == topic]:
                    if not self._same(place):
                        self._lose(place, "epoch")


async def _quietly(work: Awaitable[object]) -> None:
    try:
        await work
    except MainstemError as error:
        logger.info("%s", error)
