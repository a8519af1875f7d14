"""Clients that mean no good, against a gateway as users start it: others notice nothing."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from hostile_kit import Canary, Gateway, Raw, gateway, request

SECRET = "a secret of more than thirty-two bytes, for tests only"
CONFIG = f"""
max_publish_bytes = 65536
linger_seconds = 0.5
drain_seconds = 0.5

[namespaces.comments]
kind = "events"
[namespaces.likes]
kind = "counter"
[namespaces.user]
kind = "events"

[access]
origins = ["https://app.example"]
warning = 0.5

[access.tokens]
secret = "{SECRET}"
leeway = 0
cookie = "session"

[access.namespaces.comments]
anonymous = ["subscribe", "history", "publish"]
[access.namespaces.likes]
anonymous = ["subscribe"]
user = ["publish"]
[access.namespaces.user]
template = "user:{{sub}}"
user = ["subscribe", "publish"]
"""
MEMORY_MARGIN = 40 << 20
EVIL = "https://evil.test"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("hostile"), CONFIG, "--workers", "1") as found:
        yield found


@pytest.fixture
def canary(site: Gateway, request: pytest.FixtureRequest) -> Iterator[Canary]:
    """Sings before, during and after; the worker must be the one it was."""
    workers = site.workers()
    bird = Canary(site, "comments:" + re.sub(r"[^a-z0-9]", "-", request.node.name)[:80])
    bird.sings()
    yield bird
    bird.sings()
    bird.close()
    assert site.workers() == workers


def token(**claims: object) -> str:
    return jwt.encode({"sub": "ann", "exp": time.time() + 60, **claims}, SECRET, "HS256")


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


# Tokens and origins -----------------------------------------------------------------------------

BAD_TOKENS = [
    "",
    "x",
    "a.b.c",
    "." * 100,
    f"{part({'alg': 'none'})}.{part({'sub': 'eve'})}.",
    f"{part({'alg': 'HS256'})}.{part({'sub': 'eve', 'exp': 9e9})}.AAAA",
    part([[[[]]]] * 100) + "..",
    "[" * 6000,
    "A" * 9000,
]


@pytest.mark.parametrize("text", BAD_TOKENS, ids=range(len(BAD_TOKENS)))
def test_bad_tokens_get_401_and_a_sentence(site: Gateway, canary: Canary, text: str) -> None:
    answer = site.ask("GET", "/live?channel=user:eve", authorization=f"Bearer {text}")
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]
    canary.sings()


def test_an_expired_token_opens_nothing(site: Gateway) -> None:
    text = token(exp=time.time() - 1)
    assert site.ask("GET", "/live?channel=user:ann", authorization=f"Bearer {text}").status == 401


def test_a_token_opens_its_users_channel_only(site: Gateway) -> None:
    header = f"Bearer {token()}"
    assert site.ask("POST", "/live/user:bob", b"1", authorization=header).status == 403
    assert site.ask("POST", "/live/user:ann", b"1", authorization=header).status == 200
    assert site.ask("POST", "/live/user:%7Bsub%7D", b"1", authorization=header).status == 200
    assert site.ask("GET", "/live?channel=user:bob", authorization=header).status == 403
    assert site.ask("POST", "/live/user:ann", b"1").status == 401


def test_a_ticket_is_good_once(site: Gateway) -> None:
    found = site.ask("POST", "/live/ticket", b"{}", authorization=f"Bearer {token()}").json()
    with site.connect() as raw:
        raw.send(request("GET", f"/live?channel=user:ann&ticket={found['ticket']}"))
        assert b" 200 " in raw.until(b"\r\n\r\n")
        assert raw.event()["event"] == "resumed"
    again = site.ask("GET", f"/live?channel=user:ann&ticket={found['ticket']}")
    assert (again.status, again.json()["code"]) == (401, "ticket_used")
    assert site.ask("POST", "/live/ticket", b"{}").status == 401


def test_a_token_in_a_url_is_refused(site: Gateway) -> None:
    assert site.ask("GET", f"/live?channel=user:ann&access_token={token()}").status == 401


def test_a_stream_ends_with_its_token_and_says_so_before(site: Gateway) -> None:
    with site.connect() as raw:
        header = f"Bearer {token(exp=time.time() + 1.5)}"
        raw.send(request("GET", "/live?channel=user:ann", authorization=header))
        raw.until(b"\r\n\r\n")
        assert raw.event()["event"] == "resumed"
        assert raw.event()["event"] == "auth"
        assert b"\r\n\r\n" not in raw.rest()  # ends


def test_a_kicked_user_is_out_and_stays_out(site: Gateway) -> None:
    text = token(sub="mallory", iat=int(time.time()))
    header = {"authorization": f"Bearer {text}"}
    with site.connect() as raw, Raw(site.http) as operators:
        raw.send(request("GET", "/live?channel=user:mallory", **header))
        raw.until(b"\r\n\r\n")
        assert raw.event()["event"] == "resumed"
        body = b'{"user": "mallory"}'
        operators.send(request("POST", "/kick", body, content_type="application/json"))
        assert operators.answer().status == 200
        raw.rest()
    assert site.ask("GET", "/live?channel=user:mallory", **header).status == 401


def test_a_kicked_user_stays_out_of_a_worker_that_starts_anew(site: Gateway) -> None:
    text = token(sub="trudy", iat=int(time.time()))
    with Raw(site.http) as operators:
        body = b'{"user": "trudy"}'
        operators.send(request("POST", "/kick", body, content_type="application/json"))
        assert operators.answer().status == 200
    (worker,) = site.workers()
    os.kill(worker, signal.SIGKILL)
    status = None
    deadline = time.monotonic() + 20
    while status is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError, EOFError):  # until the next worker listens
            answer = site.ask("GET", "/live?channel=user:trudy", authorization=f"Bearer {text}")
            status = answer.status
    assert status == 401
    assert site.workers() != [worker]


@pytest.mark.parametrize("target", ["/live?channel=comments:1", "/live/stats", "/live/ws"])
def test_strange_pages_are_refused(site: Gateway, canary: Canary, target: str) -> None:
    for method in ("GET", "OPTIONS", "POST"):
        answer = site.ask(method, target, origin=EVIL)
        assert answer.status == 403
        assert "access-control-allow-origin" not in answer.headers
    for origin in ("null", "https://app.example.evil.test", "https://app.example:444", "x" * 5000):
        assert site.ask("GET", target, origin=origin).status == 403


def test_a_strange_page_has_no_websocket_whatever_its_token(site: Gateway) -> None:
    for headers in ({}, {"authorization": f"Bearer {token()}"}, {"cookie": f"session={token()}"}):
        with site.connect() as raw:
            raw.send(websocket_request(origin=EVIL, **headers))
            assert raw.answer().status == 403


def test_a_cookie_does_not_publish_for_a_page_that_does_not_say_which(site: Gateway) -> None:
    cookie = f"session={token()}"
    assert site.ask("POST", "/live/likes:1", b"1", cookie=cookie).status == 403
    good = site.ask("POST", "/live/likes:1", b"1", cookie=cookie, origin="https://app.example")
    assert good.status == 200


def test_a_page_of_a_rebound_name_is_refused(site: Gateway) -> None:
    with site.connect() as raw:
        raw.send(b"GET /live?channel=comments:1 HTTP/1.1\r\nHost: evil.test\r\n\r\n")
        assert raw.answer().status == 403


def test_preflights_are_answered_exactly(site: Gateway) -> None:
    answer = site.ask(
        "OPTIONS",
        "/live/comments:1",
        origin="https://app.example",
        access_control_request_method="POST",
        access_control_request_headers="idempotency-key",
    )
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "Idempotency-Key" in answer.headers["access-control-allow-headers"]
    assert "Origin" in answer.headers["vary"]


# Requests that are none -------------------------------------------------------------------------

HEAD = b"GET /live?channel=comments:1 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
POST = b"POST /live/comments:1 HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 100,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,  # TLS
        b"GET\r\n\r\n",
        b"GET /live HTTP/9.9\r\n\r\n",
        b"GET /live\r\n\r\n",
        b"GE T /live HTTP/1.1\r\n\r\n",
        HEAD + b"Bad Header\r\n\r\n",
        HEAD + b"A: b\x00c\r\n\r\n",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
        POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n1",
        POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        POST + b"Transfer-Encoding: identity, chunked, x\r\n\r\n1",
    ],
    ids=range(15),
)
def test_what_is_no_request_is_refused_and_closed(
    site: Gateway, canary: Canary, data: bytes
) -> None:
    with site.connect() as raw:
        raw.send(data)
        canary.sings()
        raw.socket.shutdown(1)
        found = raw.rest()
        assert found == b"" or found.startswith(b"HTTP/1.1 4"), found[:200]


@pytest.mark.parametrize(
    "target",
    [
        "/live",
        "/live?channel=",
        "/live?channel=comments",
        "/live?channel=comments:a%0Aid:%20x",
        "/live?channel=comments:a%0D%0Aretry:%201",
        "/live?channel=comments:%00",
        "/live?channel=comments:" + "x" * 300,
        "/live?channel=comments:%ED%A0%80",
        "/live?channel=comments:%FF",
        "/live?channel=unknown:1",
        "/live?channel=" + "&channel=".join(f"comments:{n}" for n in range(65)),
        "/live?" + "&".join(f"a{n}=1" for n in range(1500)),
        "/live?channel=comments:1&from=yesterday",
        "/live?channel=comments:1&from=last:-1",
        "/live?channel=comments:1&from=last:" + "9" * 5000,
        "/live?channel=comments:1&from=" + "A" * 200,
        "/live?channel=comments:{sub}",
        "//[::1/live?channel=comments:1",
        "/live/%2e%2e/%2e%2e/etc/passwd",
        "/../../etc/passwd",
    ],
    ids=range(20),
)
def test_a_request_for_nonsense_gets_a_sentence(site: Gateway, canary: Canary, target: str) -> None:
    with site.connect() as raw:
        raw.send(request("GET", target))
        answer = raw.until(b"\r\n\r\n")
        status = int(answer.split()[1])
        if status == 200:  # a cursor that is none: told inside the stream
            assert raw.event()["event"] == "reset"
        else:
            assert 400 <= status < 500, answer
    canary.sings()


@pytest.mark.parametrize("cursor", ["x", "A" * 128, "-" * 100, "A" * 4000, "é", "0"])
def test_a_forged_cursor_is_told_apart(site: Gateway, cursor: str) -> None:
    with site.connect() as raw:
        raw.send(request("GET", "/live?channel=comments:1", last_event_id=cursor))
        raw.until(b"\r\n\r\n")
        event = raw.event()
        assert (event["event"], event["reason"]) == ("reset", "invalid")


def test_a_flood_of_headers_is_cut_off(site: Gateway, canary: Canary) -> None:
    before = site.memory()
    for line in (b"A: " + b"b" * 1000 + b"\r\n", b"A:b\r\n", b"b" * 1000, b"A:\r\n b\r\n"):
        with site.connect() as raw:
            raw.send(HEAD)
            raw.send_until_refused(line * 50, 2000)
            assert refusals(raw) <= {400, 431}
        canary.sings()
    assert site.memory() - before < MEMORY_MARGIN


def test_a_target_without_end_is_cut_off(site: Gateway, canary: Canary) -> None:
    with site.connect() as raw:
        raw.send(b"GET /live?channel=")
        raw.send_until_refused(b"x" * 65_536, 1600)
        assert refusals(raw) <= {400, 414, 431}
    canary.sings()


def test_a_body_of_100_mb_is_refused_before_it_comes(site: Gateway, canary: Canary) -> None:
    before = site.memory()
    with site.connect() as raw:
        raw.send(POST + b"Content-Length: 104857600\r\n\r\n")
        assert raw.answer().status == 413
    for head, chunk in (
        (b"Content-Length: 104857600", b"x" * 65_536),
        (b"Transfer-Encoding: chunked", b"10000\r\n" + b"x" * 65_536 + b"\r\n"),
        (b"Transfer-Encoding: chunked", (b"1;" + b"e" * 60 + b"\r\nx\r\n") * 1000),
    ):
        with site.connect() as raw:
            raw.send(POST + head + b"\r\n\r\n")
            raw.send_until_refused(chunk, 1600)
            assert refusals(raw) <= {400, 413}
        canary.sings()
    assert site.memory() - before < MEMORY_MARGIN


def refusals(raw: Raw) -> set[int]:
    """Statuses of what came back; nothing, where the connection was cut while we still sent."""
    with raw.socket:
        found = raw.rest()
    return {int(line.split()[1]) for line in found.split(b"\r\n") if line.startswith(b"HTTP/1.1")}


@pytest.mark.parametrize("body", [b"{", b"[" * 60_000, b"\xff", b"NaN", b'"\\ud800"', b"1 2", b""])
def test_a_message_that_is_no_json_is_refused(site: Gateway, canary: Canary, body: bytes) -> None:
    with site.connect() as raw:
        raw.send(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert raw.answer().status == 400
    canary.sings()


@pytest.mark.parametrize(
    "body", [b"[" * 900 + b"]" * 900, b"1" * 60_000, b'"\\u2028\\n\\r"', b"1e999"]
)
def test_json_of_any_shape_does_not_break_a_stream(
    site: Gateway, canary: Canary, body: bytes
) -> None:
    status = site.ask("POST", "/live/comments:shapes", body).status
    assert status in {200, 400}
    canary.sings()


def test_very_many_requests_at_once_are_served_or_refused(site: Gateway, canary: Canary) -> None:
    before = site.memory()
    with site.connect() as raw:
        raw.socket.settimeout(1.0)
        raw.send_until_refused(request("GET", "/live/stats") * 100, 300)  # reads no answer
    canary.sings()
    assert site.memory() - before < MEMORY_MARGIN


def test_publishing_without_end_is_slowed_by_the_limits(tmp_path: Path) -> None:
    limits = "\n[access.limits]\npublishes_per_address = 1.0\npublishes_burst = 5\n"
    limits += "channels_per_address = 1.0\nchannels_burst = 100\n"
    with gateway(tmp_path, CONFIG + limits, "--workers", "1") as site:
        found = [site.ask("POST", "/live/comments:1", b"1") for _ in range(8)]
        assert [each.status for each in found[:5]] == [200] * 5
        assert 429 in {each.status for each in found[5:]}
        last = next(each for each in found if each.status == 429)
        assert int(last.headers["retry-after"]) <= 1
        with site.connect() as raw:
            raw.send(websocket_request())
            raw.until(b"\r\n\r\n")
            for first in (0, 64):
                names = [f"comments:{first + number}" for number in range(64)]
                raw.send(frame(1, json.dumps({"subscribe": names, "ref": 1}).encode()))
            raw.until(b'"ok"')
            raw.until(b"channels_per_address")
        bad = [site.ask("GET", "/live/stats", authorization="Bearer x") for _ in range(120)]
        assert {each.status for each in bad} == {401, 429}


# WebSockets -------------------------------------------------------------------------------------


def websocket_request(**headers: str) -> bytes:
    return request(
        "GET",
        "/live/ws",
        upgrade="websocket",
        connection="Upgrade",
        sec_websocket_key=base64.b64encode(os.urandom(16)).decode(),
        sec_websocket_version="13",
        **headers,
    )


def frame(opcode: int, payload: bytes, *, fin: bool = True, masked: bool = True) -> bytes:
    first = (0x80 if fin else 0) | opcode
    mask = 0x80 if masked else 0
    if len(payload) < 126:
        head = struct.pack("!BB", first, mask | len(payload))
    elif len(payload) < 65_536:
        head = struct.pack("!BBH", first, mask | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, mask | 127, len(payload))
    return head + (b"\0\0\0\0" if masked else b"") + payload  # a mask of zeros changes nothing


@pytest.fixture
def websocket(site: Gateway) -> Iterator[Raw]:
    with site.connect() as raw:
        raw.send(websocket_request())
        assert b" 101 " in raw.until(b"\r\n\r\n")
        yield raw


@pytest.mark.parametrize(
    "data",
    [
        frame(1, b"{}", masked=False),
        frame(3, b""),
        frame(0, b"continues nothing"),
        frame(9, b"x" * 126),
        frame(9, b"", fin=False),
        frame(1, b"\xff"),
        b"\xf1\x80\0\0\0\0",  # reserved bits
        struct.pack("!BBQ", 0x81, 0xFF, 1 << 62),
        struct.pack("!BBQ", 0x81, 0xFF, 100 << 20),
        frame(8, b"\x03"),
        frame(8, struct.pack("!H", 99)),
        frame(1, b"[" * 60_000),
        frame(1, b'{"publish": "comments:1", "data": ' + b"[" * 60_000),
        frame(1, b'{"subscribe": ["user:bob"]}'),
        frame(1, b'{"subscribe": []}'),
        frame(1, b'{"subscribe": ["comments:1\\n"]}'),
        frame(1, b'{"publish": "comments:1"}'),
        frame(1, b'{"publish": "viewers:1", "data": 1}'),
        frame(1, b'{"unsubscribe": ["comments:1"]}'),
        frame(1, b'{"token": "x"}'),
        frame(1, b'{"subscribe": ["comments:1"], "ref": ' + b"9" * 5000 + b"}"),
        frame(2, os.urandom(1000)),
    ],
    ids=range(22),
)
def test_hostile_frames_cost_their_sender_only(canary: Canary, websocket: Raw, data: bytes) -> None:
    websocket.send(data)
    canary.sings()
    websocket.send_until_refused(frame(8, struct.pack("!H", 1000)), 1)
    websocket.rest()


def test_fragments_without_end_are_cut_off(site: Gateway, canary: Canary, websocket: Raw) -> None:
    before = site.memory()
    websocket.send(frame(1, b"", fin=False))
    websocket.send_until_refused(frame(0, b"", fin=False) * 10_000, 500)  # five million
    canary.sings()
    assert struct.pack("!H", 1009) in websocket.rest()[:4] or not websocket.rest()
    assert site.memory() - before < MEMORY_MARGIN


def test_pings_without_end_that_read_no_pong_are_dropped(
    site: Gateway, canary: Canary, websocket: Raw
) -> None:
    before = site.memory()
    websocket.socket.settimeout(2.0)
    websocket.send_until_refused(frame(9, b"x" * 125) * 500, 2000)
    canary.sings()
    assert site.memory() - before < MEMORY_MARGIN


def test_operations_without_end_that_read_no_answer_are_dropped(
    site: Gateway, canary: Canary, websocket: Raw
) -> None:
    before = site.memory()
    websocket.socket.settimeout(2.0)
    nonsense = frame(1, b'{"subscribe": ["nothing:1"], "ref": "' + b"x" * 1000 + b'"}')
    websocket.send_until_refused(nonsense * 50, 2000)
    canary.sings()
    assert site.memory() - before < MEMORY_MARGIN


# Very many --------------------------------------------------------------------------------------


def test_very_many_channels_touched_once_leave_memory_as_it_was(
    site: Gateway, canary: Canary, websocket: Raw
) -> None:
    touch(websocket, 0, 10)
    before = site.memory()
    touch(websocket, 10, 60)
    canary.sings()
    assert site.memory() - before < MEMORY_MARGIN


def touch(websocket: Raw, first: int, last: int) -> None:
    """Subscribe to a thousand channels at a time, and leave them."""
    for thousand in range(first, last):
        names = [f"comments:touched-{thousand}-{number}" for number in range(64)]
        for operation in ({"subscribe": names, "ref": 1}, {"unsubscribe": names, "ref": 2}):
            websocket.send(frame(1, json.dumps(operation).encode()))
            websocket.until(b'"ref":%d' % operation["ref"])


def test_connections_that_say_nothing_do_not_keep_others_out(site: Gateway, canary: Canary) -> None:
    silent = [site.connect() for _ in range(1000)]
    try:
        for raw in silent[::2]:
            raw.send(b"GET /live?chan")
        canary.sings()
        assert site.alive()
    finally:
        for raw in silent:
            raw.socket.close()


@pytest.mark.slow
def test_dripping_requests_are_ended(site: Gateway, canary: Canary) -> None:
    """Slowloris: a byte now and then keeps no request open for longer than it may take."""
    dripping = [site.connect() for _ in range(100)]
    for raw in dripping:
        raw.send(b"GET /live?channel=comments:1 HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
    deadline = time.monotonic() + 30
    ended = 0
    while dripping and time.monotonic() < deadline:
        canary.sings()
        for raw in list(dripping):
            if not raw.send_until_refused(b"x", 1):
                raw.socket.close()
                dripping.remove(raw)
                ended += 1
        time.sleep(0.2)  # the drip is the attack
    assert ended == 100


@pytest.mark.slow
def test_viewers_that_stop_reading_do_not_hold_up_others(site: Gateway, canary: Canary) -> None:
    before = site.memory()
    stalled = []
    for _ in range(200):
        raw = site.connect()
        raw.socket.setsockopt(1, 8, 4096)  # SO_RCVBUF
        raw.send(request("GET", "/live?channel=comments:busy"))
        stalled.append(raw)
    body = json.dumps("x" * 50_000).encode()
    for _ in range(60):
        assert site.ask("POST", "/live/comments:busy", body).status == 200
        canary.sings()
    assert site.memory() - before < 2 * MEMORY_MARGIN
    for raw in stalled:
        raw.socket.close()
