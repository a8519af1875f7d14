"""Who gets which partition: Java's results for the simple ones, proven properties for sticky."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.client.consumer.assignors import Assignment, Candidate, Range, RoundRobin
from mainstem.client.consumer.sticky import CooperativeSticky, Sticky
from mainstem.client.consumer.subscription import (
    Subscription,
    read_assignment,
    read_generation,
    read_sticky,
    read_subscription,
    write_assignment,
    write_generation,
    write_sticky,
    write_subscription,
)
from mainstem.errors import Corrupt

TOPICS = ["a", "b", "c", "d"]
PARTITION = st.tuples(st.sampled_from(TOPICS), st.integers(0, 8))


def member(name: str, *topics: str, instance: str | None = None, **more: Any) -> Candidate:
    return Candidate(name, Subscription(tuple(topics), **more), instance)


def numbers(found: Assignment) -> dict[str, list[str]]:
    return {name: [f"{topic}{number}" for topic, number in mine] for name, mine in found.items()}


# --- the simple ones: examples of Java's RangeAssignorTest and RoundRobinAssignorTest ---------


def test_range_gives_the_first_members_one_more_of_each_topic() -> None:
    found = Range().assign([member("c2", "a", "b"), member("c1", "a", "b")], {"a": 3, "b": 3})
    assert numbers(found) == {"c1": ["a0", "a1", "b0", "b1"], "c2": ["a2", "b2"]}


def test_range_counts_only_members_that_want_the_topic() -> None:
    members = [member("c1", "a"), member("c2", "a", "b"), member("c3", "a")]
    found = Range().assign(members, {"a": 3, "b": 2})
    assert numbers(found) == {"c1": ["a0"], "c2": ["a1", "b0", "b1"], "c3": ["a2"]}


def test_static_members_come_first_by_their_instance_id() -> None:
    members = [member("z", "a"), member("y", "a", instance="2"), member("x", "a", instance="1")]
    assert numbers(Range().assign(members, {"a": 3})) == {"x": ["a0"], "y": ["a1"], "z": ["a2"]}


def test_roundrobin_deals_over_all_topics() -> None:
    found = RoundRobin().assign([member("c1", "a", "b"), member("c2", "a", "b")], {"a": 3, "b": 3})
    assert numbers(found) == {"c1": ["a0", "a2", "b1"], "c2": ["a1", "b0", "b2"]}


def test_roundrobin_skips_who_does_not_want_the_topic() -> None:
    members = [member("c1", "a"), member("c2", "a", "b"), member("c3", "a", "b", "c")]
    found = RoundRobin().assign(members, {"a": 1, "b": 2, "c": 3})
    assert numbers(found) == {"c1": ["a0"], "c2": ["b0"], "c3": ["b1", "c0", "c1", "c2"]}


@pytest.mark.parametrize("assignor", [Range(), RoundRobin(), Sticky(), CooperativeSticky()])
def test_topics_that_nobody_wants_are_nobodys(assignor: Any) -> None:
    assert assignor.assign([member("c1", "a")], {"b": 3}) == {"c1": []}


# --- sticky -----------------------------------------------------------------------------------


@st.composite
def groups(draw: st.DrawFn) -> tuple[list[tuple[str, list[str]]], dict[str, int]]:
    """Members with their topics, and how many partitions each topic has."""
    count = draw(st.integers(1, 6))
    wish = st.lists(st.sampled_from(TOPICS), min_size=1, max_size=4, unique=True)
    same = draw(st.booleans())
    first = draw(wish)
    wishes = [(f"m{n}", first if same else draw(wish)) for n in range(count)]
    return wishes, {topic: draw(st.integers(0, 9)) for topic in TOPICS}


def check_complete(found: Assignment, members: list[Candidate], partitions: dict[str, int]) -> None:
    wanted = {topic for each in members for topic in each.subscription.topics}
    given_out = sorted(part for mine in found.values() for part in mine)
    assert given_out == sorted((t, n) for t in wanted for n in range(partitions.get(t, 0)))
    for each in members:
        assert all(topic in each.subscription.topics for topic, _ in found[each.id])


def check_balanced(found: Assignment, members: list[Candidate]) -> None:
    """No single partition can move to a member with two fewer."""
    for giver in members:
        for taker in members:
            if len(found[giver.id]) - len(found[taker.id]) >= 2:
                assert not {t for t, _ in found[giver.id]} & set(taker.subscription.topics)


def with_claims(wishes: list[tuple[str, list[str]]], owned: Assignment, generation: int) -> Any:
    data = {name: write_sticky(owned.get(name, []), generation) for name, _ in wishes}
    return [member(name, *topics, user_data=data[name]) for name, topics in wishes]


@settings(max_examples=80, deadline=None)
@given(groups(), st.data())
def test_sticky_is_complete_and_balanced_whatever_is_claimed(group: Any, data: Any) -> None:
    wishes, partitions = group
    members = []
    for name, topics in wishes:
        owned = data.draw(st.lists(PARTITION, max_size=12))
        user_data = write_sticky(owned, data.draw(st.integers(-1, 3)))
        members.append(member(name, *topics, user_data=user_data))
    found = Sticky().assign(members, partitions)
    check_complete(found, members, partitions)
    check_balanced(found, members)


@settings(max_examples=80, deadline=None)
@given(groups())
def test_sticky_changes_nothing_while_nothing_changes(group: Any) -> None:
    wishes, partitions = group
    first = Sticky().assign(with_claims(wishes, {}, -1), partitions)
    assert Sticky().assign(with_claims(wishes, first, 1), partitions) == first


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 6), st.integers(0, 40))
def test_sticky_moves_only_what_a_newcomer_needs(count: int, partitions: int) -> None:
    wishes = [(f"m{n}", ["a"]) for n in range(count)]
    before = Sticky().assign(with_claims(wishes, {}, -1), {"a": partitions})
    more = [*wishes, ("new", ["a"])]
    after = Sticky().assign(with_claims(more, before, 1), {"a": partitions})
    moved = sum(len(set(after[name]) - set(before[name])) for name, _ in wishes)
    assert moved == 0
    assert len(after["new"]) == partitions // (count + 1)


def test_the_newest_claim_wins_and_equal_claims_lose() -> None:
    claims = {
        "m1": write_sticky([("a", 0), ("a", 1)], 4),
        "m2": write_sticky([("a", 0), ("a", 2)], 5),
        "m3": write_sticky([("a", 3), ("a", 2)], 5),
    }
    members = [member(name, "a", user_data=data) for name, data in claims.items()]
    found = numbers(Sticky().assign(members, {"a": 4}))
    assert found == {"m1": ["a1", "a2"], "m2": ["a0"], "m3": ["a3"]}


def test_user_data_that_cannot_be_read_is_no_claim() -> None:
    members = [member("m1", "a", user_data=b"\xff\xff"), member("m2", "a", user_data=b"")]
    assert numbers(Sticky().assign(members, {"a": 2})) == {"m1": ["a0"], "m2": ["a1"]}


def cooperative(
    wishes: list[tuple[str, list[str]]], owned: Assignment, generation: int
) -> list[Candidate]:
    return [
        member(name, *topics, owned=tuple(owned.get(name, ())), generation=generation)
        for name, topics in wishes
    ]


@settings(max_examples=80, deadline=None)
@given(groups(), groups())
def test_cooperative_never_gives_what_another_still_has(before: Any, after: Any) -> None:
    (old, partitions), (new, _) = before, after
    owned = CooperativeSticky().assign(cooperative(old, {}, -1), partitions)
    owned = {
        name: [part for part in owned.get(name, []) if part[0] in topics] for name, topics in new
    }
    for generation in (1, 2, 3):
        members = cooperative(new, owned, generation)
        found = CooperativeSticky().assign(members, partitions)
        for name, mine in found.items():
            others = {part for other, has in owned.items() if other != name for part in has}
            assert not set(mine) & others
        owned = found
    check_complete(owned, members, partitions)  # at the second rebalance all is given out
    check_balanced(owned, members)


def test_cooperative_reads_the_generation_of_older_members_from_their_user_data() -> None:
    stale = member("m1", "a", owned=(("a", 0),), user_data=write_generation(3))
    fresh = member("m2", "a", owned=(("a", 0),), user_data=write_generation(4))
    found = CooperativeSticky().assign([stale, fresh], {"a": 2})
    assert ("a", 0) not in found["m1"]


# --- the wire: kio's classes of the same schemas are the oracle --------------------------------


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text(max_size=20), max_size=4, unique=True),
    st.lists(PARTITION, max_size=10, unique=True),
    st.integers(-1, 2**31 - 1),
    st.none() | st.binary(max_size=30),
    st.none() | st.text(max_size=10),
)
def test_a_subscription_survives(
    topics: list[str], owned: list[Any], generation: int, user_data: Any, rack: Any
) -> None:
    said = Subscription(tuple(sorted(topics)), tuple(sorted(owned)), generation, user_data, rack)
    assert read_subscription(write_subscription(said)) == said


@given(st.lists(PARTITION, max_size=20, unique=True), st.integers(-1, 2**31 - 1))
def test_user_data_survives(owned: list[Any], generation: int) -> None:
    assert read_sticky(write_sticky(owned, generation)) == (tuple(sorted(owned)), generation)
    assert read_generation(write_generation(generation)) == generation
    assert read_assignment(write_assignment(owned)) == frozenset(owned)


def test_subscriptions_of_java_are_read_and_written_byte_for_byte() -> None:
    """Version 3 of topics [a, b], user data 2 bytes, owned a-0 a-1, generation 7, rack r1."""
    data = (
        b"\x00\x03" + b"\x00\x00\x00\x02" + b"\x00\x01a" + b"\x00\x01b"
        + b"\x00\x00\x00\x02ud"
        + b"\x00\x00\x00\x01" + b"\x00\x01a" + b"\x00\x00\x00\x02" + bytes(4) + b"\x00\x00\x00\x01"
        + b"\x00\x00\x00\x07" + b"\x00\x02r1"
    )  # fmt: skip
    said = Subscription(("a", "b"), (("a", 0), ("a", 1)), 7, b"ud", "r1")
    assert read_subscription(data) == said
    assert write_subscription(said) == data


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_older_subscriptions_are_read(version: int) -> None:
    whole = write_subscription(Subscription(("a",), (("a", 4),), 9, b"u", "r"))
    cut = {0: 14, 1: 14 + 15, 2: 14 + 19, 3: len(whole)}[version]
    found = read_subscription(version.to_bytes(2, "big") + whole[2:cut])
    assert found.topics == ("a",)
    assert found.user_data == b"u"
    assert found.owned == ((("a", 4),) if version >= 1 else ())
    assert found.generation == (9 if version >= 2 else -1)
    assert found.rack == ("r" if version >= 3 else None)


def test_a_newer_subscription_is_read_as_far_as_known() -> None:
    whole = write_subscription(Subscription(("a",), (), 9, None, None))
    assert read_subscription(b"\x00\x09" + whole[2:] + b"future").generation == 9


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (read_subscription, read_assignment, read_sticky, read_generation):
        with suppress(Corrupt):
            read(data)


@pytest.mark.parametrize("cut", range(2, 47))
def test_a_cut_subscription_is_refused(cut: int) -> None:
    whole = write_subscription(Subscription(("abc",), (("abc", 1),), 7, b"12345", "rack"))
    assert len(whole) == 47
    with pytest.raises(Corrupt):
        read_subscription(whole[:cut])


@pytest.mark.parametrize("count", [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"])
def test_a_count_that_cannot_be_is_refused(count: bytes) -> None:
    with pytest.raises(Corrupt, match="elements in"):
        read_subscription(b"\0\0" + count + b"\xff\xff\xff\xff")
    with pytest.raises(Corrupt, match="elements in"):
        read_assignment(b"\0\0" + count + b"\xff\xff\xff\xff")


@pytest.mark.parametrize("rack", [None, "r1"])
def test_apache_kafkas_schema_reads_what_is_written(rack: str | None) -> None:
    """kio's classes are generated from Apache Kafka's JSON."""
    from kio.schema.consumer_protocol_subscription.v3 import data as schema
    from kio.serial import entity_reader

    said = Subscription(("a", "b"), (("a", 1), ("b", 2)), 5, b"x", rack)
    data = write_subscription(said)[2:]  # the version comes before the schema
    found, end = entity_reader(schema.ConsumerProtocolSubscription)(data, 0)
    assert end == len(data)
    assert (found.topics, found.user_data, found.generation_id) == (("a", "b"), b"x", 5)
    owned = [(part.topic, part.partitions) for part in found.owned_partitions]
    assert owned == [("a", (1,)), ("b", (2,))]
    assert found.rack_id == rack


def test_apache_kafkas_schema_reads_our_assignments() -> None:
    from kio.schema.consumer_protocol_assignment.v0 import data as schema
    from kio.serial import entity_reader

    data = write_assignment([("b", 0), ("a", 2), ("a", 1)])
    found, end = entity_reader(schema.ConsumerProtocolAssignment)(data[2:], 0)
    assert (data[:2], end) == (b"\0\0", len(data) - 2)
    parts = [(part.topic, part.partitions) for part in found.assigned_partitions]
    assert parts == [("a", (1, 2)), ("b", (0,))]
    assert found.user_data is None
