"""Transactions and groups of both protocols behind lines that break, on three nodes of Kafka."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from interop.client.failover import PARTITIONS, order, rows, until
from interop.kafka_cluster import KafkaCluster

import mainstem as ms
from mainstem.testing import FaultProxy

Proxies = dict[int, FaultProxy]
COUNT = 2000


@contextmanager
def breaking(proxies: Proxies, seed: int) -> Iterator[str]:
    """The lines break until the block ends; the addresses to connect to."""
    for node, proxy in proxies.items():
        proxy.counts.clear()
        proxy.seed = seed * 10 + node
    try:
        yield ",".join(proxy.address for proxy in proxies.values())
    finally:
        for proxy in proxies.values():
            proxy.calm = True


def faults(proxies: Proxies) -> int:
    return sum(proxy.total for proxy in proxies.values())


class Worker:
    """Copies from topic to topic in transactions, and starts anew when it must."""

    def __init__(self, proxies: Proxies, name: str, protocol: str) -> None:
        self.copied = 0
        self.trouble: list[str] = []
        self._proxies, self._name, self._protocol = proxies, name, protocol

    def session(self, address: str, enough: int) -> None:
        """Until an error ends it, or all rows are copied and there were enough faults."""
        with ms.connect(address) as stem, stem.transactions(self._name) as transactions:
            for proxy in self._proxies.values():
                proxy.calm = faults(self._proxies) >= enough
            with stem.consumer(
                self._name,
                self._name,
                protocol="consumer" if self._protocol == "consumer" else "classic",
                auto_commit=None,
                isolation="read_committed",
                batch_rows=40,
                session_timeout=6.0,
                heartbeat_interval=0.2,
            ) as consumer:
                while self.copied < COUNT:
                    self._turn(transactions, consumer)

    def _turn(self, transactions: ms.Transactions, consumer: ms.Consumer) -> None:
        batch = consumer.poll(5.0)
        if batch is None:
            self.copied = sum(consumer.assignment.values())
            return
        transaction = transactions.begin(consumer)
        try:
            with transaction:
                transaction.append(f"{self._name}-out", batch.select(["value", "_partition"]))
        except ms.Unavailable as error:  # it counts or not: the same commit again tells
            self.trouble.append(str(error))
            transaction.commit()
        self.copied = sum(consumer.assignment.values())


def copied_once(
    three: KafkaCluster, proxies: Proxies, name: str, protocol: str, seed: int, enough: int
) -> None:
    with ms.connect(three.address) as stem:
        source = stem.create_topic(name, PARTITIONS, replication=3)
        target = stem.create_topic(f"{name}-out", PARTITIONS, replication=3)
        for partition in range(PARTITIONS):
            count = len(range(partition, COUNT, PARTITIONS))
            source.append(rows(partition, 0, count), partition=partition)
        worker = Worker(proxies, name, protocol)
        end = time.monotonic() + 60
        with breaking(proxies, seed) as address:
            while worker.copied < COUNT:
                assert time.monotonic() < end, f"seed {seed}: {worker.copied}, {worker.trouble}"
                try:
                    worker.session(address, enough)
                except (ms.Unavailable, ms.Conflict) as error:
                    worker.trouble.append(str(error))
        until(lambda: target.offsets() == target.offsets(committed=True), "the last markers")
        found = order(list(target.read(isolation="read_committed")))
        expected = {p: list(range(len(range(p, COUNT, PARTITIONS)))) for p in range(PARTITIONS)}
        assert found == expected, f"seed {seed}: {worker.trouble}"
        broken = faults(proxies)
        assert broken >= enough // 2, f"seed {seed}: {broken} faults only"


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_transactions_behind_broken_lines_copy_exactly_once(
    three: KafkaCluster, proxies: Proxies, unique: str, protocol: str
) -> None:
    copied_once(three, proxies, unique, protocol, seed=1, enough=40)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2])
def test_transactions_behind_many_broken_lines_copy_exactly_once(
    three: KafkaCluster, proxies: Proxies, unique: str, seed: int
) -> None:
    copied_once(three, proxies, unique, "classic", seed, enough=100)
