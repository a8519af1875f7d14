"""One event loop on a thread of its own, shared by all blocking stems of the process."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from mainstem.errors import Invalid

T = TypeVar("T")


class _Loop:
    def __init__(self) -> None:
        import uvloop

        self.loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self.thread = threading.Thread(
            target=self.loop.run_forever, name="mainstem-client", daemon=True
        )
        self.thread.start()


_running: _Loop | None = None
_lock = threading.Lock()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the shared loop and return its result. Ctrl-C cancels it.

    Thread-safe. Raises ``Invalid`` on the loop's own thread, where waiting would never end.
    """
    global _running  # noqa: PLW0603 - one per process
    with _lock:
        if _running is None:
            _running = _Loop()
        running = _running
    if threading.current_thread() is running.thread:
        work.close()
        raise Invalid("a blocking call inside Mainstem's own event loop: use aopen or aconnect")
    future = asyncio.run_coroutine_threadsafe(work, running.loop)
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        raise


def later(work: Coroutine[Any, Any, Any]) -> None:
    """Have a coroutine run on the shared loop without waiting; dropped where it is gone."""
    running = _running
    if running is None or sys.is_finalizing() or not running.thread.is_alive():
        work.close()
    else:
        asyncio.run_coroutine_threadsafe(work, running.loop)


def _after_fork_in_child() -> None:
    """The thread did not come along: a child gets a loop of its own."""
    global _running, _lock  # noqa: PLW0603
    _running = None
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
