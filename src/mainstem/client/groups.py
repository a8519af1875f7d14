"""Consumer groups seen from outside: list, describe, lag, committed offsets, reset."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from mainstem.client.arguments import check_offsets, check_text
from mainstem.client.cluster import Cluster, raise_for
from mainstem.client.kafka_errors import STALE_METADATA
from mainstem.client.offsets import LATEST, list_offsets
from mainstem.client.retry import Deadline
from mainstem.errors import Conflict, Invalid, MainstemError
from mainstem.wire import Message

_OFFSET_COMMIT, _OFFSET_FETCH, _LIST_GROUPS, _DESCRIBE_GROUPS, _DELETE_GROUPS = 8, 9, 16, 15, 42
_CONSUMER_GROUP_DESCRIBE = 69  # KIP-848
_NON_EMPTY, _NOT_FOUND, _UNKNOWN_MEMBER = 68, 69, 25
_BY_ID = 10  # the version from which both offset APIs name topics by id (KIP-848)

#: Offsets by topic and partition.
Offsets = dict[tuple[str, int], int]


@dataclass(frozen=True, slots=True)
class GroupListing:
    """A group's name, its state (``"Stable"``, ``"Empty"`` …) and its protocol type."""

    name: str
    state: str
    protocol: str
    kind: str


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A running member."""

    id: str
    instance_id: str | None
    client_id: str
    host: str


@dataclass(frozen=True, slots=True)
class GroupOffset:
    """How far a group is in one partition; ``lag`` is what it has not committed yet."""

    topic: str
    partition: int
    committed: int
    end: int

    @property
    def lag(self) -> int:
        """Offsets between the commit and the end, never negative."""
        return max(0, self.end - self.committed)


@dataclass(frozen=True, slots=True)
class GroupDescription:
    """A group, its members and its offsets. An unknown group has the state ``"Dead"``."""

    name: str
    state: str
    assignor: str
    members: tuple[GroupMember, ...]
    offsets: tuple[GroupOffset, ...]

    @property
    def lag(self) -> int:
        """Of all partitions together."""
        return sum(part.lag for part in self.offsets)


class Groups:
    """Administration of groups. Belongs to the client's event loop."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def list(self) -> list[GroupListing]:
        """All groups of all coordinators, by name."""

        async def attempt(deadline: Deadline) -> list[Message]:
            await self._cluster.refresh([], deadline)
            message = Message(states_filter=[], types_filter=[])
            nodes = self._cluster.metadata.nodes
            answers = await asyncio.gather(
                *(self._cluster.call(_LIST_GROUPS, message, deadline, node=node) for node in nodes)
            )
            for answer in answers:
                raise_for(int(answer.error_code), "list groups")
            return [group for answer in answers for group in answer.groups]

        found = {
            group.group_id: GroupListing(
                group.group_id, group.group_state, group.protocol_type, group.group_type
            )
            for group in await self._cluster.retrying(attempt)
        }
        return [found[name] for name in sorted(found)]

    async def describe(self, group: str) -> GroupDescription:
        """Members, committed offsets and lag. Raises ``Invalid`` for a group nobody knows."""
        check_text("group", group, code=24)
        message = Message(groups=[group], include_authorized_operations=False)

        async def attempt(deadline: Deadline) -> Message:
            answer = await self._call(group, _DESCRIBE_GROUPS, message, deadline)
            (found,) = answer.groups
            self._check(group, int(found.error_code), f"group {group!r}", found.error_message)
            return found  # type: ignore[no-any-return]  # messages are dynamic

        try:
            found = await self._cluster.retrying(attempt)
        except Invalid as error:
            if error.code != _NOT_FOUND:
                raise
            found = Message(group_state="Dead", protocol_data="", members=[])
        if found.group_state == "Dead":
            found = await self._describe_modern(group) or found
        offsets = await self.lag(group)
        if found.group_state == "Dead" and not offsets:
            raise Invalid(f"there is no group {group!r}: see the list of groups", code=_NOT_FOUND)
        members = tuple(
            GroupMember(m.member_id, m.group_instance_id, m.client_id, m.client_host)
            for m in found.members
        )
        return GroupDescription(group, found.group_state, found.protocol_data, members, offsets)

    async def _describe_modern(self, group: str) -> Message | None:
        """A group of the consumer protocol in the shape of a classic one, if it is one."""
        node = await self._cluster.retrying(lambda left: self._cluster.coordinator(group, left))
        if _CONSUMER_GROUP_DESCRIBE not in (await self._cluster.connection(node)).versions:
            return None
        message = Message(group_ids=[group], include_authorized_operations=False)

        async def attempt(deadline: Deadline) -> Message | None:
            answer = await self._call(group, _CONSUMER_GROUP_DESCRIBE, message, deadline)
            (found,) = answer.groups
            if int(found.error_code) == _NOT_FOUND:
                return None
            self._check(group, int(found.error_code), f"group {group!r}", found.error_message)
            members = [
                Message(
                    member_id=member.member_id,
                    group_instance_id=member.instance_id,
                    client_id=member.client_id,
                    client_host=member.client_host,
                )
                for member in found.members
            ]
            return Message(
                group_state=found.group_state, protocol_data=found.assignor_name, members=members
            )

        return await self._cluster.retrying(attempt)

    async def lag(self, group: str) -> tuple[GroupOffset, ...]:
        """Where the group is in every partition it has committed, by topic and partition."""
        committed = await self.committed(group)
        topics: dict[str, list[int]] = {}
        for topic, partition in committed:
            topics.setdefault(topic, []).append(partition)
        ends: Offsets = {}
        for topic, partitions in topics.items():
            found = await list_offsets(self._cluster, topic, dict.fromkeys(partitions, LATEST))
            ends |= {(topic, index): place.offset for index, place in found.items()}
        return tuple(
            GroupOffset(topic, partition, offset, ends[topic, partition])
            for (topic, partition), offset in sorted(committed.items())
        )

    async def committed(self, group: str) -> Offsets:
        """The group's committed offsets, empty for an unknown group."""

        async def attempt(deadline: Deadline) -> Offsets:
            node = await self._cluster.coordinator(group, deadline)
            connection = await self._cluster.connection(node)
            names = await self._names(connection.version(_OFFSET_FETCH), deadline)
            asked = Message(group_id=group, member_id=None, member_epoch=-1, topics=None)
            message = Message(groups=[asked], require_stable=False)
            answer = await self._call(group, _OFFSET_FETCH, message, deadline)
            (found,) = answer.groups
            if int(found.error_code) == _NOT_FOUND:
                return {}
            self._check(group, int(found.error_code), f"offsets of group {group!r}")
            return {
                (topic.name or names[topic.topic_id], part.partition_index): part.committed_offset
                for topic in found.topics
                if topic.name or topic.topic_id in names
                for part in topic.partitions
                if part.committed_offset >= 0
            }

        return await self._cluster.retrying(attempt)

    async def _names(self, version: int, deadline: Deadline) -> dict[object, str]:
        if version < _BY_ID:
            return {}
        await self._cluster.refresh(None, deadline)
        return {topic.id: topic.name for topic in self._cluster.metadata.topics.values()}

    async def commit(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        """Set a group's offsets from outside. Raises ``Conflict`` while it has members."""
        check_offsets("offsets", offsets)
        topics: dict[str, list[Message]] = {}
        for (topic, partition), offset in offsets.items():
            topics.setdefault(topic, []).append(
                Message(partition_index=partition, committed_offset=offset, committed_metadata=None)
            )

        async def attempt(deadline: Deadline) -> None:
            entries = []
            for name, parts in topics.items():
                known = await self._cluster.topic(name, deadline)
                entries.append(Message(name=name, topic_id=known.id, partitions=parts))
            message = Message(
                group_id=group,
                generation_id_or_member_epoch=-1,
                member_id="",
                group_instance_id=None,
                topics=entries,
            )
            answer = await self._call(group, _OFFSET_COMMIT, message, deadline)
            for topic in answer.topics:
                for part in topic.partitions:
                    if int(part.error_code) == _UNKNOWN_MEMBER:
                        raise busy(group)
                    self._check(group, int(part.error_code), f"commit of group {group!r}")

        await self._cluster.retrying(attempt)

    async def require_idle(self, group: str) -> None:
        """Raise ``Conflict`` if the group has members now."""
        try:
            found = await self.describe(group)
        except Invalid as error:
            if error.code == _NOT_FOUND:
                return
            raise
        if found.members:
            raise busy(group, len(found.members))

    async def delete(self, group: str) -> None:
        """Forget a group and its offsets. Raises ``Conflict`` while it has members."""

        async def attempt(deadline: Deadline) -> None:
            message = Message(groups_names=[group])
            answer = await self._call(group, _DELETE_GROUPS, message, deadline)
            (result,) = answer.results
            self._check(group, int(result.error_code), f"delete group {group!r}")

        await self._cluster.retrying(attempt)

    async def _call(
        self, group: str, api_key: int, message: Message, deadline: Deadline
    ) -> Message:
        node = await self._cluster.coordinator(group, deadline)
        try:
            return await self._cluster.call(api_key, message, deadline, node=node)
        except MainstemError:
            self._cluster.forget_coordinator(group)
            raise

    def _check(self, group: str, code: int, subject: str, reason: str | None = None) -> None:
        if code in STALE_METADATA:
            self._cluster.forget_coordinator(group)
        raise_for(code, subject, reason)


def busy(group: str, members: int | None = None) -> Conflict:
    """The group has members, so its offsets are theirs to change."""
    count = "" if members is None else f"{members} "
    return Conflict(
        f"group {group!r} has {count}running member{'' if members == 1 else 's'}: stop its "
        "consumers first",
        code=_NON_EMPTY,
    )
