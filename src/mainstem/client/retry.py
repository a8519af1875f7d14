"""Retries with jitter inside a deadline: one policy for everything the client does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mainstem.errors import Closed, MainstemError, Unavailable

T = TypeVar("T")


class Deadline:
    """A point in time by which something must be done; ``seconds`` from now.

    Between tries it waits a random time up to a bound that doubles from 50 ms to 1 s ("full
    jitter"), so that many clients do not come back at the same moment.
    """

    FIRST, LONGEST = 0.05, 1.0

    def __init__(self, seconds: float, *, source: random.Random | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self.seconds = seconds
        self._end = self._loop.time() + seconds
        self._bound = self.FIRST
        self._random = source

    @property
    def left(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self._end - self._loop.time())

    def cap(self, seconds: float) -> float:
        """``seconds``, or what is left if that is less; at least a millisecond."""
        return max(0.001, min(seconds, self.left))

    async def pause(self) -> bool:
        """Wait before the next try. False, at once, when the time does not allow another."""
        wait = (self._random or random).uniform(0, self._bound)
        self._bound = min(self.LONGEST, self._bound * 2)
        if wait >= self.left:
            return False
        await asyncio.sleep(wait)
        return True


async def retry(attempt: Callable[[Deadline], Awaitable[T]], deadline: Deadline) -> T:
    """Call ``attempt`` until it succeeds, fails for good, or the deadline comes.

    ``Unavailable`` is tried again; the last one is raised, with the time spent, at the end.
    """
    tries = 0
    while True:
        tries += 1
        try:
            return await attempt(deadline)
        except Unavailable as error:
            if not await deadline.pause():
                times = "once" if tries == 1 else f"{tries} times"
                raise Unavailable(
                    f"{error} [tried {times} within {deadline.seconds:g} s]", code=error.code
                ) from error


class Gate:
    """Tells whether an object is still open: ``check`` raises ``Closed`` afterwards."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.open = True

    def check(self) -> None:
        """Raise ``Closed`` if the object is closed."""
        if not self.open:
            raise self.closed()

    def closed(self) -> Closed:
        """The error that says so."""
        return Closed(f"{self.name} is closed: open a new one")


def first_error(results: list[object]) -> MainstemError | None:
    """The first of our errors among the results of ``asyncio.gather(return_exceptions=True)``."""
    for result in results:
        if isinstance(result, MainstemError):
            return result
        if isinstance(result, BaseException):
            raise result
    return None
