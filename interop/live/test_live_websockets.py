"""PyPI's ``websockets`` on `/live/ws`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from interop.live.gateways import Gateway

#: Skips over what is said in between, such as counts of viewers.
Hear = Callable[..., dict[str, Any]]


@pytest.fixture
def socket(gateway: Gateway) -> Iterator[ClientConnection]:
    with connect(f"ws://{gateway.address}/live/ws", open_timeout=30) as connection:
        yield connection


@pytest.fixture
def hear(socket: ClientConnection) -> Hear:
    """The next message that has these members."""

    def next_with(**members: Any) -> dict[str, Any]:
        while True:
            message: dict[str, Any] = json.loads(socket.recv(timeout=30))
            if all(message.get(name, ...) == value for name, value in members.items()):
                return message

    return next_with


def say(socket: ClientConnection, **message: Any) -> None:
    socket.send(json.dumps({name.rstrip("_"): value for name, value in message.items()}))


def test_it_hears_what_a_stream_hears(
    gateway: Gateway, channel: str, socket: ClientConnection, hear: Hear
) -> None:
    gateway.append(channel, ["one", "two\nlines", "é 🛫"])
    say(socket, subscribe=[channel], from_="earliest")
    assert hear(event="resumed")["channels"] == [channel]
    heard = [hear(kind="events") for _ in range(3)]
    assert [each["data"] for each in heard] == ["one", "two\nlines", "é 🛫"]
    assert all(each["id"] and each["channel"] == channel for each in heard)


def test_an_id_resumes_after_it(
    gateway: Gateway, channel: str, socket: ClientConnection, hear: Hear
) -> None:
    gateway.append(channel, list(range(10)))
    say(socket, subscribe=[channel], from_="earliest")
    ids = [hear(kind="events")["id"] for _ in range(10)]
    with connect(f"ws://{gateway.address}/live/ws", open_timeout=30) as other:
        say(other, subscribe=[channel], from_=ids[6])
        found: list[Any] = []
        while len(found) < 3:
            message = json.loads(other.recv(timeout=30))
            if message.get("kind") == "events":
                found.append(message["data"])
    assert found == [7, 8, 9]


def test_channels_come_and_go_while_it_is_open(
    gateway: Gateway, channel: str, socket: ClientConnection, hear: Hear
) -> None:
    first, second = f"{channel}a", f"{channel}b"
    say(socket, subscribe=[first])
    hear(event="resumed")
    say(socket, subscribe=[second])
    hear(event="resumed")
    gateway.post(first, 1)
    gateway.post(second, 2)
    assert {hear(kind="events")["data"], hear(kind="events")["data"]} == {1, 2}
    say(socket, unsubscribe=[first], ref=7)
    hear(ref=7)
    gateway.post(first, 3)
    gateway.post(second, 4)
    assert hear(kind="events")["data"] == 4


def test_publishing_is_answered_and_heard(
    channel: str, socket: ClientConnection, hear: Hear
) -> None:
    say(socket, subscribe=[channel])
    hear(event="resumed")
    say(socket, publish=channel, data={"text": "hi"}, key="k", ref=1)
    say(socket, publish=channel, data={"text": "hi"}, key="k", ref=2)
    messages = [json.loads(socket.recv(timeout=30)) for _ in range(3)]
    answers = {each["ref"]: each["ok"] for each in messages if "ref" in each}
    assert [answers[1]["duplicate"], answers[2]["duplicate"]] == [False, True]
    assert answers[1]["offset"] == answers[2]["offset"]
    (event,) = [each for each in messages if each.get("kind") == "events"]
    assert (event["data"], event["offset"]) == ({"text": "hi"}, answers[1]["offset"])


@pytest.mark.parametrize(
    "message",
    ["no json", "[]", '{"subscribe":["unheard:1"],"ref":1}', '{"publish":"nocolon","ref":1}'],
)
def test_what_is_wrong_is_answered_in_a_sentence(socket: ClientConnection, message: str) -> None:
    socket.send(message)
    answer = json.loads(socket.recv(timeout=30))
    assert len(answer["error"]) > 10


def test_a_foreign_page_is_refused(gateway: Gateway) -> None:
    url = f"ws://{gateway.address}/live/ws"
    with pytest.raises(InvalidStatus) as refused:
        connect(url, origin="https://elsewhere.example", open_timeout=30)  # type: ignore[arg-type]
    assert refused.value.response.status_code == 403
