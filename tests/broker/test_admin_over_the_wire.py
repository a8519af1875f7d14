"""The admin APIs through a real broker's socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from admin_site import versions

from mainstem.testing import RawConnection, running_broker
from mainstem.wire import Message

TOPIC = 2
TIMED = {"timeout_ms": 1000}


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawConnection]:
    with running_broker(tmp_path_factory.mktemp("admin")) as site:
        connection = RawConnection(site.address)
        yield connection
        connection.socket.close()


def creation(*names: str) -> Message:
    topics = [
        Message(name=name, num_partitions=2, replication_factor=1, assignments=[], configs=[])
        for name in names
    ]
    return Message(topics=topics, timeout_ms=1000, validate_only=False)


def requests(topic: str) -> dict[int, dict[str, Any]]:
    """A request that succeeds, by API key, from a topic's creation to its deletion."""
    resource = {"resource_type": TOPIC, "resource_name": topic}
    epochs = Message(partition=0, current_leader_epoch=-1, leader_epoch=0)
    offsets = Message(partition_index=0, offset=0)
    replicas = Message(partition_index=0, replicas=[1])
    return {
        19: {"topics": creation(topic).topics, "validate_only": False, **TIMED},
        21: {"topics": [Message(name=topic, partitions=[offsets])], **TIMED},
        22: {"transactional_id": None, "transaction_timeout_ms": 1000},
        23: {"replica_id": -1, "topics": [Message(topic=topic, partitions=[epochs])]},
        32: {"resources": [Message(**resource, configuration_keys=None)]},
        33: {"resources": [Message(**resource, configs=[])], "validate_only": False},
        35: {"topics": [Message(topic=topic, partitions=[0])]},
        37: {
            "topics": [Message(name=topic, count=9, assignments=None)],
            "validate_only": False,
            **TIMED,
        },
        43: {"election_type": 0, "topic_partitions": None, **TIMED},
        44: {"resources": [Message(**resource, configs=[])], "validate_only": False},
        45: {"topics": [Message(name=topic, partitions=[replicas])], **TIMED},
        46: {"topics": None, **TIMED},
        60: {"include_cluster_authorized_operations": False, "include_fenced_brokers": False},
        61: {"topics": [Message(name=topic, partition_indexes=[0])]},
        74: {"resource_types": []},
        75: {"topics": [Message(name=topic)], "response_partition_limit": 10, "cursor": None},
        20: {"topics": [Message(name=topic, topic_id=None)], **TIMED},
    }


def error_codes(value: Any) -> list[int]:
    """Every error code anywhere in an answer."""
    if isinstance(value, list):
        return [code for entry in value for code in error_codes(entry)]
    if not isinstance(value, Message):
        return []
    found = [code for entry in vars(value).values() for code in error_codes(entry)]
    return [*found, *(int(code) for name, code in vars(value).items() if name == "error_code")]


@pytest.mark.parametrize("older", range(8))
def test_every_version_is_served_in_a_topics_life(connection: RawConnection, older: int) -> None:
    life = requests(f"life-{older}")
    assert life.keys() == {19, 20, 21, 22, 23, 32, 33, 35, 37, 43, 44, 45, 46, 60, 61, 74, 75}
    for api_key, fields in life.items():
        version = max(versions(api_key)[-1] - older, versions(api_key)[0])
        answer = connection.call(api_key, version, Message(**fields))
        assert set(error_codes(answer)) <= {0}, (api_key, version, answer)


def test_pipelined_changes_are_made_in_order(connection: RawConnection) -> None:
    deletion = Message(topics=[Message(name="again", topic_id=None)], timeout_ms=1000)
    for _ in range(10):
        connection.send(19, 7, creation("again"))
        connection.send(20, 6, deletion)
    codes = [error_codes(connection.receive()) for _ in range(20)]
    assert codes == [[0]] * 20


def test_a_connection_dropped_in_the_middle_leaves_a_whole_topic(tmp_path: Path) -> None:
    with running_broker(tmp_path) as site:
        dropped = RawConnection(site.address)
        dropped.send(19, 7, creation(*(f"t{number}" for number in range(50))))
        dropped.socket.close()
        other = RawConnection(site.address)
        other.call(19, 7, creation("last"))
        other.socket.close()
    with running_broker(tmp_path) as site:
        topics = site.call(site.broker.topics.all)
        assert "last" in {topic.name for topic in topics}
        for topic in topics:
            assert len(topic.partitions()) == topic.partition_count == 2
        assert site.call(lambda: site.broker.topics.strays) == set()
