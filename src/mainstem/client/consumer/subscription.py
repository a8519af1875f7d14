"""What members tell each other through the coordinator: subscriptions, assignments, user data.

Kafka calls it the consumer protocol; brokers pass it on unread. Sources:
ConsumerProtocolSubscription.json (versions 0 to 3), ConsumerProtocolAssignment.json, and the
schemas inside Java's StickyAssignor and CooperativeStickyAssignor.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from mainstem.errors import Corrupt

_INT16, _INT32 = struct.Struct(">h"), struct.Struct(">i")
_VERSION = 3

#: A topic and one of its partitions.
TopicPartition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Subscription:
    """One member's wish. ``generation`` says how old ``owned`` is; -1 where it is not told."""

    topics: tuple[str, ...]
    owned: tuple[TopicPartition, ...] = ()
    generation: int = -1
    user_data: bytes | None = None
    rack: str | None = None


def write_subscription(found: Subscription) -> bytes:
    """In version 3; members that know only older ones ignore what comes behind theirs."""
    topics = b"".join(map(_text, sorted(found.topics)))
    return b"".join(
        (
            _INT16.pack(_VERSION),
            _INT32.pack(len(found.topics)),
            topics,
            _bytes(found.user_data),
            _partitions(found.owned),
            _INT32.pack(found.generation),
            _INT16.pack(-1) if found.rack is None else _text(found.rack),
        )
    )


def read_subscription(data: bytes) -> Subscription:
    """Any version. Raises ``Corrupt`` where the bytes are not one."""
    source = _Source(data, "subscription")
    version = source.version()
    topics = tuple(source.required() for _ in range(source.count(2)))
    user_data = source.octets()
    owned: tuple[TopicPartition, ...] = ()
    generation, rack = -1, None
    if version >= 1:
        owned = source.partitions()
    if version >= 2:
        generation = source.int32()
    if version >= 3:
        rack = source.text()
    return Subscription(topics, owned, generation, user_data, rack)


def write_assignment(partitions: Iterable[TopicPartition]) -> bytes:
    """What a leader gives to one member, in version 0, which all read."""
    return _INT16.pack(0) + _partitions(partitions) + _bytes(None)


def read_assignment(data: bytes) -> frozenset[TopicPartition]:
    """Empty bytes are an empty assignment. Raises ``Corrupt`` where they are not one."""
    if not data:
        return frozenset()
    source = _Source(data, "assignment")
    source.version()
    return frozenset(source.partitions())


def write_sticky(owned: Iterable[TopicPartition], generation: int) -> bytes:
    """User data of ``sticky``, version 1: what the member had, and since when."""
    return _partitions(owned) + _INT32.pack(generation)


def read_sticky(data: bytes | None) -> tuple[tuple[TopicPartition, ...], int]:
    """Partitions and generation; version 0 has no generation: -1. Raises ``Corrupt``."""
    if not data:
        return (), -1
    source = _Source(data, "sticky user data")
    owned = source.partitions()
    return owned, source.int32() if source.left >= 4 else -1


def write_generation(generation: int) -> bytes:
    """User data of ``cooperative-sticky``: for leaders that read only version 1."""
    return _INT32.pack(generation)


def read_generation(data: bytes | None) -> int:
    """The generation, -1 where there is none. Raises ``Corrupt``."""
    return _Source(data, "cooperative-sticky user data").int32() if data else -1


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _INT16.pack(len(encoded)) + encoded


def _bytes(data: bytes | None) -> bytes:
    return _INT32.pack(-1) if data is None else _INT32.pack(len(data)) + data


def _partitions(found: Iterable[TopicPartition]) -> bytes:
    topics: dict[str, list[int]] = {}
    for topic, partition in sorted(found):
        topics.setdefault(topic, []).append(partition)
    out = bytearray(_INT32.pack(len(topics)))
    for topic, partitions in topics.items():
        out += _text(topic) + _INT32.pack(len(partitions))
        out += struct.pack(f">{len(partitions)}i", *partitions)
    return bytes(out)


class _Source:
    """Reads from the front; every length is checked against what is left."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._position = 0
        self._what = what

    @property
    def left(self) -> int:
        return len(self._data) - self._position

    def take(self, size: int) -> bytes:
        if not 0 <= size <= self.left:
            raise self.broken(f"{size} bytes are wanted where {self.left} are left")
        start, self._position = self._position, self._position + size
        return self._data[start : self._position]

    def broken(self, why: str) -> Corrupt:
        return Corrupt(f"a group member's {self._what} cannot be read: {why}")

    def version(self) -> int:
        version = int(_INT16.unpack(self.take(2))[0])
        if version < 0:
            raise self.broken(f"its version is {version}")
        return version

    def int32(self) -> int:
        return int(_INT32.unpack(self.take(4))[0])

    def count(self, least: int) -> int:
        """A number of elements of at least so many bytes: a lie must not size anything."""
        count = self.int32()
        if not 0 <= count <= self.left // least:
            raise self.broken(f"{count} elements in {self.left} bytes")
        return count

    def text(self) -> str | None:
        size = int(_INT16.unpack(self.take(2))[0])
        if size == -1:
            return None
        try:
            return self.take(size).decode()
        except UnicodeDecodeError as error:
            raise self.broken(str(error)) from error

    def required(self) -> str:
        found = self.text()
        if found is None:
            raise self.broken("a name is missing")
        return found

    def octets(self) -> bytes | None:
        size = self.int32()
        return None if size == -1 else self.take(size)

    def partitions(self) -> tuple[TopicPartition, ...]:
        found: list[TopicPartition] = []
        for _ in range(self.count(6)):
            topic = self.required()
            count = self.count(4)
            numbers = struct.unpack(f">{count}i", self.take(4 * count))
            found += [(topic, number) for number in numbers]
        return tuple(found)
