"""Between a client and a real broker: cuts connections after a random number of bytes."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class FaultProxy:
    """Forwards ``127.0.0.1:port`` to the broker; a cut may lose requests, answers, or halves."""

    def __init__(self, seed: int, *, every: int) -> None:
        self.port = 0
        self.target = ("", 0)
        self.cuts = 0
        self.calm = False
        self._random = random.Random(seed)
        self._every = every
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, started: threading.Event, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there, back = await asyncio.open_connection(*self.target)
        pumps = [
            asyncio.ensure_future(self._pump(reader, back)),
            asyncio.ensure_future(self._pump(there, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for end in (writer, back):
                end.transport.abort()
                with contextlib.suppress(ConnectionError):
                    await end.wait_closed()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = self._random.randrange(self._every)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                left -= len(data)
                if left <= 0 and not self.calm:
                    self.cuts += 1
                    writer.write(data[: max(0, len(data) + left)])
                    await writer.drain()
                    return
                writer.write(data)
                await writer.drain()


@contextmanager
def fault_proxy(seed: int, *, every: int) -> Iterator[FaultProxy]:
    """Serve on a thread of its own; set ``target`` before the first client comes."""
    proxy = FaultProxy(seed, every=every)
    started, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(proxy.serve(started, stop),))
    thread.start()
    started.wait(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
