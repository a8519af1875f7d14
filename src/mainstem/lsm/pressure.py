"""Back-pressure: writers are let in as fast as the background has lately worked, more or less.

Debt is the larger of two shares: memory beyond two memtables, of three and a half that there
may be, what a flush has written already taken off; and layers beyond those of a busy tree,
of as many again. Each byte written puts off the next write by a time: that which a flushed byte
has taken lately, times a factor that grows with debt, from nothing at none over one near half to
infinity at the whole. So debt settles where writers are as fast as the background, each write
waits a little, and a disk that hesitates slows writers long before it stops them. The factor is
flat about its middle, for the background's progress comes in lumps (docs/decisions/0206).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from mainstem.lsm.state import BUSY, FREE, State

_MOST: Final = 3.5  # memtables, full or waiting, at which writers wait for a flush
_LITTLE: Final = 0.02  # debt, squared, at which writers get twice as much as a line would say
_SLOWEST: Final = 2e6  # bytes a second that a writer gets in any case while debt is below 1
_GRAIN: Final = 2e-4  # seconds that are not worth sleeping for; they are added to the next wait
_LOOK: Final = 0.05  # seconds between looks while waiting
_HORIZON: Final = 1.0  # seconds that the background's speed is a mean of
_FIRST_GUESS: Final = 2e8  # bytes a second


class Drain:
    """How fast flushes go, merges between them included, as a mean that forgets."""

    def __init__(self) -> None:
        self._seconds = _HORIZON / 4
        self._bytes = self._seconds * _FIRST_GUESS

    def add(self, seconds: float, size: float) -> None:
        """In so many seconds in which something waited to be flushed, so much was."""
        keep = math.exp(-seconds / _HORIZON)
        self._seconds = self._seconds * keep + seconds
        self._bytes = self._bytes * keep + size

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self._bytes / self._seconds


def rate_at(debt: float, drain: float) -> float:
    """Bytes a second that writers get together at ``debt``, where flushes do ``drain``."""
    if debt <= 0:
        return math.inf
    factor = 2 * max(0.0, 1 - debt) * (1 + _LITTLE / (debt * debt))
    return max(_SLOWEST, drain * factor)


class Pressure:
    """Delays writers of one store. Thread-safe; ``now`` gives seconds."""

    def __init__(
        self, state: State, drain: Drain, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._state = state
        self._drain = drain
        self._now = now
        self.next_write = 0.0  # when the next write may go
        self.seconds = 0.0
        self.longest = 0.0

    def debt(self) -> float:
        """0: none, 1: as much as may be."""
        state = self._state
        room = state.options.memtable_bytes
        held = (state.active_size + state.frozen_bytes - state.flushed_bytes) / room
        return max(0.0, (held - FREE) / (_MOST - FREE), state.crowding / BUSY - 1)

    def charge(self, size: int) -> None:
        """A commit took ``size`` bytes of memory; the caller holds ``write_lock``."""
        rate = rate_at(self.debt(), self._drain.rate)
        self.next_write = max(self._now(), self.next_write) + size / rate

    def wait(self) -> None:
        """Before a commit: wait until it may go."""
        state = self._state
        if state.options.background != "thread":
            return
        began = now = self._now()
        if self.next_write - now < _GRAIN and self.debt() < 1:
            return
        with state.changed:
            while state.failure is None and not state.closed:
                debt = self.debt()
                if debt <= 0:
                    self.next_write = now  # what was owed has been done
                left = self.next_write - now
                if left <= 0 and debt < 1:
                    break
                state.changed.wait(min(left, _LOOK) if left > 0 else _LOOK)
                now = self._now()
        waited = self._now() - began
        self.seconds += waited
        self.longest = max(self.longest, waited)
