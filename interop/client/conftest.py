"""What the tests of our own client share: Apache Kafka on three nodes, one for the session."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator

import pytest
from interop.client.failover import whole
from interop.kafka_cluster import KafkaCluster, start_kafka_cluster

_numbers = itertools.count()


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Three nodes, each broker and controller; tests that kill one start it again."""
    cluster = start_kafka_cluster(tmp_path_factory.mktemp("three"))
    try:
        whole(cluster)
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def unique() -> str:
    """A name that no other test has."""
    return f"n{next(_numbers)}-{uuid.uuid4().hex[:8]}"
