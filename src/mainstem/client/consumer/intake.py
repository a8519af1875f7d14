"""What a consumer reads ahead of its user, from the partitions that it may read now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from mainstem.client.cluster import Cluster
from mainstem.client.consumer.positions import Positions
from mainstem.client.consumer.settings import ConsumerSettings
from mainstem.client.fetcher import Fetcher, Position
from mainstem.client.leader_epochs import LogCut, TopicAnew
from mainstem.client.reader import Reader
from mainstem.errors import Invalid, MainstemError

_OUT_OF_RANGE, _UNKNOWN_TOPIC = 1, 3
_LEAST_SECONDS = 0.1


class Intake:
    """One reader at a time, made anew where partitions or places change. For one task at a time.

    A topic that is deleted is told once (one that only a pattern meant, not at all) and then left
    alone, so that the others go on; made anew, it is read from its beginning.
    """

    def __init__(
        self,
        cluster: Cluster,
        settings: ConsumerSettings,
        positions: Positions,
        check: Callable[[], None],
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._positions = positions
        self._check = check
        self._reader: Reader | None = None
        self._taking: asyncio.Task[Any] | None = None
        self._dropping: set[asyncio.Task[None]] = set()
        self._look_at = 0.0  # when deleted topics are looked for next

    async def next(self, signal: asyncio.Event, timeout: float | None) -> Any:
        """A batch; ``None`` after ``timeout`` seconds, when ``signal`` is set, and now and then."""
        timeout = await self._look(timeout)
        signalled = asyncio.get_running_loop().create_task(signal.wait())
        try:
            waits: set[asyncio.Task[Any]] = {signalled}
            reader = self._reading()
            if reader is not None:
                if self._taking is None:
                    self._taking = asyncio.get_running_loop().create_task(reader.take())
                    self._taking.add_done_callback(_looked_at)
                waits.add(self._taking)
            await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            signalled.cancel()
        taking = self._taking
        if signal.is_set() or taking is None or not taking.done():
            return None
        self._taking = None
        return await self._taken(taking)

    async def drop(self) -> None:
        """What is read ahead is dropped: only what was handed out counts."""
        taking, self._taking = self._taking, None
        reader, self._reader = self._reader, None

        async def drop() -> None:
            if taking is not None:
                taking.cancel()
                await asyncio.gather(taking, return_exceptions=True)
            if reader is not None:
                await reader.close()

        if taking is not None or reader is not None:
            task = asyncio.get_running_loop().create_task(drop())
            self._dropping.add(task)
            task.add_done_callback(self._dropping.discard)
        if self._dropping:  # to the end, also where whoever asks is cancelled
            await asyncio.shield(asyncio.gather(*self._dropping))

    async def _taken(self, taking: asyncio.Task[Any]) -> Any:
        try:
            found = taking.result()
        except (LogCut, TopicAnew) as error:
            await self.drop()
            if isinstance(error, LogCut):
                await self._positions.cut(error)
            else:
                await self._positions.begin_again(error.topic)
            raise
        except Invalid as error:
            await self.drop()
            if error.code == _OUT_OF_RANGE:
                await self._positions.reset_those_outside()
                return None
            gone = error.code == _UNKNOWN_TOPIC and await self._positions.miss_deleted()
            if gone and self._settings.pattern is not None:
                return None
            raise
        except MainstemError:
            await self.drop()
            raise
        if found is None:  # the client was closed meanwhile
            self._check()
            await self.drop()
            return None
        batch, places = found
        self._positions.advance(places, processed=batch is None)
        return batch

    async def _look(self, timeout: float | None) -> float | None:
        """See whether deleted topics are there again; how long to wait until the next time."""
        if not self._positions.missing:
            return timeout
        now = asyncio.get_running_loop().time()
        if now >= self._look_at:
            age = max(_LEAST_SECONDS, self._cluster.config.metadata_max_age)
            self._look_at = now + age
            if await self._positions.find_missing():
                await self.drop()
        left = max(0.0, self._look_at - now)
        return left if timeout is None else min(timeout, left)

    def _reading(self) -> Reader | None:
        """A reader of what is owned, not paused and there, if there is anything."""
        places = self._positions.readable() if self._reader is None else {}
        if places:
            settings, positions = self._settings, self._positions
            found = [
                Position(
                    *where,
                    at,
                    epoch=positions.epoch(where, at),
                    topic_id=positions.topic_id(where[0]),
                )
                for where, at in places.items()
            ]
            fetcher = Fetcher(
                self._cluster,
                found,
                prefetch_bytes=settings.prefetch_bytes,
                committed=settings.isolation == "read_committed",
            )
            self._reader = Reader(
                fetcher,
                settings.format,
                batch_rows=settings.batch_rows,
                batch_bytes=settings.batch_bytes,
                max_wait=settings.max_wait,
            )
        return self._reader


def _looked_at(done: asyncio.Task[Any]) -> None:
    """A failure that comes when nobody takes any more is no news."""
    if not done.cancelled():
        done.exception()
