"""The windows in which rings are sent."""

from __future__ import annotations

import asyncio
import itertools
import time

from mainstem.kernels import Sender
from mainstem.live.flushing import Flusher

WINDOW = 0.016


def test_a_late_round_lets_what_comes_in_between_its_phases() -> None:
    """All due phases in one turn of the loop would hold up the next events for as long again."""

    async def flushes_of_each_turn() -> list[int]:
        flusher = Flusher(Sender(), WINDOW, lambda: True)
        flusher.wake()
        time.sleep(WINDOW * 0.7)  # the loop was busy: most of a round is due at once
        seen = [flusher.flushes]
        while seen[-1] < Sender.PHASE_COUNT:
            await asyncio.sleep(0)
            seen.append(flusher.flushes)
        flusher.stop()
        return [after - before for before, after in itertools.pairwise(seen)]

    turns = asyncio.run(flushes_of_each_turn())
    assert max(turns) == 1


def test_a_round_that_is_a_window_late_is_not_made_up_for() -> None:
    async def late() -> tuple[int, int]:
        flusher = Flusher(Sender(), WINDOW, lambda: False)
        flusher.wake()
        time.sleep(WINDOW * 3)
        while not flusher.flushes:
            await asyncio.sleep(0)
        flusher.stop()
        return flusher.late, flusher.flushes

    assert asyncio.run(late()) == (1, 1)


def test_what_a_flush_found_out_is_looked_at_after_each_phase() -> None:
    async def looked() -> tuple[int, int]:
        flusher = Flusher(Sender(), WINDOW, lambda: False)
        seen: list[int] = []
        flusher.after = lambda: seen.append(flusher.flushes)
        flusher.wake()
        while flusher.flushes < 3:
            await asyncio.sleep(0)
        flusher.stop()
        return seen[0], seen[1]

    assert asyncio.run(looked()) == (1, 2)
