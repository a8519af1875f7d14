"""Keeps the workers running: starts them, starts them again, and lets them go gently."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

from mainstem.errors import Closed, Unavailable
from mainstem.live import bus
from mainstem.live.dispatcher import Dispatcher
from mainstem.live.pipe import Pipe, dispatcher_pipe

logger = logging.getLogger("mainstem.live")

_MODULE = "mainstem.live.worker"
_START_S = 30.0
_WELL_AFTER_S = 10.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_FULL_BYTES = 16 << 20
_HOPELESS_BYTES = 128 << 20
_PATIENCE_S = 0.5
_GRACE_S = 5.0


class Worker:
    """One run of a worker process; a ``Port`` of the dispatcher."""

    def __init__(self, number: int, configure: Callable[[int], bus.Configure]) -> None:
        """Starts the process. It inherits one socket, the bus, and asks for nothing else."""
        self.number = number
        self.started = self.heard_at = time.monotonic()
        self.port = 0
        self._waited_for = False
        self._configure = configure
        self._pipe: Pipe[bus.FromWorker] | None = None
        self._ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[int] = loop.create_future()
        ours, theirs = socket.socketpair()
        self._socket = ours
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", _MODULE, str(os.getpid()), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=(theirs.fileno(),),
            )

    async def converse(self, heard: Callable[[Worker, bus.Message], None]) -> None:
        """Until its end of the bus is closed."""

        def on_message(message: bus.FromWorker) -> None:
            self.heard_at = time.monotonic()
            if isinstance(message, bus.Ready):
                self.port = message.port
                if not self.ready.done():
                    self.ready.set_result(message.port)
                return
            heard(self, message)

        def on_closed(reason: Exception | None) -> None:
            if reason is not None:
                logger.error("worker %d: %s", self.number, reason)
            self._ended.set()

        self._pipe = await dispatcher_pipe(self._socket, on_message, on_closed)
        self.send(self._configure(self.number))  # now: from here on it is told of every kick
        await self._ended.wait()
        if not self.ready.done():
            self.ready.set_exception(Unavailable(f"worker {self.number} ended before it listened"))
            self.ready.exception()

    def send(self, message: bus.Message) -> None:
        """See ``Port``."""
        if self._pipe is not None:
            with contextlib.suppress(Closed):
                self._pipe.send(message)

    @property
    def queued(self) -> int:
        """Bytes it has not taken yet."""
        return 0 if self._pipe is None else self._pipe.queued

    async def caught_up(self) -> bool:
        """Wait a moment until it has room again, once; false when it is hopelessly behind."""
        if self.queued <= _FULL_BYTES:
            self._waited_for = False
        elif self._pipe is not None and not self._waited_for:
            self._waited_for = True  # the others must not wait for it again and again
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_S):
                    await self._pipe.drained()
        return self.queued <= _HOPELESS_BYTES

    async def reap(self) -> str:
        """Close the bus, wait for the process; how it ended, in a few words."""
        if self._pipe is not None:
            self._pipe.close()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_GRACE_S):
                code = await loop.run_in_executor(None, self.process.wait, _GRACE_S - 0.5)
        except (TimeoutError, subprocess.TimeoutExpired):
            self.process.kill()
            code = await loop.run_in_executor(None, self.process.wait)
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"


class Workers:
    """All workers of a node. ``configure`` gives the first words for a worker by number; one
    that says nothing for ``silence`` seconds is killed."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        count: int,
        configure: Callable[[int], bus.Configure],
        silence: float = 30.0,
    ) -> None:
        self._dispatcher = dispatcher
        self._count = count
        self._configure = configure
        self._running: dict[int, Worker] = {}
        self._silence = silence
        self._looking: asyncio.Task[None] | None = None
        self._keeping: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self.restarts = 0
        dispatcher.table.ease = self.ease
        dispatcher.kicks.tell = self.tell_all

    async def start(self) -> None:
        """Start all; returns when all listen. Raises ``Unavailable`` where one cannot."""
        loop = asyncio.get_running_loop()
        firsts = [self._begin(number) for number in range(self._count)]
        self._keeping = [loop.create_task(self._keep(worker)) for worker in firsts]
        async with asyncio.timeout(_START_S):
            await asyncio.gather(*(worker.ready for worker in firsts))
        self._looking = loop.create_task(self._look())

    @property
    def running(self) -> list[Worker]:
        """Those that live."""
        return list(self._running.values())

    @property
    def listening(self) -> int:
        """How many take connections."""
        ready = [worker.ready for worker in self.running]
        return sum(one.done() and one.exception() is None for one in ready)

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [worker.process.pid for worker in self._running.values()]

    def tell_all(self, message: bus.Message) -> None:
        """A message for every worker."""
        for worker in self._running.values():
            worker.send(message)

    async def ease(self) -> None:
        """Hold the log while a worker is behind; one that stays behind is started anew.

        Its viewers reconnect and miss nothing, and those of the other workers wait half a second
        at most.
        """
        for worker in self.running:
            if not await worker.caught_up():
                logger.error("worker %d takes nothing any more: killing it", worker.number)
                worker.process.kill()

    async def _look(self) -> None:
        """A worker says something every second; one that is silent for long hangs."""
        while True:
            await asyncio.sleep(self._silence / 4)
            now = time.monotonic()
            for worker in self.running:
                if now - worker.heard_at > self._silence:
                    seconds = now - worker.heard_at
                    logger.error(
                        "worker %d is silent for %.0f s: killing it", worker.number, seconds
                    )
                    worker.process.kill()

    async def drain(self, seconds: float) -> None:
        """Let every worker say good-bye to its viewers within ``seconds``, then end it."""
        self._stopping.set()
        if self._looking is not None:
            self._looking.cancel()
        self.tell_all(bus.Drain(seconds))
        if self._keeping:
            _, late = await asyncio.wait(self._keeping, timeout=seconds + _GRACE_S)
            for worker in self.running if late else []:
                logger.error("worker %d did not end: killing it", worker.number)
                worker.process.kill()
            await asyncio.gather(*self._keeping, return_exceptions=True)

    def kill(self) -> None:
        """No more asking."""
        self._stopping.set()
        for worker in self._running.values():
            worker.process.kill()

    def _begin(self, number: int) -> Worker:
        worker = Worker(number, self._configure)
        self._running[number] = worker
        return worker

    async def _keep(self, worker: Worker) -> None:
        failures = 0
        while True:
            await worker.converse(self._dispatcher.received)
            self._dispatcher.detach(worker)
            how = await worker.reap()
            del self._running[worker.number]
            if self._stopping.is_set():
                return
            lived = time.monotonic() - worker.started
            failures = failures + 1 if lived < _WELL_AFTER_S else 1
            pause = min(_FIRST_PAUSE_S * 2 ** (failures - 1), _LONGEST_PAUSE_S)
            logger.error("worker %d %s; starting it again in %.1f s", worker.number, how, pause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
                return
            self.restarts += 1
            worker = self._begin(worker.number)
