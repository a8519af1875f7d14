"""Topics from the client: create, describe, change, delete."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable

import pytest

import mainstem as ms
from mainstem.testing import RunningBroker


def until(condition: Callable[[], object]) -> None:
    """Brokers of a cluster hear of a change by themselves."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "gave up waiting"


def fresh() -> str:
    return f"admin-{uuid.uuid4().hex[:12]}"


def test_a_created_topic_can_be_used_at_once(stem: ms.Stem) -> None:
    name = fresh()
    topic = stem.create_topic(name, 3, config={"retention.ms": 5000, "cleanup.policy": ["delete"]})
    assert topic.append([b"x"]).rows == 1
    assert name in stem.topics()
    found = topic.describe()
    assert [part.index for part in found.partitions] == [0, 1, 2]
    assert [(part.start, part.end) for part in found.partitions] == [(0, 1), (0, 0), (0, 0)]
    assert found.offsets == 1
    assert {s.name: s.value for s in found.settings} == {
        "cleanup.policy": "delete",
        "retention.ms": "5000",
    }
    assert uuid.UUID(found.id)


def test_creating_what_exists_is_a_conflict_unless_it_may(stem: ms.Stem) -> None:
    name = fresh()
    stem.create_topic(name, 2)
    with pytest.raises(ms.Conflict) as caught:
        stem.create_topic(name)
    assert caught.value.code == 36
    assert len(stem.topic(name, 5, create=True).describe().partitions) == 2


@pytest.mark.parametrize(
    ("name", "partitions", "config", "message"),
    [
        ("a/b", 1, {}, "a/b"),
        ("", 1, {}, "create topic ''"),
        (".", 1, {}, "create topic"),
        ("x" * 250, 1, {}, "create topic"),
        ("fine", 0, {}, "partitions=0 is not valid"),
        ("fine", 1, {"retention": 1}, "retention"),
        ("fine", 1, {"retention.ms": "soon"}, "soon"),
    ],
)
def test_a_topic_that_cannot_be_is_invalid(
    stem: ms.Stem, name: str, partitions: int, config: dict[str, object], message: str
) -> None:
    with pytest.raises(ms.Invalid, match=message):
        stem.create_topic(name, partitions, config=config)


def test_partitions_without_create_are_invalid(stem: ms.Stem) -> None:
    with pytest.raises(ms.Invalid, match="add create=True"):
        stem.topic("any", 3)


def test_a_topic_grows_and_its_settings_change_and_go_back(stem: ms.Stem) -> None:
    name = fresh()
    topic = stem.create_topic(name, 1)
    stem.alter_topic(name, partitions=4, config={"retention.ms": 1234})
    assert list(topic.append([b"x"], partition=3).partitions) == [3]
    assert {s.name: s.value for s in topic.describe().settings} == {"retention.ms": "1234"}
    stem.alter_topic(name, config={"retention.ms": None})
    assert topic.describe().settings == ()
    with pytest.raises(ms.Invalid) as caught:
        stem.alter_topic(name, partitions=2)
    assert caught.value.code == 37


def test_all_settings_say_where_they_come_from(stem: ms.Stem) -> None:
    name = fresh()
    stem.create_topic(name, config={"segment.bytes": 2 << 20})
    found = {setting.name: setting for setting in stem.topic_settings(name)}
    assert found["segment.bytes"].source == "topic"
    assert found["retention.ms"].source != "topic"
    assert len(found) > 15


def test_records_can_be_dropped_from_the_front(stem: ms.Stem) -> None:
    topic = stem.create_topic(fresh(), 2)
    topic.append([b"x"] * 5, partition=1)
    assert stem.delete_records(topic.name, {1: 3}) == {1: 3}
    assert topic.offsets() == ({0: 0, 1: 3}, {0: 0, 1: 5})


def test_a_deleted_topic_is_gone_and_its_name_free(stem: ms.Stem) -> None:
    topic = stem.create_topic(fresh())
    topic.append([b"old"])
    stem.delete_topic(topic.name)
    assert topic.name not in stem.topics()
    again = stem.create_topic(topic.name)
    assert again.offsets() == ({0: 0}, {0: 0})
    assert again.append([b"new"]).partitions[0].first_offset == 0
    assert [batch["value"].to_pylist() for batch in again.read()] == [[b"new"]]


@pytest.mark.parametrize("change", ["delete_topic", "describe_topic", "alter_topic"])
def test_every_change_of_an_unknown_topic_names_the_nearest(stem: ms.Stem, change: str) -> None:
    stem.topic("shipments", create=True)
    options = {"config": {"retention.ms": 1}} if change == "alter_topic" else {}
    with pytest.raises(ms.Invalid, match="'shipment': did you mean 'shipments'"):
        getattr(stem, change)("shipment", **options)


def test_a_controller_that_died_is_not_waited_for(mainstem_session_broker: RunningBroker) -> None:
    with ms.connect(mainstem_session_broker.address, retry_for=20.0) as stem:
        known = stem._stem.cluster.metadata
        known.nodes[99], known.controller = ("127.0.0.1", 1), 99
        stem.create_topic(fresh(), 1)
        assert stem.access.describe_cluster().controller != 99


def test_replication_is_said_to_the_broker(stem: ms.Stem) -> None:
    with pytest.raises(ms.Invalid, match="replication") as told:
        stem.create_topic("too-many", 1, replication=9)
    assert told.value.code == 38
    with pytest.raises(ms.Invalid, match="replication=0 is not valid"):
        stem.topic("none", create=True, replication=0)
    (part,) = stem.create_topic(fresh(), 1, replication=1).describe().partitions
    assert part.replicas == part.in_sync == (part.leader,)


@pytest.mark.parametrize("all_brokers", [False, True], ids=["one", "all"])
def test_settings_of_brokers_are_told_changed_and_put_back(
    stem: ms.Stem, all_brokers: bool
) -> None:
    broker = None if all_brokers else min(stem.access.describe_cluster().brokers)
    setting = "log.retention.ms"

    def now() -> tuple[str | None, str] | None:
        found = {each.name: (each.value, each.source) for each in stem.broker_settings(broker)}
        return found.get(setting)

    before = now()
    stem.alter_brokers({setting: 86_400_000}, broker=broker)
    try:
        until(lambda: now() == ("86400000", "brokers" if all_brokers else "broker"))
    finally:
        stem.alter_brokers({setting: None}, broker=broker)
    until(lambda: now() == before)


def test_settings_of_brokers_that_cannot_be_are_invalid(stem: ms.Stem) -> None:
    with pytest.raises(ms.Invalid, match="there is no broker 77: there are 1"):
        stem.broker_settings(77)
    with pytest.raises(ms.Invalid, match="broker='x' is not valid"):
        stem.broker_settings("x")  # type: ignore[arg-type]
    with pytest.raises(ms.Invalid, match="config=7 is not valid: give a dict"):
        stem.alter_brokers(7)  # type: ignore[arg-type]
    with pytest.raises(ms.Invalid):
        stem.alter_brokers({"log.retention.ms": "soon"})


def test_settings_of_brokers_are_told_to_tasks_too(stem: ms.Stem) -> None:
    async def main() -> bool:
        async with await ms.aconnect(stem.address) as other:
            broker = min((await other.access.describe_cluster()).brokers)
            await other.alter_brokers({}, broker=broker)
            found = await other.broker_settings(broker)
            return any(each.name == "log.retention.ms" for each in found)

    assert asyncio.run(main())
