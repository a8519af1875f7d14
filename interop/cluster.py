"""The broker under test: ``mainstem serve`` in a process of its own, or Apache Kafka."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from interop.kafka import die_with_parent, start_kafka

READY = re.compile(r"ready kafka=(\S+) http=(\S+) data=(.+)\n")
INFORMATION = re.compile(r"\S+Z info ")


@dataclass
class Mainstem:
    """A running ``mainstem serve``. Addresses are ``host:port``."""

    address: str
    http: str
    process: subprocess.Popen[str]
    errors: Path

    def stop(self) -> tuple[int, str]:
        """End it as a supervisor would; return its exit code and its complaints on stderr.

        Lines of level info are no complaint.
        """
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            if self.process.stdout is not None:
                self.process.stdout.close()
        lines = self.errors.read_text().splitlines(keepends=True)
        return code, "".join(line for line in lines if not INFORMATION.match(line))


def spawn_mainstem(directory: Path, *arguments: str) -> tuple[subprocess.Popen[str], Path]:
    """Start ``mainstem serve`` on free ports; return it at once, and where its stderr goes."""
    directory.mkdir(parents=True, exist_ok=True)
    errors = directory.with_name(directory.name + ".stderr")
    command = [sys.executable, "-m", "mainstem", "serve", "--data", str(directory)]
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [*command, "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0", *arguments],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 # one call, no locks
        )
    return process, errors


def start_mainstem(directory: Path, *arguments: str, timeout: float = 30) -> Mainstem:
    """Start ``mainstem serve`` and wait for its ready line.

    Raises RuntimeError with its stderr where it ends or says something else.
    """
    process, errors = spawn_mainstem(directory, *arguments)
    assert process.stdout is not None
    line = _first_line(process.stdout, timeout)
    match = READY.fullmatch(line)
    if match is None:
        process.kill()
        process.wait()
        raise RuntimeError(f"mainstem serve said {line!r}; stderr: {errors.read_text()[-3000:]}")
    return Mainstem(match[1], match[2], process, errors)


def _first_line(stream: IO[str], timeout: float) -> str:
    line, deadline = "", time.monotonic() + timeout
    while not line.endswith("\n") and (left := deadline - time.monotonic()) > 0:
        if not select.select([stream], [], [], left)[0]:
            break
        piece = os.read(stream.fileno(), 4096)
        if not piece:
            break
        line += piece.decode()
    return line


__all__ = ["Mainstem", "spawn_mainstem", "start_kafka", "start_mainstem"]
