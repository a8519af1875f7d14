"""What happens to open channels when the ground moves: never a silent hole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from live_desk import DeskPort, desk, write

import mainstem as ms
from mainstem.live import bus
from mainstem.live.settings import Namespace
from mainstem.testing import FaultProxy, RunningBroker, running_broker
from mainstem.testing.ports import lasting_port


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with running_broker(tmp_path_factory.mktemp("log")) as running:
        yield running


def one(topic: str, kind: str = "events") -> dict[str, Namespace]:
    return {"chat": Namespace(kind=kind, topic=topic, partitions=1)}  # type: ignore[arg-type]


def reopened(port: DeskPort, channel: str) -> bus.Opened | None:
    found = [m for m in port.all(bus.Opened) if m.channel == channel and m.reason]
    return found[-1] if found else None


@pytest.mark.parametrize("unseen", [False, True])
def test_a_topic_created_anew_is_a_reset_by_epoch(broker: RunningBroker, unseen: bool) -> None:
    topic = f"anew-{unseen}"

    def renew() -> None:
        with ms.connect(broker.address) as stem:
            stem.delete_topic(topic)
            stem.create_topic(topic, partitions=1)
        write(broker.address, topic, [("1", b'"second life"')] * 9)

    async def scenario() -> None:
        async with desk(broker.address, one(topic)) as dispatcher:
            port = DeskPort(dispatcher, 1)
            first = await port.watch("chat:1")
            for _ in range(3):
                await port.publish("chat:1", 1)
            await port.until(lambda: len(port.events("chat:1")) == 3)
            if unseen:  # the gateway does nothing meanwhile, and then meets the new topic
                renew()
            else:
                await asyncio.to_thread(renew)
            again: bus.Opened = await port.until(lambda: reopened(port, "chat:1"))
            assert again.reason == "epoch"
            assert first.stream is not None
            assert again.stream is not None
            assert again.stream[1] != first.stream[1]
            await port.publish("chat:1", "news")
            await port.until(lambda: port.events("chat:1")[-1][1] == "news")
            # What came before the channel was opened again may be asked for, and is there.
            found = await port.replay(
                ["chat:1"], {again.stream: again.next_offset}, origin="earliest"
            )
            assert isinstance(found, tuple)
            assert len(found[0]) == again.next_offset

    asyncio.run(scenario())


def test_partitions_added_are_a_reset_too(broker: RunningBroker) -> None:
    def grow() -> None:
        with ms.connect(broker.address) as stem:
            stem.alter_topic("grown", partitions=5)

    async def scenario() -> None:
        async with desk(broker.address, one("grown")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            names = [f"chat:{number}" for number in range(8)]
            for name in names:
                await port.watch(name)
            await asyncio.to_thread(grow)
            await dispatcher.topics.find("grown", fresh=True)
            await port.watch("chat:another")  # notices
            for name in names:
                again = await port.until(lambda name=name: reopened(port, name))
                assert again.reason == "epoch"
            for name in names:
                await port.publish(name, name)
            await port.until(lambda: all(port.events(name) for name in names))
            assert len({m.stream for m in port.all(bus.Events)}) > 1

    asyncio.run(scenario())


def test_a_log_cut_before_the_reader_is_a_reset(broker: RunningBroker) -> None:
    async def scenario() -> None:
        async with desk(broker.address, one("cut")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            opened = await port.watch("chat:1")
            assert opened.stream is not None
            await port.publish("chat:1", "before")
            await port.until(lambda: port.events("chat:1"))
            assert dispatcher.history.held > 0
            dispatcher.table.reader.assign(("cut", 0), 1_000, opened.stream[1])  # where no log is
            again = await port.until(lambda: reopened(port, "chat:1"))
            assert again.reason == "truncated"
            assert dispatcher.history.held == 0  # what was cut must not be told any more
            await port.publish("chat:1", "on")
            await port.until(lambda: port.events("chat:1")[-1][1] == "on")

    asyncio.run(scenario())


def test_records_expired_before_they_were_read_are_a_reset(broker: RunningBroker) -> None:
    async def scenario() -> None:
        async with desk(broker.address, one("late")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            opened = await port.watch("chat:1")
            assert opened.stream is not None
            for _ in range(5):
                await port.publish("chat:1", 1)

            def drop() -> None:
                with ms.connect(broker.address) as stem:
                    stem.delete_records("late", {0: 4})

            await asyncio.to_thread(drop)
            dispatcher.table.reader.assign(
                ("late", 0), 2, opened.stream[1]
            )  # as if it had been slow
            again = await port.until(lambda: reopened(port, "chat:1"))
            assert again.reason == "expired"
            assert again.next_offset == 5

    asyncio.run(scenario())


def test_a_broken_batch_resets_its_partition_and_no_other(broker: RunningBroker) -> None:
    namespaces = one("sound") | {"bad": Namespace(kind="events", topic="broken", partitions=1)}

    def corrupt() -> None:
        # Past the broker's own checks, as a bad disk would.
        path = next(Path(broker.broker.config.data, "topics", "broken-0").glob("*.log"))
        data = bytearray(path.read_bytes())
        data[-1] ^= 0xFF
        path.write_bytes(data)

    async def scenario() -> None:
        async with desk(broker.address, namespaces) as dispatcher:
            port = DeskPort(dispatcher, 1)
            await port.watch("bad:0")
            write_once = asyncio.to_thread(write, broker.address, "broken", [("1", b"1")])
            await write_once
            await asyncio.to_thread(corrupt)
            await port.watch("chat:1")
            opened = await port.watch("bad:1")
            assert opened.stream is not None
            dispatcher.table.reader.assign(("broken", 0), 0, opened.stream[1])  # read the bad one
            again = await port.until(lambda: reopened(port, "bad:1"))
            assert again.reason == "truncated"
            await port.publish("chat:1", 1)
            await port.publish("bad:1", 2)
            await port.until(lambda: port.events("chat:1") and port.events("bad:1"))
            assert reopened(port, "chat:1") is None

    asyncio.run(scenario())


def test_a_broker_that_restarts_costs_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        port_number = lasting_port()
        with running_broker(tmp_path, port=port_number) as broker:
            async with desk(broker.address, one("kept")) as dispatcher:
                port = DeskPort(dispatcher, 1)
                await port.watch("chat:1")
                for number in range(5):
                    await port.publish("chat:1", number)
                broker.call(broker.broker.close)
                late = asyncio.create_task(port.publish("chat:1", 5))
                again = await asyncio.to_thread(_restarted, tmp_path, port_number)
                with again as second:
                    assert second.address == broker.address
                    answer = await late
                    assert isinstance(answer, bus.Published)
                    await port.publish("chat:1", 6)
                    await port.until(lambda: len(port.events("chat:1")) >= 7)
                    found = port.events("chat:1")
                    assert [data for _, data in found] == list(range(7))
                    assert [offset for offset, _ in found] == list(range(7))
                    assert reopened(port, "chat:1") is None

    asyncio.run(scenario())


def _restarted(data: Path, port: int):  # type: ignore[no-untyped-def]
    return running_broker(data, port=port)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_network_that_breaks_and_mends_loses_nothing(tmp_path: Path, seed: int) -> None:
    async def scenario() -> None:
        async with desk(proxy.address, one("broken-net")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            await port.watch("chat:1")
            proxy.calm = False
            for number in range(200):
                answer = await port.publish("chat:1", number)
                assert isinstance(answer, bus.Published), seed
            await port.until(lambda: len(port.events("chat:1")) >= 200)
            found = port.events("chat:1")
            assert [data for _, data in found] == list(range(200)), seed
            assert [offset for offset, _ in found] == list(range(200)), seed
            assert reopened(port, "chat:1") is None, seed

    with (
        FaultProxy(seed=seed, every=6_000) as proxy,
        running_broker(tmp_path, advertised_host=proxy.host, advertised_port=proxy.port) as broker,
    ):
        proxy.target, proxy.calm = "{}:{}".format(*broker.broker.address), True
        asyncio.run(scenario())
        assert proxy.total > 0


def test_records_without_a_usable_key_disturb_nobody(broker: RunningBroker) -> None:
    async def scenario() -> None:
        async with desk(broker.address, one("poison")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            await port.watch("chat:1")

            def poison() -> None:
                with ms.connect(broker.address) as stem:
                    keys = [None, b"", b"\xff\xfe", b"x" * 10_000, b"1"]
                    stem.topic("poison").append(
                        pa.table({"_key": pa.array(keys, pa.binary()), "value": [b"{"] * 5})
                    )

            await asyncio.to_thread(poison)
            await port.until(lambda: port.events("chat:1"))
            assert port.events("chat:1") == [(4, "{")]

    asyncio.run(scenario())


def test_a_counter_skips_what_is_no_number(broker: RunningBroker) -> None:
    rows = [b'{"n":"x"}', b'{"n":1e30}', b'{"n":true}', b'{"n":2}', b"junk", b'{"n":99999999999}']

    async def scenario() -> None:
        async with desk(broker.address, one("odd-likes", "counter")) as dispatcher:
            port = DeskPort(dispatcher, 1)
            await port.watch("chat:1")
            await asyncio.to_thread(write, broker.address, "odd-likes", [("1", v) for v in rows])
            await port.until(lambda: dispatcher.table.records_told == len(rows))
            await port.until(lambda: port.states("chat:1"))
            assert port.states("chat:1")[-1]["total"] == 3
            assert dispatcher.table.telling.poisoned == 4
            many = rows * 100  # summed up as columns
            await asyncio.to_thread(write, broker.address, "odd-likes", [("1", v) for v in many])
            await port.until(lambda: port.states("chat:1")[-1]["total"] == 303)
            assert dispatcher.table.telling.poisoned == 404
        async with desk(broker.address, one("odd-likes", "counter")) as dispatcher:
            opened = await DeskPort(dispatcher, 1).watch("chat:1")
            assert json.loads(opened.state or b"")["total"] == 303

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["nothing:1", "comments", "comments:", "Comments:1", "comments: "])
def test_a_channel_that_cannot_be_is_refused(broker: RunningBroker, name: str) -> None:
    async def scenario() -> None:
        async with desk(broker.address) as dispatcher:
            port = DeskPort(dispatcher, 1)
            port.says(bus.Watch(name))
            (refused,) = await port.until(lambda: port.all(bus.Refused))
            assert refused.channel == name
            answer = await port.publish(name, 1)
            assert isinstance(answer, bus.Failed)
            assert answer.kind == "Invalid"

    asyncio.run(scenario())
