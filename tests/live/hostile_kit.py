"""A gateway as users start it, and clients that mean no good."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE_S = 30.0
HOST = "127.0.0.1"


@dataclass
class Answer:
    """What came back before the connection closed, or one whole answer of it."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class Raw:
    """A connection that sends whatever bytes it likes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port), 10.0)
        self._buffer = b""

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_until_refused(self, chunk: bytes, times: int) -> int:
        """Bytes sent before the other side closed (or all of them)."""
        sent = 0
        for _ in range(times):
            try:
                self.socket.sendall(chunk)
            except OSError:
                break
            sent += len(chunk)
        return sent

    def until(self, mark: bytes) -> bytes:
        """All up to and with ``mark``. Raises ``EOFError`` where the connection ends before."""
        while mark not in self._buffer:
            self._more()
        found, _, self._buffer = self._buffer.partition(mark)
        return found + mark

    def answer(self) -> Answer:
        """One answer with a length. Raises ``EOFError``."""
        first, *lines = self.until(b"\r\n\r\n").decode("latin-1").rstrip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        size = int(headers.get("content-length", "0"))
        while len(self._buffer) < size:
            self._more()
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        return Answer(int(first.split()[1]), headers, body)

    def rest(self) -> bytes:
        """All until the other side closes."""
        with contextlib.suppress(EOFError):
            while True:
                self._more()
        return self._buffer

    def block(self) -> dict[str, str]:
        """The next block of an event stream."""
        lines = self.until(b"\n\n").decode().strip().split("\n")
        return dict(line.split(": ", 1) for line in lines)

    def event(self) -> dict[str, Any]:
        """The next event's data; ``event`` in it is its name."""
        while True:
            block = self.block()
            if "data" in block:
                return {"event": block.get("event", "message"), **json.loads(block["data"])}

    def _more(self) -> None:
        try:
            data = self.socket.recv(65_536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise EOFError(self._buffer[:500])
        self._buffer += data


@dataclass
class Gateway:
    """A running ``mainstem live``."""

    port: int
    http: int
    process: subprocess.Popen[str]

    def connect(self) -> Raw:
        return Raw(self.port)

    def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        """One request on a connection of its own."""
        with self.connect() as raw:
            raw.send(request(method, target, body, **headers))
            return raw.answer()

    def alive(self) -> bool:
        """Whether it still serves somebody who behaves, with the worker it began with."""
        answer = self.ask("GET", "/live/stats")
        return answer.status in {200, 401}

    def workers(self) -> list[int]:
        """Process ids of its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        found = []
        for child in map(int, children.split()):
            with contextlib.suppress(OSError):
                if b"live.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(child)
        return sorted(found)

    def memory(self) -> int:
        """Bytes in memory, of the gateway and its workers."""
        total = 0
        for process in [self.process.pid, *self.workers()]:
            for line in Path(f"/proc/{process}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) * 1024
        return total


class Canary:
    """A viewer who behaves, all the while: every message once, in order."""

    def __init__(self, gateway: Gateway, channel: str) -> None:
        self._gateway = gateway
        self._channel = channel
        self._raw = gateway.connect()
        self._raw.send(request("GET", f"/live?channel={channel}"))
        self._raw.until(b"\r\n\r\n")
        assert self._raw.event()["event"] == "resumed"
        self._sent = 0

    def close(self) -> None:
        self._raw.socket.close()

    def sings(self) -> None:
        """A message is published by one who behaves, and arrives."""
        path = f"/live/{self._channel}"
        answer = self._gateway.ask("POST", path, b"%d" % self._sent)
        assert answer.status == 200, answer
        event = self._raw.event()
        assert (event["channel"], event["data"]) == (self._channel, self._sent)
        self._sent += 1


def request(method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
    named = {"host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body:
        named["content-length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextlib.contextmanager
def started(command: list[str], directory: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A command of ours and its ready line; ended with SIGTERM."""
    with (directory / f"{command[0]}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mainstem", *command],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=directory,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    watchdog = threading.Timer(PATIENCE_S * 10, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready"), (directory / f"{command[0]}.log").read_text()
        yield process, line
    finally:
        watchdog.cancel()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()
            assert process.stdout is not None
            process.stdout.close()


def port_of(line: str, name: str) -> int:
    word = next(word for word in line.split() if word.startswith(f"{name}="))
    return int(word.rpartition(":")[2])


@contextlib.contextmanager
def gateway(directory: Path, config: str, *flags: str) -> Iterator[Gateway]:
    """A broker and a gateway with ``config``."""
    (directory / "live.toml").write_text(config)
    serve = ["serve", "--data", "data", "--kafka", f"{HOST}:0", "--http", "none"]
    with started(serve, directory) as (_, ready):
        brokers = f"{HOST}:{port_of(ready, 'kafka')}"
        live = ["live", "--brokers", brokers, "--listen", f"{HOST}:0", "--http", f"{HOST}:0"]
        with started([*live, "--config", "live.toml", *flags], directory) as (process, line):
            yield Gateway(port_of(line, "live"), port_of(line, "http"), process)
