"""What each kind of channel tells, over a real broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from live_desk import DeskPort, desk, write

from mainstem.live import bus
from mainstem.live.settings import Namespace
from mainstem.testing import running_broker


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_broker(tmp_path_factory.mktemp("log")) as broker:
        yield broker.address


def test_events_arrive_in_order_with_their_offsets(address: str) -> None:
    async def scenario() -> None:
        async with desk(address) as dispatcher:
            port = DeskPort(dispatcher, 1)
            opened = await port.watch("comments:order")
            assert (opened.kind, opened.state) == ("events", None)
            for number in range(20):
                answer = await port.publish("comments:order", {"n": number})
                assert isinstance(answer, bus.Published)
                assert answer.stream == opened.stream
            await port.until(lambda: len(port.events("comments:order")) == 20)
            found = port.events("comments:order")
            assert [data["n"] for _, data in found] == list(range(20))
            offsets = [offset for offset, _ in found]
            assert offsets == list(range(opened.next_offset, opened.next_offset + 20))

    asyncio.run(scenario())


def test_what_other_producers_write_is_rendered_on_one_line(address: str) -> None:
    values = [
        b'{"a": 1,\n "b": [1,\r\n2]}',
        b"plain text\nwith a break",
        b"\xff\xfe",
        b"",
        None,
        b"[" * 5000,
        b'"' + b"x" * 100_000 + b'"',
        b"NaN",
        b'{"a":"\x01"}',
        '"\u2028"'.encode(),
    ]

    async def scenario() -> list[bytes]:
        async with desk(address) as dispatcher:
            port = DeskPort(dispatcher, 1)
            await port.watch("comments:odd")
            await asyncio.to_thread(write, address, "live.comments", [("odd", v) for v in values])
            await port.until(lambda: len(port.events("comments:odd")) == len(values))
            return [body for m in port.all(bus.Events) for _, body in m.items]

    bodies = asyncio.run(scenario())
    assert not any(b"\n" in body or b"\r" in body for body in bodies)
    data = [json.loads(body)["data"] for body in bodies]
    assert data == [
        {"a": 1, "b": [1, 2]},
        "plain text\nwith a break",
        {"base64": "//4="},
        "",
        None,
        "[" * 5000,
        {"oversized": 100_002},
        "NaN",
        '{"a":"\x01"}',
        "\u2028",
    ]


def test_a_counter_tells_total_and_delta(address: str) -> None:
    async def scenario() -> None:
        async with desk(address) as dispatcher:
            port = DeskPort(dispatcher, 1)
            opened = await port.watch("likes:sum")
            assert json.loads(opened.state or b"")["total"] == 0
            await port.publish("likes:sum", {})
            await port.publish("likes:sum", {"n": 5})
            await port.publish("likes:sum", {"n": -2})
            await port.until(
                lambda: port.states("likes:sum")[-1:] and port.states("likes:sum")[-1]["total"] == 4
            )
            states = port.states("likes:sum")
            assert sum(state["delta"] for state in states) == 4
            assert "snapshot" not in states[-1]

    asyncio.run(scenario())


def test_a_counter_knows_what_was_liked_before_it_was_watched(address: str) -> None:
    async def scenario() -> None:
        likes = [("before", b"{}")] * 700 + [("other", b'{"n":9}')] * 50 + [("before", b'{"n":3}')]
        async with desk(address) as dispatcher:
            port = DeskPort(dispatcher, 1)
            await port.watch("likes:warm")  # creates the topic
            await asyncio.to_thread(write, address, "live.likes", likes)
            # The state is that of the reader's position; what it has not read yet follows.
            totals = [json.loads((await port.watch("likes:before")).state or b"")["total"]]
            if totals != [703]:
                await port.until(lambda: port.states("likes:before"))
                totals = [state["total"] for state in port.states("likes:before")]
            assert totals[-1] == 703

    asyncio.run(scenario())


def test_latest_opens_with_a_snapshot_and_keeps_the_newest(address: str) -> None:
    async def scenario() -> None:
        async with desk(address) as dispatcher:
            port = DeskPort(dispatcher, 1)
            opened = await port.watch("score:7")
            assert opened.state is None
            await port.publish("score:7", {"home": 1})
            await port.publish("score:7", {"home": 2})
            await port.until(
                lambda: port.states("score:7") and port.states("score:7")[-1]["data"]["home"] == 2
            )
            other = DeskPort(dispatcher, 2)
            snapshot = json.loads((await other.watch("score:7")).state or b"")
            assert snapshot["data"] == {"home": 2}
            assert snapshot["snapshot"] is True
        async with desk(address) as dispatcher:  # a new gateway reads it from the log
            port = DeskPort(dispatcher, 1)
            snapshot = json.loads((await port.watch("score:7")).state or b"")
            assert snapshot["data"] == {"home": 2}

    asyncio.run(scenario())


def test_a_tombstone_is_the_latest_value(address: str) -> None:
    async def scenario() -> None:
        async with desk(address) as dispatcher:
            port = DeskPort(dispatcher, 1)
            await port.watch("score:gone")
            await port.publish("score:gone", 1)
            await asyncio.to_thread(write, address, "live.score", [("gone", None)])
            await port.until(
                lambda: (
                    port.states("score:gone")[-1:] and port.states("score:gone")[-1]["data"] is None
                )
            )
            other = DeskPort(dispatcher, 2)
            snapshot = json.loads((await other.watch("score:gone")).state or b"")
            assert (snapshot["data"], snapshot["snapshot"]) == (None, True)

    asyncio.run(scenario())


def test_a_sample_tells_what_is_said_most(address: str) -> None:
    namespaces = {"rain": Namespace(kind="sample", top=2, window_ms=50)}

    async def scenario() -> None:
        async with desk(address, namespaces) as dispatcher:
            port = DeskPort(dispatcher, 1)
            await port.watch("rain:1")
            rain = [b'"heart"'] * 5 + [b'"fire"'] * 3 + [b'"wow"'] + [b'{"value":"wow","n":7}']
            await asyncio.to_thread(write, address, "live.rain", [("1", drop) for drop in rain])
            state = (await port.until(lambda: port.states("rain:1")))[0]
            assert state["top"] == [
                {"value": "wow", "weight": 8},
                {"value": "heart", "weight": 5},
            ]
            assert state["count"] == 10

    asyncio.run(scenario())
