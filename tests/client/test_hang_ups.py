"""A request that is more than a broker reads at once: it hangs up, and would again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from scripted_broker import PRODUCE, ScriptedBroker, scripted_broker

import mainstem as ms
from mainstem.client import Appender, AppendOptions, ClientConfig, Cluster, Producer
from mainstem.client.retry import Deadline
from mainstem.testing import running_broker
from mainstem.wire import Message

LIMIT = 3_000_000
LARGE = b"x" * 4_000_000
DESCRIBE_CONFIGS = 32
Append = Callable[[list[Any]], Awaitable[Any]]


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker that reads at most ``LIMIT`` bytes at once."""
    with running_broker(tmp_path_factory.mktemp("limited"), request_max_bytes=LIMIT) as broker:
        yield broker.address


@pytest.mark.parametrize("acks", ["all", 1])
def test_a_record_larger_than_a_broker_reads_at_once_is_refused(limited: str, acks: Any) -> None:
    """It was sent again for ``retry_for`` seconds, and then called a line that breaks."""
    with ms.connect(limited, retry_for=20) as stem:
        topic = stem.create_topic(f"one-{acks}")
        wanted = rf"request of 4,000,\d+ bytes is more than broker \d+ reads .*={LIMIT:,}\).*row 1 "
        with pytest.raises(ms.Invalid, match=wanted) as caught:
            topic.append([b"a", LARGE], acks=acks, batch_bytes=1024)
        assert caught.value.code == 10
        assert topic.append([b"y"], acks=acks).rows == 1
        # With acks=1 the "a" may have been sent once more, after the same line was lost.
        assert b"y" in [value for batch in topic.read() for value in batch["value"].to_pylist()]


# --- a broker that does what it is told -----------------------------------------------------------


def scenario(
    body: Callable[[ScriptedBroker, Append], Awaitable[None]], limit: int = 0, partitions: int = 1
) -> None:
    async def run() -> None:
        async with scripted_broker(partitions) as broker:
            if limit:
                tell(broker, limit)
            cluster = Cluster([broker.address], ClientConfig(retry_for=20))
            await cluster.start()
            producer = Producer(cluster)
            appender = Appender(cluster, producer, "t")
            try:
                await body(
                    broker, lambda rows: appender.append(rows, AppendOptions(batch_bytes=1024))
                )
            finally:
                await producer.close()
                await cluster.close()

    asyncio.run(run())


def tell(broker: ScriptedBroker, limit: int) -> None:
    """Have it answer DescribeConfigs."""
    others = broker._handlers
    entry = Message(
        name="socket.request.max.bytes",
        value=str(limit),
        read_only=True,
        is_sensitive=False,
        synonyms=[],
        documentation=None,
    )
    found = Message(
        error_code=0, error_message=None, resource_type=4, resource_name="1", configs=[entry]
    )
    answer = Message(throttle_time_ms=0, results=[found])
    broker.versions[DESCRIBE_CONFIGS] = (1, 4)
    broker._handlers = lambda: {  # type: ignore[method-assign]
        **others(),
        DESCRIBE_CONFIGS: lambda _: answer,
    }


def produced(broker: ScriptedBroker) -> int:
    return [key for key, _ in broker.requests].count(PRODUCE)


def test_two_hang_ups_in_a_row_are_enough_where_the_broker_does_not_tell() -> None:
    async def body(broker: ScriptedBroker, append: Append) -> None:
        broker.script.extend(["cut"] * 3)
        with pytest.raises(ms.Invalid, match=r"made broker 1 hang up twice.*not ask") as caught:
            await append([LARGE])
        assert caught.value.code == 10
        assert produced(broker) == 2

    scenario(body)


@pytest.mark.parametrize(
    ("before", "row", "script"),
    [
        (b"a", LARGE, ["cut", 0]),
        (b"a", LARGE, ["cut", 6, "cut", 0]),  # answered between: it was read
        (b"a", b"x" * 900_000, ["cut", "cut", "cut", 0]),  # no broker has such a limit
        (LARGE, LARGE[:-9], ["cut", "cut", "cut", 0]),  # a larger one was read
    ],
    ids=["once", "not in a row", "small", "smaller"],
)
def test_a_line_that_breaks_is_no_limit(before: bytes, row: bytes, script: list[Any]) -> None:
    async def body(broker: ScriptedBroker, append: Append) -> None:
        await append([before])
        broker.script.extend(script)
        await append([row])
        assert broker.rows() == 2
        assert produced(broker) == 1 + len(script)

    scenario(body)


def test_what_the_broker_tells_counts_more_than_how_often_it_hangs_up() -> None:
    async def body(broker: ScriptedBroker, append: Append) -> None:
        broker.script.extend(["cut"] * 3)
        await append([LARGE])
        assert (broker.rows(), produced(broker)) == (1, 4)

    scenario(body, limit=5_000_000)


def test_one_hang_up_is_enough_where_the_broker_tells() -> None:
    async def body(broker: ScriptedBroker, append: Append) -> None:
        broker.script.extend(["cut"] * 3)
        with pytest.raises(ms.Invalid, match="reads at once"):
            await append([LARGE])
        assert produced(broker) == 1

    scenario(body, limit=LIMIT)


def refuse(broker: ScriptedBroker, unwelcome: Callable[[Message], bool]) -> None:
    """Have it hang up at some requests, whenever they come."""
    produce = broker._produce

    def answer(request: Message) -> Message | None:
        return None if unwelcome(request) else produce(request)

    broker._produce = answer  # type: ignore[method-assign]


def test_who_only_stands_behind_a_large_request_is_not_blamed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both requests are lost, again and again, in their order; the broker hangs up at the first."""
    monkeypatch.setattr(Deadline, "FIRST", 0.0)

    async def body(broker: ScriptedBroker, append: Append) -> None:
        # So that the line is open, and both are on it before the first is read.
        await append([{"value": b"a", "_partition": 0}, {"value": b"a", "_partition": 1}])
        refuse(broker, lambda request: request.topic_data[0].partition_data[0].index == 0)
        rows = [{"value": LARGE, "_partition": 0}, {"value": LARGE, "_partition": 1}]
        first, second = await asyncio.gather(
            append(rows[:1]), append(rows[1:]), return_exceptions=True
        )
        assert isinstance(first, ms.Invalid), first
        assert not isinstance(second, BaseException), second
        assert (broker.rows(0), broker.rows(1)) == (1, 2)

    scenario(body, partitions=2)


@pytest.mark.parametrize("limit", [0, LIMIT], ids=["untold", "told"])
def test_batches_that_are_too_much_together_are_welcome_apart(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """They come home one by one, and so they go again."""
    monkeypatch.setattr("mainstem.client.producer.MAX_IN_FLIGHT", 1)  # so that others pile up

    async def body(broker: ScriptedBroker, append: Append) -> None:
        sizes: list[int] = []

        def too_much(request: Message) -> bool:
            parts = [part for topic in request.topic_data for part in topic.partition_data]
            sizes.append(sum(len(part.records) for part in parts))
            return sizes[-1] > LIMIT

        refuse(broker, too_much)
        rows = [{"value": b"x" * 900_000, "_partition": n} for n in range(12)]
        assert (await append(rows)).rows == 12
        assert max(sizes) > LIMIT

    scenario(body, limit=limit, partitions=12)
