"""When the rings are sent: in windows, spread over phases so that no moment is a burst."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mainstem.kernels import Sender
from mainstem.live.subscriptions import SubscriptionSet

logger = logging.getLogger("mainstem.live")


class Flusher:
    """Flushes one phase every ``window`` / 16 seconds while there is news; else it sleeps.

    ``settle`` is called once per window. One event loop's.
    """

    def __init__(self, sender: Sender, window: float, settle: Callable[[], bool | None]) -> None:
        self._sender = sender
        self._step = max(window, 0.001) / Sender.PHASE_COUNT
        self._asked = False
        self._settle = settle
        self._phase = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.after: Callable[[], None] = lambda: None
        self.flushes = 0
        self.late = 0
        self.hurried = 0
        self.pressed: Callable[[], None] = lambda: None

    def news(self, each: SubscriptionSet) -> None:
        """A ring got something. One that turns faster than the window is sent at once."""
        if self._sender.mark(each.ring):
            self._sender.flush_ring(each.ring)
            self.hurried += 1
            self.pressed()
        self.wake()

    def wake(self) -> None:
        """Make sure the next window comes."""
        self._asked = True
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._due = loop.time() + self._step
            self._timer = loop.call_at(self._due, self._tick)

    def stop(self) -> None:
        """No more flushes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        more = True
        self._asked = False
        try:
            more = self._one_phase()
        except Exception:
            logger.exception("a flush failed")
        finally:  # whatever happened: without a next window every viewer would stand still
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._due, self._tick) if more or self._asked else None

    def _one_phase(self) -> bool:
        """Flush what is due. One phase a turn of the loop, however late it is.

        Else what comes in meanwhile would wait for all of them, and then again for its own.
        """
        now = asyncio.get_running_loop().time()
        if now - self._due > self._step * Sender.PHASE_COUNT:  # no use in catching up
            self.late += 1
            self._due = now
        self._due += self._step
        more = self._flush()
        self.after()
        return more

    def _flush(self) -> bool:
        waiting = False
        if self._phase == 0:
            waiting = bool(self._settle())
        more = self._sender.flush(self._phase)
        self._phase = (self._phase + 1) % Sender.PHASE_COUNT
        self.flushes += 1
        return more or waiting or self._phase != 0
