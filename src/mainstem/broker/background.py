"""Work that must finish whatever happens to the request that began it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from mainstem.errors import MainstemError

T = TypeVar("T")
logger = logging.getLogger("mainstem.broker")


class Background:
    """Tasks on the running event loop, which outlive whoever asked for them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Awaits ``work``; a cancelled caller leaves it running to its end."""
        task = self._own(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # Nobody is told how it ends, and a shield that was cancelled does not look.
            task.add_done_callback(_log_failure)
            raise

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts ``work`` with nobody waiting; a failure is logged."""
        self._own(work).add_done_callback(_log_failure)

    def _own(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Waits for everything begun."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)


def _log_failure(task: asyncio.Task[Any]) -> None:
    error = None if task.cancelled() else task.exception()
    if isinstance(error, MainstemError):
        logger.warning("work that nobody waited for failed: %s", error)
    elif error is not None:
        logger.error("work that nobody waited for failed", exc_info=error)
