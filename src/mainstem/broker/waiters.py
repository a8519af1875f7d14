"""Who waits for a partition to grow: Fetch long polls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from mainstem.log import Partition


class Waiters:
    """Futures by partition; the event loop's thread only."""

    def __init__(self) -> None:
        self._by_partition: dict[Partition, set[asyncio.Future[None]]] = {}

    def notify(self, partition: Partition) -> None:
        """Wake everybody who waits for ``partition``. A look-up where nobody does."""
        waiting = self._by_partition.pop(partition, None)
        if waiting:
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    async def wait(self, partitions: Iterable[Partition], timeout: float) -> bool:
        """Until one of the partitions grows (``True``) or the timeout, in seconds, is over."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        watched = tuple(partitions)
        for partition in watched:
            self._by_partition.setdefault(partition, set()).add(future)
        timer = loop.call_later(timeout, _expire, future)
        try:
            await future
            return True
        except TimeoutError:
            return False
        finally:
            timer.cancel()
            for partition in watched:
                waiting = self._by_partition.get(partition)
                if waiting is not None:
                    waiting.discard(future)
                    if not waiting:
                        del self._by_partition[partition]


def _expire(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())
