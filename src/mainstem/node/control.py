"""The supervisor's end of the control channel, on its event loop."""

from __future__ import annotations

import asyncio
import itertools
import socket

import msgspec

from mainstem.errors import Unavailable
from mainstem.node.lines import LINE_LIMIT, Line


class Control:
    """One conversation with one broker process."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Line]] = {}
        #: The last words of a process that failed: a sentence, and whether it is about usage.
        self.failure: tuple[str, bool] | None = None
        self.first: asyncio.Future[Line] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, connection: socket.socket) -> Control:
        """Takes over the socket."""
        connection.setblocking(False)
        return cls(*await asyncio.open_connection(sock=connection, limit=LINE_LIMIT))

    async def listen(self) -> None:
        """Delivers lines until the other side is gone; then fails whoever still waits."""
        try:
            while raw := await self._reader.readline():
                line: Line = msgspec.json.decode(raw)
                if "failed" in line:
                    self.failure = line["failed"], bool(line.get("usage"))
                if "id" not in line:
                    if not self.first.done():
                        self.first.set_result(line)
                    continue
                waiting = self._waiting.pop(line["id"], None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(line["answer"])
        except (OSError, msgspec.DecodeError, ValueError):
            pass  # killed in the middle of a line: as good as gone
        finally:
            for waiting in (self.first, *self._waiting.values()):
                if not waiting.done():
                    waiting.set_exception(Unavailable("the broker process is gone"))
                    waiting.exception()  # seen, should nobody wait any more
            self._waiting.clear()
            self._writer.close()

    async def ask(self, what: str, timeout: float) -> Line:
        """The broker's answer; raises ``Unavailable`` after ``timeout`` seconds or its end."""
        number = next(self._ids)
        future: asyncio.Future[Line] = asyncio.get_running_loop().create_future()
        if self._writer.is_closing():
            raise Unavailable("the broker process is gone")
        self._waiting[number] = future
        self._writer.write(msgspec.json.encode({"ask": what, "id": number}) + b"\n")
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError as error:
            raise Unavailable(f"the broker gave no {what} within {timeout} s") from error
        finally:
            self._waiting.pop(number, None)
