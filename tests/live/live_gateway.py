"""A node and a gateway as real processes, and viewers that write down all they are told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

PATIENCE_S = 60.0


@dataclass
class Process:
    """A command that prints one ready line; ``fields`` are its ``name=value`` pairs."""

    command: list[str]
    process: subprocess.Popen[str] = field(init=False)
    fields: dict[str, str] = field(init=False)
    said: list[str] = field(default_factory=list)
    _listener: threading.Thread = field(init=False)

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        self._listener = threading.Thread(
            target=self._listen, args=(self.process.stderr,), daemon=True
        )
        self._listener.start()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("ready "), "".join(self.said)
        self.fields = dict(part.split("=", 1) for part in line.split()[1:])

    def _listen(self, stream: IO[str]) -> None:
        with contextlib.suppress(ValueError):
            for line in stream:
                self.said.append(line)

    def children(self) -> list[int]:
        pid = self.process.pid
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    def kill(self) -> None:
        self.process.kill()
        self._reap()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self._reap()

    def _reap(self) -> int:
        code = self.process.wait(PATIENCE_S)
        self._listener.join(PATIENCE_S)  # orphans may hold the other end a moment longer
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code


@contextmanager
def running(*arguments: str) -> Iterator[Process]:
    """``mainstem <arguments>`` until the block ends."""
    found = Process([sys.executable, "-m", "mainstem", *arguments])
    found.start()
    try:
        yield found
    finally:
        found.stop()


def node(data: Path, *more: str) -> Any:
    return running(
        *("serve", "--data", str(data), "--kafka", "127.0.0.1:0", "--http", "none", *more)
    )


def gateway(brokers: str, *more: str, listen: str = "127.0.0.1:0") -> Any:
    return running(
        *("live", "--brokers", brokers, "--listen", listen, "--http", "127.0.0.1:0"),
        *("--set", "drain_seconds=0.5", *more),
    )


def post(address: str, channel: str, body: Any, key: str | None = None) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Idempotency-Key"] = key
    request = urllib.request.Request(
        f"http://{address}/live/{channel}", json.dumps(body).encode(), headers
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
        found: dict[str, Any] = json.loads(response.read())
    return found


def get(address: str, path: str) -> str:
    """The body, whatever the status."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=PATIENCE_S) as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


@dataclass
class Told:
    """One thing a viewer was told: its offset where it is an event, and all of it."""

    event: str
    data: dict[str, Any]


@dataclass
class Viewer:
    """A browser: reconnects with its last id, as soon as it can; keeps all it is told."""

    address: str
    channels: list[str]
    origin: str = "latest"
    told: list[Told] = field(default_factory=list)
    last_id: str = ""
    connections: int = 0
    writer: asyncio.StreamWriter | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(OSError, EOFError, asyncio.IncompleteReadError):
                await self._connect()
            await asyncio.sleep(0.02)

    def hang_up(self) -> None:
        """In the middle of whatever arrives."""
        if self.writer is not None:
            self.writer.transport.abort()

    async def until(self, met: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not met():
                self.news.clear()
                await self.news.wait()

    async def _connect(self) -> None:
        host, _, port = self.address.rpartition(":")
        query = "&".join(f"channel={name}" for name in self.channels) + f"&from={self.origin}"
        reader, writer = await asyncio.open_connection(host, int(port))
        self.writer = writer
        try:
            head = f"GET /live?{query} HTTP/1.1\r\nHost: {self.address}\r\n"
            head += "Accept: text/event-stream\r\n"
            if self.last_id:
                head += f"Last-Event-ID: {self.last_id}\r\n"
            writer.write(f"{head}\r\n".encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                return
            self.connections += 1
            while True:
                self._take((await reader.readuntil(b"\n\n")).decode())
        finally:
            writer.transport.abort()

    def _take(self, block: str) -> None:
        event, data, last_id = "message", [], None
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
            elif name == "event":
                event = value
            elif name == "id":
                last_id = value
        if last_id is not None:
            self.last_id = last_id
        if data:
            self.told.append(Told(event, json.loads("\n".join(data))))
            self.news.set()

    def events(self, channel: str) -> list[dict[str, Any]]:
        return [told.data for told in self.told if told.data.get("channel") == channel]


def wait_for(met: Any, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def kill_pid(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
