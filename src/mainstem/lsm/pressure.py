"""Back-pressure: writers slow down smoothly as flushes and merges fall behind.

Debt is the larger of two shares: sealed memtables of what may wait, and layers above what a read
should have to ask. Up to half, nothing happens; from there each byte written waits a time that
grows with the square of the debt, up to that of background work at a fraction of its speed; at
the whole, writers wait until a flush or merge ended. There is no cliff in between.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from mainstem.lsm.state import State

if TYPE_CHECKING:
    from mainstem.lsm.background import Counters

_SEALED: Final = 4  # memtables that may wait
_FREE: Final = 0.5  # debt that costs nothing
_SLOWEST: Final = 10e6  # bytes a second that a writer gets just before it has to wait
_LAYERS: Final = 6  # times fan_in: layers of a family that are too many
_LOOK: Final = 0.05  # seconds between looks while waiting


class Pressure:
    """Delays writers of one store. Thread-safe."""

    def __init__(self, state: State, counters: Counters) -> None:
        self._state = state
        self._counters = counters
        self.seconds = 0.0
        self.longest = 0.0

    def debt(self) -> float:
        """0: none, 1: as much as may be."""
        state = self._state
        sealed = state.frozen_bytes / (_SEALED * state.options.memtable_bytes)
        return max(sealed, state.crowding / _LAYERS)

    def delay(self, size: int) -> float:
        """Seconds that writing ``size`` bytes should take longer, as long as debt is below 1."""
        debt = self.debt()
        if debt < _FREE:
            return 0.0
        share = min(1.0, (debt - _FREE) / (1 - _FREE))
        return share * share * size / _SLOWEST

    def wait(self, size: int) -> None:
        """Wait as long as writing ``size`` bytes must."""
        state = self._state
        delay = self.delay(size)
        if not delay or state.options.background != "thread":
            return
        began = time.monotonic()
        until = began + delay
        with state.changed:
            while state.failure is None and not state.closed:
                left = until - time.monotonic()
                if left <= 0 and self.debt() < 1:
                    break
                state.changed.wait(left if left > 0 else _LOOK)
        waited = time.monotonic() - began
        self.seconds += waited
        self.longest = max(self.longest, waited)
