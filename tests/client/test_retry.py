"""How long the client waits between tries, and when it gives up."""

from __future__ import annotations

import asyncio
import random

import pytest

from mainstem.client.retry import Deadline, retry
from mainstem.errors import Unavailable


def waits(monkeypatch: pytest.MonkeyPatch, seconds: float, seed: int, tries: int) -> list[float]:
    """What ``pause`` sleeps, were time to stand still."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    async def main() -> None:
        deadline = Deadline(seconds, source=random.Random(seed))
        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "sleep", sleep)
            for _ in range(tries):
                assert await deadline.pause()

    asyncio.run(main())
    return found


def test_waits_are_drawn_below_a_bound_that_doubles_to_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = [waits(monkeypatch, 1000.0, seed, 8) for seed in range(200)]
    for bound, column in zip(
        [0.05, 0.1, 0.2, 0.4, 0.8, 1, 1, 1], zip(*drawn, strict=True), strict=True
    ):
        assert 0 <= min(column) < 0.1 * bound
        assert 0.9 * bound < max(column) <= bound
        assert len(set(column)) == 200, "clients come back at different moments"


def test_a_wait_that_is_longer_than_the_budget_is_the_end() -> None:
    async def main() -> None:
        assert not await Deadline(0.0).pause()

    asyncio.run(main())


def test_the_last_error_says_how_often_and_how_long_it_was_tried() -> None:
    async def fail(_: Deadline) -> None:
        raise Unavailable("nobody is there", code=13)

    async def main() -> None:
        with pytest.raises(Unavailable, match=r"nobody is there \[tried \d+ times within 0.3 s\]"):
            await retry(fail, Deadline(0.3))
        with pytest.raises(Unavailable, match=r"nobody is there \[tried once within 0 s\]"):
            await retry(fail, Deadline(0.0))

    asyncio.run(main())
