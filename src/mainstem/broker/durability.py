"""Group commit seen from the event loop: one sync per partition under way, the rest wait for it.

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
        self._waiting: dict[Partition, list[Done]] = {}
        self._syncing: dict[Partition, list[Done]] = {}

    def wait(self, partition: Partition, done: Done) -> None:
        """Call ``done`` after a sync that begins no earlier than now."""
        self._waiting.setdefault(partition, []).append(done)
        if partition not in self._syncing:
            # At the end of this turn of the loop, so that all it appended shares the sync.
            self._syncing[partition] = []
            self._loop.call_soon(self._begin, partition)

    def _begin(self, partition: Partition) -> None:
        self._syncing[partition] = self._waiting.pop(partition, [])
        began = time.perf_counter()
        self._commits.request(
            partition,
            partition.log_end_offset,
            lambda error: self._loop.call_soon_threadsafe(self._end, partition, error, began),
        )

    def _end(self, partition: Partition, error: MainstemError | None, began: float) -> None:
        self._statistics.syncs += 1
        self._statistics.sync_seconds += time.perf_counter() - began
        answered = self._syncing.pop(partition, [])
        if partition in self._waiting:
            self._syncing[partition] = []
            self._begin(partition)
        for done in answered:
            done(error)

    @property
    def idle(self) -> bool:
        """Whether nobody waits for a sync."""
        return not self._syncing and not self._waiting

    def close(self) -> None:
        """Finish the syncs asked for and stop the thread."""
        self._commits.close()
