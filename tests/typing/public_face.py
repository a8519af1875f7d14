"""What type checkers see of the public face; checked by mypy and pyright, never run."""

from __future__ import annotations

import datetime
import re
from typing import Any, assert_type

import mainstem as ms
from mainstem.client import (
    ClusterDescription,
    GroupDescription,
    GroupListing,
    Quota,
    Reassignment,
    Setting,
    TopicDescription,
    User,
)
from mainstem.face.async_batches import AsyncBatches
from mainstem.face.topic import Batches
from mainstem.testing import FaultProxy, RunningBroker, running_broker

Where = tuple[str, int]


def topics(stem: ms.Stem, table: object) -> None:
    topic = stem.topic("t", 3, create=True, config={"retention.ms": -1}, replication=1)
    assert_type(topic, ms.Topic)
    assert_type(topic.append(table, key="k", format=ms.Json(), compression="zstd"), ms.Appended)
    assert_type(topic.append(table, acks=1).partitions[0], ms.Written)
    assert_type(topic.read(start="earliest", follow=True), Batches)
    assert_type(topic.read({0: 5, 1: datetime.datetime.now(datetime.UTC)}), Batches)
    for batch in topic.read(end="latest", isolation="read_committed", format=ms.Raw()):
        assert_type(batch, Any)
    with topic.read() as batches:
        assert_type(next(batches), Any)
    assert_type(topic.offsets(committed=True), tuple[dict[int, int], dict[int, int]])
    assert_type(topic.describe(), TopicDescription)
    assert_type(stem.topics(), list[str])
    assert_type(stem.topic_settings("t"), list[Setting])
    assert_type(stem.broker_settings(1), list[Setting])
    stem.alter_brokers({"log.retention.ms": None}, broker=1)
    assert_type(stem.delete_records("t", {0: 1}), dict[int, int])
    stem.alter_topic("t", partitions=4, config={"retention.ms": None})


def consumers(stem: ms.Stem) -> None:
    def took(partitions: list[Where]) -> None:
        assert_type(partitions, list[Where])

    with stem.consumer("g", ["t"], on_assigned=took, auto_commit=None) as consumer:
        assert_type(consumer, ms.Consumer)
        for batch in consumer:
            assert_type(batch, Any)
            consumer.commit()
        assert_type(consumer.poll(1.0), Any)
        assert_type(consumer.assignment, dict[Where, int])
        assert_type(consumer.lag(), dict[Where, int])
        consumer.seek("t", 0, "earliest")
        consumer.pause(consumer.assignment)
    stem.consumer("g", re.compile("orders-.*"), protocol="consumer", start=None).close()
    assert_type(stem.groups(), list[GroupListing])
    assert_type(stem.describe_group("g"), GroupDescription)
    assert_type(stem.committed("g"), dict[Where, int])
    assert_type(stem.reset_group("g", "t", "latest"), dict[int, tuple[int | None, int]])


def transactions(stem: ms.Stem, consumer: ms.Consumer) -> None:
    with stem.transactions("id", timeout=5.0) as transactions:
        assert_type(transactions, ms.Transactions)
        with transactions.begin(consumer) as transaction:
            assert_type(transaction, ms.Transaction)
            assert_type(transaction.append("t", [b"x"]), ms.Appended)
            transaction.send_offsets(consumer, {("t", 0): 1})


def access(stem: ms.Stem) -> None:
    assert_type(stem.access.describe_cluster(), ClusterDescription)
    assert_type(stem.access.acls(kind="topic"), list[ms.Acl])
    assert_type(stem.access.users(), list[User])
    assert_type(stem.access.quotas(), list[Quota])


def placement(stem: ms.Stem) -> None:
    assert_type(stem.placement.elect_leaders("t", [0], unclean=True), list[Where])
    assert_type(stem.placement.reassignments(), list[Reassignment])
    stem.placement.reassign("t", {0: [2, 3], 1: None})


async def asynchronous() -> None:
    async with await ms.aconnect("broker:9092", security=ms.Sasl("PLAIN", "a", "b")) as stem:
        assert_type(stem, ms.AsyncStem)
        topic = await stem.topic("t")
        assert_type(topic, ms.AsyncTopic)
        assert_type(await stem.placement.elect_leaders(), list[Where])
        assert_type(await topic.append([b"x"]), ms.Appended)
        async with topic.read("latest", follow=True) as batches:
            assert_type(batches, AsyncBatches)
            assert_type(await anext(batches), Any)
        async with stem.consumer("g", "t") as consumer:
            assert_type(consumer, ms.AsyncConsumer)
            assert_type(await consumer.poll(), Any)
        async with stem.transactions("id") as transactions:
            assert_type(transactions, ms.AsyncTransactions)
            async with await transactions.begin() as transaction:
                assert_type(transaction, ms.AsyncTransaction)


def errors(stem: ms.Stem) -> int | None:
    try:
        stem.topic("t")
    except (ms.Unavailable, ms.Conflict, ms.Invalid, ms.Denied, ms.Corrupt, ms.Closed) as error:
        assert_type(error.code, int | None)
    except ms.MainstemError as error:
        return error.code
    return None


def doors() -> None:
    assert_type(ms.open("./data", broker={"port": 0}), ms.Stem)
    assert_type(ms.connect("a:1,b:2", request_timeout=5.0, tls=ms.Tls()), ms.Stem)


def testing(path: Any) -> None:
    with running_broker(path) as broker, FaultProxy(broker.address, seed=1) as proxy:
        assert_type(broker, RunningBroker)
        assert_type(proxy.address, str)
        assert_type(proxy.total, int)
