"""The topics inside a consumer's opaque subscription (``ConsumerProtocolSubscription``).

Consumers put version, topics and more into the metadata of their JoinGroup; the coordinator
only needs the topics, which every version has first: int16 version, then an int32 count of
int16-length strings. https://kafka.apache.org/protocol (ConsumerProtocolSubscription.json)
"""

from __future__ import annotations

import struct

_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")


def subscribed_topics(metadata: bytes) -> frozenset[str] | None:
    """The topics a member subscribes to, or ``None`` where the bytes are not such a message."""
    try:
        return frozenset(_read_topics(metadata))
    except (struct.error, UnicodeDecodeError, ValueError):
        return None


def _read_topics(metadata: bytes) -> list[str]:
    (version,) = _INT16.unpack_from(metadata, 0)
    (count,) = _INT32.unpack_from(metadata, 2)
    position = 6
    # Two bytes of length each: a count beyond that is a lie, and must not size anything.
    if version < 0 or not 0 <= count <= (len(metadata) - position) // 2:
        raise ValueError("not a subscription")
    topics = []
    for _ in range(count):
        (length,) = _INT16.unpack_from(metadata, position)
        end = position + 2 + length
        if length < 0 or end > len(metadata):
            raise ValueError("a topic name runs past the end")
        topics.append(metadata[position + 2 : end].decode())
        position = end
    return topics
