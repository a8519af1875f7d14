"""Who waits for a partition to grow: Fetch long polls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from mainstem.log import Partition


class Waiters:
    """Futures by partition; the event loop's thread only."""

    def __init__(self) -> None:
        self._by_partition: dict[Partition, set[asyncio.Future[None]]] = {}

    def __len__(self) -> int:
        """How many partitions are waited for."""
        return len(self._by_partition)

    def notify(self, partition: Partition) -> None:
        """Wake everybody who waits for ``partition``. A look-up where nobody does."""
        waiting = self._by_partition.pop(partition, None)
        if waiting:
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def watch(self, partitions: Iterable[Partition]) -> Watch:
        """Begin to watch, at once: what is appended from now on is noticed."""
        return Watch(self._by_partition, tuple(partitions))


class Watch:
    """One waiting reader. ``end`` must be called; it may be called again."""

    def __init__(
        self,
        by_partition: dict[Partition, set[asyncio.Future[None]]],
        partitions: tuple[Partition, ...],
    ) -> None:
        self._by_partition = by_partition
        self._partitions = partitions
        self._future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for partition in partitions:
            by_partition.setdefault(partition, set()).add(self._future)

    async def wait(self, timeout: float) -> bool:
        """Until one of the partitions grows (``True``) or ``timeout`` seconds have passed."""
        timer = asyncio.get_running_loop().call_later(timeout, _expire, self._future)
        try:
            await self._future
            return True
        except TimeoutError:
            return False
        finally:
            timer.cancel()
            self.end()

    def __del__(self) -> None:
        # A task cancelled before its first step never reaches its ``finally``.
        self.end()

    def end(self) -> None:
        """Watch no longer."""
        for partition in self._partitions:
            waiting = self._by_partition.get(partition)
            if waiting is not None:
                waiting.discard(self._future)
                if not waiting:
                    del self._by_partition[partition]


def _expire(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())
