"""The sticky assignors: balanced first, then as little as possible moves.

Java's AbstractStickyAssignor approximates the balance when members want different topics; here
it is exact: while some chain of moves brings a partition from a member to one that has two
fewer, it is made. With equal subscriptions both give every member the floor or the ceiling.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from mainstem.client.consumer.assignors import Assignment, Candidate
from mainstem.client.consumer.subscription import (
    TopicPartition,
    read_generation,
    read_sticky,
    write_generation,
    write_sticky,
)
from mainstem.errors import Corrupt

#: What a member says it had, and in which generation.
Claim = tuple[Iterable[TopicPartition], int]


class Sticky:
    """Everybody gives up everything at a rebalance, and most of it comes back."""

    name = "sticky"
    cooperative = False

    def user_data(self, owned: Iterable[TopicPartition], generation: int) -> bytes | None:
        """What the member had."""
        return write_sticky(owned, generation)

    def assign(self, members: list[Candidate], partitions: Mapping[str, int]) -> Assignment:
        """See ``Assignor``. User data that cannot be read counts as none, as in Java."""
        claims: dict[str, Claim] = {}
        for member in members:
            try:
                claims[member.id] = read_sticky(member.subscription.user_data)
            except Corrupt:
                claims[member.id] = (), -1
        return balance(members, partitions, claims)


class CooperativeSticky:
    """Members keep what they have; what moves is given up first, assigned a rebalance later."""

    name = "cooperative-sticky"
    cooperative = True

    def user_data(self, owned: Iterable[TopicPartition], generation: int) -> bytes | None:  # noqa: ARG002
        """The generation, for leaders that know only version 1 of the subscription."""
        return write_generation(generation)

    def assign(self, members: list[Candidate], partitions: Mapping[str, int]) -> Assignment:
        """See ``Assignor``. A partition that changes hands is nobody's this time (KIP-429)."""
        claims = {member.id: _cooperative_claim(member) for member in members}
        found = balance(members, partitions, claims)
        owners: dict[TopicPartition, set[str]] = {}
        for member in members:
            for partition in member.subscription.owned:
                owners.setdefault(partition, set()).add(member.id)
        return {
            name: [part for part in parts if not owners.get(part, set()) - {name}]
            for name, parts in found.items()
        }


def _cooperative_claim(member: Candidate) -> Claim:
    generation = member.subscription.generation
    if generation < 0:
        try:
            generation = read_generation(member.subscription.user_data)
        except Corrupt:
            generation = -1
    return member.subscription.owned, generation


def balance(
    members: list[Candidate], partitions: Mapping[str, int], claims: Mapping[str, Claim]
) -> Assignment:
    """Give out all partitions evenly, leaving each where it is claimed if that is possible."""
    members = sorted(members, key=lambda member: member.rank)
    wanted = {member.id: frozenset(member.subscription.topics) for member in members}
    owner = _owners(claims, partitions, wanted)
    held: dict[str, dict[str, set[int]]] = {name: {} for name in wanted}
    load = dict.fromkeys(wanted, 0)
    for (topic, number), name in owner.items():
        held[name].setdefault(topic, set()).add(number)
        load[name] += 1
    for topic in sorted(partitions, key=lambda topic: (_seekers(topic, wanted), topic)):
        takers = [name for name in wanted if topic in wanted[name]]
        for number in range(partitions[topic]):
            if takers and (topic, number) not in owner:
                name = min(takers, key=load.__getitem__)
                held[name].setdefault(topic, set()).add(number)
                load[name] += 1
    _level(held, load, wanted)
    return {
        name: sorted((topic, number) for topic, numbers in mine.items() for number in numbers)
        for name, mine in held.items()
    }


def _seekers(topic: str, wanted: Mapping[str, frozenset[str]]) -> int:
    return sum(topic in topics for topics in wanted.values())


def _owners(
    claims: Mapping[str, Claim],
    partitions: Mapping[str, int],
    wanted: Mapping[str, frozenset[str]],
) -> dict[TopicPartition, str]:
    """The one with the newest claim; nobody where two claim in the same generation."""
    newest: dict[TopicPartition, tuple[int, str | None]] = {}
    for name, (owned, generation) in claims.items():
        for part in owned:
            before, holder = newest.get(part, (-2, None))
            if generation > before:
                newest[part] = generation, name
            elif generation == before and holder != name:
                newest[part] = generation, None
    return {
        (topic, number): name
        for (topic, number), (_, name) in newest.items()
        if name is not None and topic in wanted[name] and 0 <= number < partitions.get(topic, 0)
    }


def _level(
    held: dict[str, dict[str, set[int]]],
    load: dict[str, int],
    wanted: Mapping[str, frozenset[str]],
) -> None:
    settled: set[str] = set()
    while len(settled) < len(load) and max(load.values()) - min(load.values()) > 1:
        giver = max((name for name in load if name not in settled), key=load.__getitem__)
        path = _path(giver, held, load, wanted)
        if path is None:
            settled.add(giver)
            continue
        for source, topic, target in path:
            number = max(held[source][topic])
            held[source][topic].discard(number)
            if not held[source][topic]:
                del held[source][topic]
            held[target].setdefault(topic, set()).add(number)
        load[giver] -= 1
        load[path[-1][2]] += 1
        settled.clear()


def _path(
    giver: str,
    held: Mapping[str, Mapping[str, set[int]]],
    load: Mapping[str, int],
    wanted: Mapping[str, frozenset[str]],
) -> list[tuple[str, str, str]] | None:
    """The shortest chain of (from, topic, to) that ends at a member with two fewer."""
    came: dict[str, tuple[str, str]] = {}
    queue = deque([giver])
    while queue:
        name = queue.popleft()
        reach = sorted(
            (load[other], other, topic)
            for other in load
            if other != giver and other not in came
            for topic in sorted(held[name].keys() & wanted[other])[:1]
        )
        for amount, other, topic in reach:
            came[other] = name, topic
            if amount <= load[giver] - 2:
                return _trace(giver, other, came)
            queue.append(other)
    return None


def _trace(
    giver: str, last: str, came: Mapping[str, tuple[str, str]]
) -> list[tuple[str, str, str]]:
    path: list[tuple[str, str, str]] = []
    while last != giver:
        before, topic = came[last]
        path.append((before, topic, last))
        last = before
    return path[::-1]
