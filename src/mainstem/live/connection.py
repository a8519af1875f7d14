"""A connection while it speaks HTTP: requests one after the other, until one makes it a viewer."""

from __future__ import annotations

import logging
import resource
from collections import deque
from typing import TYPE_CHECKING

from mainstem.live.http import Refused, Request, RequestReader, answer

if TYPE_CHECKING:
    from mainstem.live.gateway import Gateway

logger = logging.getLogger("mainstem.live")

KEEP_ALIVE_SECONDS = 30.0
CHUNK = 16_384
MOST_WAITING = 1_000
"""Connections between requests, or in the middle of one; of more, the oldest is cut, if it is not
here for its first moment: thousands may well connect at once and then ask, all of them honest."""
PATIENCE_SECONDS = 2.0
MOST_AT_ONCE = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
"""Of more than this the oldest is cut however young it is: viewers need descriptors, too."""


class HttpConnection:
    """Handler of a connection that is no viewer (yet). While a request is served nothing more
    is read: who sends too much waits in the kernel's buffer."""

    __slots__ = (
        "_buffered", "_gateway", "_reader", "_serving", "_since", "_waiting", "address", "id",
    )  # fmt: skip

    def __init__(self, gateway: Gateway, ident: int, address: str) -> None:
        self.id = ident
        self.address = address
        self._gateway = gateway
        self._reader = RequestReader(gateway.config.max_body_bytes, self._go_on)
        self._waiting: deque[Request] = deque()
        self._serving = False
        self._buffered = False
        self._since = 0.0
        gateway.sender.set_deadline(ident, gateway.config.request_s)
        self._wait()

    # Handler --------------------------------------------------------------------------

    def readable(self) -> None:
        if self._serving:
            self._buffered = True
            return
        while not self._serving:
            data = self._gateway.sender.read(self.id, CHUNK)
            if data is None:
                return
            if not data:
                self._gateway.sender.close(self.id)
                self.closed()
                return
            try:
                self._waiting.extend(self._reader.feed(data))
            except Refused as refused:
                self._refuse(refused)
                return
            self._next()

    def lapped(self) -> None:
        return  # not on a ring

    def deadline(self) -> None:
        if self._serving:
            return
        if self._reader.idle:  # between two requests
            self._gateway.sender.close(self.id)
            self.closed()
        else:
            seconds = self._gateway.config.request_s
            self._refuse(Refused(408, f"the request was not complete after {seconds:.0f} s"))

    def closed(self) -> None:
        self._gateway.handlers.pop(self.id, None)
        self._gateway.waiting.pop(self.id, None)
        self._waiting.clear()

    def _wait(self) -> None:
        waiting = self._gateway.waiting
        waiting[self.id] = self
        self._since = self._gateway.clock.monotonic()
        if len(waiting) <= MOST_WAITING:
            return
        oldest = next(iter(waiting.values()))
        if self._since - oldest._since >= PATIENCE_SECONDS or len(waiting) > MOST_AT_ONCE:
            self._gateway.refused["waiting"] += 1
            self._gateway.sender.close(oldest.id)
            oldest.closed()

    # Serving --------------------------------------------------------------------------

    def _next(self) -> None:
        if self._waiting and not self._serving:
            self._serving = True
            self._gateway.waiting.pop(self.id, None)
            self._gateway.sender.set_deadline(self.id, 0)
            self._gateway.spawn(self._serve(self._waiting.popleft()))

    async def _serve(self, request: Request) -> None:
        from mainstem.live.routes import serve

        try:
            reply = await serve(self._gateway, self, request)
        except Exception:
            logger.exception("a request to %s failed", request.target[:100])
            reply = answer(500, {}, b'{"error":"the server failed; it is in its log"}')
            request.keep_alive = False
        if reply is None:  # it is a viewer now, or gone
            return
        sender = self._gateway.sender
        stay = request.keep_alive and not self._gateway.draining
        if sender.write(self.id, reply, not stay) < 0 or not stay:
            self.closed()
            return
        self._serving = False
        sender.set_deadline(self.id, KEEP_ALIVE_SECONDS)
        self._wait()
        self._next()
        if self._buffered and not self._serving:
            self._buffered = False
            self.readable()

    def _refuse(self, refused: Refused) -> None:
        import msgspec

        body = msgspec.json.encode({"error": str(refused), "code": refused.status})
        self._gateway.refused[str(refused.status)] += 1
        self._gateway.sender.write(
            self.id, answer(refused.status, {"Connection": "close"}, body), True
        )
        self.closed()

    def _go_on(self) -> None:
        self._gateway.sender.write(self.id, b"HTTP/1.1 100 Continue\r\n\r\n")
