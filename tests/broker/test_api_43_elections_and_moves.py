"""ElectLeaders (43), AlterPartitionReassignments (45), ListPartitionReassignments (46)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from admin_site import Site, versions

from mainstem.wire import Message


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site")) as site:  # nothing here changes it
        site.create("a", 2)
        yield site


@pytest.mark.parametrize("version", versions(43))
def test_elections_are_not_needed(site: Site, version: int) -> None:
    asked = [Message(topic="a", partitions=[0, 5]), Message(topic="nowhere", partitions=[0])]
    fields = {"election_type": 0, "topic_partitions": asked, "timeout_ms": 1000}
    answer = site.call(43, version, **fields)
    found = {
        (topic.topic, part.partition_id): int(part.error_code)
        for topic in answer.replica_election_results
        for part in topic.partition_result
    }
    assert found == {("a", 0): 84, ("a", 5): 3, ("nowhere", 0): 3}


@pytest.mark.parametrize("version", versions(43))
def test_electing_everywhere_lists_nothing(site: Site, version: int) -> None:
    fields = {"election_type": 0, "topic_partitions": None, "timeout_ms": 1000}
    answer = site.call(43, version, **fields)
    assert answer.replica_election_results == []


def test_an_unknown_election_type_is_refused(site: Site) -> None:
    fields = {"election_type": 7, "topic_partitions": None, "timeout_ms": 1000}
    assert site.call(43, **fields).error_code == 42


@pytest.mark.parametrize("version", versions(45))
@pytest.mark.parametrize(
    ("topic", "index", "replicas", "code"),
    [
        ("a", 0, [1], 0),
        ("a", 0, [2], 39),
        ("a", 0, [1, 2], 39),
        ("a", 0, [], 39),
        ("a", 0, None, 85),
        ("a", 9, [1], 3),
        ("nowhere", 0, [1], 3),
    ],
)
def test_the_only_assignment_is_this_node(
    site: Site, version: int, topic: str, index: int, replicas: list[int] | None, code: int
) -> None:
    part = Message(partition_index=index, replicas=replicas)
    fields = {"timeout_ms": 1000, "topics": [Message(name=topic, partitions=[part])]}
    answer = site.call(45, version, **fields)
    assert answer.error_code == 0
    (result,) = answer.responses[0].partitions
    assert (result.partition_index, result.error_code) == (index, code)


def test_no_move_is_under_way(site: Site) -> None:
    answer = site.call(46, timeout_ms=1000, topics=None)
    assert (answer.error_code, answer.topics) == (0, [])
