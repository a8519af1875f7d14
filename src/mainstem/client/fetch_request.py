"""Fetch requests packed by hand: a reader that follows sends one for every few records.

Source: FetchRequest.json, versions 12 to 18 (flexible; topic ids from 13, no replica id from 15).
The tests compare it with the general encoder.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from uuid import UUID

LOWEST, HIGHEST = 12, 18
_HEAD = struct.Struct(">iiibii")
_PARTITION = struct.Struct(">iiqiqib")
_ANY_REPLICA = b"\xff\xff\xff\xff"

#: Topic name, its id, and its partitions as (index, offset, leader epoch believed in).
TopicOffsets = tuple[str, UUID | None, list[tuple[int, int, int]]]


def fetch_body(
    version: int,
    topics: Iterable[TopicOffsets],
    *,
    max_wait_ms: int,
    max_bytes: int,
    partition_bytes: int,
    committed: bool,
) -> bytes | None:
    """The body of a request; ``None`` for a version or topics that it cannot say."""
    topics = list(topics)
    nameless = version >= 13 and any(topic_id is None for _, topic_id, _ in topics)
    if not LOWEST <= version <= HIGHEST or nameless:
        return None
    out = bytearray(_ANY_REPLICA if version < 15 else b"")
    # At least one byte, no session (KIP-227).
    out += _HEAD.pack(max_wait_ms, 1, max_bytes, committed, 0, -1)
    out += _varint(len(topics) + 1)
    for name, topic_id, partitions in topics:
        if version >= 13:
            assert topic_id is not None
            out += topic_id.bytes
        else:
            encoded = name.encode()
            out += _varint(len(encoded) + 1) + encoded
        out += _varint(len(partitions) + 1)
        for index, offset, epoch in partitions:
            out += _PARTITION.pack(index, epoch, offset, -1, -1, partition_bytes, 0)
        out += b"\0"
    return bytes(out + b"\x01\x01\0")  # nothing forgotten, no rack, no tagged fields


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
