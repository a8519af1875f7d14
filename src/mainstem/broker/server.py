"""The listener and its connections."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mainstem.broker.connection import Connection
from mainstem.broker.statistics import Statistics

if TYPE_CHECKING:
    import asyncio

    from mainstem.broker.config import BrokerConfig

logger = logging.getLogger("mainstem.broker")

_ACCEPT_AT_ONCE = 128
_SCRATCH = 256 * 1024
_SWEEP_SECONDS = 5.0
_LOCAL_SEND_BUFFER = 256 * 1024

Dispatch = Callable[[Connection, memoryview, int, int], None]


class Server:
    """Accepts, limits and sweeps connections; hands their frames to ``dispatch``."""

    def __init__(
        self,
        config: BrokerConfig,
        statistics: Statistics,
        loop: asyncio.AbstractEventLoop,
        descriptors: int,
    ) -> None:
        self.config = config
        #: The log has its own descriptors, which connections must not take.
        self._most_connections = min(config.max_connections, descriptors)
        self.statistics = statistics
        self.loop = loop
        self.scratch = memoryview(bytearray(_SCRATCH))
        self.dispatch: Dispatch
        self._connections: set[Connection] = set()
        self._buffered = 0
        self._listener: socket.socket | None = None
        self._sweep_timer: asyncio.TimerHandle | None = None

    def listen(self, dispatch: Dispatch, listener: socket.socket | None = None) -> tuple[str, int]:
        """Bind, unless given a ``listener``, and accept; returns the address.

        Raises ``OSError``.
        """
        self.dispatch = dispatch
        if listener is None:
            family = socket.AF_INET6 if ":" in self.config.host else socket.AF_INET
            listener = socket.create_server(
                (self.config.host, self.config.port), family=family, backlog=4096
            )
        listener.setblocking(False)
        self._listener = listener
        self.loop.add_reader(listener.fileno(), self._accept)
        self._sweep_timer = self.loop.call_later(_SWEEP_SECONDS, self._sweep)
        host, port = listener.getsockname()[:2]
        return str(host), int(port)

    def _accept(self) -> None:
        assert self._listener is not None
        for _ in range(_ACCEPT_AT_ONCE):
            try:
                sock, peer = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest_accepting(error)
                return
            if len(self._connections) >= self._most_connections:
                self.statistics.refused_connections += 1
                sock.close()
                continue
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            local = sock.getsockname()[0] == peer[0]
            if local:
                # On one machine, what is sent should still be in the cache when it is received.
                # Over a network the kernel's own tuning must stay on.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LOCAL_SEND_BUFFER)
            self._connections.add(Connection(self, sock, str(peer[0]), local=local))
            self.statistics.connections = len(self._connections)

    def _rest_accepting(self, error: OSError) -> None:
        """Out of descriptors or memory: serve who is here, try again in a second."""
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            raise error
        logger.error("cannot accept connections for a second: %s", error)
        assert self._listener is not None
        descriptor = self._listener.fileno()
        self.loop.remove_reader(descriptor)
        self.loop.call_later(1.0, self._accept_again, descriptor)

    def _accept_again(self, descriptor: int) -> None:
        if self._listener is not None:
            self.loop.add_reader(descriptor, self._accept)

    def _sweep(self) -> None:
        self.sweep()
        self._sweep_timer = self.loop.call_later(_SWEEP_SECONDS, self._sweep)

    def sweep(self) -> None:
        """Close what is idle or stuck, give back buffers; done every few seconds."""
        now = self.loop.time()
        idle = self.config.connections_max_idle_ms / 1000
        stall = self.config.request_stall_ms / 1000
        for connection in tuple(self._connections):
            connection.sweep(now, idle, stall)

    def reserve(self, asking: Connection, size: int) -> bool:
        """Room for ``size`` more buffered bytes.

        Where there is none, the connection whose half request has waited longest is closed, so
        that clients which stall cannot starve those that do not.
        """
        while self._buffered + size > self.config.buffer_max_bytes:
            stalled = [c for c in self._connections if c.holds_request and c is not asking]
            if not stalled:
                return False
            victim = min(stalled, key=lambda c: c.last_progress)
            logger.warning("buffers are full: closing the stalled connection from %s", victim.host)
            victim.close()
        self._buffered += size
        return True

    def give_back(self, size: int) -> None:
        """The counterpart of ``reserve``."""
        self._buffered -= size

    def forget(self, connection: Connection) -> None:
        """A connection has closed."""
        self._connections.discard(connection)
        self.statistics.connections = len(self._connections)

    def stop_accepting(self) -> None:
        """Close the listener; connections go on."""
        if self._listener is not None:
            self.loop.remove_reader(self._listener.fileno())
            with contextlib.suppress(OSError):
                self._listener.close()
            self._listener = None

    def close(self) -> None:
        """Close the listener and every connection."""
        self.stop_accepting()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for connection in tuple(self._connections):
            connection.close()

    def pending_replies(self) -> int:
        """Requests received whose answers have not been sent."""
        return sum(connection.pending for connection in self._connections)

    def tasks(self) -> list[asyncio.Future[Any]]:
        """Everything that serves a connection now."""
        return [task for connection in self._connections for task in connection.tasks]
