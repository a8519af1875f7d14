"""Mainstem's members beside others in one group: either may lead, nothing is lost or doubled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from interop.clients import Administrator, Client, Member, until
from interop.corpus import Placed, plain

MIXES = [
    ("range", "java"),
    ("range", "confluent"),
    ("roundrobin", "java"),
    ("roundrobin", "kafka_python"),
    ("sticky", "java"),
    ("sticky", "aio"),
    ("cooperative-sticky", "java"),
    ("cooperative-sticky", "confluent"),
    ("cooperative-sticky", "kafka_python"),
]


def settled(members: Sequence[Member], partitions: int, seen: list[Placed]) -> None:
    """Poll until every partition has one owner and loads differ by one at most."""

    def shared() -> bool:
        for member in members:
            seen.extend(member.poll())
        owned = [member.assignment() for member in members]
        sizes = sorted(map(len, owned))
        whole = set().union(*owned) == set(range(partitions)) and sum(sizes) == partitions
        return whole and sizes[-1] - sizes[0] <= 1

    until(shared, lambda: f"assignments {[member.assignment() for member in members]}")


@pytest.mark.parametrize("leader", ["mainstem", "other"])
@pytest.mark.parametrize(("strategy", "other"), MIXES)
def test_two_kinds_of_members_share_one_group(
    strategy: str,
    other: str,
    leader: str,
    connect: Callable[[str], Client],
    admin: Administrator,
    name: str,
) -> None:
    admin.create_topic(name, 7)
    admin.produce(name, plain(300), partition=None)
    order = ["mainstem", other] if leader == "mainstem" else [other, "mainstem"]
    seen: list[Placed] = []
    members = [connect(order[0]).join(name, name, strategy=strategy)]
    settled(members, 7, seen)
    before = members[0].assignment()
    for _ in range(2):  # three members: the second kind rejoins an existing group, too
        members.append(connect(order[1]).join(name, name, strategy=strategy))
        settled(members, 7, seen)
    if "sticky" in strategy:
        assert members[0].assignment() < before, "a sticky member keeps of what it had"
    wanted = {each.value for each in plain(300)}

    def all_seen() -> bool:
        for member in members:
            seen.extend(member.poll())
        return {each.record.value for each in seen} >= wanted

    until(all_seen, lambda: f"{len({each.record.value for each in seen})} of 300")
    members.pop(0).close()  # the leader leaves: somebody else must be able to lead
    settled(members, 7, seen)
    for member in members:
        member.close()


@pytest.mark.parametrize("other", ["java", "confluent", "kafka_python", "aio"])
@pytest.mark.parametrize("first", ["classic", "consumer"])
def test_classic_members_of_others_share_a_group_of_the_new_protocol(
    first: str,
    other: str,
    target: str,
    connect: Callable[[str], Client],
    admin: Administrator,
    name: str,
) -> None:
    """KIP-848's coordinator converts the group at the first member of the other protocol."""
    if target == "mainstem":
        pytest.skip("not offered there")
    admin.create_topic(name, 4)
    admin.produce(name, plain(100), partition=None)
    seen: list[Placed] = []
    joins: list[Callable[[], Member]] = [
        lambda: connect(other).join(name, name, strategy="range"),
        lambda: connect("mainstem").join(name, name, protocol="consumer"),
    ]
    if first == "consumer":
        joins.reverse()
    members = [joins[0]()]
    settled(members, 4, seen)
    members.append(joins[1]())
    settled(members, 4, seen)
    wanted = {each.value for each in plain(100)}

    def all_seen() -> bool:
        for member in members:
            seen.extend(member.poll())
        return {each.record.value for each in seen} >= wanted

    until(all_seen, lambda: f"{len({each.record.value for each in seen})} of 100")
    members.pop(0).close()
    settled(members, 4, seen)
    members.pop().close()
