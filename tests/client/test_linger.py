"""Small appends that meet share a record batch, and each is told its own offsets."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from scripted_broker import PRODUCE, ScriptedBroker, scripted_broker

import mainstem as ms
from mainstem.client import Appender, AppendOptions, ClientConfig, Cluster, Producer
from mainstem.errors import Closed, Invalid

Body = Callable[[ScriptedBroker, Appender, Producer], Awaitable[None]]


def scenario(body: Body, *, linger: float = 0.02, partitions: int = 1) -> None:
    async def run() -> None:
        async with scripted_broker(partitions) as broker:
            cluster = Cluster([broker.address], ClientConfig(linger=linger))
            await cluster.start()
            producer = Producer(cluster)
            try:
                await body(broker, Appender(cluster, producer, "t"), producer)
            finally:
                await producer.close()
                await cluster.close()

    asyncio.run(run())


async def meeting(appender: Appender, rows: list[list[bytes]], *options: Any) -> list[Any]:
    """Begin to append each; all wait for others when this returns."""
    gatherer = appender._gatherer
    assert gatherer is not None
    assert not gatherer._buckets
    each = itertools.cycle(options or (AppendOptions(),))
    tasks = [asyncio.ensure_future(appender.append(few, next(each))) for few in rows]
    while sum(len(bucket.pieces) for bucket in gatherer._buckets.values()) < len(tasks):
        await asyncio.sleep(0)
    return tasks


async def together(appender: Appender, rows: list[list[bytes]], *options: Any) -> list[Any]:
    """Have appends meet however long each takes to begin, and let them go; errors are returned."""
    tasks = await meeting(appender, rows, *options)
    assert appender._gatherer is not None
    await appender._gatherer.flush()
    return await asyncio.gather(*tasks, return_exceptions=True)


def batches(broker: ScriptedBroker) -> int:
    return sum(len(log) for log in broker.log.values())


def test_appends_that_meet_share_a_batch_and_keep_their_offsets() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        found = await together(appender, [[b"%d" % n] * (n + 1) for n in range(10)])
        assert batches(broker) == 1
        at = 0
        for number, appended in enumerate(found):
            written = appended.partitions[0]
            assert (written.first_offset, written.last_offset) == (at, at + number)
            assert appended.rows == number + 1
            at += number + 1

    scenario(body, linger=3600.0)


def test_rows_without_a_key_stay_with_one_partition_until_its_batch_goes() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        for _ in range(2):
            await together(appender, [[b"x"]] * 20)
        assert sorted(broker.rows(partition) for partition in range(4)) == [0, 0, 20, 20]
        assert batches(broker) == 2

    scenario(body, linger=3600.0, partitions=4)


def test_what_meets_nobody_goes_when_its_time_is_over() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        for _ in range(2):
            await appender.append([b"x"], AppendOptions())
        assert batches(broker) == 2

    scenario(body)


def test_a_full_batch_does_not_wait() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        small = AppendOptions(batch_bytes=4096)
        work = [asyncio.ensure_future(appender.append([bytes(500)], small)) for _ in range(30)]
        async with asyncio.timeout(20):
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        assert 7 <= broker.rows() < 30
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)

    scenario(body, linger=3600.0)


def test_what_does_not_wait_comes_behind_what_does() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        await appender._cluster.topic("t", appender._cluster.deadline())
        first = asyncio.ensure_future(appender.append([b"small"], AppendOptions()))
        assert appender._gatherer is not None
        while not appender._gatherer._buckets:
            await asyncio.sleep(0)
        large = await appender.append([bytes(600_000)], AppendOptions())
        assert (await first).partitions[0].first_offset == 0
        assert large.partitions[0].first_offset == 1

    scenario(body, linger=3600.0)


def test_other_options_are_another_batch() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        options = [AppendOptions(), AppendOptions(compression="zstd"), AppendOptions(acks=1)]
        await together(appender, [[b"x"]] * 9, *options)
        assert batches(broker) == 3
        assert broker.rows() == 9

    scenario(body, linger=3600.0)


def test_an_error_reaches_every_append_of_the_batch() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        broker.script.append(10)
        for error in await together(appender, [[b"x"] * 3] * 4):
            assert isinstance(error, Invalid)
            assert "[rows 0 to 2 failed; 0 rows were acknowledged]" in str(error)
        [again] = await together(appender, [[b"x"]])
        assert again.rows == 1

    scenario(body, linger=3600.0)


def test_a_cancelled_append_is_left_out() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        work = await meeting(appender, [[b"x"]] * 5)
        work[2].cancel()
        assert appender._gatherer is not None
        await appender._gatherer.flush()
        found = await asyncio.gather(*work, return_exceptions=True)
        assert isinstance(found[2], asyncio.CancelledError)
        assert broker.rows() == 4

    scenario(body, linger=3600.0)


def test_closing_ends_who_waits() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, producer: Producer) -> None:
        waiting = asyncio.ensure_future(appender.append([b"x"], AppendOptions()))
        await asyncio.sleep(0)
        await producer.close()
        with pytest.raises(Closed):
            await waiting
        assert not [key for key, _ in broker.requests if key == PRODUCE]

    scenario(body, linger=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_lost_doubled_or_moved_whatever_fails(seed: int) -> None:
    source = random.Random(seed)

    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        broker.script.extend(source.choice([0, 6, 7, "drop", "cut"]) for _ in range(15))
        sizes = [source.randrange(1, 40) for _ in range(200)]

        async def one(size: int) -> Any:
            await asyncio.sleep(source.random() * 0.05)
            return size, await appender.append([b"x" * 50] * size, AppendOptions())

        found = await asyncio.gather(*map(one, sizes))
        ranges = []
        for size, appended in found:
            (written,) = appended.partitions.values()
            assert written.last_offset - written.first_offset == size - 1, f"seed {seed}"
            ranges.append((written.first_offset, written.last_offset + 1))
        ranges.sort()
        edges = [0] + [end for _, end in ranges]
        assert edges == [begin for begin, _ in ranges] + [sum(sizes)], f"seed {seed}"

    scenario(body, linger=0.005)


def test_a_stem_lingers_across_threads_and_tasks(mainstem_session_broker: Any) -> None:
    async def run() -> None:
        async with await ms.aconnect(mainstem_session_broker.address, linger=0.01) as stem:
            topic = await stem.topic("lingering", 3, create=True)
            rows = [{"_key": b"%d" % (n % 7), "value": b"%d" % n} for n in range(300)]
            found = await asyncio.gather(*(topic.append([row]) for row in rows))
            read: dict[tuple[int, int], bytes] = {}
            async for batch in topic.read():
                for part, at, value in zip(
                    *(batch[c].to_pylist() for c in ("_partition", "_offset", "value")), strict=True
                ):
                    read[part, at] = value
            for number, appended in enumerate(found):
                ((partition, written),) = appended.partitions.items()
                assert read[partition, written.first_offset] == b"%d" % number

    asyncio.run(run())
