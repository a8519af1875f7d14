"""Where a consumer is in each partition: handed out, processed, committed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from uuid import UUID

from mainstem.client.cluster import Cluster
from mainstem.client.consumer.settings import ConsumerSettings
from mainstem.client.consumer.subscription import TopicPartition
from mainstem.client.decoding import Place
from mainstem.client.leader_epochs import UNKNOWN, EpochRuns, LogCut
from mainstem.client.offsets import LATEST, Point, bounds, list_offsets, resolve
from mainstem.errors import Invalid

_NO_OFFSET, _UNKNOWN_TOPIC = 1, 3


class Committed(NamedTuple):
    """A commit: where to go on, and the leader epoch of the record before, -1 if not known."""

    offset: int
    leader_epoch: int


class Positions:
    """Three offsets for each assigned partition. Belongs to the client's event loop."""

    def __init__(self, cluster: Cluster, settings: ConsumerSettings) -> None:
        self._cluster = cluster
        self._settings = settings
        self._handed: dict[TopicPartition, int] = {}
        self._processed: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._began: dict[TopicPartition, int] = {}  # where to go back to: commit, start or seek
        self._paused: set[TopicPartition] = set()
        self._epochs: dict[TopicPartition, EpochRuns] = {}
        self._ids: dict[str, UUID | None] = {}  # of the topics as they were when read first
        self.missing: set[str] = set()  # topics that were deleted

    def assigned(self) -> dict[TopicPartition, int]:
        """The next offset to be handed out of each."""
        return dict(sorted(self._handed.items()))

    def readable(self) -> dict[TopicPartition, int]:
        """As ``assigned``, without what is paused or of a topic that was deleted."""
        return {
            where: at
            for where, at in self._handed.items()
            if where not in self._paused and where[0] not in self.missing
        }

    def topic_id(self, topic: str) -> UUID | None:
        """Which of the topics that had this name, where the cluster tells."""
        if self._ids.get(topic) is None:
            known = self._cluster.metadata.topics.get(topic)
            self._ids[topic] = None if known is None else known.id
        return self._ids[topic]

    def paused(self) -> frozenset[TopicPartition]:
        """What is assigned and paused."""
        return frozenset(self._paused)

    def epoch(self, where: TopicPartition, at: int) -> int:
        """The epoch of the leader that wrote the record before ``at``; -1 if not known."""
        runs = self._epochs.get(where)
        return UNKNOWN if runs is None else runs.before(at)

    def advance(self, places: Mapping[TopicPartition, Place], *, processed: bool) -> None:
        """A batch was handed out; ``processed`` where it held nothing to process."""
        for where, (at, epochs) in places.items():
            if where in self._handed:
                self._handed[where] = at
                self._epochs.setdefault(where, EpochRuns()).add(epochs, at)
                if processed:
                    self._processed[where] = at

    def all_processed(self) -> None:
        """The user is done with what was handed out."""
        self._processed = dict(self._handed)

    def take_back(self) -> None:
        """What was handed out last did not arrive."""
        self._handed |= self._processed

    def uncommitted(self, *, processed: bool = False) -> dict[TopicPartition, int]:
        """Offsets that are ahead of (or behind, after a seek) what is committed."""
        found = self._processed if processed else self._handed
        return {where: at for where, at in found.items() if self._committed.get(where) != at}

    def committed(self, offsets: Mapping[TopicPartition, int]) -> None:
        """These are at the coordinator now."""
        here = {where: at for where, at in offsets.items() if where in self._handed}
        self._committed |= here
        self._began |= here

    def rewind(self) -> None:
        """Hand out again what came since the last commit, start or seek."""
        for where, at in self._began.items():
            self._place(where, at)

    def _place(self, where: TopicPartition, at: int) -> None:
        self._handed[where] = self._processed[where] = self._began[where] = at

    def drop(self, partitions: Iterable[TopicPartition]) -> None:
        """Not ours any more."""
        for where in partitions:
            self._paused.discard(where)
            self._epochs.pop(where, None)
            for offsets in (self._handed, self._processed, self._committed, self._began):
                offsets.pop(where, None)
        left = {topic for topic, _ in self._handed}
        self.missing &= left
        self._ids = {topic: known for topic, known in self._ids.items() if topic in left}

    # --- beginning ---------------------------------------------------------------------------

    async def assign(
        self, partitions: Iterable[TopicPartition], committed: Mapping[TopicPartition, Committed]
    ) -> None:
        """Begin at the commit, without one where ``start`` says."""
        found = {where: committed[where].offset for where in partitions if where in committed}
        for where, at in found.items():
            if committed[where].leader_epoch != UNKNOWN:
                self._epochs[where] = EpochRuns(((at - 1, committed[where].leader_epoch),))
        fresh = await self._start([where for where in partitions if where not in committed])
        self._committed |= found
        for where, at in (found | fresh).items():
            self._place(where, at)
            self.topic_id(where[0])

    async def _start(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        start = self._settings.start
        if partitions and start is None:
            names = ", ".join(f"{topic}-{index}" for topic, index in sorted(partitions))
            raise Invalid(
                f"group {self._settings.group!r} has no usable offset in {names}, and start=None "
                "gives no other: commit one (reset the group), or choose a start",
                code=_NO_OFFSET,
            )
        found: dict[TopicPartition, int] = {}
        for topic, indexes in _by_topic(partitions).items():
            first, last = await bounds(self._cluster, topic, indexes, committed=self._isolated)
            assert start is not None
            at = await resolve(self._cluster, topic, start, first, last, what="start")
            found |= {(topic, index): offset for index, offset in at.items()}
        return found

    async def reset_those_outside(self) -> None:
        """Positions that the log does not hold any more (or not yet) begin again."""
        outside: list[TopicPartition] = []
        for topic, indexes in _by_topic(self._handed).items():
            first, last = await bounds(self._cluster, topic, indexes)
            outside += [
                (topic, index)
                for index in indexes
                if not first[index] <= self._handed[topic, index] <= last[index]
            ]
        for where, at in (await self._start(outside)).items():
            if where in self._handed:
                self._place(where, at)

    async def cut(self, found: LogCut) -> None:
        """What was read is gone: go on where the log differs, ``start`` says where else."""
        where = found.topic, found.partition
        if where in self._handed:
            self._epochs.pop(where, None)
            fresh = {where: found.offset} if found.offset is not None else None
            for place, at in (fresh or await self._start([where])).items():
                self._place(place, at)

    # --- topics that go and come -------------------------------------------------------------

    async def miss_deleted(self) -> bool:
        """Leave topics alone that are not there any more; whether there are such."""
        gone = {topic for topic in _by_topic(self._handed) if not await self._exists(topic)}
        self.missing |= gone
        return bool(gone)

    async def find_missing(self) -> bool:
        """Begin with those that are there again; whether there are such."""
        found = [topic for topic in sorted(self.missing) if await self._exists(topic)]
        for topic in found:
            await self.begin_again(topic)
        return bool(found)

    async def begin_again(self, topic: str) -> None:
        """The name is another topic's now, of which nothing was read."""
        indexes = _by_topic(self._handed).get(topic, [])
        there = len((await self._cluster.topic(topic, self._cluster.deadline())).partitions)
        first, _ = await bounds(self._cluster, topic, [at for at in indexes if at < there])
        for index in indexes:  # a rebalance takes away those that it does not have
            self._epochs.pop((topic, index), None)
            self._place((topic, index), first.get(index, 0))
        self._ids.pop(topic, None)
        self.topic_id(topic)
        self.missing.discard(topic)

    async def _exists(self, topic: str) -> bool:
        try:
            await self._cluster.topic(topic, self._cluster.deadline(), fresh=True)
        except Invalid as error:
            if error.code != _UNKNOWN_TOPIC:
                raise
            return False
        return True

    async def seek(self, where: TopicPartition, point: Point) -> None:
        """Go on at ``point``. Raises ``Invalid`` where that is, or the partition is, elsewhere."""
        self._check([where])
        topic, index = where
        first, last = await bounds(self._cluster, topic, [index])
        at = await resolve(self._cluster, topic, point, first, last, what="seek")
        if where in self._handed:
            self._place(where, at[index])

    def pause(self, partitions: Iterable[TopicPartition]) -> bool:
        """Whether anything changed."""
        wanted = self._check(partitions) - self._paused
        self._paused |= wanted
        return bool(wanted)

    def resume(self, partitions: Iterable[TopicPartition]) -> bool:
        """Whether anything changed."""
        wanted = self._check(partitions) & self._paused
        self._paused -= wanted
        return bool(wanted)

    async def lag(self) -> dict[TopicPartition, int]:
        """How many offsets are behind the end, for each assigned partition."""
        found: dict[TopicPartition, int] = {}
        for topic, indexes in _by_topic(self._handed).items():
            wanted = dict.fromkeys(indexes, LATEST)
            ends = await list_offsets(self._cluster, topic, wanted, committed=self._isolated)
            for index, end in ends.items():
                found[topic, index] = max(0, end.offset - self._handed.get((topic, index), 0))
        return dict(sorted(found.items()))

    @property
    def _isolated(self) -> bool:
        return self._settings.isolation == "read_committed"

    def _check(self, partitions: Iterable[TopicPartition]) -> set[TopicPartition]:
        wanted = set(partitions)
        for topic, index in sorted(wanted - self._handed.keys()):
            raise Invalid(
                f"{topic}-{index} is not assigned to this consumer: it has "
                f"{', '.join(f'{name}-{part}' for name, part in sorted(self._handed)) or 'none'}",
                code=3,
            )
        return wanted


def _by_topic(partitions: Iterable[TopicPartition]) -> dict[str, list[int]]:
    topics: dict[str, list[int]] = {}
    for topic, index in sorted(partitions):
        topics.setdefault(topic, []).append(index)
    return topics
