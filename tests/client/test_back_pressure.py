"""Appends while the buffer is full: they wait for room, go on when there is some, or say so."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

import mainstem as ms
from mainstem.face.loop import run
from mainstem.testing import RunningBroker

MakeTopic = Callable[..., ms.Topic]
ROWS = [bytes(1000)]
SECONDS = 30.0


@asynccontextmanager
async def unheard(stem: ms.AsyncStem) -> AsyncIterator[None]:
    """The client leaves answers to its appends unread: all that is sent stays unacknowledged."""
    lanes = stem.cluster._open.items()
    opened = [task.result() for (_, lane), task in lanes if lane is stem.producer]
    transports = [each._transport for each in opened if each._transport is not None]
    assert transports, "append once before"
    for transport in transports:
        transport.pause_reading()
    try:
        yield
    finally:
        for transport in transports:
            if not transport.is_closing():
                transport.resume_reading()


@contextmanager
def unheard_by(stem: ms.Stem) -> Iterator[None]:
    async def enter() -> Any:
        found = unheard(stem._stem)
        await found.__aenter__()
        return found

    found = run(enter)
    try:
        yield
    finally:
        run(found.__aexit__, None, None, None)


async def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"gave up waiting for {what}"
        await asyncio.sleep(0.005)


def waits(stem: ms.AsyncStem) -> bool:
    """Whether an append waits for room, and nothing is held but what was there before it."""
    return not stem.producer._room.is_set() and stem.producer._held < 2 * len(ROWS[0])


def read(topic: ms.Topic) -> list[bytes]:
    return [value for batch in topic.read() for value in batch["value"].to_pylist()]


def test_an_append_waits_for_room_and_goes_on(
    mainstem_session_broker: RunningBroker, make_topic: MakeTopic
) -> None:
    whole = make_topic()
    with (
        ms.connect(mainstem_session_broker.address, buffer_bytes=500) as stem,
        ThreadPoolExecutor(3) as threads,
    ):
        topic = stem.topic(whole.name)
        topic.append([b"before"])
        with unheard_by(stem):
            held = threads.submit(topic.append, ROWS)
            run(until, lambda: stem._stem.producer._held, "the first rows to be held")
            waiting = [threads.submit(topic.append, [b"%d" % n]) for n in range(2)]
            run(until, lambda: waits(stem._stem), "an append that waits")
            assert not any(work.done() for work in (held, *waiting))
        assert held.result(SECONDS).partitions[0].first_offset == 1
        assert [work.result(SECONDS).rows for work in waiting] == [1, 1]
    values = read(whole)
    assert values[:2] == [b"before", *ROWS]
    assert sorted(values[2:]) == [b"0", b"1"]


def test_an_asynchronous_append_waits_for_room_and_goes_on(
    mainstem_session_broker: RunningBroker, make_topic: MakeTopic
) -> None:
    whole = make_topic()

    async def body() -> None:
        address = mainstem_session_broker.address
        async with await ms.aconnect(address, buffer_bytes=500) as stem:
            topic = await stem.topic(whole.name)
            await topic.append([b"before"])
            async with unheard(stem):
                held = asyncio.create_task(topic.append(ROWS))
                await until(lambda: stem.producer._held, "the first rows to be held")
                waiting = asyncio.create_task(topic.append([b"after"]))
                await until(lambda: waits(stem), "an append that waits")
                assert not held.done()
                assert not waiting.done()
            assert (await held).partitions[0].first_offset == 1
            assert (await waiting).partitions[0].first_offset == 2

    asyncio.run(body())
    assert read(whole) == [b"before", *ROWS, b"after"]


def test_a_table_larger_than_the_buffer_goes_through_it(
    mainstem_session_broker: RunningBroker, make_topic: MakeTopic
) -> None:
    whole = make_topic()
    rows = [b"%d" % n + bytes(500) for n in range(2000)]
    with ms.connect(mainstem_session_broker.address, buffer_bytes=4000) as stem:
        assert stem.topic(whole.name).append(rows, batch_bytes=2000).rows == len(rows)
    assert read(whole) == rows


def test_room_that_never_comes_is_told_with_what_to_do(
    mainstem_session_broker: RunningBroker, make_topic: MakeTopic
) -> None:
    whole = make_topic()
    told = (
        f"rows for '{re.escape(whole.name)}' partition 0 were not sent, there was no room for them "
        r"within 2 s: 1,\d\d\d bytes appended before are not acknowledged \(buffer_bytes=500\); "
        "see that the brokers answer, append more slowly, or connect with a longer retry_for or a "
        "larger buffer_bytes"
    )
    options: dict[str, Any] = {"buffer_bytes": 500, "retry_for": 2.0}
    with (
        ms.connect(mainstem_session_broker.address, **options) as stem,
        ThreadPoolExecutor(1) as threads,
    ):
        topic = stem.topic(whole.name)
        topic.append([b"before"])
        with unheard_by(stem):
            held = threads.submit(topic.append, ROWS)
            run(until, lambda: stem._stem.producer._held, "the first rows to be held")
            with pytest.raises(ms.Unavailable, match=told):
                topic.append([b"late"])
        held.exception(SECONDS)  # acknowledged, or late itself
        topic.append([b"after"])
    values = read(whole)
    assert b"late" not in values
    assert values[-1] == b"after"


def test_an_append_that_waits_for_room_ends_when_the_client_is_closed(
    mainstem_session_broker: RunningBroker, make_topic: MakeTopic
) -> None:
    whole = make_topic()

    async def body() -> None:
        address = mainstem_session_broker.address
        stem = await ms.aconnect(address, buffer_bytes=500)
        topic = await stem.topic(whole.name)
        await topic.append([b"before"])
        async with unheard(stem):
            held = asyncio.create_task(topic.append(ROWS))
            await until(lambda: stem.producer._held, "the first rows to be held")
            waiting = asyncio.create_task(topic.append([b"late"]))
            await until(lambda: waits(stem), "an append that waits")
            await stem.close()
        for work in (held, waiting):
            with pytest.raises(ms.Closed):
                await work

    asyncio.run(body())
    assert b"late" not in read(whole)
