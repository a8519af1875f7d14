"""The topics channels live in: found or created, and watched for being created anew."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mainstem.client import Admin, Cluster
from mainstem.errors import Invalid, Unavailable
from mainstem.live.channels import Partitioner, epoch_of, partition_of

if TYPE_CHECKING:
    from mainstem.live.bus import Stream

_UNKNOWN_TOPIC = 3
_PATIENCE_S = 2.0

Place = tuple[str, int]
"""(topic, partition)."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is now: ``epoch`` changes with its identity and its partitions."""

    name: str
    epoch: int
    partitions: int
    partitioner: Partitioner = "murmur2"

    def stream(self, partition: int) -> Stream:
        """The place where offsets of a partition mean something."""
        return (self.name, self.epoch, partition)

    def stream_of(self, key: bytes) -> Stream:
        """The stream that a record with this key is in."""
        return self.stream(partition_of(key, self.partitions, self.partitioner))


@dataclass(frozen=True, slots=True)
class Wanted:
    """How to create a topic that is missing; ``None`` partitions: do not."""

    partitions: int | None = None
    config: Mapping[str, Any] | None = None
    partitioner: Partitioner = "murmur2"


class Topics:
    """What is known about the topics. Belongs to the dispatcher's event loop."""

    def __init__(self, cluster: Cluster, wanted: Mapping[str, Wanted]) -> None:
        self._cluster = cluster
        self._admin = Admin(cluster)
        self._wanted = dict(wanted)
        self._seen: set[str] = set()
        self._missed: dict[str, float] = {}
        self._asking: dict[str, asyncio.Task[Topic]] = {}

    async def find(self, name: str, *, fresh: bool = False) -> Topic:
        """The topic, created if it is to be. Raises ``Invalid`` where it neither is nor may.

        One that was there and is gone is left to whoever deleted it for a moment
        (``Unavailable``): they may be about to create it themselves.
        """
        known = self.known(name)
        if not fresh and known is not None and name in self._seen:
            return known
        # A page that thousands open at once asks for a topic that nobody has created yet.
        task = self._asking.get(name)
        if task is None:
            task = self._asking[name] = asyncio.create_task(self._ask(name))
            task.add_done_callback(lambda done: self._asked(name, done))
        return await asyncio.shield(task)

    def _asked(self, name: str, task: asyncio.Task[Topic]) -> None:
        self._asking.pop(name, None)
        if not task.cancelled():
            task.exception()  # those who wait have it, and maybe nobody does any more

    async def _ask(self, name: str) -> Topic:
        wanted = self._wanted.get(name, Wanted())
        try:
            await self._cluster.topic(name, self._cluster.deadline(), fresh=True)
        except Invalid as error:
            if error.code != _UNKNOWN_TOPIC or wanted.partitions is None:
                raise
            self._wait_for_others(name)
            await self._admin.create(name, wanted.partitions, wanted.config, exist_ok=True)
            await self._cluster.topic(name, self._cluster.deadline(), fresh=True)
        self._seen.add(name)
        self._missed.pop(name, None)
        found = self.known(name)
        if found is None:
            raise Unavailable(f"topic {name!r} is gone again: retry", code=_UNKNOWN_TOPIC)
        return found

    def _wait_for_others(self, name: str) -> None:
        if name in self._seen:
            now = asyncio.get_running_loop().time()
            if now - self._missed.setdefault(name, now) < _PATIENCE_S:
                raise Unavailable(f"topic {name!r} was deleted just now", code=_UNKNOWN_TOPIC)

    def known(self, name: str) -> Topic | None:
        """The topic as the client last saw it. Costs a lookup; ``None`` when it is not there."""
        found = self._cluster.metadata.topics.get(name)
        if found is None or not found.partitions:
            return None
        count = len(found.partitions)
        partitioner = self._wanted.get(name, Wanted()).partitioner
        return Topic(name, epoch_of(name, found.id, count), count, partitioner)
