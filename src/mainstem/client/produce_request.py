"""Produce requests as a list of buffers: the record batches are never copied.

Source: ProduceRequest.json, versions 3 to 13 (flexible from 9, topic ids from 13).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any
from uuid import UUID

PRODUCE = 0
_HEAD = struct.Struct(">hi")
_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")
_TWO = struct.Struct(">ii")

#: Topic name, its id, and its partitions as (index, record batch).
TopicBatches = tuple[str, UUID | None, list[tuple[int, Any]]]


def body_parts(
    version: int,
    acks: int,
    timeout_ms: int,
    topics: Iterable[TopicBatches],
    transactional_id: str | None = None,
) -> list[Any]:
    """The body of a request, as buffers in the order to send."""
    topics = list(topics)
    if version < 9:
        return _classic(acks, timeout_ms, topics, transactional_id)
    encoded_id = b"" if transactional_id is None else transactional_id.encode()
    out = bytearray(_varint(0 if transactional_id is None else len(encoded_id) + 1) + encoded_id)
    out += _HEAD.pack(acks, timeout_ms)
    out += _varint(len(topics) + 1)
    parts: list[Any] = []
    for name, topic_id, partitions in topics:
        if version >= 13:
            assert topic_id is not None  # a broker of this version has ids
            out += topic_id.bytes
        else:
            encoded = name.encode()
            out += _varint(len(encoded) + 1) + encoded
        out += _varint(len(partitions) + 1)
        for index, batch in partitions:
            out += _INT32.pack(index) + _varint(len(batch) + 1)
            parts += (out, batch)
            out = bytearray(b"\0")  # the partition's tagged fields
        out += b"\0"
    out += b"\0"
    parts.append(out)
    return parts


def _classic(
    acks: int, timeout_ms: int, topics: list[TopicBatches], transactional_id: str | None
) -> list[Any]:
    encoded_id = b"" if transactional_id is None else transactional_id.encode()
    out = bytearray(_INT16.pack(-1 if transactional_id is None else len(encoded_id)) + encoded_id)
    out += _HEAD.pack(acks, timeout_ms) + _INT32.pack(len(topics))
    parts: list[Any] = []
    for name, _topic_id, partitions in topics:
        encoded = name.encode()
        out += _INT16.pack(len(encoded)) + encoded + _INT32.pack(len(partitions))
        for index, batch in partitions:
            out += _TWO.pack(index, len(batch))
            parts += (out, batch)
            out = bytearray()
    parts.append(out)
    return parts


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
