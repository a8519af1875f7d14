"""Groups of every client: split, take over, commit, restart, stay put, mix."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from interop.clients import Administrator, Client, Member, until
from interop.corpus import Placed, plain

COMMITTERS = ["confluent", "aio", "kafka_python", "java", "mainstem"]
ALL = [*COMMITTERS, "kcat"]
STRATEGIES = [
    ("confluent", "range"),
    ("confluent", "roundrobin"),
    ("confluent", "cooperative-sticky"),
    ("aio", "range"),
    ("aio", "roundrobin"),
    ("aio", "sticky"),
    ("kafka_python", "range"),
    ("kafka_python", "roundrobin"),
    ("kafka_python", "cooperative-sticky"),
    ("java", "range"),
    ("java", "roundrobin"),
    ("java", "sticky"),
    ("java", "cooperative-sticky"),
    ("kcat", "range"),
    ("kcat", "roundrobin"),
    ("mainstem", "range"),
    ("mainstem", "roundrobin"),
    ("mainstem", "sticky"),
    ("mainstem", "cooperative-sticky"),
]


def split(members: Sequence[Member], partitions: int, seen: list[Placed] | None = None) -> None:
    """Poll all members until they share the partitions evenly, each owned once."""

    def shared() -> bool:
        for member in members:
            found = member.poll()
            if seen is not None:
                seen.extend(found)
        owned = [member.assignment() for member in members]
        sizes = sorted(map(len, owned))
        return (
            set().union(*owned) == set(range(partitions))
            and sum(sizes) == partitions
            and sizes[-1] - sizes[0] <= 1
        )

    until(shared, lambda: f"assignments {[member.assignment() for member in members]}")


def values(seen: Sequence[Placed]) -> set[bytes | None]:
    return {each.record.value for each in seen}


@pytest.mark.parametrize(("client", "strategy"), STRATEGIES, indirect=["client"])
def test_two_members_split_partitions_and_one_takes_over(
    client: Client, strategy: str, admin: Administrator, name: str
) -> None:
    admin.create_topic(name, 4)
    early = plain(200)
    admin.produce(name, early, partition=None)
    seen: list[Placed] = []
    first = client.join(name, name, strategy=strategy)
    split([first], 4, seen)
    second = client.join(name, name, strategy=strategy)
    split([first, second], 4, seen)
    assert admin.group_size(name) == 2
    late = plain(100, start=200)
    admin.produce(name, late, partition=None)
    wanted = {each.value for each in early + late}

    def all_seen() -> bool:
        seen.extend(first.poll() + second.poll())
        return values(seen) >= wanted

    until(all_seen, lambda: f"{len(values(seen))} of {len(wanted)}")
    second.close()
    split([first], 4, seen)
    last = plain(100, start=300)
    admin.produce(name, last, partition=None)

    def rest_seen() -> bool:
        seen.extend(first.poll())
        return values(seen) >= {each.value for each in last}

    until(rest_seen, lambda: f"{len(values(seen))} of 400")
    assert values(seen) == {each.value for each in early + late + last}
    first.close()
    assert admin.group_size(name) == 0


@pytest.mark.parametrize("client", COMMITTERS, indirect=True)
def test_restart_continues_from_the_commit(
    client: Client, admin: Administrator, topic: str
) -> None:
    client.produce(topic, plain(100))
    seen: list[Placed] = []

    def some() -> bool:
        seen.extend(member.poll())
        return len(seen) >= 60

    member = client.join(topic, topic)
    until(some, lambda: f"{len(seen)} of 60")
    member.commit({0: 42})
    member.close()
    assert admin.committed(topic, topic, 0) == 42
    if isinstance(client, Administrator):
        assert client.committed(topic, topic, 0) == 42
    seen.clear()
    member = client.join(topic, topic)
    until(lambda: seen.extend(member.poll()) or seen, "anything after the restart")
    assert seen[0].offset == 42
    until(lambda: seen.extend(member.poll()) or len(seen) >= 58, lambda: f"{len(seen)} of 58")
    member.commit()
    member.close()
    assert [each.offset for each in seen] == list(range(42, 100))
    assert admin.committed(topic, topic, 0) == 100


def test_kcat_commits_what_it_printed(
    connect: Callable[[str], Client], admin: Administrator, topic: str
) -> None:
    kcat = connect("kcat")
    seen: list[Placed] = []
    for start in (0, 50):
        admin.produce(topic, plain(50, start=start))
        seen.clear()
        member = kcat.join(topic, topic)
        until(lambda: seen.extend(member.poll()) or len(seen) >= 50, lambda: f"{len(seen)} of 50")  # noqa: B023
        member.close()
        assert [each.offset for each in seen] == list(range(start, start + 50))
        assert admin.committed(topic, topic, 0) == start + 50


@pytest.mark.parametrize("client", ALL, indirect=True)
def test_static_member_comes_back_to_its_partitions(
    client: Client, admin: Administrator, name: str
) -> None:
    admin.create_topic(name, 4)
    first = client.join(name, name, instance="one")
    split([first], 4)
    second = client.join(name, name, instance="two")
    split([first, second], 4)
    owned, kept = first.assignment(), second.assignment()
    first.close()
    assert admin.group_size(name) == 2, "a static member that stops has not left"
    first = client.join(name, name, instance="one")
    split([first, second], 4)
    assert (first.assignment(), second.assignment()) == (owned, kept)
    second.close()
    first.close()


@pytest.mark.parametrize("client", ALL, indirect=True)
def test_new_group_starts_where_the_reset_says(
    client: Client, admin: Administrator, topic: str
) -> None:
    admin.produce(topic, plain(10))
    member = client.join(topic, topic, reset="latest")
    split([member], 1)
    # "latest" is looked up at the first poll after the assignment: write until one arrives.
    seen: list[Placed] = []

    def arrived() -> bool:
        admin.produce(topic, plain(1, start=admin.bounds(topic, 0)[1]))
        seen.extend(member.poll())
        return bool(seen)

    until(arrived, "a record written after joining")
    member.close()
    assert seen[0].offset >= 10
    offsets = [each.offset for each in seen]
    assert offsets == list(range(offsets[0], offsets[0] + len(offsets)))


@pytest.mark.parametrize("client", COMMITTERS, indirect=True)
def test_commit_behind_the_log_start_resets_to_earliest(
    client: Client, admin: Administrator, topic: str
) -> None:
    admin.produce(topic, plain(50))
    member = client.join(topic, topic)
    split([member], 1)
    member.commit({0: 5})
    member.close()
    admin.delete_records(topic, 0, 30)
    seen: list[Placed] = []
    member = client.join(topic, topic, reset="earliest")
    until(lambda: seen.extend(member.poll()) or seen, "anything after the reset")
    member.close()
    assert seen[0].offset == 30


def test_clients_of_all_kinds_share_one_group(
    connect: Callable[[str], Client], admin: Administrator, name: str
) -> None:
    admin.create_topic(name, 10)
    admin.produce(name, plain(500), partition=None)
    seen: list[Placed] = []
    members: list[Member] = []
    for each in ALL:
        members.append(connect(each).join(name, name, strategy="range"))
        split(members, 10, seen)
    assert admin.group_size(name) == len(ALL)
    wanted = {each.value for each in plain(500)}

    def all_seen() -> bool:
        for member in members:
            seen.extend(member.poll())
        return values(seen) >= wanted

    until(all_seen, lambda: f"{len(values(seen))} of {len(wanted)}")
    while len(members) > 1:
        members.pop(0).close()
        split(members, 10, seen)
    members.pop().close()
    assert admin.group_size(name) == 0
