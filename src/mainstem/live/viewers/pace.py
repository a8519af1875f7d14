"""When to speak of what: changes wait their pause, and what fell waits its grace."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

MOST_PEAKS = 32


class Pace:
    """Names that wait for their time. Memory: names waiting, and those not yet forgotten."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return max(len(self._heap), len(self._last))

    def mark(self, name: str, now: float, pause: float) -> None:
        """``name`` changed: it is due now, or ``pause`` after it was last taken."""
        self.at(name, max(now, self._last.get(name, now - pause) + pause))

    def at(self, name: str, when: float) -> None:
        """``name`` is due at ``when``, or before where it is due already."""
        if self._due.get(name, when + 1.0) > when:
            self._due[name] = when
            heapq.heappush(self._heap, (when, name))

    def take(self, now: float, most: int | None = None) -> Iterator[str]:
        """Names that are due, each once; at most ``most`` (the others stay due)."""
        taken = 0
        while self._heap and self._heap[0][0] <= now and (most is None or taken < most):
            when, name = heapq.heappop(self._heap)
            if self._due.get(name) != when:
                continue  # moved or forgotten since
            del self._due[name]
            self._last[name] = now
            taken += 1
            yield name

    def forget(self, name: str) -> None:
        """``name`` is gone: its next change is its first."""
        self._last.pop(name, None)
        self._due.pop(name, None)


class Hold:
    """A number that rises at once and falls only after ``grace`` seconds below.

    That is the highest value within the last ``grace`` seconds: somebody who leaves and comes
    back in time, on whatever worker, never shows. (What a leave costs is known only later.)
    """

    __slots__ = ("_grace", "_peaks")

    def __init__(self, grace: float) -> None:
        self._grace = grace
        # (since when no higher value was seen than this one, the value): values fall.
        self._peaks: list[tuple[float, int]] = []

    def see(self, now: float, value: int) -> int:
        """Take note of ``value``; the number to show."""
        since = now
        while self._peaks and self._peaks[-1][1] <= value:
            since, _ = self._peaks.pop()
        self._peaks.append((since, value))
        if len(self._peaks) > MOST_PEAKS:
            del self._peaks[2]  # a step of the way down is left out
        while len(self._peaks) > 1 and self._peaks[1][0] + self._grace <= now:
            del self._peaks[0]
        return self._peaks[0][1]

    def next_fall(self) -> float | None:
        """When the shown number falls, if nothing else is seen."""
        return self._peaks[1][0] + self._grace if len(self._peaks) > 1 else None
