"""Keeps the broker process running, and tells the world how it is.

The supervisor does little, so that it does not fail: it owns the sockets and the directory's
lock, starts the broker again when it dies, serves health and metrics, and ends everything when
it is told to.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mainstem.errors import Unavailable
from mainstem.node import probe
from mainstem.node.child import Child
from mainstem.node.listeners import reachable

if TYPE_CHECKING:
    from mainstem.node.roles import Role

logger = logging.getLogger("mainstem.node")

#: A broker that ran this long was well: its death starts a new count.
_WELL_AFTER_S = 10.0
_GIVE_UP_AFTER = 5
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_STOP_GRACE_S = 30.0
_PROBE_TIMEOUT_S = 2.0
_STATISTICS_TIMEOUT_S = 5.0


class Failed(Exception):  # noqa: N818 - the errors of this house carry no suffix
    """The node cannot go on; the message is the sentence for people."""

    def __init__(self, message: str, *, usage: bool = False) -> None:
        super().__init__(message)
        self.usage = usage


class Supervisor:
    """Runs on one event loop. ``start`` makes a new broker process."""

    def __init__(self, start: Callable[[], Child], kafka: socket.socket) -> None:
        self._start = start
        self._kafka = kafka
        self._child: Child | None = None
        self._reason = "the broker is starting"
        self._stopping = asyncio.Event()
        self._interrupts = 0
        self._failure: Failed | None = None
        self.restarts = 0
        #: The roles beside the broker; they end before it does.
        self.roles: list[Role] = []

    def fail(self, failure: Failed) -> None:
        """End the node: a role cannot run."""
        self._failure = failure
        self._reason = str(failure)
        self._stopping.set()

    async def run(self, child: Child, when_ready: Callable[[], None]) -> None:
        """Until a signal ends it; ``child`` is the first broker, already starting.

        Raises ``Failed`` when the broker cannot run.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        keeping = asyncio.create_task(self._keep(child, when_ready))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({keeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not keeping.done():
                await asyncio.gather(*(role.stop() for role in self.roles))
                await self._stop(keeping)
            await keeping
            if self._failure is not None:
                raise self._failure
        finally:
            stopping.cancel()
            for role in self.roles:
                role.kill()
            if self._child is not None and self._child.process.poll() is None:
                self._child.kill()

    async def why_not_ready(self) -> str | None:
        """None when the broker answers a Kafka request now; else the reason."""
        if self._reason:
            return self._reason
        if not await probe.answers_async(*reachable(self._kafka), _PROBE_TIMEOUT_S):
            return f"the broker gave no answer within {_PROBE_TIMEOUT_S:.0f} s"
        for role in self.roles:
            reason = await role.why_not_ready()
            if reason is not None:
                return reason
        return None

    async def statistics(self) -> dict[str, Any] | None:
        """What the broker counts, or None while there is none."""
        if self._reason or self._child is None:
            return None
        try:
            return await self._child.control.ask("statistics", _STATISTICS_TIMEOUT_S)
        except Unavailable:
            return None

    async def _keep(self, child: Child, when_ready: Callable[[], None]) -> None:
        fast_failures = 0
        ever_ready = False
        while True:
            failure = await self._run_once(child, None if ever_ready else when_ready)
            if isinstance(failure, Failed) and not ever_ready:
                raise failure
            if self._stopping.is_set():
                return
            ever_ready = ever_ready or not isinstance(failure, Failed)
            lived = time.monotonic() - child.started
            fast_failures = fast_failures + 1 if lived < _WELL_AFTER_S else 1
            if fast_failures >= _GIVE_UP_AFTER:
                raise Failed(
                    f"giving up after {fast_failures} failures in a row; the last: {failure}"
                )
            pause = min(_FIRST_PAUSE_S * 2 ** (fast_failures - 1), _LONGEST_PAUSE_S)
            logger.error("%s; starting it again in %.1f s", failure, pause)
            self._reason = f"{failure}; it is being started again"
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
                return
            self.restarts += 1
            child = self._start()

    async def _run_once(self, child: Child, when_ready: Callable[[], None] | None) -> object:
        """From start to end of one broker process; returns how it ended."""
        self._child = child
        control = await child.connect()
        listening = asyncio.create_task(control.listen())
        ready = False
        with contextlib.suppress(Unavailable):
            ready = "ready" in await control.first
        if ready and not self._stopping.is_set():
            self._reason = ""
            logger.info("the broker is ready after %.2f s", time.monotonic() - child.started)
            if when_ready is not None:
                when_ready()
        await listening
        how = f"the broker process {await child.reap()}"
        self._reason = self._reason or how
        if control.failure is not None:
            failure, usage = control.failure
            if ready:
                logger.error("%s", failure)
            return Failed(failure, usage=usage)
        if not ready and not self._stopping.is_set():
            return Failed(f"{how} before it was ready: see the log above")
        return how

    def _on_signal(self) -> None:
        self._interrupts += 1
        self._reason = "the node is shutting down"
        self._stopping.set()
        if self._interrupts > 1 and self._child is not None:
            logger.warning("told twice: killing the broker; it recovers at the next start")
            self._child.kill()
            for role in self.roles:
                role.kill()

    async def _stop(self, keeping: asyncio.Task[None]) -> None:
        child = self._child
        if child is not None and child.process.poll() is None:
            child.ask_to_stop()
        _, late = await asyncio.wait({keeping}, timeout=_STOP_GRACE_S)
        if late and child is not None:
            logger.error("the broker did not stop within %.0f s: killing it", _STOP_GRACE_S)
            child.kill()
