"""A budget of bytes per second, shared by tasks that may wait."""

from __future__ import annotations

import asyncio

from mainstem.clock import Clock


class Pace:
    """A token bucket that holds one second. Belongs to one event loop."""

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._rate = per_second
        self._clock = clock
        self._left = per_second
        self._at = clock.monotonic()
        self.waited_s = 0.0

    async def spend(self, amount: float) -> None:
        """Take ``amount``; what is taken too much is waited for, so that the rate holds."""
        now = self._clock.monotonic()
        self._left = min(self._rate, self._left + (now - self._at) * self._rate) - amount
        self._at = now
        wait = max(0.0, -self._left / self._rate)
        self.waited_s += wait
        await asyncio.sleep(wait)
