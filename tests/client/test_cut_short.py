"""Closing that is itself cancelled: whoever waits may stop waiting, but nothing stays open."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from scripted_broker import scripted_broker

import mainstem as ms
from mainstem.client import ClientConfig, Cluster, TransactionalClient, parse_addresses
from mainstem.client.consumer.membership import Membership
from mainstem.client.fetcher import Fetcher, Position
from mainstem.client.reader import Reader
from mainstem.testing import RunningBroker

PATIENCE = 30.0
MakeTopic = Callable[..., ms.Topic]


async def cut_short(work: Coroutine[Any, Any, Any]) -> None:
    """Begin it, and cancel it at its first wait."""
    task = asyncio.get_running_loop().create_task(work)
    await asyncio.sleep(0)
    assert not task.done(), "it does not wait"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(PATIENCE):
            await work()

    asyncio.run(within())


def lanes(cluster: Cluster) -> set[object]:
    return {lane for _, lane in cluster._open}


async def started(address: str) -> Cluster:
    cluster = Cluster(parse_addresses(address), ClientConfig())
    await cluster.start()
    return cluster


def test_all_connections_of_a_cluster_are_closed() -> None:
    async def work() -> None:
        async with scripted_broker() as broker:
            cluster = Cluster([broker.address], ClientConfig())
            await cluster.start()
            opened = [await cluster.connection(1, lane=lane) for lane in ("a", "b", "c")]
            await cut_short(cluster.close())
            transports = [each._transport for each in opened]
            assert all(each is None or each.is_closing() for each in transports)

    run(work)


def test_one_who_waits_for_the_end_of_a_connection_may_leave_the_others_waiting() -> None:
    async def work() -> None:
        async with scripted_broker() as broker:
            cluster = Cluster([broker.address], ClientConfig())
            await cluster.start()
            connection = await cluster.connection(1)
            await cut_short(connection.close())
            await connection.close()
            await cluster.close()

    run(work)


@pytest.mark.parametrize("kind", ["fetcher", "reader"])
def test_what_reads_ahead_stops(
    make_topic: MakeTopic, mainstem_session_broker: RunningBroker, kind: str
) -> None:
    topic = make_topic()
    topic.append([b"a"])

    async def work() -> None:
        cluster = await started(mainstem_session_broker.address)
        fetcher = Fetcher(cluster, [Position(topic.name, 0, 0)])
        reader = Reader(fetcher, ms.Raw(), batch_rows=1, max_wait=0.0)
        await (fetcher.next() if kind == "fetcher" else reader.next())
        waiting = asyncio.create_task(reader.next())
        await asyncio.sleep(0)
        tasks = [*fetcher._tasks.values()]
        await cut_short(fetcher.close() if kind == "fetcher" else reader.close())
        assert fetcher not in lanes(cluster)
        await asyncio.wait(tasks)
        if kind == "reader":
            assert await waiting is None
        await reader.close()
        await asyncio.gather(waiting, return_exceptions=True)
        await cluster.close()

    run(work)


@pytest.mark.parametrize("protocol", ["classic", None])
def test_a_consumer_leaves_its_group(
    make_topic: MakeTopic, mainstem_session_broker: RunningBroker, protocol: Any
) -> None:
    topic = make_topic()
    topic.append([b"a"])

    async def work() -> None:
        async with await ms.aconnect(mainstem_session_broker.address) as stem:
            group = f"cut-short-{topic.name}"
            consumer = stem.consumer(group, topic.name, protocol=protocol)
            await consumer.poll()
            await cut_short(consumer.close())
            assert (await stem.describe_group(group)).members == ()
            with pytest.raises(ms.Closed):
                await consumer.poll()

    run(work)


@pytest.mark.parametrize("protocol", ["classic", None])
def test_a_member_can_leave_later(
    make_topic: MakeTopic, mainstem_session_broker: RunningBroker, protocol: Any
) -> None:
    topic = make_topic()
    topic.append([b"a"])

    async def work() -> None:
        async with await ms.aconnect(mainstem_session_broker.address) as stem:
            group = f"cut-short-{topic.name}"
            consumer = stem.consumer(group, topic.name, protocol=protocol, auto_commit=None)
            await consumer.poll()
            tasks = list(consumer.core.membership._tasks)
            await cut_short(consumer.core.membership.close())
            await asyncio.wait(tasks)  # nothing goes on
            await consumer.close()
            assert (await stem.describe_group(group)).members == ()

    run(work)


def test_a_member_that_cannot_wait_to_leave_drops_its_connection(
    make_topic: MakeTopic,
    mainstem_session_broker: RunningBroker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    topic = make_topic()
    topic.append([b"a"])
    leaving = asyncio.Event()

    async def leave(self: Membership) -> None:
        await self._call(*(self._farewell() or pytest.fail("no member")), 5.0)
        leaving.set()
        await asyncio.Event().wait()

    async def work() -> None:
        async with await ms.aconnect(mainstem_session_broker.address) as stem:
            consumer = stem.consumer(f"cut-short-{topic.name}", topic.name, auto_commit=None)
            await consumer.poll()
            monkeypatch.setattr(Membership, "_leave", leave)
            membership = consumer.core.membership
            closing = asyncio.create_task(membership.close())
            await leaving.wait()
            assert membership in lanes(stem.cluster)
            closing.cancel()
            await asyncio.wait([closing])
            assert membership not in lanes(stem.cluster)
            monkeypatch.undo()

    run(work)


def test_a_transactional_client_drops_its_connection() -> None:
    async def work() -> None:
        async with scripted_broker() as broker:
            cluster = Cluster([broker.address], ClientConfig())
            await cluster.start()
            client = TransactionalClient(cluster, "t")
            await cluster.connection(1, lane=client._producer)
            client._producer._spawn(asyncio.Event().wait())  # something is under way
            await cut_short(client.close())
            assert client._producer not in lanes(cluster)
            await cluster.close()

    run(work)


def test_a_stem_closes_its_broker(tmp_path: Path) -> None:
    async def work() -> None:
        stem = await ms.aopen(tmp_path)
        topic = await stem.topic("t", create=True)
        await topic.append([b"a"])
        consumer = stem.consumer("g", "t")
        await consumer.poll()
        await cut_short(stem.close())
        host, _, port = stem.address.rpartition(":")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)))
        with pytest.raises(ms.Closed):
            await stem.topics()

    run(work)


def test_a_broker_that_nobody_waits_for_any_more_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mainstem.node

    begun, go_on, closed = threading.Event(), threading.Event(), threading.Event()
    really = mainstem.node.open_embedded

    class Watched:
        def __init__(self, found: Any) -> None:
            self.found = found
            self.address = found.address

        def close(self) -> None:
            self.found.close()
            closed.set()

    def slowly(*args: Any, **named: Any) -> Watched:
        begun.set()
        assert go_on.wait(PATIENCE)
        return Watched(really(*args, **named))

    async def work() -> None:
        opening = asyncio.create_task(ms.aopen(tmp_path))
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        go_on.set()
        assert await asyncio.to_thread(closed.wait, PATIENCE)

    monkeypatch.setattr("mainstem.node.open_embedded", slowly)
    run(work)
