"""Key sets that live elsewhere and rotate."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from access_kit import NOW, bearer, jwk, make, rsa_key, sign_in, token

from mainstem.errors import Invalid, Unavailable
from mainstem.live.access import AccessDenied, TokenSettings
from mainstem.live.access.jwks import LARGEST_SET, RemoteKeys, fetch_url, read_bounded
from mainstem.live.access.keys import read_jwks
from mainstem.testing.clock import VirtualClock

OPEN = {"namespaces": {"comments": {"user": ["subscribe"]}}}


def key_set(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"keys": list(entries)}).encode()


class Upstream:
    """A key set's server: what it holds, how often it was asked, and whether it works."""

    def __init__(self, *entries: dict[str, Any]) -> None:
        self.document = key_set(*entries)
        self.calls = 0
        self.broken = False
        self.gate: threading.Event | None = None

    def fetch(self) -> bytes:
        self.calls += 1
        if self.gate is not None:
            assert self.gate.wait(10)
        if self.broken:
            raise OSError("the server is away")
        return self.document


def remote(upstream: Upstream, **settings: Any) -> tuple[RemoteKeys, VirtualClock]:
    clock = VirtualClock(NOW * 1000)
    return RemoteKeys(upstream.fetch, TokenSettings(**settings), clock), clock


async def ids(keys: RemoteKeys, key_id: str | None) -> list[str | None]:
    return [key.key_id for key in await keys.find("RS256", key_id)]


def test_keys_are_fetched_once_and_kept() -> None:
    async def scenario() -> None:
        upstream = Upstream(jwk(rsa_key(), "k1"))
        keys, clock = remote(upstream)
        for _ in range(3):
            assert await ids(keys, "k1") == ["k1"]
            clock.advance(100)
        assert upstream.calls == 1

    asyncio.run(scenario())


def test_a_fetch_does_not_hold_up_the_loop() -> None:
    async def scenario() -> None:
        upstream = Upstream(jwk(rsa_key(), "k1"))
        upstream.gate = threading.Event()
        keys, _ = remote(upstream)
        waiting = asyncio.create_task(ids(keys, "k1"))
        turns = 0
        while upstream.calls == 0 or turns < 100:  # the loop turns while the fetch waits
            await asyncio.sleep(0)
            turns += 1
        assert not waiting.done()
        upstream.gate.set()
        assert await waiting == ["k1"]

    asyncio.run(scenario())


def test_many_that_wait_cause_one_fetch() -> None:
    async def scenario() -> None:
        upstream = Upstream(jwk(rsa_key(), "k1"))
        upstream.gate = threading.Event()
        keys, _ = remote(upstream)
        waiting = [asyncio.create_task(ids(keys, "k1")) for _ in range(50)]
        await asyncio.sleep(0)
        waiting[0].cancel()  # one of them going away does not take the fetch along
        upstream.gate.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert found[1:] == [["k1"]] * 49
        assert upstream.calls == 1

    asyncio.run(scenario())


def test_a_new_key_id_is_looked_for_at_once() -> None:
    async def scenario() -> None:
        upstream = Upstream(jwk(rsa_key(), "k1"))
        keys, clock = remote(upstream)
        await ids(keys, "k1")
        upstream.document = key_set(jwk(rsa_key("second"), "k2"))
        clock.advance(30)
        assert await ids(keys, "k2") == ["k2"]
        assert await ids(keys, "k1") == []  # the old one is gone with the set

    asyncio.run(scenario())


def test_strangers_key_ids_cause_one_fetch_per_pause() -> None:
    async def scenario() -> None:
        upstream = Upstream(jwk(rsa_key(), "k1"))
        keys, clock = remote(upstream)
        for second in range(60):
            for number in range(20):
                assert await ids(keys, f"made-up-{second}-{number}") == []
            clock.advance(1)
        assert upstream.calls == 2  # at 0 s and 30 s

    asyncio.run(scenario())


def test_old_keys_are_confirmed_in_the_background() -> None:
    async def scenario() -> None:
        upstream = Upstream(jwk(rsa_key(), "k1"))
        keys, clock = remote(upstream)
        await ids(keys, "k1")
        clock.advance(600)
        upstream.document = key_set(jwk(rsa_key("second"), "k2"))
        assert await ids(keys, "k1") == ["k1"]  # answered at once, from what is known
        await keys.close()
        assert upstream.calls == 2
        assert await ids(keys, "k2") == ["k2"]

    asyncio.run(scenario())


def test_known_keys_outlive_a_broken_server_but_not_for_ever() -> None:
    async def scenario() -> None:
        upstream = Upstream(jwk(rsa_key(), "k1"))
        keys, clock = remote(upstream, jwks_keep=3600)
        await ids(keys, "k1")
        upstream.broken = True
        clock.advance(3599)
        assert await ids(keys, "k1") == ["k1"]
        await keys.close()
        assert keys.failures == 1
        clock.advance(1)
        with pytest.raises(Unavailable):
            await ids(keys, "k1")
        upstream.broken = False
        clock.advance(30)
        assert await ids(keys, "k1") == ["k1"]

    asyncio.run(scenario())


def test_a_damaged_set_does_not_replace_a_good_one() -> None:
    async def scenario() -> None:
        upstream = Upstream(jwk(rsa_key(), "k1"))
        keys, clock = remote(upstream)
        await ids(keys, "k1")
        upstream.document = b'{"keys": []}'
        clock.advance(600)
        await ids(keys, "k1")
        await keys.close()
        assert await ids(keys, "k1") == ["k1"]
        assert keys.failures == 1

    asyncio.run(scenario())


def test_without_any_set_the_answer_is_try_later() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        upstream.broken = True
        keys, clock = remote(upstream)
        for _ in range(5):
            with pytest.raises(Unavailable):
                await ids(keys, "k1")
        assert upstream.calls == 1
        clock.advance(30)
        upstream.broken, upstream.document = False, key_set(jwk(rsa_key(), "k1"))
        assert await ids(keys, "k1") == ["k1"]

    asyncio.run(scenario())


def test_only_public_signing_keys_of_a_set_are_used() -> None:
    secret = base64.urlsafe_b64encode(b"s" * 32).decode()
    private = json.loads(json.dumps(jwk(rsa_key(), "private")))
    entries = [
        {"kty": "oct", "k": secret, "kid": "secret", "alg": "HS256"},
        {"kty": "oct", "k": secret, "kid": "disguised", "alg": "RS256"},
        jwk(rsa_key(), "encryption", use="enc"),
        jwk(rsa_key(), "other-operation", key_ops=["encrypt"]),
        jwk(rsa_key(), "strange-operation", key_ops="verify"),
        jwk(rsa_key(), "other-algorithm", alg="RS512"),
        jwk(rsa_key(), "confusion", alg="HS256"),
        jwk(rsa_key("weak", 1024), "weak"),
        {**private, "d": "AQAB"},
        {"kty": "RSA", "kid": "half", "n": "AQAB"},
        {"kty": "RSA", "kid": "wrong", "n": 7, "e": []},
        {"kty": ["RSA"], "kid": "list"},
        {},
        jwk(rsa_key(), "good", use="sig", alg="RS256", key_ops=["verify"]),
    ]
    assert [key.key_id for key in read_jwks(key_set(*entries))] == ["good"]


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": [1]}', b"[" * 5000, b"\xff", b'{"keys":[{}]}'],
)
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(Invalid):
        read_jwks(document)


def test_a_token_is_verified_with_the_key_its_header_names(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(key_set(jwk(rsa_key(), "k1"), jwk(rsa_key("second"), "k2")))
    access, _ = make(tokens={"jwks_file": str(file)}, **OPEN)

    def text(key: str, key_id: str) -> str:
        return token(key=rsa_key(key), algorithm="RS256", headers={"kid": key_id})

    async def scenario() -> None:
        assert (await access.authenticate(bearer(text("second", "k2")))).user == "ann"
        with pytest.raises(AccessDenied):
            await access.authenticate(bearer(text("second", "k1")))

    asyncio.run(scenario())


def test_a_file_that_is_missing_says_try_later(tmp_path: Path) -> None:
    access, _ = make(tokens={"jwks_file": str(tmp_path / "none.json")}, **OPEN)
    with pytest.raises(Unavailable):
        sign_in(access, bearer(token(key=rsa_key(), algorithm="RS256")))


def test_a_file_of_any_size_is_read_to_1_mib(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(b" " * (LARGEST_SET + 1))
    with pytest.raises(Invalid):
        read_bounded(file)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, headers, body = self.server.answers[self.path]  # type: ignore[attr-defined]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        http.answers = {}  # type: ignore[attr-defined]
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield http
        finally:
            http.shutdown()
            thread.join()


def test_a_set_comes_over_http(server: HTTPServer) -> None:
    url = f"http://127.0.0.1:{server.server_port}"
    server.answers["/keys"] = (200, {}, key_set(jwk(rsa_key(), "k1")))  # type: ignore[attr-defined]
    server.answers["/moved"] = (302, {"Location": f"{url}/keys"}, b"")  # type: ignore[attr-defined]
    access, _ = make(tokens={"jwks_url": f"{url}/moved"}, **OPEN)
    text = token(key=rsa_key(), algorithm="RS256", headers={"kid": "k1"})
    assert sign_in(access, bearer(text)).user == "ann"


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x", "http://h.test/"])
def test_a_redirect_away_from_safe_ground_is_not_followed(server: HTTPServer, target: str) -> None:
    server.answers["/keys"] = (302, {"Location": target}, b"")  # type: ignore[attr-defined]
    with pytest.raises(OSError, match=r"jwks_url|not allowed"):
        fetch_url(f"http://127.0.0.1:{server.server_port}/keys")


def test_an_answer_of_any_size_is_read_to_1_mib(server: HTTPServer) -> None:
    server.answers["/keys"] = (200, {}, b" " * (LARGEST_SET + 1))  # type: ignore[attr-defined]
    with pytest.raises(Invalid):
        fetch_url(f"http://127.0.0.1:{server.server_port}/keys")


def test_a_server_that_is_away_says_try_later(server: HTTPServer) -> None:
    server.answers["/keys"] = (503, {}, b"")  # type: ignore[attr-defined]
    access, _ = make(tokens={"jwks_url": f"http://127.0.0.1:{server.server_port}/keys"}, **OPEN)
    with pytest.raises(Unavailable):
        sign_in(access, bearer(token(key=rsa_key(), algorithm="RS256")))
