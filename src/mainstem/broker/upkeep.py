"""What a broker does now and then: retention, and checkpoints of how far the log is on disk."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from mainstem.broker.topics import Topics
from mainstem.clock import Clock
from mainstem.errors import Closed, MainstemError
from mainstem.log import Log

logger = logging.getLogger("mainstem.broker")


class Upkeep:
    """Two tasks on the running loop; the work itself is done in threads."""

    def __init__(self, topics: Topics, log: Log, clock: Clock) -> None:
        self._topics = topics
        self._log = log
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, retention_ms: int, checkpoint_ms: int) -> None:
        """Do both at these intervals, in milliseconds, the first time after one interval."""
        self._tasks = [
            asyncio.create_task(_every(retention_ms / 1000, self.enforce_retention)),
            asyncio.create_task(_every(checkpoint_ms / 1000, self._log.checkpoint)),
        ]

    def enforce_retention(self) -> None:
        """Remove what is too old or too much, in every partition. Safe in any thread."""
        now_ms = self._clock.now_ms()
        for topic in self._topics.all():
            for partition in topic.partitions():
                try:
                    partition.enforce_retention(now_ms)
                except Closed:
                    continue  # deleted meanwhile
                except MainstemError as error:
                    logger.error("retention of %s: %s", partition.name, error)

    async def close(self) -> None:
        """Stop; what is under way in a thread is waited for."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _every(seconds: float, work: Callable[[], object]) -> None:
    while True:
        await asyncio.sleep(seconds)
        running = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await running
            raise
        except Exception:
            logger.exception("upkeep failed; trying again in %.0f s", seconds)
