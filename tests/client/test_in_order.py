"""Work side by side, results in order; and what an append says when it fails at the last moment."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from mainstem.client.in_order import InOrder
from mainstem.client.lanes import Batch
from mainstem.client.retry import Deadline
from mainstem.client.sent import Sent
from mainstem.errors import Invalid


class Desk:
    """Hands results over into a list; work ends when it is told to."""

    def __init__(self, ahead: int) -> None:
        self.found: list[int] = []
        self.gates: dict[int, asyncio.Event] = {}
        self.begun: list[int] = []
        self.line: InOrder[int] = InOrder(ahead, self.take)

    async def take(self, number: int) -> None:
        self.found.append(number)

    async def work(self, number: int, error: Exception | None = None) -> int:
        self.begun.append(number)
        await self.gates.setdefault(number, asyncio.Event()).wait()
        if error is not None:
            raise error
        return number

    def open(self, number: int) -> None:
        self.gates.setdefault(number, asyncio.Event()).set()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def run(scenario: Any) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_results_come_in_order_however_the_work_ends() -> None:
    async def scenario() -> None:
        desk = Desk(3)
        for number in range(3):
            await desk.line.put(desk.work(number))
        for number in (2, 1):
            desk.open(number)
            await settle()
            assert desk.found == []
        desk.open(0)
        await desk.line.finish()
        assert desk.found == [0, 1, 2]

    run(scenario)


def test_no_more_than_allowed_is_begun() -> None:
    async def scenario() -> None:
        desk = Desk(2)
        await desk.line.put(desk.work(0))
        await desk.line.put(desk.work(1))
        third = asyncio.create_task(desk.line.put(desk.work(2)))
        await settle()
        assert desk.begun == [0, 1]
        desk.open(0)
        await third
        await settle()
        assert desk.begun == [0, 1, 2]
        await desk.line.stop()

    run(scenario)


def test_the_first_failure_in_order_is_raised_and_nothing_comes_behind_it() -> None:
    async def scenario() -> None:
        desk = Desk(4)
        await desk.line.put(desk.work(0))
        await desk.line.put(desk.work(1, ValueError("first")))
        await desk.line.put(desk.work(2, ValueError("second")))
        await desk.line.put(desk.work(3))
        for number in (3, 2, 1, 0):
            desk.open(number)
        with pytest.raises(ValueError, match="first"):
            await desk.line.finish()
        assert desk.found == [0]
        with pytest.raises(ValueError, match="first"):
            await desk.line.put(desk.work(4))
        await desk.line.stop()

    run(scenario)


def test_what_is_stopped_is_not_handed_over() -> None:
    async def scenario() -> None:
        desk = Desk(2)
        await desk.line.put(desk.work(0))
        await desk.line.put(desk.work(1))
        await settle()
        desk.open(1)
        await desk.line.stop()
        assert desk.found == []

    run(scenario)


def test_a_failure_that_is_stopped_unseen_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        desk = Desk(2)
        await desk.line.put(desk.work(0, ValueError("nobody asks")))
        desk.open(0)
        await settle()
        await desk.line.stop()

    run(scenario)
    gc.collect()
    assert caplog.records == []


def test_a_failure_that_came_before_it_was_waited_for_names_its_rows() -> None:
    async def scenario() -> None:
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        sent = Sent()
        sent.add(0, Batch(memoryview(b""), 2, 0, Deadline(1.0), done), (5, 7), True)
        done.set_exception(Invalid("too large"))  # and its callbacks wait for their turn
        await sent.settle(cancel=False)
        assert sent.failure is not None
        told = str(sent.partial(sent.failure))
        assert (
            told
            == "too large [of rows 5 to 7 those of partition 0 failed; 0 rows were acknowledged]"
        )

    run(scenario)
