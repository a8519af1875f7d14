"""Channels somebody watches, and the partitions they are in."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from mainstem.live.bus import Message, Opened, Stream
from mainstem.live.channels import Channel
from mainstem.live.interest import Interest
from mainstem.live.kinds import LogChannel


class Port(Protocol):
    """A worker as the dispatcher sees it."""

    number: int

    def send(self, message: Message) -> None:
        """Queue a message; does nothing once the worker is gone."""
        ...


@dataclass(slots=True, eq=False)
class Watched:
    """One channel in the log. ``ports`` have it open; ``waiting`` get ``Opened`` when it is
    ready, with a reason where they had it open before."""

    name: str
    channel: Channel
    key: bytes
    topic: str
    state: LogChannel
    ports: set[Port] = field(default_factory=set)
    waiting: dict[Port, str | None] = field(default_factory=dict)
    partition: Partition | None = None
    ready: bool = False
    opening: asyncio.Task[None] | None = None
    idle_since: float | None = None

    def admit(self) -> None:
        """Tell everybody who waits; in the same turn of the loop that made it ready."""
        assert self.partition is not None
        part = self.partition
        for port, reason in self.waiting.items():
            state = self.state.opened()
            stream, position = part.stream, part.position
            port.send(Opened(self.name, self.state.kind, stream, position, state, reason))
            if port not in self.ports:
                self.ports.add(port)
                part.ports[port] += 1
        self.waiting.clear()

    def leave(self, port: Port) -> None:
        """This worker has no viewer of the channel any more."""
        self.waiting.pop(port, None)
        if port in self.ports:
            self.ports.discard(port)
            if self.partition is not None:
                self.partition.dismiss(port)

    def say(self, message: Message) -> None:
        """To all who have it open."""
        for port in self.ports:
            port.send(message)


@dataclass(slots=True, eq=False)
class Partition:
    """A stream that is read; ``position``: all before it has been told."""

    stream: Stream
    position: int
    tables: dict[str, Interest[Watched]] = field(default_factory=dict)
    ports: Counter[Port] = field(default_factory=Counter)
    told: dict[Port, int] = field(default_factory=dict)
    idle_since: float | None = None

    @property
    def place(self) -> tuple[str, int]:
        """Topic and partition, as the client names it."""
        return self.stream[0], self.stream[2]

    def add(self, watched: Watched) -> None:
        """Hand it its records from ``position`` on."""
        watched.partition = self
        self.tables.setdefault(watched.channel.namespace, Interest()).add(watched.key, watched)
        self.idle_since = None

    def remove(self, watched: Watched) -> None:
        """No more records."""
        namespace = watched.channel.namespace
        table = self.tables[namespace]
        table.discard(watched.key)
        if not table:
            del self.tables[namespace]
        for port in watched.ports:
            self.dismiss(port)
        watched.partition = None

    def dismiss(self, port: Port) -> None:
        """One channel less for this worker."""
        self.ports[port] -= 1
        if self.ports[port] <= 0:
            del self.ports[port]
            self.told.pop(port, None)

    def members(self) -> Iterator[Watched]:
        """All channels here."""
        for table in self.tables.values():
            yield from table.by_key.values()
