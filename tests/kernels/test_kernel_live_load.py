"""The load generator counts what was sent, however it is sliced, and its audit can fail."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from mainstem.kernels.live_load import Load, bucket_bound

REQUEST = b"GET /live?channel=a HTTP/1.1\r\nHost: test\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Long: " + b"x" * 150 + b"\r\n\r\n"


def events(numbers: list[int]) -> bytes:
    now = time.time_ns() // 1000
    return b"".join(
        b'id: c%d\ndata: {"channel":"a","data":{"sent":%d,"seq":%d,"text":"hello"}}\n\n'
        % (number, now, number)
        for number in numbers
    )


@contextmanager
def server(talk: Callable[[socket.socket, bytes], None]) -> Iterator[int]:
    """Each connection is handed to ``talk`` with the request it sent, then closed."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            # Who has counted enough goes away in the middle of a sentence.
            with connection, contextlib.suppress(ConnectionError):
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    part = connection.recv(4096)
                    if not part:
                        break  # gone before it asked
                    request += part
                else:
                    talk(connection, request)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def watch(port: int, until: int, *, viewers: int = 1, resuming: bool = False) -> Load:
    load = Load("127.0.0.1", port, viewers, REQUEST, resuming=resuming)
    load.connect(viewers)
    load.set_reconnecting(False)
    load.run(20, until_events=until)
    return load


@pytest.mark.parametrize("resuming", [False, True])
@pytest.mark.parametrize("slice_size", [1, 7, 61, 4096])
def test_events_are_counted_however_they_are_sliced(slice_size: int, resuming: bool) -> None:
    data = HEAD + b"retry: 2000\n\n" + events(list(range(120)))

    def talk(connection: socket.socket, request: bytes) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(data), slice_size):
            connection.sendall(data[start : start + slice_size])

    with server(talk) as port:
        counted = watch(port, 120, resuming=resuming).counted
    assert counted["events"] == 120
    assert counted["gaps"] == counted["doubles"] == counted["malformed"] == 0


@pytest.mark.parametrize(
    ("numbers", "gaps", "doubles"),
    [([0, 1, 3, 4], 1, 0), ([0, 1, 1, 2], 0, 1), ([0, 1, 2, 1], 0, 1), ([5, 6, 7], 0, 0)],
)
def test_the_audit_sees_gaps_and_doubles(numbers: list[int], gaps: int, doubles: int) -> None:
    with server(lambda connection, _: connection.sendall(HEAD + events(numbers))) as port:
        counted = watch(port, len(numbers)).counted
    assert (counted["gaps"], counted["doubles"]) == (gaps, doubles)


def test_a_reset_allows_one_jump_and_no_more() -> None:
    reset = b'event: reset\ndata: {"reason":"expired"}\n\n'
    data = HEAD + events([0, 1]) + reset + events([9, 10]) + events([12])
    with server(lambda connection, _: connection.sendall(data)) as port:
        counted = watch(port, 5, resuming=True).counted
    assert (counted["resets"], counted["gaps"], counted["doubles"]) == (1, 1, 0)


def test_who_comes_back_says_where_it_was() -> None:
    requests = []

    def talk(connection: socket.socket, request: bytes) -> None:
        requests.append(request)
        first = 3 * (len(requests) - 1)
        connection.sendall(HEAD + events([first, first + 1, first + 2]))

    with server(talk) as port:
        load = Load("127.0.0.1", port, 1, REQUEST, resuming=True)
        load.connect(1)
        load.run(20, until_events=6)
        load.drop([0])  # it may be coming back for a third time already
    assert b"Last-Event-ID" not in requests[0]
    assert b"Last-Event-ID: c2\r\n\r\n" in requests[1]
    assert load.counted["gaps"] == load.counted["doubles"] == 0


def test_a_refusal_is_no_stream() -> None:
    refusal = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"
    with server(lambda connection, _: connection.sendall(refusal)) as port:
        load = Load("127.0.0.1", port, 1, REQUEST)
        load.connect(1)
        while not load.counted["refused"]:
            load.run(0.01)
    assert (load.streaming, load.counted["connected"]) == (0, 0)


def test_latency_falls_into_the_bucket_of_its_size() -> None:
    late = b'data: {"sent":%d,"seq":0,"x":1}\n\n' % (time.time_ns() // 1000 - 5_000_000)
    with server(lambda connection, _: connection.sendall(HEAD + late)) as port:
        load = watch(port, 1)
    bucket = load.latency.index(1)
    assert bucket_bound(bucket - 1) <= 25_000_000
    assert bucket_bound(bucket) > 5_000_000
    bounds = [bucket_bound(each) for each in range(400)]
    assert bounds == sorted(set(bounds))


@pytest.mark.parametrize(
    ("host", "count", "request_bytes"),
    [("nowhere", 1, REQUEST), ("127.0.0.1", 0, REQUEST), ("127.0.0.1", 1, b"x" * 4000)],
)
def test_what_cannot_be_asked_is_refused(host: str, count: int, request_bytes: bytes) -> None:
    with pytest.raises(ValueError, match=r"address|viewer|3,500"):
        Load(host, 1, count, request_bytes)


@pytest.mark.parametrize("name", ["host", "request", "source", "greeting"])
def test_a_load_without_what_it_sends_is_refused(name: str) -> None:
    given = {"host": "127.0.0.1", "port": 1, "count": 1, "request": REQUEST, name: None}
    with pytest.raises(TypeError, match=f"'{name}' has incorrect type|{name}.*None"):
        Load(**given)  # type: ignore[arg-type]


def test_a_load_that_is_refused_closes_no_descriptor_of_others() -> None:
    script = """
import os
from mainstem.kernels.live_load import Load
for given in ({"greeting": None}, {"count": 0}, {"host": "nowhere"}, {"unknown": 1}):
    try:
        Load(**{"host": "127.0.0.1", "port": 1, "count": 1, "request": b"GET", **given})
    except (TypeError, ValueError):
        os.fstat(0), os.fstat(1), os.fstat(2)
    else:
        raise SystemExit(f"{given} was taken")
"""
    done = subprocess.run([sys.executable, "-c", script], stdin=subprocess.PIPE, check=False)
    assert done.returncode == 0
