"""Batches of a topic for asyncio; ``blocking.Batches`` is the same for everybody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, NoReturn

from mainstem.client import Reader
from mainstem.errors import Invalid


class AsyncBatches(AsyncIterator[Any]):
    """Batches of a topic, one ``pyarrow.RecordBatch`` a step; see ``AsyncTopic.read``.

    Where it begins and ends is looked up by ``async with``, ``start()`` or the first step,
    whichever comes first. For one task at a time. ``close`` (or the end, or dropping it) stops
    the reading ahead.
    """

    def __init__(self, opening: Callable[[], Awaitable[Reader]], check: Callable[[], None]) -> None:
        self._check = check
        self._opening: Callable[[], Awaitable[Reader]] | None = opening
        self._reader: Reader | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._busy = False

    def __reduce__(self) -> NoReturn:
        raise TypeError("a read has connections and cannot be pickled: begin one there")

    async def start(self) -> None:
        """Look up where it begins and ends: what is appended from now on is behind ``latest``."""
        opening = self._opening
        if opening is None:
            return
        self._loop = asyncio.get_running_loop()
        reader = await opening()  # cancelled or failed, it is looked up by the next call
        if self._opening is None:  # closed meanwhile, or begun by another task
            await reader.close()
        else:
            self._opening, self._reader = None, reader

    async def __anext__(self) -> Any:
        self._check()
        if self._busy:
            raise Invalid(
                "another task waits for this read's next batch: one at a time, or begin a read for "
                "each"
            )
        self._busy = True
        try:
            return await self._next()
        finally:
            self._busy = False

    async def _next(self) -> Any:
        await self.start()
        if self._reader is None:
            raise StopAsyncIteration
        try:
            batch = await self._reader.next()
        except Exception:
            await self.close()
            raise
        if batch is None:
            await self.close()
            self._check()  # the end of the stem is not the end of the topic
            raise StopAsyncIteration
        return batch

    async def close(self) -> None:
        """Stop; the iteration is over. May be called twice."""
        self._opening = None
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    async def aclose(self) -> None:
        """As ``close``, by the name that ``contextlib.aclosing`` knows."""
        await self.close()

    def __del__(self) -> None:
        reader, loop = getattr(self, "_reader", None), getattr(self, "_loop", None)
        if reader is not None and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(lambda: loop.create_task(reader.close()))

    async def __aenter__(self) -> AsyncBatches:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
