"""Groups from outside: offsets, lag, reset, and hands off while members run."""

from __future__ import annotations

import asyncio
import datetime
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import mainstem as ms

MakeTopic = Callable[..., ms.Topic]


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def topic(make_topic: MakeTopic) -> ms.Topic:
    found = make_topic(2)
    for index in range(2):
        found.append([{"value": "x", "_timestamp": n * 1000} for n in range(10)], partition=index)
    return found


@pytest.fixture
def member(topic: ms.Topic, group: str, stem: ms.Stem) -> Iterator[None]:
    """Another program's consumer, running in the group."""
    kafka = pytest.importorskip("confluent_kafka")
    settings = {"bootstrap.servers": stem.address, "group.id": group, "client.id": "other"}
    consumer = kafka.Consumer(settings | {"auto.offset.reset": "earliest"})
    consumer.subscribe([topic.name])
    while consumer.poll(0.1) is None:
        pass
    yield
    consumer.close()


def test_committed_offsets_come_back_with_their_lag(
    stem: ms.Stem, topic: ms.Topic, group: str
) -> None:
    stem.commit(group, {(topic.name, 0): 4, (topic.name, 1): 10})
    assert stem.committed(group) == {(topic.name, 0): 4, (topic.name, 1): 10}
    found = stem.describe_group(group)
    assert (found.state, found.members, found.lag) == ("Empty", (), 6)
    assert [(part.committed, part.end, part.lag) for part in found.offsets] == [
        (4, 10, 6), (10, 10, 0),
    ]  # fmt: skip
    assert group in [each.name for each in stem.groups()]


def test_an_unknown_group_has_no_offsets_and_no_description(stem: ms.Stem, group: str) -> None:
    assert stem.committed(group) == {}
    with pytest.raises(ms.Invalid, match=f"no group '{group}'") as caught:
        stem.describe_group(group)
    assert caught.value.code == 69


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("earliest", {0: 0, 1: 0}),
        ("latest", {0: 10, 1: 10}),
        (3, {0: 3, 1: 3}),
        ({1: 7}, {1: 7}),
        (datetime.datetime.fromtimestamp(6, datetime.UTC), {0: 6, 1: 6}),
    ],
    ids=str,
)
def test_a_group_is_moved(
    stem: ms.Stem, topic: ms.Topic, group: str, to: Any, expected: dict[int, int]
) -> None:
    stem.commit(group, {(topic.name, 0): 5})
    moved = stem.reset_group(group, topic.name, to)
    before = {0: 5, 1: None}
    assert moved == {index: (before[index], at) for index, at in expected.items()}
    after = {index: at for (_, index), at in stem.committed(group).items()}
    assert after == {0: 5} | expected


def test_a_dry_run_changes_nothing(stem: ms.Stem, topic: ms.Topic, group: str) -> None:
    stem.commit(group, {(topic.name, 0): 5})
    moved = stem.reset_group(group, topic.name, "latest", dry_run=True)
    assert moved == {0: (5, 10), 1: (None, 10)}
    assert stem.committed(group) == {(topic.name, 0): 5}


def test_a_group_is_not_moved_outside_the_topic(stem: ms.Stem, topic: ms.Topic, group: str) -> None:
    with pytest.raises(ms.Invalid, match="to=11 is outside"):
        stem.reset_group(group, topic.name, 11)


def test_a_group_with_members_is_left_alone(
    stem: ms.Stem, topic: ms.Topic, group: str, member: None
) -> None:
    found = stem.describe_group(group)
    assert found.state == "Stable"
    assert [one.client_id for one in found.members] == ["other"]
    for change in (
        lambda: stem.reset_group(group, topic.name, "earliest"),
        lambda: stem.commit(group, {(topic.name, 0): 1}),
        lambda: stem.require_idle(group),
        lambda: stem.delete_group(group),
    ):
        with pytest.raises(ms.Conflict, match="member"):
            change()


def test_a_deleted_group_is_forgotten(stem: ms.Stem, topic: ms.Topic, group: str) -> None:
    stem.commit(group, {(topic.name, 0): 5})
    stem.delete_group(group)
    assert stem.committed(group) == {}
    with pytest.raises(ms.Invalid):
        stem.delete_group(group)


def test_tasks_administer_groups_and_topics_as_well(
    stem: ms.Stem, topic: ms.Topic, group: str
) -> None:
    where = topic.name, 0

    async def main() -> None:
        async with await ms.aconnect(stem.address) as other:
            _, last = await (await other.topic(topic.name)).offsets()
            await other.commit(group, {where: 1})
            assert await other.committed(group) == {where: 1}
            assert group in [found.name for found in await other.groups()]
            assert (await other.describe_group(group)).lag == last[0] - 1
            await other.require_idle(group)
            moved = await other.reset_group(group, topic.name, {0: 0})
            assert moved == {0: (1, 0)}
            await other.delete_group(group)
            assert await other.committed(group) == {}
            await other.alter_topic(topic.name, config={"retention.ms": 3_600_000})
            settings = {each.name: each.value for each in await other.topic_settings(topic.name)}
            assert settings["retention.ms"] == "3600000"
            assert await other.delete_records(topic.name, {0: 1}) == {0: 1}
            assert (await other.describe_topic(topic.name)).partitions[0].start == 1
            await other.delete_topic(topic.name)
            assert topic.name not in await other.topics()

    asyncio.run(main())
