"""Channels find their records however those who write the topic hash keys."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer
from live_desk import DeskPort, desk

import mainstem as ms
from mainstem.live import bus
from mainstem.live.channels import Partitioner
from mainstem.live.settings import Namespace
from mainstem.testing import RunningBroker, running_broker

KEYS = [f"key-{number}" for number in range(20)]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with running_broker(tmp_path_factory.mktemp("log")) as running:
        yield running


def produce(address: str, topic: str) -> None:
    """As confluent-kafka does with the settings it comes with: keys hashed by CRC-32."""
    producer = Producer({"bootstrap.servers": address})
    for key in KEYS:
        producer.produce(topic, json.dumps(key), key)
    assert producer.flush(30) == 0


def chat(topic: str, partitions: int, partitioner: Partitioner) -> dict[str, Namespace]:
    namespace = Namespace(
        kind="events", topic=topic, partitions=partitions, partitioner=partitioner
    )
    return {"chat": namespace}


def seen(broker: RunningBroker, namespaces: dict[str, Namespace], topic: str) -> int:
    """How many of the keys' channels were told of their record."""

    async def scenario() -> int:
        async with desk(broker.address, namespaces) as dispatcher:
            port = DeskPort(dispatcher, 1)
            for key in KEYS:
                await port.watch(f"chat:{key}")
            await asyncio.to_thread(produce, broker.address, topic)
            await port.until(lambda: dispatcher.table.records_read == len(KEYS))
            return sum(bool(port.events(f"chat:{key}")) for key in KEYS)

    return asyncio.run(scenario())


def test_with_one_partition_any_producer_will_do(broker: RunningBroker) -> None:
    assert Namespace(kind="events").partitions == 1
    assert seen(broker, chat("single", 1, "murmur2"), "single") == len(KEYS)


def test_keys_hashed_as_librdkafka_does_are_found(broker: RunningBroker) -> None:
    assert seen(broker, chat("crc", 5, "crc32"), "crc") == len(KEYS)


def test_keys_hashed_otherwise_than_configured_are_told_of(
    broker: RunningBroker, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "mainstem.live"):
        assert seen(broker, chat("other", 5, "murmur2"), "other") < len(KEYS)
    said = [record.message for record in caplog.records if "partitioner" in record.message]
    assert len(said) == 1
    assert "set the namespace's partitioner to 'crc32'" in said[0]


def test_what_is_posted_lands_where_the_namespace_says(broker: RunningBroker) -> None:
    async def scenario() -> None:
        async with desk(broker.address, chat("posted", 5, "crc32")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            for key in KEYS:
                await port.watch(f"chat:{key}")
                await port.publish(f"chat:{key}", key)
            await port.until(lambda: len(port.all(bus.Events)) >= len(KEYS))

    asyncio.run(scenario())
    with ms.connect(broker.address) as stem:
        found = sum(batch.num_rows for batch in stem.topic("posted").read())
    assert found == len(KEYS)
