"""Cursors: where a viewer stands in the log, in at most 128 base64url characters, signed.

A browser keeps one ``Last-Event-ID`` per connection and sends it back unasked; up to 128 safe
bytes of it cross origins without a preflight (Fetch, "CORS-safelisted request-header"). Layout,
before base64url without padding::

    mac      8 bytes   SipHash-2-4 of all that follows
    version  1 byte    1
    topic*   u24 tag of the topic name, u24 fold of its epoch, varint count of partitions,
             then per partition: varint partition, varint next offset

Only streams of ``events`` channels are in it: the state of every other kind is sent anew to
whoever comes. About six topics, or eleven partitions of one topic, fit.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from itertools import groupby

from mainstem.errors import Invalid
from mainstem.kernels import siphash
from mainstem.live.bus import Stream

VERSION = 1
LONGEST = 128
"""Characters of a cursor over server-sent events (WebSocket has no such bound)."""

_MAC = 8
_MAX_OFFSET = (1 << 63) - 1

Place = tuple[int, int, int]
"""(topic tag, epoch fold, partition): a stream as a cursor names it."""


def place_of(stream: Stream) -> Place:
    """How a cursor names ``stream``: 24 bits of topic, 24 of epoch, the partition."""
    topic, epoch, partition = stream
    digest = hashlib.blake2b(topic.encode(), digest_size=3).digest()
    return int.from_bytes(digest, "big"), (epoch ^ epoch >> 24) & 0xFFFFFF, partition


class CursorBook:
    """Writes and reads the cursors of one key. Stateless otherwise; any thread."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise Invalid(f"a cursor key of {len(key)} bytes: give at least 16")
        self.key = hashlib.blake2b(key, digest_size=16, person=b"mainstem-cursor").digest()

    def sign(self, payload: bytes) -> bytes:
        """The characters for a payload as ``CursorShape`` writes it."""
        mac = siphash(self.key, payload)
        return base64.urlsafe_b64encode(mac + payload).rstrip(b"=")

    def write(self, vector: Mapping[Stream, int]) -> bytes:
        """One cursor of ``vector`` (stream → next offset wanted)."""
        shape = CursorShape(vector)
        return self.sign(shape.payload([vector[stream] for stream in shape.streams]))

    def read(self, text: str) -> dict[Place, int]:
        """Place → next offset. Raises ``Invalid`` for what this key did not sign."""
        raw = _decoded(text)
        mac, payload = raw[:_MAC], raw[_MAC:]
        good = siphash(self.key, payload)
        if not hmac.compare_digest(mac, good):
            raise Invalid("the cursor was not signed here, or was changed on its way")
        if payload[:1] != bytes([VERSION]):
            raise Invalid(f"a cursor of version {payload[:1].hex() or 'none'}: this is version 1")
        return _entries(payload)


class CursorShape:
    """The part of a cursor that stays while offsets move: made once per subscription set."""

    def __init__(self, streams: Iterable[Stream]) -> None:
        ordered = sorted(streams, key=place_of)
        self.streams: list[Stream] = ordered
        head = bytes([VERSION])
        self.prefixes: list[bytes] = []
        for (tag, epoch), group in groupby(ordered, key=lambda stream: place_of(stream)[:2]):
            members = list(group)
            head += tag.to_bytes(3, "big") + epoch.to_bytes(3, "big") + _varint(len(members))
            for stream in members:
                self.prefixes.append(head + _varint(stream[2]))
                head = b""
        self.alone = head

    def payload(self, offsets: Iterable[int]) -> bytes:
        """The unsigned bytes for offsets in the order of ``streams``."""
        if not self.prefixes:
            return self.alone
        parts = []
        for prefix, offset in zip(self.prefixes, offsets, strict=True):
            parts.append(prefix)
            parts.append(_varint(offset))
        return b"".join(parts)

    def longest(self) -> int:
        """Characters of this shape's cursor when every offset is a trillion."""
        size = _MAC + len(self.payload([10**12] * len(self.streams)))
        return -(-size * 4 // 3)


def _decoded(text: str) -> bytes:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid(f"{text[:40]!r} is no cursor: {error}") from None
    if len(raw) <= _MAC:
        raise Invalid(f"{text[:40]!r} is no cursor: too short")
    return raw


def _entries(payload: bytes) -> dict[Place, int]:
    # Signed bytes are ours, so a fault here is a version skew, not an attack; still checked.
    places: dict[Place, int] = {}
    position, end = 1, len(payload)
    while position < end:
        if end - position < 7:
            raise Invalid("the cursor ends in the middle of a topic")
        tag = int.from_bytes(payload[position : position + 3], "big")
        epoch = int.from_bytes(payload[position + 3 : position + 6], "big")
        count, position = _read_varint(payload, position + 6)
        for _ in range(count):
            partition, position = _read_varint(payload, position)
            offset, position = _read_varint(payload, position)
            places[tag, epoch, partition] = offset
    return places


def _varint(value: int) -> bytes:
    if not 0 <= value <= _MAX_OFFSET:
        raise Invalid(f"{value} does not fit a cursor: offsets and partitions are 0 … 2⁶³-1")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise Invalid("the cursor ends in the middle of a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
