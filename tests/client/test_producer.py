"""Retries: nothing lost, nothing twice, nothing out of order, whatever the broker answers."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Awaitable, Callable

import pytest
from scripted_broker import INIT_PRODUCER_ID, METADATA, PRODUCE, ScriptedBroker, scripted_broker

from mainstem.client import Appended, Appender, AppendOptions, ClientConfig, Cluster, Producer
from mainstem.errors import Closed, Conflict, Denied, Invalid, Unavailable

SMALL = AppendOptions(batch_bytes=1024)
ROWS = [b"%04d" % number + bytes(96) for number in range(100)]  # ten batches
Body = Callable[[ScriptedBroker, Appender, Producer], Awaitable[None]]


def scenario(body: Body, *, partitions: int = 1) -> None:
    async def run() -> None:
        async with scripted_broker(partitions) as broker:
            cluster = Cluster([broker.address], ClientConfig())
            await cluster.start()
            producer = Producer(cluster)
            try:
                await body(broker, Appender(cluster, producer, "t"), producer)
            finally:
                await producer.close()
                await cluster.close()

    asyncio.run(run())


def patience(appender: Appender, seconds: float) -> None:
    cluster = appender._cluster
    cluster.config = dataclasses.replace(cluster.config, retry_for=seconds)


def check_whole(broker: ScriptedBroker, written: Appended, rows: int = 100) -> None:
    assert written.rows == rows
    assert broker.rows() == rows
    sequences = [sequence for _, sequence, _ in broker.log[0]]
    assert sequences == sorted(sequences)


@pytest.mark.parametrize("code", [5, 6, 7, 13, 19, 56, 74, 89])
def test_a_retriable_error_is_retried_in_order(code: int) -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        broker.script.extend([0, code, 0, code])
        check_whole(broker, await appender.append(ROWS, SMALL))

    scenario(body)


@pytest.mark.parametrize("step", ["cut", "drop"])
def test_a_lost_connection_neither_loses_nor_repeats(step: str) -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        broker.script.extend([0, step, 0, 0, step])
        check_whole(broker, await appender.append(ROWS, SMALL))

    scenario(body)


@pytest.mark.parametrize("seed", range(30))
def test_random_trouble_neither_loses_nor_repeats_nor_reorders(seed: int) -> None:
    source = random.Random(seed)

    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        choices: list[int | str] = [0, 0, 6, 7, 13, "cut", "drop"]
        broker.script.extend(source.choice(choices) for _ in range(12))
        written = await asyncio.gather(*(appender.append(ROWS, SMALL) for _ in range(3)))
        assert broker.rows() == 300, f"seed {seed}"
        assert sum(found.rows for found in written) == 300

    scenario(body)


@pytest.mark.parametrize("seed", range(40))
def test_appends_that_meet_while_the_connection_opens_are_sent_in_order(seed: int) -> None:
    """One that came when the connection had just opened overtook those that waited for it."""
    source = random.Random(seed)

    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        async def later() -> None:
            for _ in range(source.randrange(200)):
                await asyncio.sleep(0)
            await appender.append([b"x"], SMALL)

        await asyncio.gather(*(later() for _ in range(30)))
        assert broker.refused == 0, f"seed {seed}"

    scenario(body)


def test_a_moved_leader_is_looked_up_again() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        await appender.append([b"a"], SMALL)
        before = [key for key, _ in broker.requests].count(METADATA)
        broker.script.append(6)
        await appender.append([b"b"], SMALL)
        assert [key for key, _ in broker.requests].count(METADATA) == before + 1

    scenario(body)


def test_a_partition_without_a_leader_is_waited_for_until_the_deadline() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        broker.leader = -1
        patience(appender, 0.2)
        with pytest.raises(Unavailable, match="no broker leads") as caught:
            await appender.append([b"a"], SMALL)
        assert caught.value.code == 5
        broker.leader = 1
        patience(appender, 60)
        assert (await appender.append([b"b"], SMALL)).rows == 1

    scenario(body)


@pytest.mark.parametrize(("code", "kind"), [(10, Invalid), (29, Denied), (87, Invalid)])
def test_a_final_error_is_raised_and_the_rest_of_the_topic_goes_on(
    code: int, kind: type[Exception]
) -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        await appender.append(ROWS[:5], SMALL)
        broker.script.append(code)
        with pytest.raises(kind) as caught:
            await appender.append(ROWS[:5], SMALL)
        assert caught.value.code == code  # type: ignore[attr-defined]
        assert (await appender.append(ROWS[:5], SMALL)).partitions[0].first_offset == 5
        assert broker.rows() == 10

    scenario(body)


def test_a_final_error_in_the_middle_says_how_many_rows_are_written() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        broker.script.extend([0, 0, 10])
        with pytest.raises(
            Invalid, match=r"\[rows \d+ to \d+ failed; \d+ rows were acknowledged\]"
        ) as caught:
            await appender.append(ROWS, SMALL)
        said = int(str(caught.value).rsplit("; ", 1)[1].split(" ")[0])
        assert said <= broker.rows() < 100

    scenario(body)


def test_batches_behind_a_final_error_get_new_numbers_and_arrive() -> None:
    """What another append had in flight must not fail with it."""

    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        broker.hold = asyncio.Event()
        broker.script.append(10)
        bad = asyncio.ensure_future(appender.append([b"too large"], SMALL))
        while not any(key == INIT_PRODUCER_ID for key, _ in broker.requests):
            broker.hold.set()
            await asyncio.sleep(0)
        broker.hold.clear()
        good = [asyncio.ensure_future(appender.append([b"x"], SMALL)) for _ in range(4)]
        await asyncio.sleep(0)
        broker.hold.set()
        with pytest.raises(Invalid):
            await bad
        assert sum(found.rows for found in await asyncio.gather(*good)) == 4
        assert broker.rows() == 4

    scenario(body)


def test_a_producer_the_broker_forgot_gets_a_new_id() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        await appender.append([b"a"], SMALL)
        broker.script.append(59)
        assert (await appender.append([b"b"], SMALL)).rows == 1
        assert [producer for producer, _, _ in broker.log[0]] == [1, 2]

    scenario(body)


def test_a_gap_that_is_not_ours_is_a_conflict() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        broker.script.append(45)
        with pytest.raises(Conflict, match="sequence number is missing"):
            await appender.append([b"a"], SMALL)

    scenario(body)


def test_a_duplicate_that_the_broker_reports_is_written() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        broker.script.append(46)
        written = await appender.append([b"a"], SMALL)
        assert (written.rows, written.partitions[0].first_offset) == (1, -1)

    scenario(body)


def test_acks_1_needs_no_producer_id() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        await appender.append([b"a"], AppendOptions(acks=1))
        assert broker.log[0] == [(-1, -1, 1)]
        assert not any(key == INIT_PRODUCER_ID for key, _ in broker.requests)

    scenario(body)


def test_when_the_time_is_over_the_error_says_that_rows_may_be_written() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        await appender.append([b"first"], SMALL)
        patience(appender, 0.1)
        broker.script.extend([7] * 1000)
        with pytest.raises(Unavailable, match="may be written or not") as caught:
            await appender.append([b"a"], SMALL)
        assert caught.value.code == 7

    scenario(body)


def test_at_most_five_requests_are_under_way() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, producer: Producer) -> None:
        await appender.append([b"a"], SMALL)
        broker.hold = asyncio.Event()
        appending = asyncio.ensure_future(appender.append(ROWS, SMALL))
        connection = await appender._cluster.connection(1, lane=producer)
        while connection.open_requests < 5:
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert connection.open_requests == 5
        broker.hold.set()
        await appending

    scenario(body)


def test_small_appends_to_many_partitions_share_requests() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Producer) -> None:
        rows = [{"value": b"x", "_partition": index} for index in range(8)]
        await appender.append(rows, SMALL)
        first = [key for key, _ in broker.requests].count(PRODUCE)
        await appender.append(rows, SMALL)
        second = [key for key, _ in broker.requests].count(PRODUCE) - first
        assert second < 8

    scenario(body, partitions=8)


def test_a_cancelled_append_takes_back_what_was_not_sent() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, producer: Producer) -> None:
        await appender.append([b"a"], SMALL)
        broker.hold = asyncio.Event()
        appending = asyncio.ensure_future(appender.append(ROWS, SMALL))
        connection = await appender._cluster.connection(1, lane=producer)
        while connection.open_requests < 5:
            await asyncio.sleep(0)
        appending.cancel()
        await asyncio.sleep(0)
        broker.hold.set()
        with pytest.raises(asyncio.CancelledError):
            await appending
        assert (await appender.append([b"b"], SMALL)).rows == 1
        assert broker.rows() < 100

    scenario(body)


def test_closing_ends_what_is_under_way() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, producer: Producer) -> None:
        broker.hold = asyncio.Event()
        appending = asyncio.ensure_future(appender.append(ROWS, SMALL))
        while not producer._active:
            broker.hold.set()
            await asyncio.sleep(0)
            broker.hold.clear()
        await producer.close()
        with pytest.raises(Closed, match="before the records were acknowledged"):
            await appending
        broker.hold.set()

    scenario(body)
