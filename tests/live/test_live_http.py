"""HTTP of a worker: requests whole, in pieces, too big, too slow, and all the routes."""

from __future__ import annotations

import asyncio
import json

import pytest
from worker_kit import asynchronous, site, until, viewer

from mainstem.live import bus
from mainstem.live.http import Refused, RequestReader, answer, head

POST = b'POST /live/comments:42 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 7\r\n\r\n{"a":1}'


def reader(most: int = 1000) -> RequestReader:
    return RequestReader(most, lambda: None)


def feed(pieces: RequestReader, chunks: list[bytes]) -> None:
    for chunk in chunks:
        pieces.feed(chunk)


def test_a_request_in_single_bytes_is_the_same_request():
    whole = reader().feed(POST)
    pieces = reader()
    done = [request for byte in POST for request in pieces.feed(bytes([byte]))]
    assert done == whole
    assert (done[0].method, done[0].target, done[0].body) == (
        "POST",
        "/live/comments:42",
        b'{"a":1}',
    )


def test_two_requests_in_one_read_are_two():
    assert [request.method for request in reader().feed(POST + POST)] == ["POST", "POST"]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 20_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 70, 431),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 20_000, 431),
        (b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 100000000000000000000000\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"64\r\n" + b"x" * 100, None),
        (b"\x16\x03\x01\x02\x00", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400),
    ],
)
def test_what_is_too_big_or_no_http_is_refused(data, status):
    pieces = reader()
    chunks = [data[place : place + 100] for place in range(0, len(data), 100)]
    if status is None:
        assert [request for chunk in chunks for request in pieces.feed(chunk)] == []
        return
    with pytest.raises(Refused) as caught:
        feed(pieces, chunks)
    assert caught.value.status == status


def test_a_chunked_body_over_the_limit_is_refused_before_its_end():
    pieces = reader(1000)
    pieces.feed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    with pytest.raises(Refused) as caught:
        feed(pieces, [b"64\r\n" + b"x" * 100 + b"\r\n"] * 20)
    assert caught.value.status == 413


def test_a_header_with_a_line_break_is_never_sent():
    with pytest.raises(ValueError, match="line break"):
        head(200, {"X": "a\r\nSet-Cookie: b"})


def test_an_answer_has_its_length():
    assert answer(200, {}, b"{}").endswith(b"Content-Length: 2\r\n\r\n{}")


async def exchange(here, data: bytes, *, until_end: bool = True) -> bytes:
    streams = await asyncio.open_connection("127.0.0.1", here.worker.port)
    streams[1].write(data)
    async with asyncio.timeout(10):
        got = await (streams[0].read() if until_end else streams[0].read(65_536))
    streams[1].close()
    return got


def body_of(reply: bytes) -> dict:
    return json.loads(reply.partition(b"\r\n\r\n")[2])


@asynchronous
async def test_a_published_message_is_answered_with_its_place_and_reaches_viewers():
    async with site() as here, viewer(here, "channel=comments:42") as stream:
        await stream.event()
        reply = await exchange(here, POST, until_end=False)
        assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
        assert body_of(reply) == {
            "channel": "comments:42",
            "partition": 0,
            "offset": 0,
            "time": 1000,
            "duplicate": False,
        }
        assert (await stream.event()).data["data"] == {"a": 1}


@asynchronous
async def test_the_idempotency_key_goes_to_the_log():
    async with site() as here:
        await exchange(
            here, POST.replace(b"Host:", b"Idempotency-Key: k1\r\nHost:"), until_end=False
        )
        assert here.dispatcher.heard(bus.Publish)[0].idempotency_key == "k1"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (POST.replace(b'{"a":1}', b'{"a":1 '), 400),
        (POST.replace(b"Length: 7", b"Length: 0")[:-7], 400),
        (POST.replace(b"comments:42", b"comments"), 400),
        (POST.replace(b"comments:42", b"comments:broken"), 503),
        (b"GET /elsewhere HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
        (b"DELETE /live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405),
        (b"GET /live/comments:1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405),
        (b"GET /live/ws HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 426),
        (b"GET /live?channel=comments:1 HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n", 403),
        (b"GET /live//[ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405),
    ],
)
@asynchronous
async def test_what_is_wrong_is_said_in_one_sentence_of_json(request_bytes, status):
    async with site() as here:
        reply = await exchange(here, request_bytes, until_end=False)
        assert int(reply.split()[1]) == status
        assert body_of(reply)["error"]


@asynchronous
async def test_one_connection_serves_one_request_after_the_other():
    async with site() as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.worker.port)
        writer.write(POST * 5)
        for offset in range(5):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            assert json.loads(await reader.readexactly(length))["offset"] == offset
        writer.close()


@asynchronous
async def test_a_hundred_megabytes_are_refused_at_the_first_and_nothing_grows():
    async with site(max_body_bytes=1000) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.worker.port)
        writer.write(POST.replace(b"Length: 7", b"Length: 100000000"))
        reply = await asyncio.wait_for(reader.read(65_536), 10)
        assert reply.startswith(b"HTTP/1.1 413 ")
        writer.close()
        await until(lambda: here.gateway.sender.connections == 0)


@asynchronous
async def test_who_waits_for_continue_is_told_to():
    async with site() as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.worker.port)
        writer.write(POST[:-7].replace(b"Host:", b"Expect: 100-continue\r\nHost:"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(POST[-7:])
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()


@asynchronous
async def test_who_drips_a_request_is_cut_off_however_steadily_it_drips():
    async with site(request_s=0.3) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.worker.port)
        got = asyncio.ensure_future(reader.read())
        for byte in b"GET /live?channel=comments:1&" + b"x" * 10_000:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)
            if got.done():
                break
        assert (await got).startswith(b"HTTP/1.1 408 ")
        writer.close()


@asynchronous
async def test_who_connects_and_says_nothing_is_cut_off():
    async with site(request_s=0.2) as here:
        assert await exchange(here, b"") == b""
        await until(lambda: here.gateway.sender.connections == 0)


@asynchronous
async def test_a_preflight_is_answered_for_pages_of_allowed_origins_only():
    ask = (
        b"OPTIONS /live/comments:1 HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: %b\r\n"
        b"Access-Control-Request-Method: POST\r\n\r\n"
    )
    async with site() as here:
        reply = await exchange(here, ask % b"http://localhost:3000", until_end=False)
        assert reply.startswith(b"HTTP/1.1 204 ")
        assert b"Access-Control-Allow-Origin: http://localhost:3000\r\n" in reply
        assert b"Last-Event-ID" in reply
        reply = await exchange(here, ask % b"https://evil.example", until_end=False)
        assert reply.startswith(b"HTTP/1.1 403 ")
        assert b"Access-Control-Allow-Origin" not in reply


@asynchronous
async def test_a_stream_tells_its_page_that_it_may_read_it():
    headers = "Origin: http://localhost:3000\r\n"
    async with site() as here, viewer(here, "channel=comments:1", headers=headers) as stream:
        assert stream.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert stream.headers["vary"] == "Origin"


@asynchronous
async def test_pages_are_served_as_they_are():
    pages = {"/": ("text/html; charset=utf-8", b"<h1>board</h1>")}
    async with site(pages=pages) as here:
        reply = await exchange(here, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", until_end=False)
        assert reply.endswith(b"\r\n\r\n<h1>board</h1>")
        assert b"Content-Type: text/html; charset=utf-8\r\n" in reply


@asynchronous
async def test_the_statistics_count_what_was_delivered():
    async with site() as here, viewer(here, "channel=comments:42") as stream:
        await stream.event()
        here.dispatcher.append("comments:42", 1)
        await stream.event()
        reply = await exchange(
            here, b"GET /live/stats HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", until_end=False
        )
        numbers = body_of(reply)
        assert numbers["namespaces"]["comments"]["connections"] == 1
        assert numbers["namespaces"]["comments"]["delivered"] == 1
        assert numbers["numbers"]["viewers"] == 1


@asynchronous
async def test_gauges_go_to_the_dispatcher_every_second():
    async with site() as here, viewer(here, "channel=comments:42") as stream:
        await stream.event()
        await until(lambda: here.dispatcher.heard(bus.Gauges))
        gauges = here.dispatcher.heard(bus.Gauges)[0]
        assert gauges.namespaces["comments"].connections == 1
        assert len(gauges.namespaces["comments"].latency) == 65


@asynchronous
async def test_ten_thousand_bad_requests_leave_nothing_behind():
    async with site() as here:
        for _ in range(100):
            pairs = [
                await asyncio.open_connection("127.0.0.1", here.worker.port) for _ in range(10)
            ]
            for number, (_, writer) in enumerate(pairs):
                writer.write([b"\x00\x01", b"GET / HTTP/9\r\n\r\n", b"GET /live?cha"][number % 3])
                writer.close()
        await until(lambda: here.gateway.sender.connections == 0)
        assert here.gateway.handlers == {}


@asynchronous
async def test_who_sends_request_after_request_without_waiting_waits_in_the_kernel():
    async with site() as here:
        _, writer = await asyncio.open_connection("127.0.0.1", here.worker.port)
        silent = POST.replace(b"comments:42", b"comments:silent")
        writer.write(silent)
        await until(lambda: here.dispatcher.heard(bus.Publish))
        for _ in range(300):
            writer.write(silent * 10)
            await asyncio.sleep(0)
        [handler] = here.gateway.handlers.values()
        assert len(handler._waiting) == 0
        writer.close()


@asynchronous
async def test_what_comes_while_a_request_is_served_is_served_next():
    async with site() as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.worker.port)
        writer.write(POST.replace(b"comments:42", b"comments:later"))
        await until(lambda: here.dispatcher.heard(bus.Publish))
        writer.write(POST)
        for offset in range(2):
            async with asyncio.timeout(5):
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            body = await asyncio.wait_for(reader.readexactly(length), 5)
            assert json.loads(body)["offset"] == offset
        writer.close()


@asynchronous
async def test_many_who_connect_at_once_and_ask_then_are_all_served(monkeypatch):
    """5,000 of k6 did: all connections first, then all requests, and 4,000 were cut unheard."""
    monkeypatch.setattr("mainstem.live.connection.MOST_WAITING", 10)
    async with site() as here:
        crowd = [await asyncio.open_connection("127.0.0.1", here.worker.port) for _ in range(30)]
        await until(lambda: len(here.gateway.waiting) == 30)
        for reader, writer in crowd:
            writer.write(POST)
            status = await asyncio.wait_for(reader.readline(), 5)
            assert status.startswith(b"HTTP/1.1 200 ")
            writer.close()


@pytest.mark.parametrize("limit", ["PATIENCE_SECONDS", "MOST_AT_ONCE"])
@asynchronous
async def test_of_too_many_that_connect_and_stall_the_oldest_is_cut_and_requests_are_served(
    monkeypatch, limit
):
    monkeypatch.setattr("mainstem.live.connection.MOST_WAITING", 10)
    monkeypatch.setattr(f"mainstem.live.connection.{limit}", 0)
    async with site() as here, viewer(here, "channel=comments:42") as stream:
        await stream.event()
        stalled = [await asyncio.open_connection("127.0.0.1", here.worker.port) for _ in range(30)]
        assert (await exchange(here, POST, until_end=False)).startswith(b"HTTP/1.1 200 ")
        for reader, _ in stalled[:20]:
            assert await asyncio.wait_for(reader.read(), 5) == b""
        assert (await stream.event()).offset == 0
        await until(lambda: len(here.gateway.waiting) <= 10)
        for _, writer in stalled:
            writer.close()
