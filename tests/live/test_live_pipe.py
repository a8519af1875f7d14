"""The bus: messages over a socket pair, in order, bounded, and closed on nonsense."""

from __future__ import annotations

import asyncio
import socket
import typing

import msgspec
import pytest
from worker_kit import asynchronous, until

from mainstem.errors import Closed, Corrupt, Invalid
from mainstem.live import bus
from mainstem.live.pipe import dispatcher_pipe, worker_pipe

STREAM = ("live.comments", 7, 2)


class Ends:
    """Both ends, and what came."""

    def __init__(self) -> None:
        self.at_worker: list[bus.Message] = []
        self.at_dispatcher: list[bus.Message] = []
        self.closed: list[Exception | None] = []

    async def open(self):
        left, right = socket.socketpair()
        self.dispatcher = await dispatcher_pipe(left, self.at_dispatcher.append, self.closed.append)
        self.worker = await worker_pipe(right, self.at_worker.append, self.closed.append)
        return self

    async def close(self):
        self.dispatcher.close()
        self.worker.close()
        await until(lambda: len(self.closed) == 2)


@asynchronous
async def test_messages_of_every_kind_arrive_as_they_were_sent():
    ends = await Ends().open()
    down = [
        bus.Opened("comments:1", "events", STREAM, 5, None, None),
        bus.Events("comments:1", STREAM, [(5, b'{"a":1}'), (6, b"{}")], 7, 1000),
        bus.State("likes:1", b"{}", None, 5, 12),
        bus.Advance(STREAM, 9),
        bus.Replayed(1, [("comments:1", STREAM, 5, b"{}")], [(STREAM, 6)], True),
        bus.ReplayReset(2, "expired", [(STREAM, 3)], [(STREAM, 9)]),
        bus.Published(3, STREAM, 9, 5, False),
        bus.Failed(4, "Invalid", "no", None),
        bus.Kick("ada", None, "left"),
        bus.Drain(2.5),
    ]
    up = [
        bus.Ready(1, 2),
        bus.Watch("a:b"),
        bus.Replay(1, ["comments:1"], [(STREAM, 4)], None, [(STREAM, 9)], 100),
        bus.Publish(2, "comments:1", b"1", "key", None),
        bus.Gauges({"sends": 1.0}, {"comments": bus.NamespaceGauges(1, 2, 3, 4, 5, 6, [7])}),
    ]
    for message in down:
        ends.dispatcher.send(message)
    for message in up:
        ends.worker.send(message)
    await until(lambda: len(ends.at_worker) == len(down) and len(ends.at_dispatcher) == len(up))
    assert ends.at_worker == down
    assert ends.at_dispatcher == up
    await ends.close()


def test_every_message_is_in_one_of_the_two_unions():
    named = {
        each
        for each in vars(bus).values()
        if isinstance(each, type) and issubclass(each, bus.Message) and each is not bus.Message
    }
    assert set(typing.get_args(bus.FromWorker)) | set(typing.get_args(bus.FromDispatcher)) == named


@asynchronous
async def test_a_message_in_single_bytes_arrives():
    received: list[bus.Message] = []
    left, right = socket.socketpair()
    pipe = await worker_pipe(right, received.append, lambda _: None)
    payload = msgspec.msgpack.encode(bus.Advance(STREAM, 9))
    for byte in len(payload).to_bytes(4, "big") + payload:
        left.send(bytes([byte]))
        await asyncio.sleep(0)
    await until(lambda: received)
    assert received == [bus.Advance(STREAM, 9)]
    left.close()
    pipe.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    "nonsense",
    [b"\xff\xff\xff\xff", b"\0\0\0\1\xc1", b"\0\0\0\2\x91\x05", b"\0\0\0\7\x91\xa5Watch"],
)
@asynchronous
async def test_bytes_that_are_no_message_close_the_pipe_as_corrupt(nonsense):
    closed: list[Exception | None] = []
    left, right = socket.socketpair()
    await worker_pipe(right, lambda _: None, closed.append)
    left.send(nonsense)
    await until(lambda: closed)
    assert isinstance(closed[0], Corrupt)
    left.close()


@asynchronous
async def test_the_other_end_leaving_is_told_once_and_sending_then_is_closed():
    ends = await Ends().open()
    ends.worker.close()
    await until(lambda: len(ends.closed) == 2)
    assert not ends.dispatcher.open
    with pytest.raises(Closed):
        ends.dispatcher.send(bus.Drain(1.0))


@asynchronous
async def test_what_the_other_end_does_not_take_is_seen_and_can_be_waited_for():
    left, right = socket.socketpair()
    received: list[bus.Message] = []
    pipe = await dispatcher_pipe(left, lambda _: None, lambda _: None)
    for _ in range(8):
        pipe.send(bus.State("likes:1", bytes(1 << 20)))
    assert pipe.queued > 4 << 20
    waiting = asyncio.ensure_future(pipe.drained())
    await asyncio.sleep(0)
    assert not waiting.done()
    reader = await worker_pipe(right, received.append, lambda _: None)
    await waiting
    await until(lambda: len(received) == 8)
    assert pipe.queued == 0
    pipe.close()
    reader.close()
    await asyncio.sleep(0)


@asynchronous
async def test_a_message_over_the_bound_is_refused_here():
    ends = await Ends().open()
    with pytest.raises(Invalid, match="64 MiB"):
        ends.dispatcher.send(bus.State("likes:1", bytes(65 << 20)))
    await ends.close()
