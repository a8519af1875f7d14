"""A broker over its quota says how long it will not listen: nothing is sent meanwhile (KIP-219)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
from scripted_broker import METADATA, PRODUCE, TOPIC_ID, ScriptedBroker, scripted_broker

from mainstem.client import Appender, AppendOptions, ClientConfig, Cluster, Producer
from mainstem.client.protocol import Answer, Pending
from mainstem.client.quick_answers import produced, throttle_time
from mainstem.errors import Unavailable
from mainstem.wire import Message, encode_response

SECONDS = 0.15
Body = Callable[[ScriptedBroker, Appender, Cluster], Awaitable[None]]


def scenario(body: Body, **options: float) -> None:
    async def run() -> None:
        async with scripted_broker(1) as broker:
            cluster = Cluster([broker.address], ClientConfig(**options))  # type: ignore[arg-type]
            await cluster.start()
            producer = Producer(cluster)
            try:
                await body(broker, Appender(cluster, producer, "t"), cluster)
            finally:
                await producer.close()
                await cluster.close()

    asyncio.run(run())


def gaps(broker: ScriptedBroker, api_key: int) -> list[float]:
    times = [time for key, time in broker.arrivals if key == api_key]
    return [after - before for before, after in pairwise(times)]


@pytest.mark.parametrize("acks", ["all", 1])
def test_appends_wait_as_long_as_they_are_told(acks: str) -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Cluster) -> None:
        broker.throttle_ms = int(SECONDS * 1000)
        for _ in range(3):
            await appender.append([b"x"], AppendOptions(acks=acks))  # type: ignore[arg-type]
        assert broker.rows() == 3
        assert all(gap >= SECONDS * 0.95 for gap in gaps(broker, PRODUCE)), broker.arrivals

    scenario(body)


def test_an_append_without_an_answer_keeps_its_memory_until_it_is_sent() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Cluster) -> None:
        broker.throttle_ms = int(SECONDS * 1000)
        await appender.append([b"x"], AppendOptions(acks=1))
        begun = asyncio.get_running_loop().time()
        await appender.append([b"y"] * 5, AppendOptions(acks=0))
        assert asyncio.get_running_loop().time() - begun >= SECONDS * 0.95
        await appender.append([b"z"], AppendOptions(acks=1))
        assert broker.rows() == 7

    scenario(body)


def test_any_answer_may_ask_for_quiet() -> None:
    async def body(broker: ScriptedBroker, _: Appender, cluster: Cluster) -> None:
        broker.throttle_ms = int(SECONDS * 1000)
        for _ in range(3):
            await cluster.refresh(["t"], cluster.deadline())
        assert all(gap >= SECONDS * 0.95 for gap in gaps(broker, METADATA)[1:])

    scenario(body)


def test_being_quiet_is_not_being_late() -> None:
    async def body(broker: ScriptedBroker, appender: Appender, _: Cluster) -> None:
        broker.throttle_ms = 1200
        await appender.append([b"x"], AppendOptions(acks=1))
        await appender.append([b"x"], AppendOptions(acks=1))
        assert broker.rows() == 2
        assert len(gaps(broker, PRODUCE)) == 1, "sent once each"

    scenario(body, request_timeout=1.0)


def test_a_connection_that_goes_while_it_is_quiet_ends_who_waits() -> None:
    async def body(broker: ScriptedBroker, _: Appender, cluster: Cluster) -> None:
        broker.throttle_ms = 60_000
        await cluster.refresh(["t"], cluster.deadline())
        waiting = asyncio.ensure_future(cluster.refresh(["t"], cluster.deadline()))
        await asyncio.sleep(0)
        broker.cut_all()
        with pytest.raises(Unavailable):
            await waiting

    scenario(body)


@pytest.mark.parametrize(
    ("api_key", "version", "message"),
    [
        (1, 4, Message(responses=[], throttle_time_ms=77, error_code=0, session_id=0)),
        (1, 17, Message(responses=[], throttle_time_ms=77, error_code=0, session_id=0)),
    ],
)
def test_the_time_is_found_without_decoding(api_key: int, version: int, message: Message) -> None:
    frame = bytes(4) + (b"\0" if version >= 12 else b"") + encode_response(1, version, message)
    assert throttle_time(Answer(Pending(0, api_key, version), frame)) == 77


def test_where_new_leaders_live_is_not_taken_for_a_time() -> None:
    """An answer that tells a new leader has tagged fields behind its throttle time (KIP-951)."""
    node = Message(node_id=3, host="127.0.0.1", port=55741, rack=None)
    leader = Message(leader_id=3, leader_epoch=3)
    part = Message(
        index=0, error_code=6, base_offset=-1, log_append_time_ms=-1, log_start_offset=-1,
        record_errors=[], error_message=None, current_leader=leader,
    )  # fmt: skip
    topic = Message(name="t", topic_id=TOPIC_ID, partition_responses=[part])
    message = Message(responses=[topic], throttle_time_ms=0, node_endpoints=[node])
    for version in range(10, 14):
        frame = bytes(4) + b"\0" + encode_response(0, version, message)
        answer = Answer(Pending(0, 0, version), frame)
        assert throttle_time(answer) == 0
        assert produced(version, frame, answer.body) is None


def test_a_time_that_cannot_be_is_cut() -> None:
    async def body(broker: ScriptedBroker, _: Appender, cluster: Cluster) -> None:
        broker.throttle_ms = 2**31 - 1
        await cluster.refresh(["t"], cluster.deadline())
        (opened,) = cluster._open.values()
        assert opened.result().throttled <= 2 * 60.0

    scenario(body)
