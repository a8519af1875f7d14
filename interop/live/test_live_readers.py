"""Independent readers of server-sent events all hear the same, and resume anywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent, connect_sse

from interop.live.gateways import Gateway, Reader

Start = Callable[..., Reader]

#: What a comment can be that a careless writer of streams would break.
VALUES: list[Any] = [
    {"text": "plain"},
    "é ü 漢字 🛫",
    "two\nlines\r\nand\rmore",
    "data: no field\n\nid: 9\n\nevent: reset\n\n",
    "\u2028\u2029\u0085\x00\x7f\ufeff",
    ": no comment",
    "",
    0,
    None,
    [1.5, -2, {"a": None, "b": [True, False]}],
    "x" * 50_000,
]
NPM = ["eventsource.mjs", "eventsource_parser.mjs"]


def listen(
    url: str, count: int, headers: dict[str, str] | None = None
) -> tuple[httpx.Response, list[ServerSentEvent]]:
    """What ``httpx-sse`` makes of the stream up to its ``count``-th plain event.

    It also yields blocks that a browser takes in silently, without data: those are left out.
    """
    heard: list[ServerSentEvent] = []
    with (
        httpx.Client(timeout=30) as client,
        connect_sse(client, "GET", url, headers=headers or {}) as source,
    ):
        events = speaking(source)
        while len(plain(heard)) < count:
            heard.append(next(events))
        return source.response, heard


def speaking(source: EventSource) -> Iterator[ServerSentEvent]:
    """The events of a stream that have data."""
    return (each for each in source.iter_sse() if each.data)


def plain(heard: list[ServerSentEvent]) -> list[ServerSentEvent]:
    return [each for each in heard if each.event == "message"]


@pytest.fixture
def written(gateway: Gateway, channel: str) -> str:
    """A URL that reads ``VALUES`` from their beginning: half of them posted, half produced."""
    half = len(VALUES) // 2
    for value in VALUES[:half]:
        gateway.post(channel, value)
    gateway.append(channel, VALUES[half:])
    return f"{gateway.url}?channel={channel}&from=earliest"


def test_httpx_sse_hears_what_was_written(written: str, channel: str) -> None:
    response, heard = listen(written, len(VALUES))
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    assert heard[0].event == "resumed"
    assert json.loads(heard[0].data)["channels"] == [channel]
    events = [json.loads(each.data) for each in plain(heard)]
    assert [each["data"] for each in events] == VALUES
    assert {(each["channel"], each["kind"]) for each in events} == {(channel, "events")}
    offsets = [each["offset"] for each in events]
    assert offsets == sorted(set(offsets))


@pytest.mark.parametrize("program", NPM)
def test_npms_readers_hear_what_was_written(written: str, reader: Start, program: str) -> None:
    started = reader(program, written)
    started.wait(len(VALUES), "message")
    assert [each["data"] for each in started.events] == VALUES
    assert started.of("unparsable", "error") == []


def test_ids_are_short_and_need_no_preflight(written: str) -> None:
    _, heard = listen(written, len(VALUES))
    ids = [each.id for each in heard if each.event in {"message", "resumed"}]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,128}", each) for each in ids), ids


def test_every_id_resumes_exactly_after_it(written: str) -> None:
    _, heard = listen(written, len(VALUES))
    events = plain(heard)
    for number, event in enumerate(events[:-1], start=1):
        _, again = listen(written, len(VALUES) - number, {"Last-Event-ID": event.id})
        assert [each.data for each in plain(again)] == [each.data for each in events[number:]]
        assert again[0].event == "resumed"


@pytest.mark.parametrize("program", NPM)
def test_npms_readers_resume_in_the_middle(written: str, reader: Start, program: str) -> None:
    _, heard = listen(written, len(VALUES))
    started = reader(program, written, plain(heard)[4].id)
    started.wait(len(VALUES) - 5, "message")
    assert [each["data"] for each in started.events] == VALUES[5:]


@pytest.mark.parametrize("name", ["last_event_id", "lastEventId"])
def test_the_query_resumes_where_no_header_can(written: str, name: str) -> None:
    _, heard = listen(written, len(VALUES))
    third = plain(heard)[2].id
    _, again = listen(f"{written}&{name}={third}", len(VALUES) - 3)
    assert [json.loads(each.data)["data"] for each in plain(again)] == VALUES[3:]


def test_the_header_wins_over_the_query(written: str) -> None:
    _, heard = listen(written, len(VALUES))
    events = plain(heard)
    url = f"{written}&last_event_id={events[2].id}"
    _, again = listen(url, len(VALUES) - 6, {"Last-Event-ID": events[5].id})
    assert [json.loads(each.data)["data"] for each in plain(again)] == VALUES[6:]


def test_each_connection_is_told_another_time_to_come_back(written: str, reader: Start) -> None:
    told = [reader("eventsource_parser.mjs", written).wait(1, "retry")[0] for _ in range(4)]
    waits = [each["milliseconds"] for each in told]
    assert all(2000 <= wait <= 10_000 for wait in waits)
    assert len(set(waits)) > 1
    with httpx.Client(timeout=30) as client, connect_sse(client, "GET", written) as source:
        first = next(source.iter_sse())
    assert first.retry is not None
    assert 2000 <= first.retry <= 10_000


def test_last_n_and_latest_begin_where_they_say(gateway: Gateway, written: str) -> None:
    base = written.replace("from=earliest", "")
    _, heard = listen(f"{base}from=last:3", 3)
    assert [json.loads(each.data)["data"] for each in plain(heard)] == VALUES[-3:]
    with httpx.Client(timeout=30) as client, connect_sse(client, "GET", base) as source:
        events = speaking(source)
        assert next(events).event == "resumed"
        channel = re.search(r"channel=([^&]+)", base)
        assert channel is not None
        gateway.post(channel[1], "now")
        assert json.loads(next(e for e in events if e.event == "message").data)["data"] == "now"


@pytest.mark.parametrize("cursor", ["nonsense", "AAAA", "A" * 128, "%F0%9F%9B%AB"])
def test_a_cursor_that_is_none_is_a_reset_that_says_so(written: str, cursor: str) -> None:
    with (
        httpx.Client(timeout=30) as client,
        connect_sse(client, "GET", f"{written}&last_event_id={cursor}") as source,
    ):
        first = next(speaking(source))
    assert first.event == "reset"
    assert json.loads(first.data)["reason"] == "invalid"


def test_a_cursor_that_was_changed_is_not_believed(written: str) -> None:
    _, heard = listen(written, len(VALUES))
    cursor = plain(heard)[3].id
    for place in range(len(cursor)):
        other = "A" if cursor[place] != "A" else "B"
        changed = cursor[:place] + other + cursor[place + 1 :]
        with (
            httpx.Client(timeout=30) as client,
            connect_sse(client, "GET", written, headers={"Last-Event-ID": changed}) as source,
        ):
            assert next(speaking(source)).event == "reset", changed


def test_a_post_is_answered_with_its_place_and_heard_once(gateway: Gateway, channel: str) -> None:
    first = gateway.post(channel, {"n": 1}, **{"idempotency-key": "k1"})
    again = gateway.post(channel, {"n": 1}, **{"idempotency-key": "k1"})
    other = gateway.post(channel, {"n": 2}, **{"idempotency-key": "k2"})
    assert (first["duplicate"], again["duplicate"], other["duplicate"]) == (False, True, False)
    assert (again["offset"], again["partition"]) == (first["offset"], first["partition"])
    _, heard = listen(f"{gateway.url}?channel={channel}&from=earliest", 2)
    found = [json.loads(each.data) for each in plain(heard)]
    assert [each["offset"] for each in found] == [first["offset"], other["offset"]]
    assert [each["data"] for each in found] == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/live", None, 400),
        ("GET", "/live?channel=", None, 400),
        ("GET", "/live?channel=nocolon", None, 400),
        ("GET", "/live?channel=unheard:1", None, 401),
        ("GET", "/live?channel=comments:1&from=last:none", None, 400),
        ("POST", "/live/comments:1", b"{no json", 400),
        ("POST", "/live/comments:1", b"", 400),
        ("POST", "/live/nocolon", b"1", 400),
        ("POST", "/live/comments:1", b"0" * 200_000, 413),
        ("PUT", "/live", b"1", 405),
        ("GET", "/elsewhere", None, 404),
    ],
)
def test_what_is_refused_is_refused_in_a_sentence(
    gateway: Gateway, method: str, path: str, body: bytes | None, status: int
) -> None:
    answer = httpx.request(method, f"http://{gateway.address}{path}", content=body, timeout=30)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    assert len(answer.json()["error"]) > 10


def test_an_eventsource_gives_up_where_it_is_refused(gateway: Gateway, reader: Start) -> None:
    started = reader("eventsource.mjs", f"{gateway.url}?channel=unheard:1")
    (error,) = started.wait(1, "error")
    assert (error["status"], error["closed"]) == (401, True)


def test_a_page_from_elsewhere_is_not_allowed_in(gateway: Gateway, channel: str) -> None:
    url = f"{gateway.url}?channel={channel}"
    foreign = httpx.get(url, headers={"Origin": "https://elsewhere.example"}, timeout=30)
    assert foreign.status_code == 403
    assert "access-control-allow-origin" not in foreign.headers
    with httpx.stream("GET", url, headers={"Origin": "http://localhost:3000"}, timeout=30) as own:
        assert own.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert "origin" in own.headers["vary"].lower()
