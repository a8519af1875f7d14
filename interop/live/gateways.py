"""What the referees read from: a node and a gateway that can be killed and come back."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pyarrow as pa

import mainstem as ms
from interop.cluster import Mainstem, start_mainstem
from interop.kafka import die_with_parent
from mainstem.testing.ports import lasting_port

HERE = Path(__file__).parent
READERS = HERE / "readers"
#: On shutdown viewers leave within half a second.
QUICK = ("--set", "drain_seconds=0.5")


@dataclass
class Gateway:
    """``mainstem live`` beside a ``mainstem serve``; the port survives a restart."""

    directory: Path
    arguments: tuple[str, ...] = ()
    address: str = field(default_factory=lambda: f"127.0.0.1:{lasting_port()}")
    node: Mainstem = field(init=False)
    process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Gateway:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.node = start_mainstem(self.directory / "data")
        try:
            self.start()
        except BaseException:
            self.node.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.node.stop()

    @property
    def url(self) -> str:
        return f"http://{self.address}/live"

    @property
    def log(self) -> str:
        """All it has said on stderr."""
        return (self.directory / "live.stderr").read_text()

    def start(self) -> None:
        """Starts it, where it was before; returns when it serves."""
        command = [sys.executable, "-m", "mainstem", "live", "--brokers", self.node.address]
        with (self.directory / "live.stderr").open("a") as stderr:
            self.process = subprocess.Popen(
                [*command, "--listen", self.address, *QUICK, *self.arguments],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 # one call, no locks
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        words = dict(word.partition("=")[::2] for word in line.split()[1:])
        if not line.startswith("ready "):
            self.stop()
            raise RuntimeError(f"mainstem live said {line!r}; stderr: {self.log[-3000:]}")
        self.address = words["live"]

    def kill(self) -> None:
        """SIGKILL, as if the power had gone."""
        assert self.process is not None
        self.process.kill()
        self._ended()

    def stop(self) -> None:
        """SIGTERM."""
        if self.process is not None:
            self.process.terminate()
            self._ended()

    def _ended(self) -> None:
        assert self.process is not None
        try:
            self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()
            self.process = None

    def post(self, channel: str, value: Any, **headers: str) -> dict[str, Any]:
        """Publishes JSON; the gateway's answer."""
        request = Request(  # our own address
            f"{self.url}/{channel}",
            json.dumps(value).encode(),
            {"content-type": "application/json", **headers},
        )
        with urlopen(request, timeout=20) as response:
            answer: dict[str, Any] = json.load(response)
            return answer

    def append(self, channel: str, values: list[Any]) -> None:
        """Writes JSON values as any Kafka producer would, past the gateway."""
        namespace, _, key = channel.partition(":")
        with ms.connect(self.node.address) as stem:
            rows = {"_key": [key.encode()] * len(values), "value": [encode(v) for v in values]}
            stem.topic(f"live.{namespace}", partitions=4, create=True).append(pa.table(rows))


def encode(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


class Reader:
    """A program in ``readers/`` that prints a JSON line for all it hears."""

    def __init__(self, program: str, *arguments: str) -> None:
        self.heard: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            ["node", str(READERS / program), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 # one call, no locks
        )
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self.heard.append(json.loads(line))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def of(self, *types: str) -> list[dict[str, Any]]:
        """What it heard of these types."""
        with self._news:
            return [each for each in self.heard if each["type"] in types]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The data of all plain events."""
        return [json.loads(each["data"]) for each in self.of("message")]

    def wait(self, count: int, *types: str, seconds: float = 30) -> list[dict[str, Any]]:
        """Until ``count`` of these types were heard; raises AssertionError with what was."""
        with self._news:
            if not self._news.wait_for(
                lambda: sum(e["type"] in types for e in self.heard) >= count, seconds
            ):
                raise AssertionError(f"{count} {types} awaited, heard: {self.heard[-20:]}")
        return self.of(*types)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


def reading(program: str, *arguments: str) -> Iterator[Reader]:
    """A fixture's body: the reader, and its end."""
    reader = Reader(program, *arguments)
    yield reader
    reader.close()
