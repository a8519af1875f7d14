"""One client's socket: frames in, replies out, in request order, in bounded memory.

The broker reads sockets itself instead of through asyncio transports, because it receives
straight into the buffer that is then written to the log, and answers Fetch with ``sendfile``.

Memory: an idle connection owns no buffer. A request that arrives in one read is served from the
server's shared scratch buffer; a longer one gets a buffer of its own that grows no faster than
its bytes really come. Requests wait unread in the kernel while too many answers are under way.
"""

from __future__ import annotations

import logging
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Any

from mainstem.kernels import send_file

if TYPE_CHECKING:
    import asyncio

    from mainstem.broker.server import Server

logger = logging.getLogger("mainstem.broker")

_SIZE = struct.Struct(">i")
_LEAST_FRAME = 8
_FIRST_BUFFER = 64 * 1024
#: From here on a read stops at the end of its frame, so that the next starts a fresh buffer
#: and nothing large is ever moved.
_LARGE = 16 * 1024
#: File slices up to this size are cheaper to copy into the reply than to send on their own.
_COPY_LIMIT = 16 * 1024
_FLUSH_LIMIT = 4 * 1024 * 1024
#: How long to wait for a receiver on the same machine to make room, in microseconds.
_LOCAL_PATIENCE_US = 100
_MAX_PIPELINED = 1_000
_MAX_QUEUED_PARTS = 4_096
#: Answers that wait for their client to read them; file slices take no memory.
_MAX_QUEUED_BYTES = 4 * 1024 * 1024
_PLAIN = (bytes, memoryview)


def _bytes_in(parts: list[Any]) -> int:
    return sum(len(part) for part in parts if isinstance(part, _PLAIN))


class Reply:
    """A place in the order of replies; ``parts`` is ``None`` until it is answered."""

    __slots__ = ("parts",)

    def __init__(self, parts: list[Any] | None = None) -> None:
        self.parts = parts


class Connection:
    """Owned by the event loop's thread. ``tasks`` are cancelled when it closes."""

    __slots__ = (
        "_buffer", "_busy", "_closed", "_fd", "_filled", "_flush_scheduled", "_host", "_output",
        "_patience_us", "_paused", "_processing", "_queued_bytes", "_replies", "_server",
        "_socket", "_writing", "last_progress", "tasks",
    )  # fmt: skip

    def __init__(self, server: Server, sock: socket.socket, host: str, *, local: bool) -> None:
        self._server = server
        self._socket = sock
        self._fd = sock.fileno()
        self._host = host
        self._patience_us = _LOCAL_PATIENCE_US if local else 0
        self._buffer: memoryview | None = None
        self._filled = 0
        self._replies: deque[Reply] = deque()
        self._output: deque[Any] = deque()
        self._queued_bytes = 0  # in ``_replies`` and ``_output``
        self._busy = False  # a request is being served that the next one must wait for
        self._paused = False
        self._processing = False
        self._writing = False
        self._flush_scheduled = False
        self._closed = False
        self.last_progress = server.loop.time()
        self.tasks: set[asyncio.Future[Any]] = set()
        server.loop.add_reader(self._fd, self._on_readable)

    @property
    def host(self) -> str:
        """The client's address, without its port."""
        return self._host

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def holds_request(self) -> bool:
        """Whether part of a request waits here for the rest of it."""
        return self._buffer is not None and self._filled > 0 and not self._busy

    @property
    def pending(self) -> int:
        """Requests not yet answered in full."""
        return len(self._replies) + bool(self._output) + self._busy

    # --- reading ------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        buffer = self._buffer
        try:
            if buffer is None:
                received = self._socket.recv_into(self._server.scratch)
            else:
                received = self._socket.recv_into(buffer[self._filled : self._read_limit(buffer)])
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        if not received:
            self.close()
            return
        self.last_progress = self._server.loop.time()
        self._server.statistics.bytes_in += received
        self._filled += received
        self._process(self._server.scratch if buffer is None else buffer)

    def _read_limit(self, buffer: memoryview) -> int:
        if self._filled >= 4:
            end = 4 + int(_SIZE.unpack_from(buffer)[0])
            if end - self._filled > _LARGE:
                return min(end, len(buffer))
        return len(buffer)

    def _process(self, data: memoryview) -> None:
        """Serve the whole frames in ``data[:filled]`` and keep what is left."""
        position = 0
        filled = self._filled
        needed = 4
        self._processing = True
        while filled - position >= 4 and not (self._busy or self._paused or self._closed):
            size = _SIZE.unpack_from(data, position)[0]
            if not _LEAST_FRAME <= size <= self._server.config.request_max_bytes:
                self._refuse(
                    f"a request of {size} bytes (allowed: {_LEAST_FRAME} to "
                    f"{self._server.config.request_max_bytes}, request_max_bytes)"
                )
                break
            end = position + 4 + size
            if end > filled:
                needed = 4 + size
                break
            self._server.dispatch(self, data, position + 4, end)
            position = end
            if (
                len(self._replies) >= _MAX_PIPELINED
                or len(self._output) >= _MAX_QUEUED_PARTS
                or self._queued_bytes >= _MAX_QUEUED_BYTES
            ):
                self._pause()
        self._processing = False
        if self._closed:
            return
        self._keep(data, position, filled, needed)
        self._flush()

    def _keep(self, data: memoryview, position: int, filled: int, needed: int) -> None:
        rest = filled - position
        self._filled = rest
        if not rest:
            return
        buffer = self._buffer
        capacity = 0 if buffer is None else len(buffer)
        if buffer is None or (rest == capacity and needed > capacity):
            # Grows with what has really come, not with what a length field promises.
            wanted = max(_FIRST_BUFFER, rest, min(needed, 2 * max(rest, _FIRST_BUFFER)))
            if not self._server.reserve(self, wanted - capacity):
                self._refuse("the broker's buffers are full (buffer_max_bytes)")
                return
            buffer = memoryview(bytearray(wanted))
            buffer[:rest] = data[position:filled]
            self._buffer = buffer
        elif position:
            buffer[:rest] = data[position:filled]

    def _refuse(self, why: str) -> None:
        logger.warning("closing the connection from %s: %s", self._host, why)
        self.close()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._server.loop.remove_reader(self._fd)

    def hold(self) -> None:
        """Serve no further request until ``release``: Kafka answers a connection serially."""
        self._busy = True
        self._server.loop.remove_reader(self._fd)

    def release_if_held(self) -> None:
        """Go on after ``hold``, where the request just answered held the connection."""
        if self._busy and not self._replies:
            self._busy = False
            self._resume()

    def _resume(self) -> None:
        if self._closed or self._busy or self._processing:
            return
        if self._paused:
            if (
                len(self._replies) > _MAX_PIPELINED // 2
                or len(self._output) > _MAX_QUEUED_PARTS // 2
                or self._queued_bytes > _MAX_QUEUED_BYTES // 2
            ):
                return
            self._paused = False
        self._server.loop.add_reader(self._fd, self._on_readable)
        if self._filled >= 4:
            # Not from here: a long buffer of small requests would recurse.
            self._server.loop.call_soon(self._process_kept)

    def _process_kept(self) -> None:
        if self._buffer is not None and not (self._closed or self._busy or self._paused):
            self._process(self._buffer)

    # --- replying -----------------------------------------------------------------------------

    def send(self, parts: list[Any]) -> None:
        """Answer the request just dispatched: bytes, and file slices with a ``size``."""
        self._queued_bytes += _bytes_in(parts)
        if self._replies:
            self._replies.append(Reply(parts))
        else:
            self._output.extend(parts)

    def reserve_reply(self) -> Reply:
        """Keep this request's place among the replies; answer it with ``fulfil``."""
        reply = Reply()
        self._replies.append(reply)
        return reply

    def fulfil(self, reply: Reply, parts: list[Any]) -> None:
        """Answer a reserved reply; it leaves as soon as all earlier ones have."""
        reply.parts = parts
        if self._closed:
            return
        self._queued_bytes += _bytes_in(parts)
        replies = self._replies
        while replies and replies[0].parts is not None:
            self._output.extend(replies.popleft().parts or ())
        if self._output and not self._flush_scheduled and not self._processing:
            self._flush_scheduled = True
            self._server.loop.call_soon(self._flush)
        elif self._paused and not self._output:
            self._resume()

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._closed:
            return
        sent = 0
        try:
            while self._output and sent < _FLUSH_LIMIT:
                size = self._send_file() if self._file_first() else self._send_bytes()
                sent += abs(size)
                if size <= 0:
                    break  # the socket is full: asking again would only cost a system call
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self.close()
            return
        if sent:
            self.last_progress = self._server.loop.time()
            self._server.statistics.bytes_out += sent
        if bool(self._output) != self._writing:
            self._writing = not self._writing
            if self._writing:
                self._server.loop.add_writer(self._fd, self._flush)
            else:
                self._server.loop.remove_writer(self._fd)
        if self._paused:
            self._resume()

    def _file_first(self) -> bool:
        part = self._output[0]
        return not isinstance(part, _PLAIN) and part.size > _COPY_LIMIT

    def _send_bytes(self) -> int:
        """Send what comes before the next file slice; the size, negative if it was cut short."""
        output = self._output
        chunks: list[Any] = []
        while output and not self._file_first():
            part = output.popleft()
            if not isinstance(part, _PLAIN):
                part = part.file.pread(part.position, part.size)
            else:
                self._queued_bytes -= len(part)
            chunks.append(part)
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        try:
            sent = self._socket.send(data, socket.MSG_MORE if output else 0)
        except (BlockingIOError, InterruptedError):
            self._put_back(data)
            raise
        if sent < len(data):
            self._put_back(memoryview(data)[sent:])
            return -sent
        return sent

    def _put_back(self, data: Any) -> None:
        self._output.appendleft(data)
        self._queued_bytes += len(data)

    def _send_file(self) -> int:
        """As ``_send_bytes``, for a file slice: the kernel sends it."""
        part = self._output[0]
        position, size = part.position, part.size
        wanted = min(size, _FLUSH_LIMIT)
        sent = send_file(self._fd, part.file.fileno(), position, wanted, self._patience_us)
        if sent < 0:
            raise OSError(f"segment ends at byte {position - 1 - sent}, before {position + size}")
        if sent == size:
            self._output.popleft()
            return sent
        self._output[0] = part._replace(position=position + sent, size=size - sent)
        return sent if sent == wanted else -sent

    # --- the end ------------------------------------------------------------------------------

    def sweep(self, now: float, idle_limit: float, stall_limit: float) -> None:
        """Give back what is not needed; close what is stuck. Called every few seconds."""
        quiet = now - self.last_progress
        if self._filled and not (self._busy or self._paused) and quiet >= stall_limit:
            self._refuse(f"half a request and nothing more for {quiet:.0f} s (request_stall_ms)")
        elif quiet >= idle_limit and not self.pending:
            self.close()
        elif self._buffer is not None and not self._filled and quiet > 1.0:
            self._server.give_back(len(self._buffer))
            self._buffer = None

    def close(self) -> None:
        """Drop the socket, what is queued, and the tasks that serve it."""
        if self._closed:
            return
        self._closed = True
        self._server.loop.remove_reader(self._fd)
        self._server.loop.remove_writer(self._fd)
        self._socket.close()
        self._output.clear()
        self._replies.clear()
        if self._buffer is not None:
            self._server.give_back(len(self._buffer))
            self._buffer = None
        for task in tuple(self.tasks):
            task.cancel()
        self._server.forget(self)
