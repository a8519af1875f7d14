"""A worker process: ``python -m mainstem.live.worker PARENT DESCRIPTOR``.

``PARENT`` is the dispatcher that started it, for those who look; ``DESCRIPTOR`` is the worker's
end of the bus. The first frame configures it; it then listens on its own ``SO_REUSEPORT``
socket, says ``Ready``, and serves until it is drained or the bus ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from mainstem.kernels import Sender
from mainstem.live.bus import (
    Advance,
    Configure,
    Drain,
    Events,
    Failed,
    FromDispatcher,
    Kick,
    Message,
    Opened,
    Published,
    Ready,
    Refused,
    Replayed,
    ReplayReset,
    State,
    TicketUsed,
)
from mainstem.live.connection import HttpConnection
from mainstem.live.gateway import Gateway, Handler
from mainstem.live.gauges import gauges
from mainstem.live.listener import listen
from mainstem.live.pipe import Pipe, worker_pipe

logger = logging.getLogger("mainstem.live")

BREATH_SECONDS = 0.005
"""After half a ring in less than a flush window the bus waits so long: clients read meanwhile."""
_ACCEPTS = 64
_PAUSE_SECONDS = 0.1


class Worker:
    """The event loop's side of a gateway: sockets in, reports out, timers."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.sender = gateway.sender
        self.listener: socket.socket | None = None
        self.port = 0
        self.finished = asyncio.Event()
        self._timers: dict[Callable[[], None], asyncio.TimerHandle] = {}
        self._loop = asyncio.get_running_loop()
        gateway.flusher.after = self._take_reports

    # Life -----------------------------------------------------------------------------

    def start(self) -> None:
        """Listen and serve. Raises ``OSError``."""
        config = self.gateway.config
        self.listener = listen(config.host, config.port)
        self.port = self.listener.getsockname()[1]
        self._loop.add_reader(self.listener.fileno(), self._accept)
        self._loop.add_reader(self.sender.fileno(), self._poll)
        self._every(1.0, self._each_second)
        self._every(0.1, self.gateway.report_viewers)

    def drain(self, seconds: float) -> None:
        """Take no more, end what is there staggered, then finish."""
        self._stop_listening()
        self.gateway.drain(seconds)
        self._loop.call_later(seconds + 0.5, self.finished.set)

    async def stop(self) -> None:
        """Let everything go at once."""
        self._stop_listening()
        for timer in self._timers.values():
            timer.cancel()
        self._loop.remove_reader(self.sender.fileno())
        await self.gateway.close()
        for ident in list(self.gateway.handlers):
            self.sender.close(ident)

    def _stop_listening(self) -> None:
        if self.listener is not None:
            self._loop.remove_reader(self.listener.fileno())
            self.listener.close()
            self.listener = None

    def _every(self, seconds: float, work: Callable[[], None]) -> None:
        def run() -> None:
            self._timers[work] = self._loop.call_later(seconds, run)
            work()

        self._timers[work] = self._loop.call_later(seconds, run)

    # Sockets --------------------------------------------------------------------------

    def _accept(self) -> None:
        assert self.listener is not None
        try:
            accepted = self.sender.accept(self.listener.fileno(), _ACCEPTS)
        except OSError:
            logger.exception("accepting connections failed")
            accepted = []
        for ident, address in accepted:
            self.gateway.handlers[ident] = HttpConnection(self.gateway, ident, address)
        if self.sender.exhausted:
            logger.warning("out of descriptors: new viewers wait; raise the limit (ulimit -n)")
            self._loop.remove_reader(self.listener.fileno())
            self._loop.call_later(_PAUSE_SECONDS, self._accept_again)

    def _accept_again(self) -> None:
        if self.listener is not None:
            self._loop.add_reader(self.listener.fileno(), self._accept)

    def _poll(self) -> None:
        self.sender.poll()
        self._take_reports()

    def _take_reports(self) -> None:
        handlers = self.gateway.handlers
        for ident, kind in self.sender.take():
            if kind == Sender.DRAINED:
                self.gateway.joiner.drained(ident)
                continue
            handler = handlers.get(ident)
            if handler is None:
                continue
            try:
                self._tell(handler, kind)
            except Exception:  # one connection's fault must not cost the others their reports
                logger.exception("a connection failed and is closed")
                self.sender.close(ident)
                handler.closed()

    def _tell(self, handler: Handler, kind: int) -> None:
        if kind == Sender.READABLE:
            handler.readable()
        elif kind == Sender.LAPPED:
            handler.lapped()
        elif kind == Sender.DEADLINE:
            handler.deadline()
        else:
            handler.closed()

    def _each_second(self) -> None:
        gateway = self.gateway
        self.sender.sweep(gateway.config.stalled_s)
        self._take_reports()
        gateway.check_tokens()
        gateway.beat()
        gateway.fanout.tidy(self._loop.time(), gateway.config.linger_s)
        gateway.send(gauges(gateway))


class Post:
    """What comes over the bus, handed to whom it concerns."""

    def __init__(self, worker: Worker) -> None:
        gateway = worker.gateway
        self._table: dict[type, Callable[[Any], None]] = {
            Opened: gateway.fanout.opened,
            Refused: gateway.fanout.refused,
            Events: gateway.fanout.events,
            State: gateway.fanout.state,
            Advance: gateway.fanout.advance,
            Replayed: gateway.desk.answered,
            ReplayReset: gateway.desk.answered,
            Published: gateway.desk.answered,
            Failed: gateway.desk.answered,
            TicketUsed: gateway.desk.answered,
            Kick: gateway.kick,
            Drain: lambda message: worker.drain(message.seconds),
        }

    def __call__(self, message: Message) -> None:
        handle = self._table.get(type(message))
        if handle is None:
            logger.error("a worker got %s, which is not for it", type(message).__name__)
            return
        try:
            handle(message)
        except Exception:
            logger.exception("a %s from the dispatcher failed", type(message).__name__)


async def run(ours: socket.socket) -> None:
    """Serve over the bus ``ours`` until it ends, or until drained."""
    configured: asyncio.Future[Configure] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()
    post: list[Callable[[FromDispatcher], None]] = []

    def receive(message: FromDispatcher) -> None:
        if post:
            post[0](message)
        elif isinstance(message, Configure) and not configured.done():
            configured.set_result(message)

    def ended(_: Exception | None) -> None:
        if not configured.done():
            configured.cancel()
        over.set()

    pipe = await worker_pipe(ours, receive, ended)
    config = await configured
    worker = Worker(Gateway(config, _sending(pipe)))
    post.append(Post(worker))
    worker.gateway.flusher.pressed = lambda: pipe.hold(BREATH_SECONDS)
    worker.start()
    pipe.send(Ready(config.worker, worker.port))
    waits = [asyncio.ensure_future(over.wait()), asyncio.ensure_future(worker.finished.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for each in waits:
        each.cancel()
    await worker.stop()
    pipe.close()
    if not over.is_set():
        await over.wait()


def _sending(pipe: Pipe[FromDispatcher]) -> Callable[[Message], None]:
    def send(message: Message) -> None:
        if pipe.open:
            pipe.send(message)

    return send


def main() -> None:
    """The process."""
    import uvloop

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s live %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the dispatcher's: it drains us
    ours = socket.socket(fileno=int(sys.argv[2]))
    with (
        contextlib.suppress(asyncio.CancelledError),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(run(ours))


if __name__ == "__main__":
    main()
