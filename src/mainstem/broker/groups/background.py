"""Work that must finish whatever happens to the request that began it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger("mainstem.broker.groups")


class Background:
    """Tasks owned by the coordinator, on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()

    async def finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Awaits ``work``; a cancelled caller leaves it running to its end."""
        await asyncio.shield(self._own(work))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts ``work`` with nobody waiting; a failure is logged."""
        self._own(work).add_done_callback(_log_failure)

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen: whoever asked may be gone

    async def close(self) -> None:
        """Waits for everything begun."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)


def _log_failure(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        logger.error("background work of the group coordinator failed: %s", error)
