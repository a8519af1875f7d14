"""Leaders moved and brokers killed under our client, on Apache Kafka with three nodes.

Writers, a reader, a group and transactions run all the while; afterwards nothing that was
acknowledged is lost, nothing doubled, and the order of each partition kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from interop.client.failover import (
    PARTITIONS,
    Copier,
    Follower,
    Member,
    Writer,
    coordinator,
    move_leaders,
    order,
    rows,
    until,
    whole,
)
from interop.kafka_cluster import KafkaCluster

import mainstem as ms

SAFE = {"min.insync.replicas": 2}
Numbers = dict[int, list[int]]


@pytest.fixture(scope="module")
def stem(three: KafkaCluster) -> Iterator[ms.Stem]:
    with ms.connect(three.address) as found:
        yield found


def expected(written: list[int]) -> Numbers:
    return {partition: list(range(count)) for partition, count in enumerate(written)}


def test_nothing_is_lost_or_doubled_while_leaders_move(
    three: KafkaCluster, stem: ms.Stem, unique: str
) -> None:
    topic = stem.create_topic(unique, PARTITIONS, replication=3, config=SAFE)
    writers = [Writer(three.address, unique, n) for n in range(PARTITIONS)]
    follower = Follower(three.address, unique)
    for _ in range(3):
        for writer in writers:
            writer.task.progress(3)
        move_leaders(stem, unique)
    for writer in writers:
        writer.task.progress(3)
    written = [writer.end() for writer in writers]
    assert follower.end(sum(written)) == expected(written)
    assert order(list(topic.read())) == expected(written)


@dataclass(frozen=True)
class Outcome:
    """What was acknowledged, and what each kind of reader saw."""

    written: list[int]
    stored: Numbers
    followed: Numbers
    handed: Numbers
    lag: int
    copied: Numbers
    offsets: dict[tuple[str, int], int]


@pytest.fixture(scope="module")
def killed(three: KafkaCluster, stem: ms.Stem) -> Outcome:
    """One node dies and comes back: a leader, the coordinator of a group and of transactions."""
    source = stem.create_topic("killed-in", PARTITIONS, replication=3, config=SAFE)
    target = stem.create_topic("killed-out", PARTITIONS, replication=3, config=SAFE)
    group = "killed-group"
    victim = coordinator(stem, group)
    identity = next(
        name
        for name in (f"killed-copy-{n}" for n in range(1000))
        if coordinator(stem, name, 1) == victim
    )
    assert victim in {part.leader for part in source.describe().partitions}
    writers = [Writer(three.address, source.name, n) for n in range(PARTITIONS)]
    follower = Follower(three.address, source.name)
    member = Member(three.address, source.name, group)
    copier = Copier(three.address, source.name, target.name, identity)
    tasks = [*(writer.task for writer in writers), follower.task, member.task, copier.task]
    for task in tasks:
        task.progress(3)
    three.kill(victim)
    for task in tasks:
        task.progress(3)
    three.start(victim)
    three.wait(victim)
    whole(three)
    for task in tasks:
        task.progress(3)
    written = [writer.end() for writer in writers]
    total = sum(written)
    followed, handed = follower.end(total), member.end(total)
    copier.end(total)
    until(lambda: target.offsets() == target.offsets(committed=True), "the last markers")
    return Outcome(
        written,
        order(list(source.read())),
        followed,
        handed,
        stem.describe_group(group).lag,
        order(list(target.read(isolation="read_committed"))),
        stem.committed(identity),
    )


def test_what_was_acknowledged_outlives_a_killed_leader_once_and_in_order(killed: Outcome) -> None:
    assert killed.stored == expected(killed.written)


def test_a_reader_sees_all_of_it_once_and_in_order(killed: Outcome) -> None:
    assert killed.followed == expected(killed.written)


def test_a_group_outlives_its_coordinator(killed: Outcome) -> None:
    """Each value is handed out, in order; again only what was not committed."""
    for partition, count in enumerate(killed.written):
        handed = killed.handed[partition]
        assert list(dict.fromkeys(handed)) == list(range(count))
    assert killed.lag == 0


def test_transactions_outlive_their_coordinator(killed: Outcome) -> None:
    """What was consumed is produced exactly once, and the offsets say so."""
    assert killed.copied == expected(killed.written)
    assert {part: at for (_, part), at in killed.offsets.items()} == dict(enumerate(killed.written))


def test_a_leader_that_did_not_have_them_takes_records_away_and_readers_are_told(
    three: KafkaCluster, stem: ms.Stem, unique: str
) -> None:
    """An unclean election: what only the dead leader had is gone, and that is said (KIP-320)."""
    config = {"unclean.leader.election.enable": "true", "min.insync.replicas": 1}
    topic = stem.create_topic(unique, 1, replication=2, config=config)
    topic.append(rows(0, 0, 10))
    (part,) = topic.describe().partitions
    ahead, behind = part.leader, next(node for node in part.replicas if node != part.leader)
    with topic.read(follow=True) as batches:
        assert next(batches).num_rows == 10
        three.kill(behind)
        until(lambda: topic.describe().partitions[0].in_sync == (ahead,), "the follower to go")
        topic.append(rows(0, 10, 5))
        assert next(batches).num_rows == 5
        three.kill(ahead)
        three.start(behind)
        three.wait(behind)
        with ms.connect(three.address) as other:
            other.topic(unique).append(rows(0, 100, 7))
        with pytest.raises(ms.Conflict, match="offsets 10 to 14, which were read, are not in"):
            next(batches)
    three.start(ahead)
    three.wait(ahead)
    whole(three)
    assert order(list(topic.read()))[0] == [*range(10), *range(100, 107)]
