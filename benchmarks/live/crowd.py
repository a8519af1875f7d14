"""Processes of viewers and the publisher, driven from here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.live.servers import Server
from benchmarks.live.viewers import percentile

SUMMED = ("events", "bytes", "reads", "gaps", "doubles", "resets", "resumed", "closed", "refused")


@dataclass
class Counted:
    """What all viewers saw in one stretch of time; latencies in milliseconds."""

    seconds: float
    cpu: float
    streaming: int
    numbers: dict[str, int]
    histogram: list[int]

    def __getattr__(self, name: str) -> int:
        try:
            return self.numbers[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def rate(self) -> float:
        """Delivered events a second."""
        return self.numbers["events"] / self.seconds

    def latency(self, share: float) -> float:
        """Milliseconds within which this share of the events came."""
        return percentile(self.histogram, share)


class Crowd:
    """Viewers in several processes, at most 18,000 a process, each from its own address."""

    def __init__(self, server: Server, count: int, processes: int) -> None:
        self._server = server
        self._counts = [
            count // processes + (each < count % processes) for each in range(processes)
        ]
        self._processes: list[subprocess.Popen[str]] = []

    def open(self, pace: int = 500, **arguments: Any) -> Counted:
        """Connect everybody; the answer's ``seconds`` is how long the slowest process needed."""
        commands = []
        for each, count in enumerate(self._counts):
            command = [sys.executable, "-m", "benchmarks.live.viewers"]
            pipe = subprocess.PIPE
            self._processes.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
            load = {
                "host": "127.0.0.1",
                "port": self._server.port,
                "count": count,
                "request": self._server.request.decode(),
                "source": f"127.0.0.{2 + each}",
                **arguments,
            }
            commands.append({"open": load, "pace": pace})
        return self._ask(commands)

    def tell(self, **command: Any) -> None:
        """Start a command everywhere; ``counted`` waits for it."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()

    def counted(self) -> Counted:
        """Wait for every process's answer and add them up."""
        answers = []
        for process in self._processes:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"viewers ended with {process.wait()}")
            answers.append(json.loads(line))
        return Counted(
            max(each["seconds"] for each in answers),
            sum(each["cpu"] for each in answers),
            sum(each["streaming"] for each in answers),
            {name: sum(each[name] for each in answers) for name in SUMMED},
            [sum(column) for column in zip(*(each["latency"] for each in answers), strict=True)],
        )

    def _ask(self, commands: Sequence[dict[str, Any]]) -> Counted:
        for process, command in zip(self._processes, commands, strict=True):
            assert process.stdin is not None
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
        return self.counted()

    def close(self) -> None:
        """End the processes, and their connections with them."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self._processes:
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@contextmanager
def crowd(
    server: Server, count: int, processes: int = 1, pace: int = 500, **arguments: Any
) -> Iterator[Crowd]:
    """Everybody connected; a server that let some go is an error."""
    one = Crowd(server, count, processes)
    try:
        opened = one.open(pace, **arguments)
        if opened.streaming < count:
            raise RuntimeError(f"{server.name}: {opened.streaming} of {count} viewers connected")
        yield one
    finally:
        one.close()


@contextmanager
def publishing(
    server: Server, rate: float, seconds: float, size: int, start: int = 0
) -> Iterator[list[dict[str, Any]]]:
    """A publisher at work; its own account is in the list afterwards."""
    command = [sys.executable, "-m", "benchmarks.live.publisher", server.publish]
    command += [str(rate), str(seconds), str(size), str(start)]
    account: list[dict[str, Any]] = []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield account
        output, _ = process.communicate(timeout=seconds * 3 + 60)
        if process.returncode:
            raise RuntimeError(f"{server.name}: the publisher ended with {process.returncode}")
        account.append(json.loads(output))
    finally:
        process.kill()
        process.wait()
