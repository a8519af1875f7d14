"""A clock that moves only when told."""

from __future__ import annotations

import threading


class VirtualClock:
    """Time in a test's hands; satisfies ``mainstem.clock.Clock``. Thread safe."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._lock = threading.Lock()
        self._now_ms = float(now_ms)
        self._monotonic = 0.0

    def now_ms(self) -> int:
        return int(self._now_ms)

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass; ``seconds`` may not be negative."""
        if seconds < 0:
            raise ValueError(f"time cannot go back by {-seconds} s; use jump for the wall clock")
        with self._lock:
            self._monotonic += seconds
            self._now_ms += seconds * 1000

    def jump(self, milliseconds: int) -> None:
        """Move the wall clock alone, as an administrator or NTP does; may go back."""
        with self._lock:
            self._now_ms += milliseconds
