"""One end of the bus: length-prefixed messages over a Unix socket pair, on asyncio."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import msgspec

from mainstem.errors import Closed, Corrupt, Invalid
from mainstem.live.bus import LONGEST_FRAME, FromDispatcher, FromWorker, Message

Incoming = TypeVar("Incoming")


class Pipe(asyncio.Protocol, Generic[Incoming]):
    """Sends messages and hands over those that come, in order. Not thread-safe.

    ``on_message`` must not raise; ``on_closed`` is called once, with the reason where there is
    one: the other side's end, an I/O error, or ``Corrupt`` for bytes that are no message.
    """

    def __init__(
        self,
        decoder: msgspec.msgpack.Decoder[Any],
        on_message: Callable[[Incoming], None],
        on_closed: Callable[[Exception | None], None],
    ) -> None:
        self._decoder = decoder
        self._encoder = msgspec.msgpack.Encoder()
        self._on_message = on_message
        self._on_closed = on_closed
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._fault: Exception | None = None

    # Sending --------------------------------------------------------------------------

    @property
    def queued(self) -> int:
        """Bytes written here that the other side's kernel buffer has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, message: Message) -> None:
        """Queue one message; see ``queued`` and ``drained`` for the bound. Raises ``Closed``."""
        if self._transport is None or self._transport.is_closing():
            raise Closed("the other end of the live bus is gone: this message was not sent")
        payload = self._encoder.encode(message)
        if len(payload) > LONGEST_FRAME:
            name = type(message).__name__
            raise Invalid(f"a bus message {name} of {len(payload):,} bytes: at most 64 MiB")
        self._transport.write(len(payload).to_bytes(4, "big") + payload)

    async def drained(self) -> None:
        """Wait until the write buffer is below its high-water mark, or the pipe is closed."""
        await self._writable.wait()

    def hold(self, seconds: float) -> None:
        """Take nothing in for a moment, so that what came can go out first."""
        transport = self._transport
        if transport is None or transport.is_closing() or not transport.is_reading():
            return
        transport.pause_reading()
        asyncio.get_running_loop().call_later(seconds, self._release, transport)

    def _release(self, transport: asyncio.Transport) -> None:
        if transport is self._transport and not transport.is_closing():
            transport.resume_reading()

    def close(self) -> None:
        """Flush what is queued, then close; ``on_closed`` follows."""
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=4 << 20)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start, end = 0, len(buffer)
        with memoryview(buffer) as view:
            while end - start >= 4:
                size = int.from_bytes(view[start : start + 4], "big")
                if size > LONGEST_FRAME:
                    self._fail(f"a bus frame that claims {size:,} bytes: the stream is out of step")
                    return
                if end - start - 4 < size:
                    break
                try:
                    message = self._decoder.decode(view[start + 4 : start + 4 + size])
                except msgspec.DecodeError as error:
                    self._fail(f"a bus frame that is no known message: {error}")
                    return
                start += 4 + size
                self._on_message(message)
        del buffer[:start]

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._writable.set()
        self._on_closed(self._fault or exc)

    def _fail(self, sentence: str) -> None:
        self._fault = Corrupt(sentence)
        if self._transport is not None:
            self._transport.abort()


async def dispatcher_pipe(
    ours: socket.socket,
    on_message: Callable[[FromWorker], None],
    on_closed: Callable[[Exception | None], None],
) -> Pipe[FromWorker]:
    """The dispatcher's end over ``ours`` (a connected Unix socket, which it now owns)."""
    decoder = msgspec.msgpack.Decoder(FromWorker)
    return await _opened(Pipe[FromWorker](decoder, on_message, on_closed), ours)


async def worker_pipe(
    ours: socket.socket,
    on_message: Callable[[FromDispatcher], None],
    on_closed: Callable[[Exception | None], None],
) -> Pipe[FromDispatcher]:
    """The worker's end, likewise."""
    decoder = msgspec.msgpack.Decoder(FromDispatcher)
    return await _opened(Pipe[FromDispatcher](decoder, on_message, on_closed), ours)


async def _opened(pipe: Pipe[Incoming], ours: socket.socket) -> Pipe[Incoming]:
    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.create_unix_connection(lambda: pipe, sock=ours)
    return pipe
