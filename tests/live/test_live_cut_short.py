"""The dispatcher's end, cancelled: what it keeps running ends all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from live_desk import desk

from mainstem.live import reader as reading
from mainstem.live.reader import LogReader
from mainstem.testing import RunningBroker

PATIENCE = 30.0


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(PATIENCE):
            await work()

    asyncio.run(within())


async def cut_short(work: Coroutine[Any, Any, Any]) -> None:
    """Begin it, and cancel it at its first wait."""
    task = asyncio.get_running_loop().create_task(work)
    await asyncio.sleep(0)
    assert not task.done(), "it does not wait"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_dispatcher_ends_all_its_parts(mainstem_session_broker: RunningBroker) -> None:
    async def work() -> None:
        async with desk(mainstem_session_broker.address) as dispatcher:
            running = [*dispatcher.table._tasks._running, *dispatcher._tasks._running]
            assert len(running) >= 3, "it reads, keeps house, and follows kicks"
            await cut_short(dispatcher.close())
            await asyncio.wait(running)
            assert dispatcher._producer._closed

    run(work)


def test_a_table_ends_its_tasks_though_counters_are_not_written(
    mainstem_session_broker: RunningBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with desk(mainstem_session_broker.address) as dispatcher:
            table = dispatcher.table

            async def never(*, everything: bool) -> None:
                await asyncio.Event().wait()

            running = [*table._tasks._running]
            with monkeypatch.context() as patch:
                patch.setattr(table, "_checkpoint", never)
                await cut_short(table.close())
            await asyncio.wait(running)

    run(work)


class SlowToEnd:
    """A fetcher whose read goes on for a while after it was cancelled."""

    def __init__(self) -> None:
        self.reading, self.leaving, self.closed = asyncio.Event(), asyncio.Event(), False

    def take(self) -> None:
        return None

    async def next(self) -> None:
        self.reading.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.leaving.set()
            await asyncio.Event().wait()

    async def close(self) -> None:
        self.closed = True


def test_a_reader_that_moves_on_closes_what_it_read_with(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        fetcher = SlowToEnd()
        monkeypatch.setattr(reading, "Fetcher", lambda *args, **named: fetcher)
        reader = LogReader(None, None, None)  # type: ignore[arg-type] # it asks none of them
        reader.assign(("t", 0), 0, 0)
        running = asyncio.create_task(reader.run())
        await fetcher.reading.wait()
        reader.assign(("t", 1), 0, 0)
        await fetcher.leaving.wait()
        running.cancel()
        await asyncio.wait([running])
        assert fetcher.closed

    run(work)
