"""Connections to a port, each served by a task, and an end that closes all of them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Accepting:
    """Serves whoever connects to ``address``, from now on until ``close``.

    ``asyncio.Server`` leaves a connection that comes just as it closes to the garbage collector
    (Python 3.11), and cannot wait for those it serves. Belongs to the running event loop.
    """

    def __init__(self, serve: Serve, host: str = "127.0.0.1") -> None:
        """Listen on a free port of ``host``. A connection is reset when ``serve`` returns."""
        self._serve = serve
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = socket.create_server((host, 0))
        self._listener.setblocking(False)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._listener, self._accept)

    def stop(self) -> None:
        """Take no more. May be called twice."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()

    async def close(self) -> None:
        """Take no more, cancel those that serve, wait until they have ended."""
        self.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it has left already
            line, _ = self._listener.accept()
            line.setblocking(False)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as asyncio's own
            task = self._loop.create_task(self._run(line))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _: line.close())  # also if it never ran

    async def _run(self, line: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=line)
        try:
            await self._serve(reader, writer)
        finally:
            writer.transport.abort()
