"""Finding the cluster, and finding it again."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest
from scripted_broker import METADATA, scripted_broker

import mainstem as ms
from mainstem.client import ClientConfig, Cluster, parse_addresses
from mainstem.client.retry import Deadline, retry
from mainstem.testing import running_broker
from mainstem.testing.ports import lasting_port


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:1", [("a", 1)]),
        ("a", [("a", 9092)]),
        (" a:1 , b:2,", [("a", 1), ("b", 2)]),
        ("[::1]:9", [("::1", 9)]),
        ("[::1]", [("::1", 9092)]),
    ],
)
def test_addresses(text: str, expected: list[tuple[str, int]]) -> None:
    assert parse_addresses(text) == expected


@pytest.mark.parametrize("text", ["", ",", ":9092", "a:", "a:0", "a:65536", "a:x", "a:-1", "a:²"])
def test_what_is_no_address_is_invalid(text: str) -> None:
    with pytest.raises(ms.Invalid, match="HOST:PORT"):
        parse_addresses(text)


def test_the_second_address_is_used_when_the_first_is_down() -> None:
    async def run() -> None:
        async with scripted_broker() as broker:
            cluster = Cluster([("127.0.0.1", 1), broker.address], ClientConfig())
            await cluster.start()
            assert cluster.metadata.cluster_id == "scripted"
            await cluster.close()

    asyncio.run(run())


def test_metadata_is_asked_for_once_while_it_is_fresh() -> None:
    async def run() -> None:
        async with scripted_broker() as broker:
            cluster = Cluster([broker.address], ClientConfig())
            await cluster.start()
            for _ in range(5):
                await cluster.topic("t", cluster.deadline())
            assert [key for key, _ in broker.requests].count(METADATA) == 2
            cluster.forget("t")
            await cluster.topic("t", cluster.deadline())
            assert [key for key, _ in broker.requests].count(METADATA) == 3
            await cluster.close()

    asyncio.run(run())


def test_a_node_that_is_behind_does_not_make_a_topic_unknown() -> None:
    async def run() -> None:
        async with scripted_broker() as one, scripted_broker() as other:
            one.peers.append(other)
            cluster = Cluster([one.address], ClientConfig())
            await cluster.start()
            await cluster.topic("t", cluster.deadline())
            one.behind = True
            found = await cluster.topic("t", cluster.deadline(), fresh=True)
            assert found.name == "t"
            other.behind = True
            with pytest.raises(ms.Invalid, match="there is no topic 't'"):
                await cluster.topic("t", cluster.deadline(), fresh=True)
            await cluster.close()

    asyncio.run(run())


def test_a_lost_connection_is_opened_again() -> None:
    async def run() -> None:
        async with scripted_broker() as broker:
            cluster = Cluster([broker.address], ClientConfig())
            await cluster.start()
            broker.cut_all()
            topic = await cluster.topic("t", cluster.deadline())
            assert topic.name == "t"
            await cluster.close()

    asyncio.run(run())


def test_a_broker_that_restarts_is_found_again(tmp_path: Path) -> None:
    port = lasting_port()
    with running_broker(tmp_path, port=port) as broker:
        stem = ms.connect(broker.address)
        topic = stem.topic("t", create=True)
        topic.append([b"before"])
    with running_broker(tmp_path, port=port):
        topic.append([b"after"])
        values = [value for batch in topic.read() for value in batch["value"].to_pylist()]
        stem.close()
    assert values == [b"before", b"after"]


def test_a_cluster_that_is_gone_is_unavailable_in_time(tmp_path: Path) -> None:
    with running_broker(tmp_path) as broker:
        stem = ms.connect(broker.address)
        topic = stem.topic("t", create=True)
    cluster = stem._stem.cluster
    cluster.config = dataclasses.replace(cluster.config, retry_for=0.2)
    with pytest.raises(ms.Unavailable, match=r"is a broker running there.*tried \d+ times"):
        topic.append([b"x"])
    with pytest.raises(ms.Unavailable):
        topic.read()
    stem.close()


def test_retries_end_with_the_last_error_and_its_code() -> None:
    async def run() -> int:
        tries = 0

        async def attempt(_deadline: Deadline) -> None:
            nonlocal tries
            tries += 1
            raise ms.Unavailable("not yet", code=5)

        with pytest.raises(ms.Unavailable, match=r"not yet \[tried \d+ times") as caught:
            await retry(attempt, Deadline(0.5))
        assert caught.value.code == 5
        return tries

    assert asyncio.run(run()) > 1


def test_what_a_retry_cannot_help_is_raised_at_once() -> None:
    async def run() -> None:
        tries = 0

        async def attempt(_deadline: Deadline) -> None:
            nonlocal tries
            tries += 1
            raise ms.Invalid("wrong")

        with pytest.raises(ms.Invalid, match="wrong"):
            await retry(attempt, Deadline(10))
        assert tries == 1

    asyncio.run(run())
