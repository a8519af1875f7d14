"""A broker in this process, on its way from the thread that opens it to whoever wants it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol


class Embedded(Protocol):
    """A broker in this process, or joined: what ``mainstem.node`` gives."""

    @property
    def address(self) -> str: ...
    def close(self) -> None: ...


class Opening:
    """Work that opens a broker, and cannot be cancelled: what nobody waits for is closed."""

    def __init__(self, work: Callable[[], Embedded]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._found: Embedded | None = None
        self._left = False

    def open(self) -> Embedded:
        """Do the work, in a thread of its own. Raises what it raises."""
        found = self._work()
        with self._lock:
            self._found, left = found, self._left
        if left:
            found.close()
        return found

    def leave(self) -> None:
        """Nobody wants it any more: close it, now or as soon as it is open. Blocks meanwhile."""
        with self._lock:
            self._left, found = True, self._found
        if found is not None:
            found.close()
