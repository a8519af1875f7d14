"""Channel names: ``namespace:id``, and where in the log a channel lives."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Literal, NamedTuple

from mainstem.errors import Invalid
from mainstem.kernels import murmur2

if TYPE_CHECKING:
    from uuid import UUID

LONGEST_ID = 200
"""Bytes of UTF-8; record keys and query strings stay small."""

BUILT_IN = frozenset({"viewers", "presence"})
"""Namespaces that are about viewers; they are in no topic that people name."""

Partitioner = Literal["murmur2", "crc32"]

_NAMESPACE = re.compile(r"[a-z][a-z0-9_-]{0,62}")


class Channel(NamedTuple):
    """One channel; ``str()`` gives its name."""

    namespace: str
    id: str

    def __str__(self) -> str:
        return f"{self.namespace}:{self.id}"

    @property
    def key(self) -> bytes:
        """The record key of the channel's events."""
        return self.id.encode()


def parse_channel(text: str) -> Channel:
    """``"comments:42"`` as a ``Channel``. Raises ``Invalid`` with the text and the rule."""
    namespace, colon, identity = text.partition(":")
    shown = text if len(text) <= 80 else f"{text[:80]}…"
    if not colon or not identity:
        raise Invalid(f"{shown!r} is no channel: write NAMESPACE:ID, such as comments:42")
    check_namespace(namespace)
    try:
        size = len(identity.encode())
    except UnicodeEncodeError:
        raise Invalid(f"channel {shown!r} is not text: its id has lone surrogates") from None
    if size > LONGEST_ID:
        raise Invalid(f"channel {shown!r} has an id of {size} bytes: at most {LONGEST_ID}")
    if not identity.isprintable() or " " in identity:
        raise Invalid(f"channel {shown!r} has a blank or unprintable character in its id")
    return Channel(namespace, identity)


def check_namespace(name: str) -> str:
    """``name`` itself. Raises ``Invalid`` where it cannot be a namespace."""
    if _NAMESPACE.fullmatch(name) is None:
        raise Invalid(
            f"{name[:80]!r} is no namespace: a small letter, then at most 62 of a-z, 0-9, _ and -"
        )
    return name


def partition_of(key: bytes, partitions: int, partitioner: Partitioner = "murmur2") -> int:
    """Where those who write the topic put a record with this key.

    ``murmur2`` is the hash of Kafka's own clients (BuiltInPartitioner), of kafka-python, aiokafka
    and of ours; ``crc32`` is what librdkafka, and so confluent-kafka and kcat, use unless told
    otherwise (``partitioner=consistent_random``).
    """
    if partitioner == "crc32":
        return zlib.crc32(key) % partitions
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def epoch_of(topic: str, identity: UUID | None, partitions: int) -> int:
    """The u32 that a topic's offsets are only comparable within.

    It changes when the topic is created again, and when partitions are added: a channel's next
    events may then be in another partition. A cluster without topic ids (before KIP-516) is
    told apart by name only.
    """
    source = topic.encode() if identity is None else identity.bytes
    return zlib.crc32(partitions.to_bytes(4, "big"), zlib.crc32(source))
