"""Resuming from the log: what is told again, and what says plainly that it cannot be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from live_desk import DeskPort, desk, write

import mainstem as ms
from mainstem.live import bus
from mainstem.live.settings import Namespace
from mainstem.testing import RunningBroker, running_broker

ONE = {"chat": Namespace(kind="events", partitions=1)}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with running_broker(tmp_path_factory.mktemp("log")) as running:
        yield running


def fill(broker: RunningBroker, topic: str, count: int = 100, keys: str = "abc") -> None:
    """Record number n has key ``keys[n % len]`` and value n."""
    with ms.connect(broker.address) as stem:
        stem.create_topic(topic, partitions=1)
    rows = [(keys[n % len(keys)], b"%d" % n) for n in range(count)]
    write(broker.address, topic, rows)


def spaces(topic: str) -> dict[str, Namespace]:
    return {"chat": Namespace(kind="events", topic=topic, partitions=1)}


def test_a_cursor_gets_exactly_what_lies_between(broker: RunningBroker) -> None:
    fill(broker, "between")

    async def scenario() -> None:
        async with desk(broker.address, spaces("between")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            opened = await port.watch("chat:a")
            stream = opened.stream
            assert stream is not None
            until = {stream: opened.next_offset}
            found = await port.replay(["chat:a", "chat:b"], until, cursor={stream: 40})
            assert isinstance(found, tuple)
            items, vector = found
            assert [offset for _, offset, _ in items] == [n for n in range(40, 100) if n % 3 < 2]
            assert all(data == offset for _, offset, data in items)
            assert vector == until

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("earliest", list(range(0, 100, 3))),
        ("latest", []),
        ("last:4", [90, 93, 96, 99]),
        ("last:1000", list(range(0, 100, 3))),
        ("0", list(range(0, 100, 3))),
        ("2100-01-01T00:00:00Z", []),
    ],
)
def test_places_by_name(broker: RunningBroker, origin: str, expected: list[int]) -> None:
    topic = "named-" + origin.replace(":", "-")
    fill(broker, topic)

    async def scenario() -> None:
        async with desk(broker.address, spaces(topic)) as dispatcher:
            port = DeskPort(dispatcher, 1)
            opened = await port.watch("chat:a")
            assert opened.stream is not None
            found = await port.replay(["chat:a"], {opened.stream: 100}, origin=origin)
            assert isinstance(found, tuple)
            assert [offset for _, offset, _ in found[0]] == expected

    asyncio.run(scenario())


def test_last_n_is_per_channel(broker: RunningBroker) -> None:
    fill(broker, "uneven", keys="aaaaaaaaab")

    async def scenario() -> None:
        async with desk(broker.address, spaces("uneven")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            opened = await port.watch("chat:a")
            assert opened.stream is not None
            names = ["chat:a", "chat:b"]
            found = await port.replay(names, {opened.stream: 100}, origin="last:2")
            assert isinstance(found, tuple)
            assert [(name, offset) for name, offset, _ in found[0]] == [
                ("chat:b", 89),
                ("chat:a", 97),
                ("chat:a", 98),
                ("chat:b", 99),
            ]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "origin", ["last:0", "last:x", "last:99999999", "yesterday", "\uff11\uff12"]
)
def test_a_place_that_is_none_is_refused_in_a_sentence(broker: RunningBroker, origin: str) -> None:
    async def scenario() -> None:
        async with desk(broker.address) as dispatcher:
            port = DeskPort(dispatcher, 1)
            opened = await port.watch("comments:1")
            assert opened.stream is not None
            found = await port.replay(["comments:1"], {opened.stream: 0}, origin=origin)
            assert isinstance(found, bus.Failed)
            assert found.kind == "Invalid"
            assert "write" in found.message

    asyncio.run(scenario())


def test_a_long_answer_comes_in_slices_and_stops_at_its_budget(broker: RunningBroker) -> None:
    fill(broker, "long", 5000, keys="a")

    async def scenario() -> None:
        async with desk(broker.address, spaces("long")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            opened = await port.watch("chat:a")
            stream = opened.stream
            assert stream is not None
            position, offsets = 0, []
            for _ in range(100):
                found = await port.replay(
                    ["chat:a"], {stream: 5000}, cursor={stream: position}, budget=100_000
                )
                assert isinstance(found, tuple)
                items, vector = found
                offsets += [offset for _, offset, _ in items]
                assert len(items) < 5000
                position = vector[stream]
                if position == 5000:
                    break
            assert offsets == list(range(5000))
            assert len(port.all(bus.Replayed)) > 5

    asyncio.run(scenario())


def test_records_deleted_meanwhile_mean_expired(broker: RunningBroker) -> None:
    fill(broker, "expiring")
    with ms.connect(broker.address) as stem:
        stem.delete_records("expiring", {0: 50})

    async def scenario() -> None:
        async with desk(broker.address, spaces("expiring")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            opened = await port.watch("chat:a")
            stream = opened.stream
            assert stream is not None
            found = await port.replay(["chat:a"], {stream: 100}, cursor={stream: 49})
            assert isinstance(found, bus.ReplayReset)
            assert (found.reason, dict(found.earliest), dict(found.latest)) == (
                "expired",
                {stream: 50},
                {stream: 100},
            )
            edge = await port.replay(["chat:a"], {stream: 100}, cursor={stream: 100})
            assert isinstance(edge, tuple)
            good = await port.replay(["chat:a"], {stream: 100}, cursor={stream: 50})
            assert isinstance(good, tuple)
            assert [offset for _, offset, _ in good[0]] == list(range(51, 100, 3))

    asyncio.run(scenario())


def test_a_cursor_beyond_the_log_means_truncated(broker: RunningBroker) -> None:
    fill(broker, "short")

    async def scenario() -> None:
        async with desk(broker.address, spaces("short")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            opened = await port.watch("chat:a")
            stream = opened.stream
            assert stream is not None
            found = await port.replay(["chat:a"], {stream: 100}, cursor={stream: 101})
            assert isinstance(found, bus.ReplayReset)
            assert found.reason == "truncated"

    asyncio.run(scenario())


def test_a_cursor_of_another_epoch_is_told_so(broker: RunningBroker) -> None:
    fill(broker, "renewed")

    async def scenario() -> None:
        async with desk(broker.address, spaces("renewed")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            opened = await port.watch("chat:a")
            assert opened.stream is not None
            topic, epoch, partition = opened.stream
            other = (topic, epoch ^ 1, partition)
            found = await port.replay(["chat:a"], {other: 100}, cursor={other: 1})
            assert isinstance(found, bus.ReplayReset)
            assert found.reason == "epoch"

    asyncio.run(scenario())


def test_many_who_resume_at_once_read_the_log_once(broker: RunningBroker) -> None:
    fill(broker, "storm", 3000)

    async def scenario() -> None:
        async with desk(broker.address, spaces("storm")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            opened = await port.watch("chat:a")
            stream = opened.stream
            assert stream is not None
            asked = [
                port.replay(["chat:a"], {stream: 3000}, cursor={stream: 0}) for _ in range(200)
            ]
            found = await asyncio.gather(*asked)
            assert all(isinstance(each, tuple) and len(each[0]) == 1000 for each in found)
            fetched = dispatcher.history.held - 4096 * 3
            assert fetched < 400_000  # 3,000 records and their JSON, once

    asyncio.run(scenario())


def test_catching_up_is_paced(broker: RunningBroker) -> None:
    with ms.connect(broker.address) as stem:
        stem.create_topic("heavy", partitions=1)
    write(broker.address, "heavy", [("a", b"x" * 1000)] * 9000)  # more than one fetch gives

    async def scenario() -> float:
        async with desk(
            broker.address, spaces("heavy"), replay_bytes_per_second=6_000_000
        ) as dispatcher:
            port = DeskPort(dispatcher, 1)
            opened = await port.watch("chat:a")
            assert opened.stream is not None
            before = time.monotonic()
            found = await port.replay(["chat:a"], {opened.stream: 9000}, origin="earliest")
            assert isinstance(found, tuple)
            assert [offset for _, offset, _ in found[0]] == list(range(9000))
            assert dispatcher.history.misses > 1
            return time.monotonic() - before

    assert asyncio.run(scenario()) > 0.45  # nine megabytes, six at once, six a second


def test_memory_of_the_past_is_bounded(broker: RunningBroker) -> None:
    fill(broker, "bounded", 20_000, keys="a")

    async def scenario() -> None:
        async with desk(broker.address, spaces("bounded"), cache_bytes=100_000) as dispatcher:
            port = DeskPort(dispatcher, 1)
            opened = await port.watch("chat:a")
            assert opened.stream is not None
            found = await port.replay(["chat:a"], {opened.stream: 20_000}, origin="earliest")
            assert isinstance(found, tuple)
            assert len(found[0]) == 20_000
            assert dispatcher.history.held <= 100_000

    asyncio.run(scenario())


def test_what_expires_while_others_resume_is_told_soon(broker: RunningBroker) -> None:
    fill(broker, "draining")

    def drop() -> None:
        with ms.connect(broker.address) as stem:
            stem.delete_records("draining", {0: 60})

    async def scenario() -> None:
        async with desk(broker.address, spaces("draining"), cache_bytes=0) as dispatcher:
            port = DeskPort(dispatcher, 1)
            opened = await port.watch("chat:a")
            stream = opened.stream
            assert stream is not None
            fine = await port.replay(["chat:a"], {stream: 100}, cursor={stream: 30})
            assert isinstance(fine, tuple)
            await asyncio.to_thread(drop)  # the log's beginning is known from a moment ago
            gone = await port.replay(["chat:a"], {stream: 100}, cursor={stream: 30})
            assert isinstance(gone, bus.ReplayReset)
            assert gone.reason == "expired"

    asyncio.run(scenario())


def test_what_came_in_trickles_is_held_in_few_pieces(broker: RunningBroker) -> None:
    fill(broker, "trickle", 0)

    async def scenario() -> None:
        async with desk(broker.address, spaces("trickle")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            opened = await port.watch("chat:a")
            stream = opened.stream
            assert stream is not None
            for number in range(200):
                await port.publish("chat:a", number)
            await port.until(lambda: len(port.events("chat:a")) == 200)
            found = await port.replay(["chat:a"], {stream: 200}, cursor={stream: 7})
            assert isinstance(found, tuple)
            assert [data for _, _, data in found[0]] == list(range(7, 200))
            # Three merged chunks of up to 64, and the rest; nothing was read from the log. On
            # Apache Kafka once was seen, for a reason not found: no more than that.
            assert dispatcher.history.misses <= (0 if isinstance(broker, RunningBroker) else 1)
            assert dispatcher.history.hits < 70

    asyncio.run(scenario())
