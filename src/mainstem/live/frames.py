"""Bytes for the wire: the same event as a server-sent event and as a WebSocket message.

A frame is built once per subscription set and sent to all its viewers as it is: no chunked
encoding, no compression, no mask (RFC 6455, section 5.1: a server's frames are not masked).
Rules of the event stream: HTML Standard, section 9.2.6.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

_encode = msgspec.json.encode

Fields = dict[str, Any]


class Framing(Protocol):
    """How one transport writes what the set says. Bodies are JSON objects on one line."""

    name: str

    def event(self, cursor: bytes | None, body: bytes) -> bytes:
        """A data frame with its cursor, or one that leaves the client's cursor where it is."""
        ...

    def control(self, name: str, cursor: bytes | None, fields: Fields) -> bytes:
        """``resumed``, ``reset``, ``cursor``, ``auth``, ``drain``."""
        ...

    def heartbeat(self, cursor: bytes) -> bytes:
        """Moves the client's cursor; no event for the page."""
        ...

    def body(self, frame: bytes) -> bytes:
        """The JSON object that ``event`` was given, from the frame it made."""
        ...


def one_line(body: bytes) -> bytes:
    """JSON without line breaks, which would end a field: between tokens, blanks mean the same."""
    if b"\n" in body or b"\r" in body:
        return body.replace(b"\r", b" ").replace(b"\n", b" ")
    return body


def as_snapshot(body: bytes) -> bytes:
    """The JSON object with ``"snapshot":true`` in it: state, not news."""
    return body[:-1] + b',"snapshot":true}'


class EventStream:
    """Server-sent events."""

    name = "sse"

    def event(self, cursor: bytes | None, body: bytes) -> bytes:
        if cursor is None:
            return b"data: %b\n\n" % one_line(body)
        return b"id: %b\ndata: %b\n\n" % (cursor, one_line(body))

    def control(self, name: str, cursor: bytes | None, fields: Fields) -> bytes:
        place = b"" if cursor is None else b"id: %b\n" % cursor
        return b"event: %b\n%bdata: %b\n\n" % (name.encode(), place, _encode(fields))

    def heartbeat(self, cursor: bytes) -> bytes:
        # A block without data sets the last event id and dispatches nothing.
        return b"id: %b\n\n" % cursor

    def body(self, frame: bytes) -> bytes:
        return frame[frame.index(b"\ndata: ") + 7 : -2]

    @staticmethod
    def retry(milliseconds: int) -> bytes:
        """How long the browser waits before it reconnects."""
        return b"retry: %d\n\n" % milliseconds


class SocketMessages:
    """WebSocket text messages, whole in one unmasked frame each."""

    name = "ws"

    def event(self, cursor: bytes | None, body: bytes) -> bytes:
        if cursor is None:
            return text_frame(body)
        return text_frame(b'{"id":"%b",%b' % (cursor, body[1:]))

    def control(self, name: str, cursor: bytes | None, fields: Fields) -> bytes:
        place = {} if cursor is None else {"id": cursor.decode()}
        return text_frame(_encode({"event": name, **place, **fields}))

    def heartbeat(self, cursor: bytes) -> bytes:
        return text_frame(b'{"event":"cursor","id":"%b"}' % cursor)

    def body(self, frame: bytes) -> bytes:
        payload = frame[_header_size(frame) :]
        return b"{" + payload[payload.index(b'",') + 2 :]


def text_frame(payload: bytes) -> bytes:
    """RFC 6455, section 5.2: FIN, opcode 1, no mask."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def _header_size(frame: bytes) -> int:
    return {126: 4, 127: 10}.get(frame[1], 2)


SSE = EventStream()
WS = SocketMessages()
FRAMINGS: dict[str, Framing] = {SSE.name: SSE, WS.name: WS}
