"""A member's offsets at its coordinator: fetch at an assignment, commit in its generation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from mainstem.client.cluster import Cluster, raise_for
from mainstem.client.consumer.classic import FENCED_INSTANCE, fenced
from mainstem.client.consumer.membership import Identity, Membership
from mainstem.client.consumer.positions import Committed, Positions
from mainstem.client.consumer.settings import ConsumerSettings
from mainstem.client.consumer.subscription import TopicPartition
from mainstem.client.kafka_errors import STALE_METADATA, error_for
from mainstem.client.retry import Deadline
from mainstem.errors import Conflict, Invalid, MainstemError, Unavailable
from mainstem.wire import Message

OFFSET_COMMIT, OFFSET_FETCH = 8, 9
_ILLEGAL_GENERATION, _UNKNOWN_MEMBER, _REBALANCE, _STALE_EPOCH = 22, 25, 27, 113
_FENCED_EPOCH = 110
_NO_TOPIC = frozenset({3, 100})
_OTHER_GENERATION = frozenset({_ILLEGAL_GENERATION, _UNKNOWN_MEMBER, _REBALANCE, _STALE_EPOCH})

#: The offset to go on at, by topic and partition.
Offsets = Mapping[TopicPartition, int]


class Commits:
    """Commits in order: a later one never gives way to an earlier. For one consumer."""

    def __init__(
        self,
        cluster: Cluster,
        settings: ConsumerSettings,
        membership: Callable[[], Membership],
        positions: Positions,
    ) -> None:
        """``positions`` tell the leader epoch before an offset (KIP-320), and whose topic it is."""
        self._cluster = cluster
        self._settings = settings
        self._membership = membership
        self._epoch = positions.epoch
        self._topic_id = positions.topic_id
        self._turn = asyncio.Lock()

    async def commit(self, offsets: Offsets) -> None:
        """Commit these; retried while the group settles, as long as the partitions stay here.

        Raises ``Conflict`` when they went to other members, or this one is fenced.
        """
        if not offsets:
            return
        async with self._turn:
            deadline = self._cluster.deadline()
            while True:
                membership = self._membership()
                elsewhere = offsets.keys() - membership.owned
                if elsewhere:
                    raise _lost(self._settings, elsewhere)
                identity = membership.identity()
                code, trouble = await self._attempt(offsets, identity, deadline)
                if code == 0:
                    return
                same = self._membership() is membership and membership.stable.is_set()
                same = same and membership.identity() == identity
                if code in (_ILLEGAL_GENERATION, _UNKNOWN_MEMBER) and same:
                    raise _lost(self._settings, offsets.keys(), code)
                if not await self._settle(membership, deadline):
                    raise Unavailable(f"{trouble} [within {deadline.seconds:g} s]", code=code)

    async def _settle(self, membership: Membership, deadline: Deadline) -> bool:
        """Wait for a rebalance under way to end, at least a moment; false when time is over."""
        if not await deadline.pause():
            return False
        if membership.failure is None:
            try:
                async with asyncio.timeout(deadline.left):
                    await membership.stable.wait()
            except TimeoutError:
                return False
        return True

    async def _attempt(
        self, offsets: Offsets, identity: Identity, deadline: Deadline
    ) -> tuple[int, MainstemError | None]:
        """The code worth another try, 0 when all is committed; raises for the others."""
        group = self._settings.group
        try:
            message = await self._request(offsets, identity, deadline)
            if not message.topics:
                return 0, None
            node = await self._cluster.coordinator(group, deadline)
            answer = await self._cluster.call(OFFSET_COMMIT, message, deadline, node=node)
        except Unavailable as lost:
            self._cluster.forget_coordinator(group)
            return lost.code or -1, lost
        for topic in answer.topics:
            for part in topic.partitions:
                code = int(part.error_code)
                if code == 0:
                    continue
                if code == FENCED_INSTANCE:
                    raise fenced(self._settings)
                error = error_for(code, f"commit of group {group!r}")
                if code in _NO_TOPIC:  # left out by the next attempt, if it is gone for good
                    for name, _ in offsets:
                        self._cluster.forget(name)
                    return code, error
                if code == _FENCED_EPOCH:
                    raise _lost(self._settings, offsets.keys(), code)
                if code in STALE_METADATA:
                    self._cluster.forget_coordinator(group)
                if code in _OTHER_GENERATION or isinstance(error, Unavailable):
                    return code, error
                raise error
        return 0, None

    async def _request(self, offsets: Offsets, identity: Identity, deadline: Deadline) -> Message:
        return Message(
            group_id=self._settings.group,
            generation_id_or_member_epoch=identity.generation,
            member_id=identity.member_id,
            group_instance_id=identity.instance_id,
            topics=await self._by_topic(offsets, deadline),
        )

    async def _by_topic(self, offsets: Offsets, deadline: Deadline) -> list[Message]:
        """Offsets as OffsetCommit names them: topics by name, and by id from version 10 on.

        Those of a topic that was deleted are nobody's, and must not hold up the others; above all
        they are not those of one that was made anew under its name.
        """
        topics: dict[str, list[Message]] = {}
        for where, offset in offsets.items():
            part = Message(
                partition_index=where[1],
                committed_offset=offset,
                committed_leader_epoch=self._epoch(where, offset),
                committed_metadata=None,
            )
            topics.setdefault(where[0], []).append(part)
        found = []
        for name, parts in topics.items():
            try:
                topic_id = (await self._cluster.topic(name, deadline)).id
            except Invalid as error:
                if error.code not in _NO_TOPIC:
                    raise
                continue
            if self._topic_id(name) not in (None, topic_id):
                continue
            found.append(Message(name=name, topic_id=topic_id, partitions=parts))
        return found

    async def committed(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, Committed]:
        """What the group has committed in these; partitions without a commit are left out.

        Waits for offsets of transactions that are being committed.
        """
        topics: dict[str, list[int]] = {}
        for topic, index in partitions:
            topics.setdefault(topic, []).append(index)

        async def attempt(deadline: Deadline) -> dict[TopicPartition, Committed]:
            return await self._fetch(topics, deadline)

        return await self._cluster.retrying(attempt) if topics else {}

    async def _fetch(
        self, topics: Mapping[str, list[int]], deadline: Deadline
    ) -> dict[TopicPartition, Committed]:
        group = self._settings.group
        names = {}
        asked = []
        for name, indexes in topics.items():
            topic_id = (await self._cluster.topic(name, deadline)).id
            names[topic_id] = name
            asked.append(Message(name=name, topic_id=topic_id, partition_indexes=indexes))
        entry = Message(group_id=group, member_id=None, member_epoch=-1, topics=asked)
        message = Message(groups=[entry], require_stable=True)
        try:
            node = await self._cluster.coordinator(group, deadline)
            answer = await self._cluster.call(OFFSET_FETCH, message, deadline, node=node)
            (found,) = answer.groups
            raise_for(int(found.error_code), f"offsets of group {group!r}")
            offsets = {}
            for topic in found.topics:
                for part in topic.partitions:
                    raise_for(int(part.error_code), f"offsets of group {group!r}")
                    if part.committed_offset >= 0:
                        name = topic.name or names[topic.topic_id]
                        epoch = getattr(part, "committed_leader_epoch", -1)
                        place = Committed(int(part.committed_offset), int(epoch))
                        offsets[name, part.partition_index] = place
        except MainstemError:
            self._cluster.forget_coordinator(group)
            raise
        return offsets


def _lost(
    settings: ConsumerSettings,
    partitions: Iterable[TopicPartition],
    code: int = _ILLEGAL_GENERATION,
) -> Conflict:
    names = ", ".join(f"{topic}-{index}" for topic, index in sorted(partitions))
    return Conflict(
        f"group {settings.group!r}: {names} went to other members, so the offsets were not "
        "committed: their records will be read again there",
        code=code,
    )
