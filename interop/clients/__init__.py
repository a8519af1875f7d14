"""One face for clients that have nothing in common but the protocol.

Each adapter only calls its client's public API with ordinary settings; a test written once then
runs with every client. :class:`Refused` carries the broker's error code as the client saw it.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module

from interop.corpus import Placed, Record

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
TIMEOUT = 60.0


class Refused(Exception):  # noqa: N818 # said by the broker, not gone wrong here
    """The broker, through the client, answered with Kafka error ``code``."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Member(ABC):
    """One member of a consumer group, polled by the test."""

    @abstractmethod
    def poll(self) -> list[Placed]:
        """Wait at most about 0.1 s for records; take part in rebalances."""

    @abstractmethod
    def assignment(self) -> set[int]:
        """Return the partitions this member owns now (one topic)."""

    @abstractmethod
    def commit(self, offsets: Mapping[int, int] | None = None) -> None:
        """Commit, at once: the given next offsets by partition, else the current positions."""

    closed = False

    def close(self) -> None:
        """Leave the group; once."""
        if not self.closed:
            self.closed = True
            self._close()

    @abstractmethod
    def _close(self) -> None: ...


class Client(ABC):
    """What every test needs of a client. Offsets and partitions are Kafka's own."""

    name: str
    codecs: tuple[str, ...] = CODECS
    strategies: tuple[str, ...] = ("range", "roundrobin")

    def __init__(self, address: str) -> None:
        self.address = address
        self._members: list[Member] = []

    def can_write(self, record: Record) -> bool:  # noqa: ARG002
        """Whether the client is able to say this record at all."""
        return True

    def can_read(self, record: Record) -> bool:  # noqa: ARG002
        """Whether the client can show this record to us without loss."""
        return True

    @abstractmethod
    def produce(
        self,
        topic: str,
        records: Iterable[Record],
        *,
        partition: int | None = 0,
        codec: str = "none",
        idempotent: bool = False,
    ) -> list[tuple[int, int]]:
        """Send all, wait for all, return (partition, offset) of each; raises Refused."""

    @abstractmethod
    def read(self, topic: str, count: int, *, partition: int = 0, start: int = 0) -> list[Placed]:
        """Read exactly ``count`` records of a partition from ``start``; raises TimeoutError."""

    @abstractmethod
    def offset_at(self, topic: str, partition: int, timestamp: int) -> int | None:
        """Return the first offset at or after ``timestamp`` (ms); None where there is none."""

    def join(self, group: str, topic: str, **options: str) -> Member:
        """Become a member; options are ``strategy``, ``reset`` and ``instance``."""
        member = self._join(group, topic, options)
        self._members.append(member)
        return member

    @abstractmethod
    def _join(self, group: str, topic: str, options: Mapping[str, str]) -> Member: ...

    def leave_all(self) -> None:
        """Close what a failed test left open."""
        while self._members:
            self._members.pop().close()

    def close(self) -> None:  # noqa: B027 # most have nothing to close
        """Release connections."""


class Administrator(Client):
    """A client that can also manage topics, configurations and groups."""

    @abstractmethod
    def create_topic(
        self, topic: str, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> None: ...

    @abstractmethod
    def topics(self) -> set[str]: ...

    @abstractmethod
    def delete_topic(self, topic: str) -> None: ...

    @abstractmethod
    def partitions(self, topic: str) -> int:
        """Return the topic's partition count; Refused(3) where there is no such topic."""

    @abstractmethod
    def topic_config(self, topic: str) -> dict[str, str]: ...

    @abstractmethod
    def alter_config(self, topic: str, config: Mapping[str, str]) -> None: ...

    @abstractmethod
    def add_partitions(self, topic: str, total: int) -> None: ...

    @abstractmethod
    def delete_records(self, topic: str, partition: int, before: int) -> None: ...

    @abstractmethod
    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return the earliest offset and the next one."""

    @abstractmethod
    def committed(self, group: str, topic: str, partition: int) -> int | None: ...

    @abstractmethod
    def groups(self) -> set[str]: ...

    @abstractmethod
    def group_size(self, group: str) -> int:
        """Return how many members the broker says the group has."""


def load(name: str, address: str) -> Client:
    """Return the named adapter connected to ``address``."""
    client: Client = import_module(f"interop.clients.{name}").Adapter(address)
    return client


def until(condition: Callable[[], object], what: Callable[[], object] | str) -> None:
    """Call ``condition`` until it is true; its own polling is the only waiting.

    Raises TimeoutError with ``what`` after TIMEOUT seconds.
    """
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"gave up after {TIMEOUT} s: {what() if callable(what) else what}")
