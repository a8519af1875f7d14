"""WebSocket viewers, with the ``websockets`` client as the other side."""

from __future__ import annotations

import asyncio
import json
import random
import struct
from contextlib import asynccontextmanager

import pytest
import websockets
from worker_kit import Log, asynchronous, places, site, until, viewer

from mainstem.live import bus


class Client:
    def __init__(self, socket):
        self.socket = socket
        self.kept = []

    async def say(self, **message):
        message = {"from" if key == "origin" else key: value for key, value in message.items()}
        await self.socket.send(json.dumps(message))

    async def hear(self):
        async with asyncio.timeout(10):
            return json.loads(await self.socket.recv())

    async def answer(self, ref):
        """The answer to ``ref``; what comes before it is kept for ``events``."""
        while True:
            message = await self.hear()
            if message.get("ref") == ref:
                return message
            self.kept.append(message)

    async def events(self, count):
        found = []
        while len(found) < count:
            message = self.kept.pop(0) if self.kept else await self.hear()
            if message.get("kind") == "events":
                found.append(message)
        return found


@asynccontextmanager
async def client(here, **arguments):
    url = f"ws://127.0.0.1:{here.worker.port}/live/ws"
    # A client that has stopped reading would not see the answer to its close.
    arguments.setdefault("max_queue", None)
    async with websockets.connect(url, compression="deflate", **arguments) as socket:
        yield Client(socket)


@asynchronous
async def test_a_subscription_is_resumed_and_answered_and_then_live():
    async with site() as here, client(here) as ws:
        await ws.say(subscribe=["comments:42"], ref=1)
        first = await ws.hear()
        assert (first["event"], first["channels"]) == ("resumed", ["comments:42"])
        assert await ws.answer(1) == {"ref": 1, "ok": {"channels": ["comments:42"]}}
        here.dispatcher.append("comments:42", "hello")
        [event] = await ws.events(1)
        assert (event["channel"], event["data"], event["offset"]) == ("comments:42", "hello", 0)
        assert list(places(event["id"]).values()) == [1]


@asynchronous
async def test_frames_of_every_length_encoding_arrive():
    async with site(ring_bytes=1 << 20) as here, client(here, max_size=None) as ws:
        await ws.say(subscribe=["comments:42"], ref=1)
        await ws.answer(1)
        for size in (1, 60, 125, 126, 200, 65_000, 66_000, 300_000):
            here.dispatcher.append("comments:42", "x" * size)
            [event] = await ws.events(1)
            assert len(event["data"]) == size


@asynchronous
async def test_what_a_socket_saw_can_be_resumed_by_a_stream_and_the_reverse():
    async with site() as here:
        for number in range(6):
            here.dispatcher.append("comments:42", number)
        async with client(here) as ws:
            await ws.say(subscribe=["comments:42"], origin="earliest", ref=1)
            cursor = (await ws.events(3))[-1]["id"]
        async with viewer(here, "channel=comments:42", last_id=cursor) as stream:
            await stream.event()
            event = await stream.event()
            assert event.offset == 3
        async with client(here) as ws:
            await ws.say(subscribe=["comments:42"], origin=event.id)
            assert (await ws.events(2))[0]["offset"] == 4


@asynchronous
async def test_subscribing_to_more_leaves_no_gap_in_what_was_there():
    log = Log(partitions=3)
    async with site(log) as here, client(here) as ws:
        await ws.say(subscribe=["comments:0"], ref=0)
        await ws.answer(0)
        for round_ in range(1, 9):
            for _ in range(5):
                here.dispatcher.append("comments:0", round_)
            await ws.say(subscribe=[f"comments:{round_}", "likes:1"], ref=round_)
            await ws.answer(round_)
        await ws.say(unsubscribe=[f"comments:{number}" for number in range(1, 9)], ref=99)
        here.dispatcher.append("comments:0", "last")
        events = await ws.events(41)
        assert [event["offset"] for event in events] == list(range(41))
        assert (await ws.answer(99))["ok"] == {"channels": ["comments:0", "likes:1"]}


@asynchronous
async def test_random_subscriptions_never_cost_an_event():
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    log = Log(partitions=3)
    async with site(log, ring_bytes=4096) as here, client(here) as ws:
        await ws.say(subscribe=["comments:0"], ref=0)
        await ws.answer(0)

        async def write():
            for number in range(500):
                here.dispatcher.append(f"comments:{rng.randrange(4)}", number)
                if number % 5 == 0:
                    await asyncio.sleep(0.001)
            here.dispatcher.append("comments:0", "last")

        async def change():
            for number in range(1, 40):
                names = [f"comments:{rng.randrange(1, 4)}"]
                if rng.random() < 0.5:
                    await ws.say(subscribe=names, ref=number)
                else:
                    await ws.say(unsubscribe=names, ref=number)
                await asyncio.sleep(rng.random() * 0.01)

        seen = []

        async def read():
            while not seen or seen[-1]["data"] != "last":
                message = await ws.hear()
                if message.get("channel") == "comments:0":
                    seen.append(message)

        await asyncio.gather(write(), change(), read())
        stream = log.stream("comments:0")
        expected = [
            offset for offset, (name, _) in enumerate(log.records(stream)) if name == "comments:0"
        ]
        assert [event["offset"] for event in seen] == expected, f"seed {seed}"


@asynchronous
async def test_the_past_of_a_channel_added_later_is_told_too():
    async with site(Log(partitions=5)) as here, client(here) as ws:
        for number in range(10):
            here.dispatcher.append("chat:1", number)
        await ws.say(subscribe=["comments:1"], ref=1)
        await ws.answer(1)
        await ws.say(subscribe=["chat:1"], origin="earliest", ref=2)
        await ws.answer(2)
        here.dispatcher.append("chat:1", 10)
        assert [event["offset"] for event in await ws.events(11)] == list(range(11))


@asynchronous
async def test_publishing_is_answered_with_the_place():
    async with site() as here, client(here) as ws:
        await ws.say(publish="comments:42", data={"a": [1, None]}, key="k", ref="p")
        answer = await ws.answer("p")
        assert answer["ok"]["offset"] == 0
        published = here.dispatcher.heard(bus.Publish)[0]
        assert json.loads(published.body) == {"a": [1, None]}
        assert published.idempotency_key == "k"


@pytest.mark.parametrize(
    "message",
    [
        {"subscribe": ["nonsense"]},
        {"subscribe": ["ghost:1"]},
        {"subscribe": []},
        {"subscribe": ["comments:1"], "publish": "comments:1"},
        {"publish": "comments:1"},
        {"publish": "comments:broken", "data": 1},
        {"token": "ey"},
        {},
    ],
)
@asynchronous
async def test_what_cannot_be_done_is_answered_and_the_socket_lives_on(message):
    async with site() as here, client(here) as ws:
        await ws.say(ref=5, **message)
        assert (await ws.answer(5))["error"]
        await ws.say(subscribe=["comments:1"], ref=6)
        assert "ok" in await ws.answer(6)


@pytest.mark.parametrize("text", ["", "nonsense", "[1]", '{"subscribe":5}', '{"unknown":1}'])
@asynchronous
async def test_what_is_no_message_is_told_so(text):
    async with site() as here, client(here) as ws:
        await ws.socket.send(text)
        assert (await ws.hear())["code"] == "message"


@asynchronous
async def test_pings_are_answered_and_a_close_is_closed():
    async with site() as here, client(here) as ws:
        await (await ws.socket.ping())
        await ws.socket.close(1000, "done")
        assert ws.socket.close_code == 1000
        await until(lambda: not here.gateway.viewers)


@asynchronous
async def test_a_message_in_fragments_is_one_message():
    async with site() as here, client(here) as ws:
        await ws.socket.send(['{"subscribe":', '["comments:1"],', '"ref":3}'])
        assert "ok" in await ws.answer(3)


@pytest.mark.parametrize(
    "frames",
    [
        b"\x81\x02{}",  # not masked
        b"\xf1\x80\0\0\0\0",  # reserved bits
        b"\x81\xff" + struct.pack(">Q", 1 << 40) + b"\0\0\0\0",
        b"\x80\x80\0\0\0\0",  # goes on with nothing
        b"\x83\x80\0\0\0\0",  # no such opcode
    ],
)
@asynchronous
async def test_who_breaks_the_protocol_is_closed(frames):
    async with site() as here, client(here) as ws:
        ws.socket.transport.write(frames)
        with pytest.raises(websockets.ConnectionClosed):
            await ws.hear()
        await until(lambda: not here.gateway.viewers)


@asynchronous
async def test_a_flood_of_pings_to_someone_who_does_not_read_ends_it():
    async with site() as here, client(here) as ws:
        transport = ws.socket.transport
        transport.pause_reading()
        ping = b"\x89\xfd" + b"\0\0\0\0" + b"x" * 125
        async with asyncio.timeout(20):
            while not transport.is_closing() and here.gateway.viewers:
                transport.write(ping * 500)
                await asyncio.sleep(0)
        assert here.gateway.viewers == {}
        transport.abort()


@asynchronous
async def test_a_page_of_another_origin_is_refused():
    async with site() as here:
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with client(here, origin="https://evil.example"):
                pass
        assert caught.value.response.status_code == 403


@asynchronous
async def test_the_subprotocol_is_ours_where_it_is_offered():
    async with site() as here:
        async with client(here, subprotocols=["other", "mainstem.live"]) as ws:
            assert ws.socket.subprotocol == "mainstem.live"
        async with client(here) as ws:
            assert ws.socket.subprotocol is None


@asynchronous
async def test_a_drain_closes_sockets_as_going_away():
    async with site() as here, client(here) as ws:
        await ws.say(subscribe=["comments:1"], ref=1)
        await ws.answer(1)
        here.dispatcher.pipe.send(bus.Drain(1.0))
        assert (await ws.hear())["event"] == "drain"
        with pytest.raises(websockets.ConnectionClosedOK):
            await ws.hear()
        assert ws.socket.close_code == 1001


@asynchronous
async def test_a_heartbeat_carries_the_cursor():
    async with site(heartbeat_s=0.5) as here, client(here) as ws:
        await ws.say(subscribe=["comments:1"], ref=1)
        await ws.answer(1)
        here.dispatcher.skip("comments:1", 9)
        message = await ws.hear()
        while list(places(message["id"]).values()) != [9]:
            message = await ws.hear()
        assert message["event"] == "cursor"


@asynchronous
async def test_who_is_behind_and_subscribes_to_more_goes_on_where_it_was():
    log = Log(partitions=2)
    async with site(log, ring_bytes=1 << 20) as here, client(here) as ws:
        await ws.say(subscribe=["comments:0"], ref=1)
        await ws.answer(1)
        ws.socket.transport.pause_reading()
        told = 0
        [(ident, handler)] = here.gateway.viewers.items()

        def behind():
            number, _ = here.gateway.sender.position(ident)
            return handler.set.ring.next - number

        while behind() < 50:
            for _ in range(20):
                here.dispatcher.append("comments:0", "x" * 1000)
                told += 1
            await asyncio.sleep(0.01)
        await ws.say(subscribe=["comments:1"], ref=2)
        await until(
            lambda: ("comments:0", "comments:1") in {n for n, _ in here.gateway.fanout.sets}
        )
        await asyncio.sleep(0.05)
        here.dispatcher.append("comments:0", "last")
        ws.socket.transport.resume_reading()
        assert [each["offset"] for each in await ws.events(told + 1)] == list(range(told + 1))
