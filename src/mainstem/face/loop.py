"""One event loop on a thread of its own, shared by all blocking stems of the process."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

from mainstem.errors import Invalid

P = ParamSpec("P")
T = TypeVar("T")


class _Loop:
    def __init__(self) -> None:
        import uvloop

        self.loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="mainstem-client", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        """For ever: a user's function that ends by ``sys.exit`` inside a task ends a loop.

        Whoever waits for that task gets what was raised; all others must be able to go on.
        """
        while True:
            with suppress(SystemExit, KeyboardInterrupt):
                self.loop.run_forever()


_running: _Loop | None = None
_lock = threading.Lock()


def _start() -> _Loop:
    global _running  # noqa: PLW0603 - one per process
    with _lock:
        if _running is None:
            _running = _Loop()
        return _running


def run(work: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **named: P.kwargs) -> T:
    """Call a coroutine function on the shared loop and return its result. Ctrl-C cancels it.

    The function, not a coroutine: Ctrl-C may come at any moment, also between the two. Thread-safe.
    Raises ``Invalid`` on the loop's own thread, where waiting would never end.
    """
    running = _running or _start()
    if threading.current_thread() is running.thread:
        raise Invalid("a blocking call inside Mainstem's own event loop: use aopen or aconnect")
    answer: Future[T] = Future()
    tasks: list[asyncio.Task[None]] = []

    async def settle() -> None:
        try:
            answer.set_result(await work(*args, **named))
        except asyncio.CancelledError:
            answer.cancel()
        except BaseException as error:
            answer.set_exception(error)

    try:
        running.loop.call_soon_threadsafe(
            lambda: tasks.append(running.loop.create_task(settle()))  # the loop holds it weakly
        )
        return answer.result()
    except KeyboardInterrupt:
        running.loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])
        raise
    except Exception:
        del answer  # it, the error and its frames would hold each other, and with them the rows
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
