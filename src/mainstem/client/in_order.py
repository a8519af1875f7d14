"""Work done side by side whose results are handed over in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class InOrder(Generic[T]):
    """At most ``ahead`` pieces of work at once; each result goes to ``hand_over`` after those
    before it, and nothing does after a failure. Belongs to one event loop."""

    def __init__(self, ahead: int, hand_over: Callable[[T], Awaitable[None]]) -> None:
        self._hand_over = hand_over
        self._room = asyncio.Semaphore(ahead)
        self._last: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def put(self, work: Coroutine[Any, Any, T]) -> None:
        """Begin ``work`` once there is room for it; after a failure, raise that."""
        try:
            await self._room.acquire()
            if self._last is not None and self._last.done():
                self._last.result()
        except BaseException:
            work.close()
            raise
        task = asyncio.get_running_loop().create_task(self._run(work, self._last))
        self._last = task
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def finish(self) -> None:
        """Wait until all was handed over. Raises the first failure, in the order of the work."""
        if self._last is not None:
            await self._last

    async def stop(self) -> None:
        """Drop what was not handed over, and a failure that nobody has seen."""
        running = {*self._running, *([] if self._last is None else [self._last])}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, work: Coroutine[Any, Any, T], before: asyncio.Task[None] | None) -> None:
        try:
            try:
                result = await work
            finally:
                if before is not None:
                    await before
            await self._hand_over(result)
        finally:
            self._room.release()
