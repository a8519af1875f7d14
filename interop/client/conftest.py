"""What the tests of our own client share: Apache Kafka on three nodes, one for the session."""

from __future__ import annotations

import contextlib
import itertools
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from interop.client.failover import whole
from interop.kafka_cluster import KafkaCluster, start_kafka_cluster

import mainstem as ms
from mainstem.testing import FaultProxy

_numbers = itertools.count()
_RUN = uuid.uuid4().hex[:8]


@pytest.fixture(scope="session")
def proxies() -> Iterator[dict[int, FaultProxy]]:
    """A line to each node of ``three``, faithful until a test sets ``calm`` to false."""
    with contextlib.ExitStack() as stack:
        found = {n: stack.enter_context(FaultProxy(seed=n, every=4000)) for n in (1, 2, 3)}
        for proxy in found.values():
            proxy.calm = True
        yield found


@pytest.fixture(scope="session")
def three(
    tmp_path_factory: pytest.TempPathFactory, proxies: dict[int, FaultProxy]
) -> Iterator[KafkaCluster]:
    """Three nodes, each broker and controller; tests that kill one start it again."""
    announced = {node: proxy.address for node, proxy in proxies.items()}
    cluster = start_kafka_cluster(tmp_path_factory.mktemp("three"), announced=announced)
    for node, proxy in proxies.items():
        proxy.target = cluster.lines[node]
    try:
        whole(cluster)
        yield cluster
    finally:
        cluster.stop()


@dataclass(frozen=True)
class Target:
    """What those of ``tests/client`` use of the session's embedded broker."""

    address: str


@pytest.fixture(scope="session")
def mainstem_session_broker(three: KafkaCluster) -> Target:
    """In place of the embedded broker: what is shared with ``tests/client`` runs on Kafka."""
    return Target(three.address)


@pytest.fixture(scope="session")
def stem(three: KafkaCluster) -> Iterator[ms.Stem]:
    """As in ``tests/client``: one client for the run; topics are each test's own."""
    with ms.connect(three.address) as found:
        yield found


@pytest.fixture
def make_topic(stem: ms.Stem) -> Callable[..., ms.Topic]:
    """As in ``tests/client``."""

    def make(partitions: int = 1, **settings: Any) -> ms.Topic:
        config = {name.replace("_", "."): value for name, value in settings.items()}
        return stem.create_topic(f"t{next(_numbers)}-{_RUN}", partitions, config=config)

    return make


@pytest.fixture
def unique() -> str:
    """A name that no other test has."""
    return f"n{next(_numbers)}-{_RUN}"


@pytest.fixture(scope="session")
def compacts() -> bool:
    """As in ``tests/client``: Apache Kafka has a cleaner, and here it comes often."""
    return True
