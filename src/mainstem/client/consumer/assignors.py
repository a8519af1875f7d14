"""Who gets which partition: the leader's work, as Java's assignors do it.

Members of several kinds share a group, and any of them may lead it; so ``range`` and
``roundrobin`` give exactly what Java's give, and the sticky ones read and write Java's user data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from mainstem.client.consumer.subscription import Subscription, TopicPartition

#: What each member gets, by member id.
Assignment = dict[str, list[TopicPartition]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A member as its leader sees it."""

    id: str
    subscription: Subscription
    instance_id: str | None = None

    @property
    def rank(self) -> tuple[bool, str]:
        """Java's order: static members first, by instance id, then the others by member id."""
        return self.instance_id is None, self.id if self.instance_id is None else self.instance_id


class Assignor(Protocol):
    """A strategy; stateless, so one may serve many members."""

    name: str
    cooperative: bool

    def user_data(self, owned: Iterable[TopicPartition], generation: int) -> bytes | None:
        """What this member tells the leader besides its topics."""
        ...

    def assign(self, members: list[Candidate], partitions: Mapping[str, int]) -> Assignment:
        """Give out all partitions of each topic; ``partitions`` is how many a topic has."""
        ...


class Range:
    """Per topic, a contiguous range for each member; the first ones get one more."""

    name = "range"
    cooperative = False

    def user_data(self, owned: Iterable[TopicPartition], generation: int) -> bytes | None:  # noqa: ARG002
        """None."""
        return None

    def assign(self, members: list[Candidate], partitions: Mapping[str, int]) -> Assignment:
        """See ``Assignor``."""
        found: Assignment = {member.id: [] for member in members}
        ranked = sorted(members, key=lambda member: member.rank)
        for topic in sorted(partitions):
            mine = [member for member in ranked if topic in member.subscription.topics]
            start = 0
            for index, member in enumerate(mine):
                size = partitions[topic] // len(mine) + (index < partitions[topic] % len(mine))
                found[member.id] += [(topic, number) for number in range(start, start + size)]
                start += size
        return found


class RoundRobin:
    """All partitions of all topics in turn over the members that want them."""

    name = "roundrobin"
    cooperative = False

    def user_data(self, owned: Iterable[TopicPartition], generation: int) -> bytes | None:  # noqa: ARG002
        """None."""
        return None

    def assign(self, members: list[Candidate], partitions: Mapping[str, int]) -> Assignment:
        """See ``Assignor``."""
        found: Assignment = {member.id: [] for member in members}
        ranked = sorted(members, key=lambda member: member.rank)
        turn = 0
        for topic in sorted(partitions):
            if not any(topic in member.subscription.topics for member in ranked):
                continue
            for number in range(partitions[topic]):
                while topic not in ranked[turn % len(ranked)].subscription.topics:
                    turn += 1
                found[ranked[turn % len(ranked)].id].append((topic, number))
                turn += 1
        return found
