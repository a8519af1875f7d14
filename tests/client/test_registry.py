"""The client of schema registries: what it remembers, tries again, and says."""

from __future__ import annotations

import json
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

import mainstem as ms
from mainstem.testing import RunningRegistry, running_registry


def avro(name: str) -> str:
    return json.dumps({"type": "record", "name": "R", "fields": [{"name": name, "type": "int"}]})


@pytest.fixture
def server() -> Iterator[RunningRegistry]:
    with running_registry() as found:
        yield found


def test_schemas_are_asked_for_once(server: RunningRegistry) -> None:
    client = ms.Registry(server.url)
    number = client.register("s", avro("a"))
    for _ in range(3):
        assert client.register("s", avro("a")) == number
        assert client.schema(number).text == client.schema(number).text
    assert server.requests == ["POST /subjects/s/versions", f"GET /schemas/ids/{number}"]


def test_the_latest_version_is_asked_for_every_time(server: RunningRegistry) -> None:
    client = ms.Registry(server.url)
    client.register("s", avro("a"))
    client.latest("s")
    client.latest("s")
    assert server.requests[1:] == ["GET /subjects/s/versions/latest"] * 2


def test_an_unknown_id_is_remembered_for_a_while(server: RunningRegistry) -> None:
    client = ms.Registry(server.url)
    for _ in range(3):
        with pytest.raises(ms.Invalid, match="no schema with id 7"):
            client.schema(7)
    assert server.requests == ["GET /schemas/ids/7"]


def test_subjects_are_escaped(server: RunningRegistry) -> None:
    client = ms.Registry(server.url)
    name = "a/b c?d#é%2F:.x"
    client.register(name, avro("a"))
    assert client.subjects() == [name]
    assert client.latest(name).subject == name


@pytest.mark.parametrize("code", [500, 503, 429, 408])
def test_a_server_in_trouble_is_asked_again(server: RunningRegistry, code: int) -> None:
    server.fail_next.extend([code, code])
    assert ms.Registry(server.url).register("s", avro("a")) == 1
    assert len(server.requests) == 3


def test_trouble_that_stays_is_unavailable(server: RunningRegistry) -> None:
    server.fail_next.extend([503] * 100)
    with pytest.raises(ms.Unavailable, match=r"as the test wanted \(503\) \[tried \d+ times\]"):
        ms.Registry(server.url, retry_for=0.3).schema(1)


@pytest.mark.parametrize("code", [400, 404, 422])
def test_a_refusal_is_not_repeated(server: RunningRegistry, code: int) -> None:
    server.fail_next.append(code)
    with pytest.raises(ms.Invalid, match=f"as the test wanted \\({code}\\)"):
        ms.Registry(server.url).latest("s")
    assert len(server.requests) == 1


def test_nobody_there_is_unavailable_and_says_who() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        with pytest.raises(ms.Unavailable, match=f"registry http://127.0.0.1:{port} does not"):
            ms.Registry(f"http://127.0.0.1:{port}", retry_for=0.1).subjects()


def test_another_address_is_tried(server: RunningRegistry) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        client = ms.Registry(f"http://127.0.0.1:{port}, {server.url}")
        assert client.register("s", avro("a")) == 1


def test_a_login_is_sent_and_a_wrong_one_denied_at_once(server: RunningRegistry) -> None:
    server.login = "Basic " + b64encode("user:pässword".encode()).decode()
    assert ms.Registry(server.url, username="user", password="pässword").subjects() == []
    with pytest.raises(ms.Denied, match="check username, password or token"):
        ms.Registry(server.url, username="user", password="wrong").subjects()
    with pytest.raises(ms.Denied):
        ms.Registry(server.url).subjects()
    assert len(server.requests) == 3
    server.login = "Bearer abc"
    assert ms.Registry(server.url, token="abc").subjects() == []


def test_a_password_is_not_shown(server: RunningRegistry) -> None:
    client = ms.Registry(server.url, username="user", password="secret")
    assert "secret" not in repr(client)
    with pytest.raises(ms.Invalid) as found:
        ms.Registry("http://user:secret@127.0.0.1:8081")
    assert "secret" not in str(found.value)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8081", "ftp://x:1", "http://x:port", "http://x?y"])
def test_what_is_no_address_is_invalid(url: str) -> None:
    with pytest.raises(ms.Invalid, match="not the address of a schema registry"):
        ms.Registry(url)


def test_an_incompatible_schema_is_a_conflict(server: RunningRegistry) -> None:
    client = ms.Registry(server.url)
    client.register("s", avro("a"))
    assert not client.compatible("s", avro("b"))
    with pytest.raises(ms.Conflict, match="make the schema compatible"):
        client.register("s", avro("b"))


ANSWERS = {
    "a page": (200, b"<html>hello</html>"),
    "nothing": (200, b""),
    "a list": (200, b"[1]"),
    "no id": (200, b'{"schema": "{}"}'),
    "id of text": (200, b'{"id": "1", "schema": "{}"}'),
    "large id": (200, b'{"id": 4294967296, "schema": "{}"}'),
    "no schema": (200, b'{"id": 1}'),
    "bad utf-8": (200, b'{"id": 1, "schema": "\xff"}'),
    "page of errors": (502, b"<html>bad gateway</html>"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_a_server_that_is_no_registry_is_told(case: str) -> None:
    status, body = ANSWERS[case]

    class Strange(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Strange) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            with pytest.raises((ms.Unavailable, ms.Invalid), match=r"registry|gateway|127"):
                ms.Registry(f"http://127.0.0.1:{server.server_port}", retry_for=0.0).latest("s")
        finally:
            server.shutdown()
            thread.join()


def test_threads_share_one_client(server: RunningRegistry) -> None:
    client = ms.Registry(server.url)
    found: list[int] = []
    threads = [
        threading.Thread(
            target=lambda at=at: found.append(client.register("s", avro(f"a{at % 2}")))
        )
        for at in range(8)
    ]
    server._levels["s"] = "NONE"
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [1] * 4 + [2] * 4
