"""A real ``mainstem serve`` and ``mainstem live`` in a temporary directory, while the demo runs."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path
from types import TracebackType

from mainstem.errors import Unavailable

_PR_SET_PDEATHSIG = 1
_STOP_SECONDS = 30.0

#: Who may do what on the page, and which kinds of channels it has.
_GATEWAY = """\
pages = {pages}
drain_seconds = 0.5

[namespaces]
comments = {{ kind = "events" }}
likes = {{ kind = "counter" }}
score = {{ kind = "latest" }}
board = {{ kind = "latest" }}
delay = {{ kind = "counter" }}

[access.namespaces]
comments = {{ anonymous = ["subscribe", "history", "publish"] }}
likes = {{ anonymous = ["subscribe", "history", "publish"] }}
score = {{ anonymous = ["subscribe", "history"] }}
board = {{ anonymous = ["subscribe", "history"] }}
delay = {{ anonymous = ["subscribe", "history"] }}
viewers = {{ anonymous = ["subscribe", "history", "presence"] }}
"""


class DemoNode:
    """A context manager: a node on free ports while the block runs, and no trace of it after.

    ``kafka`` and ``http`` are ``HOST:PORT``, ``start_seconds`` is from spawn to the ready line.
    ``live`` is the gateway's ``HOST:PORT`` once ``start_live`` was called.
    """

    kafka: str
    http: str
    live: str
    start_seconds: float

    def __enter__(self) -> DemoNode:
        with ExitStack() as resources:
            scratch = resources.enter_context(tempfile.TemporaryDirectory(prefix="mainstem-demo-"))
            self._directory = Path(scratch)
            self.data = self._directory / "data"
            started = time.perf_counter()
            ready = self._start(
                resources,
                *("serve", "--data", str(self.data)),
                *("--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0"),
            )
            self.start_seconds = time.perf_counter() - started
            self.kafka, self.http = ready["kafka"], ready["http"]
            self._resources = resources.pop_all()
        return self

    def start_live(self) -> str:
        """Starts the gateway of the page; returns the page's address. Raises ``Unavailable``."""
        config = self._directory / "live.toml"
        pages = str(files("mainstem.demo").joinpath("live_page"))
        config.write_text(_GATEWAY.format(pages=json.dumps(pages)), "utf-8")
        ready = self._start(
            self._resources,
            *("live", "--brokers", self.kafka, "--listen", "127.0.0.1:0"),
            *("--config", str(config), "--workers", "1"),
        )
        self.live = ready["live"]
        return f"http://{self.live}/"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._resources.close()

    def bytes_on_disk(self) -> int:
        """All segments of the flights, with their indexes."""
        return sum(
            file.stat().st_size
            for directory in (self.data / "topics").glob("flights-*")
            for file in directory.rglob("*")
            if file.is_file()
        )

    def _start(self, resources: ExitStack, role: str, *arguments: str) -> dict[str, str]:
        """Spawns ``mainstem ROLE``; returns the words of its ready line by name."""
        libc = ctypes.CDLL(None)
        said = self._directory / f"{role}.log"
        with said.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "mainstem", role, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                process_group=0,  # Ctrl-C is for the demo, which then stops the node
                # No thread runs yet. A demo that is killed must not leave its node behind.
                preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),  # noqa: PLW1509
            )
        resources.callback(_stop, process)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("ready "):
            process.wait()
            lines = said.read_text("utf-8").strip().splitlines() or ["it said nothing"]
            raise Unavailable(f"the demo's `mainstem {role}` did not start: {lines[-1]}")
        return {name: value for name, _, value in (word.partition("=") for word in line.split())}


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stdout is not None
    process.stdout.close()
