"""Group commit seen from the event loop: who asks in one turn of it asks together.

No artificial delay: the next sync starts when the last one ends and answers everything that
arrived meanwhile, so the disk's own latency sets the size of the group.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from mainstem.broker.statistics import Statistics
from mainstem.errors import MainstemError
from mainstem.log import GroupCommit, Partition

Done = Callable[[MainstemError | None], None]


class Durability:
    """Answers ``done(error)`` once all appended so far is on disk. Loop thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, statistics: Statistics) -> None:
        self._loop = loop
        self._statistics = statistics
        self._commits = GroupCommit()
        self._asking: dict[Partition, list[Done]] = {}
        self._under_way = 0

    def wait(self, partition: Partition, done: Done) -> None:
        """Call ``done`` after a sync that begins no earlier than now."""
        together = self._asking.get(partition)
        if together is not None:
            together.append(done)
            return
        # At the end of this turn of the loop, so that all it appended shares the sync.
        self._asking[partition] = [done]
        self._loop.call_soon(self._ask, partition)

    def _ask(self, partition: Partition) -> None:
        # Also while a sync is under way: the next then begins without waiting for this loop.
        together = self._asking.pop(partition)
        self._under_way += 1
        began = time.perf_counter()
        self._commits.request(
            partition,
            partition.log_end_offset,
            lambda error: self._loop.call_soon_threadsafe(self._answer, together, error, began),
        )

    def _answer(self, together: list[Done], error: MainstemError | None, began: float) -> None:
        self._under_way -= 1
        self._statistics.syncs = self._commits.syncs
        self._statistics.sync_seconds += time.perf_counter() - began
        for done in together:
            done(error)

    @property
    def idle(self) -> bool:
        """Whether nobody waits for a sync."""
        return not self._under_way and not self._asking

    def close(self) -> None:
        """Finish the syncs asked for and stop the thread."""
        self._commits.close()
