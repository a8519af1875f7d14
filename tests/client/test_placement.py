"""Leaders are elected and partitions moved; the same on a broker that stands alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import mainstem as ms
from mainstem.testing import RunningBroker

MakeTopic = Callable[..., ms.Topic]


def test_an_election_changes_nothing_where_the_preferred_replica_leads(
    stem: ms.Stem, make_topic: MakeTopic
) -> None:
    topic = make_topic(3)
    before = topic.describe().partitions
    assert stem.placement.elect_leaders(topic.name) == []
    assert stem.placement.elect_leaders(topic.name, [1]) == []
    assert stem.placement.elect_leaders(topic.name, unclean=True) == []
    assert topic.describe().partitions == before


def test_an_election_of_the_whole_cluster_is_possible(stem: ms.Stem, make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    assert all(name != topic.name for name, _ in stem.placement.elect_leaders())


def test_a_partition_may_be_given_the_brokers_it_has(stem: ms.Stem, make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    before = {part.index: part.replicas for part in topic.describe().partitions}
    stem.placement.reassign(topic.name, before)
    assert stem.placement.reassignments(topic.name) == []
    assert {part.index: part.replicas for part in topic.describe().partitions} == before


def test_a_broker_that_does_not_exist_is_refused(stem: ms.Stem, make_topic: MakeTopic) -> None:
    topic = make_topic()
    with pytest.raises(ms.Invalid, match=r"partition 0 to brokers \[77\]: .*77") as told:
        stem.placement.reassign(topic.name, {0: [77]})
    assert told.value.code == 39


def test_a_move_that_is_not_under_way_cannot_be_taken_back(
    stem: ms.Stem, make_topic: MakeTopic
) -> None:
    topic = make_topic()
    with pytest.raises(ms.Conflict, match=f"stop moving '{topic.name}' partition 0") as told:
        stem.placement.reassign(topic.name, {0: None})
    assert told.value.code == 85


def test_the_asynchronous_face_does_the_same(
    mainstem_session_broker: RunningBroker, make_topic: MakeTopic
) -> None:
    topic = make_topic()
    (part,) = topic.describe().partitions

    async def body() -> None:
        async with await ms.aconnect(mainstem_session_broker.address) as stem:
            assert await stem.placement.elect_leaders(topic.name) == []
            await stem.placement.reassign(topic.name, {0: part.replicas})
            assert await stem.placement.reassignments(topic.name) == []
            with pytest.raises(ms.Conflict, match="stop moving"):
                await stem.placement.reassign(topic.name, {0: None})

    asyncio.run(body())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"unclean": True}, "an unclean election may lose acknowledged records: name the topic"),
        ({"partitions": [0]}, "partitions are those of a topic: name it, too"),
        ({"topic": "", "unclean": "yes"}, "unclean='yes' is not valid: give True or False"),
        ({"topic": "", "partitions": 0}, "partitions=0 is not valid: give numbers in a list"),
        ({"topic": "", "partitions": [7]}, "has no partition 7: it has 2, from 0 to 1"),
    ],
)
def test_an_election_that_cannot_be_meant_is_refused(
    stem: ms.Stem, make_topic: MakeTopic, options: dict[str, Any], told: str
) -> None:
    if "topic" in options:
        options = options | {"topic": make_topic(2).name}
    with pytest.raises(ms.Invalid, match=told):
        stem.placement.elect_leaders(**options)


@pytest.mark.parametrize(
    ("replicas", "told"),
    [
        (7, "replicas=7 is not valid: give a dict"),
        ({"0": [1]}, "partitions holds '0': partitions have numbers"),
        ({5: [1]}, "has no partition 5: it has 2, from 0 to 1"),
        ({0: []}, r"replicas\[0\]=\[\] is not valid: give broker ids in a list, or None"),
        ({0: "12"}, r"replicas\[0\]='12' is not valid: give broker ids"),
        ({0: ["a"]}, r"replicas\[0\]=\['a'\] is not valid: give broker ids"),
    ],
)
def test_a_move_that_cannot_be_meant_is_refused(
    stem: ms.Stem, make_topic: MakeTopic, replicas: Any, told: str
) -> None:
    with pytest.raises(ms.Invalid, match=told):
        stem.placement.reassign(make_topic(2).name, replicas)


def test_an_unknown_topic_is_told_with_the_nearest(stem: ms.Stem) -> None:
    stem.topic("placements", create=True)
    with pytest.raises(ms.Invalid, match="did you mean 'placements'"):
        stem.placement.reassign("placement", {0: [1]})
    with pytest.raises(ms.Invalid, match="did you mean 'placements'"):
        stem.placement.reassignments("placement")
