"""The gateway as a command and as a node's role: its line, its end, its refusals."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_gateway import PATIENCE_S, Process, get, kill_pid, node, post, wait_for

from mainstem.testing import running_broker


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    data = tmp_path_factory.mktemp("node")
    listen = ("--live", "127.0.0.1:0", "--http", "127.0.0.1:0")
    with node(data, *listen, "--set", "live.drain_seconds=0.2") as running:
        yield running


def refused(*arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and last words of a gateway that does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "mainstem", "live", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={"PATH": "/usr/bin:/bin", **environment},
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.returncode, done.stderr.strip().splitlines()[-1]


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
        try:
            return get(serving.fields["http"], "/health/ready") == "ready\n"
        except urllib.error.HTTPError as error:
            with error:
                return False

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
    ("arguments", "code", "words"),
    [
        (("--listen", "nonsense"), 2, "is not HOST:PORT"),
        (("--listen", "0.0.0.0:0"), 2, "--insecure"),
        (("--set", "wurkers=3"), 2, "did you mean 'workers'?"),
        (("--set", "namespaces.a.kind=x"), 2, "namespaces"),
        (("--set", "access.tokens.secrt=x", "--listen", "127.0.0.1:0"), 2, "secret"),
        (("--set", "viewers.grace=-1", "--listen", "127.0.0.1:0"), 2, "grace"),
        (("--listen", "0.0.0.0:0", "--insecure"), 2, "no namespace is configured"),
        (("--config", "/nowhere.toml"), 2, "cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    arguments: tuple[str, ...], code: int, words: str
) -> None:
    found, sentence = refused("--brokers", "127.0.0.1:1", *arguments)
    assert (found, sentence.startswith("mainstem live: ")) == (code, True)
    assert words in sentence


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with running_broker(tmp_path) as broker:
        code, sentence = refused("--brokers", broker.address, "--listen", broker.address)
    assert code == 1
    assert "is in use by another process" in sentence


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
        gateway = Process([*command, "--brokers", broker.address])
        gateway.start()
        try:
            http = gateway.fields["http"]
            assert kick(http, b"{}", "text/plain")[0] == 415  # what any page may send
            assert kick(http, b"{}", "application/json")[0] == 400
            assert kick(http, b'{"usr":"x"}', "application/json")[0] == 400
            assert kick(http, json.dumps({"user": "ann"}).encode(), "application/json")[0] == 200
            gateway.process.send_signal(signal.SIGINT)
            assert gateway.stop() == 0
        finally:
            if gateway.process.poll() is None:
                gateway.stop()
