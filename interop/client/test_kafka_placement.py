"""Elections and moves on three nodes; and ``tests/client/test_placement.py`` on Apache Kafka."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from interop.client.failover import until, whole
from interop.kafka_cluster import KafkaCluster

import mainstem as ms
from mainstem.client import PartitionDescription, Reassignment

pytest.register_assert_rewrite("client.test_placement")
from client.test_placement import *  # noqa: E402,F403 - the tests are the same

MakeTopic = Callable[..., ms.Topic]


def only(topic: ms.Topic) -> PartitionDescription:
    (part,) = topic.describe().partitions
    return part


def test_a_partition_moves_and_its_records_with_it(stem: ms.Stem, unique: str) -> None:
    topic = stem.create_topic(unique, 1, replication=2)
    topic.append([b"%d" % n for n in range(100)])
    before = only(topic).replicas
    (new,) = {1, 2, 3} - set(before)
    wanted = (new, before[0])
    stem.placement.reassign(unique, {0: wanted})
    until(lambda: not stem.placement.reassignments(unique), "the move to end")
    until(lambda: only(topic).replicas == wanted, "the metadata to say so")
    until(lambda: set(only(topic).in_sync) == set(wanted), "the new replica to be in sync")
    stem.placement.elect_leaders(unique)
    until(lambda: only(topic).leader == new, "the new leader to be known")
    values = [value for batch in topic.read() for value in batch["value"].to_pylist()]
    assert values == [b"%d" % n for n in range(100)]
    assert topic.append([b"more"]).partitions[0].first_offset == 100


def test_the_number_of_replicas_can_change(stem: ms.Stem, unique: str) -> None:
    topic = stem.create_topic(unique, 1, replication=1)
    stem.placement.reassign(unique, {0: [1, 2, 3]})
    until(lambda: set(only(topic).in_sync) == {1, 2, 3}, "three replicas in sync")
    until(lambda: only(topic).replicas == (1, 2, 3), "the metadata to say so")


def test_the_preferred_replica_is_elected_once(stem: ms.Stem, unique: str) -> None:
    topic = stem.create_topic(unique, 2, replication=3)
    parts = topic.describe().partitions
    wanted = {part.index: (*part.replicas[1:], part.replicas[0]) for part in parts}
    stem.placement.reassign(unique, wanted)
    assert stem.placement.elect_leaders(unique, [1]) == [(unique, 1)]
    assert stem.placement.elect_leaders(unique) == [(unique, 0)]
    assert stem.placement.elect_leaders(unique) == []

    def leaders() -> list[int]:
        return [part.leader for part in topic.describe().partitions]

    until(lambda: leaders() == [wanted[0][0], wanted[1][0]], "the leaders to be known")


def test_a_move_under_way_is_told_and_can_be_taken_back(
    three: KafkaCluster, stem: ms.Stem, unique: str
) -> None:
    """A replica on a broker that is down cannot come into sync: the move lasts."""
    topic = stem.create_topic(unique, 1, replication=1)
    stem.placement.reassign(unique, {0: [1]})
    until(lambda: only(topic).replicas == (1,), "the partition to be on broker 1")
    three.kill(3)
    try:
        stem.placement.reassign(unique, {0: [1, 3]})
        moving = [Reassignment(unique, 0, (1, 3), adding=(3,), removing=())]
        until(lambda: stem.placement.reassignments() == moving, "the move to be listed")
        assert stem.placement.reassignments(unique) == moving
        stem.placement.reassign(unique, {0: None})
        until(lambda: not stem.placement.reassignments(), "the move to be taken back")
        until(lambda: only(topic).replicas == (1,), "the metadata to say so")
    finally:
        three.start(3)
        three.wait(3)
        whole(three)


def test_where_no_replica_in_sync_lives_only_an_unclean_election_gives_a_leader(
    three: KafkaCluster, stem: ms.Stem, unique: str
) -> None:
    config = {"min.insync.replicas": 1, "unclean.leader.election.enable": "false"}
    topic = stem.create_topic(unique, 1, replication=1, config=config)
    stem.placement.reassign(unique, {0: [3, 2]})
    until(lambda: set(only(topic).in_sync) == {2, 3}, "two replicas in sync")
    stem.placement.elect_leaders(unique)
    until(lambda: only(topic).leader == 3, "broker 3 to lead")
    topic.append([b"both"])
    killed: list[int] = []
    try:
        three.kill(2)
        killed.append(2)
        until(lambda: only(topic).in_sync == (3,), "the follower to go")
        topic.append([b"only the leader has it"])
        three.kill(3)
        killed.append(3)
        three.start(2)
        three.wait(2)
        killed.remove(2)
        until(lambda: only(topic).leader == -1, "the partition to have no leader")
        with pytest.raises(
            ms.Unavailable, match=f"elect a leader of '{unique}' partition 0"
        ) as told:
            stem.placement.elect_leaders(unique)
        assert told.value.code in {80, 83}
        assert "0 partitions have a new leader, 1 could not get one" in str(told.value)
        assert stem.placement.elect_leaders(unique, [0], unclean=True) == [(unique, 0)]
        until(lambda: only(topic).leader == 2, "broker 2 to lead")
        values = [value for batch in topic.read() for value in batch["value"].to_pylist()]
        assert values == [b"both"]
    finally:
        for node in killed:
            three.start(node)
            three.wait(node)
        whole(three)
