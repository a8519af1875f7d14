"""The gateway as a command and as a node's role: its line, its end, its refusals."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from live_gateway import PATIENCE_S, Process, gateway, get, kill_pid, node, post, wait_for

from mainstem.live import run
from mainstem.testing import running_broker


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    data = tmp_path_factory.mktemp("node")
    listen = ("--live", "127.0.0.1:0", "--http", "127.0.0.1:0")
    with node(data, *listen, "--set", "live.drain_seconds=0.2") as running:
        yield running


def refused(flags: dict[str, object], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and last words of a gateway that does not start."""
    code = run({"brokers": "127.0.0.1:1", "listen": "127.0.0.1:0", **flags}, environment={})
    said = capsys.readouterr()
    assert said.out == ""
    return code, said.err.removesuffix("\n")


def test_the_node_s_line_says_where_live_is(serving: Process) -> None:
    assert list(serving.fields) == ["kafka", "http", "data", "live"]
    assert re.fullmatch(r"127\.0\.0\.1:[1-9]\d*", serving.fields["live"])
    assert post(serving.fields["live"], "comments:1", "hi")["duplicate"] is False


def test_the_node_is_ready_and_measures_live_too(serving: Process) -> None:
    assert get(serving.fields["http"], "/health/ready") == "ready\n"
    text = get(serving.fields["http"], "/metrics")
    assert "mainstem_up 1.0" in text
    assert "mainstem_live_workers 2.0" in text


@pytest.mark.slow
def test_a_gateway_that_dies_comes_back_where_it_was(serving: Process) -> None:
    before = serving.children()
    kill_pid(before[1])  # the broker was started first

    def back() -> bool:
        children = serving.children()
        if len(children) != 2 or children == before:
            return False
        return get(serving.fields["http"], "/health/ready") == "ready\n"

    wait_for(back, "live again")
    assert post(serving.fields["live"], "comments:1", "again")["partition"] >= 0


def test_a_node_whose_live_cannot_start_says_so_and_ends(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mainstem", "serve", "--data", str(tmp_path)),
            *("--kafka", "127.0.0.1:0", "--http", "none", "--live", "127.0.0.1:0"),
            *("--set", "live.wurkers=3"),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.strip().splitlines()[-1] == (
        "mainstem serve: live: unknown key 'wurkers' in [live]: did you mean 'workers'?"
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"listen": "nonsense"}, "is not HOST:PORT"),
        ({"listen": "0.0.0.0:0"}, "--insecure"),
        ({"listen": "no.such.host.invalid:0"}, "is unknown"),
        ({"brokers": "x:y:z"}, "is not an address"),
        ({"wurkers": 3}, "did you mean 'workers'?"),
        ({"namespaces.a.kind": "x"}, "namespaces"),
        ({"access.tokens.secrt": "x"}, "did you mean 'access.tokens.secret'?"),
        ({"viewers.grace": -1}, "grace"),
        ({"listen": "0.0.0.0:0", "insecure": True}, "no namespace is configured"),
        ({"pages": "/nowhere"}, "must be a directory"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    flags: dict[str, object], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, sentence = refused(flags, capsys)
    assert code == 2
    assert sentence.startswith("mainstem live: ")
    assert "\n" not in sentence
    assert words in sentence


def test_a_port_that_is_taken_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = "{}:{}".format(*other.getsockname())
        code, sentence = refused({"listen": taken}, capsys)
    assert code == 1
    assert "is in use by another process" in sentence


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    with running_broker(tmp_path) as broker:
        quick = ("--set", "worker_silence_seconds=3", "--set", "drain_seconds=0.2")
        with gateway(broker.address, *quick) as live:
            before = set(live.children())
            victim = min(before)
            os.kill(victim, signal.SIGSTOP)
            wait_for(lambda: victim not in live.children() and len(live.children()) == 2, "another")
            wait_for(lambda: get(live.fields["http"], "/health/ready") == "ready\n", "ready")
            assert post(live.fields["live"], "comments:1", 1)["offset"] == 0


def test_a_kick_needs_json_and_somebody(tmp_path: Path) -> None:
    def kick(address: str, body: bytes, kind: str) -> tuple[int, str]:
        request = urllib.request.Request(f"http://{address}/kick", body, {"Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    command = [
        *(sys.executable, "-m", "mainstem", "live", "--listen", "127.0.0.1:0"),
        *("--http", "127.0.0.1:0", "--workers", "1"),
    ]
    with running_broker(tmp_path) as broker:
        live = Process([*command, "--brokers", broker.address])
        live.start()
        try:
            http = live.fields["http"]
            assert kick(http, b"{}", "text/plain")[0] == 415  # what any page may send
            assert kick(http, b"{}", "application/json")[0] == 400
            assert kick(http, b'{"usr":"x"}', "application/json")[0] == 400
            assert kick(http, json.dumps({"user": "ann"}).encode(), "application/json")[0] == 200
            live.process.send_signal(signal.SIGINT)
            assert live.stop() == 0
        finally:
            if live.process.poll() is None:
                live.stop()


@contextmanager
def _stream(address: str, token: str) -> Iterator[http.client.HTTPResponse]:
    host, port = address.split(":")
    with closing(http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)) as connection:
        headers = {"Authorization": f"Bearer {token}"}
        connection.request("GET", "/live?channel=comments:1", headers=headers)
        with connection.getresponse() as answer:
            yield answer


def _status(address: str, token: str) -> int:
    with _stream(address, token) as answer:
        return answer.status


def _lines_until(answer: http.client.HTTPResponse, wanted: bytes) -> None:
    while wanted not in (line := answer.readline()):
        assert line, f"the stream ended before {wanted!r}"


@pytest.mark.slow
def test_who_was_kicked_stays_out_also_of_workers_and_gateways_that_start_later(
    tmp_path: Path,
) -> None:
    import jwt

    secret = "a secret of thirty-two bytes, or more"
    file = tmp_path / "live.toml"
    file.write_text(
        f'workers = 1\ndrain_seconds = 0.2\n[access.tokens]\nsecret = "{secret}"\n'
        '[access.namespaces.comments]\nuser = ["subscribe", "publish"]\n'
    )
    access = ("--config", str(file))
    now = int(time.time())
    claims = {"sub": "ann", "exp": now + 600, "iat": now - 5}
    old = jwt.encode(claims, secret, "HS256")
    with running_broker(tmp_path / "log") as broker:
        with gateway(broker.address, *access) as live:
            address = live.fields["live"]
            with _stream(address, old) as answer:
                assert answer.status == 200
                _lines_until(answer, b"event: resumed")
                body = json.dumps({"user": "ann", "reason": "rude"}).encode()
                kick = urllib.request.Request(
                    f"http://{live.fields['http']}/kick", body, {"Content-Type": "application/json"}
                )
                urllib.request.urlopen(kick, timeout=PATIENCE_S).close()
                _lines_until(answer, b"rude")
            assert _status(address, old) == 401
            (victim,) = live.children()
            kill_pid(victim)
            wait_for(lambda: live.children() not in ([], [victim]), "another worker")
            wait_for(lambda: get(live.fields["http"], "/health/ready") == "ready\n", "ready")
            assert _status(address, old) == 401
            # Signing in again is believed.
            new = jwt.encode({**claims, "iat": int(time.time()) + 2}, secret, "HS256")
            assert _status(address, new) == 200
        with gateway(broker.address, *access) as later:
            wait_for(lambda: _status(later.fields["live"], old) == 401, "the kick is known")
