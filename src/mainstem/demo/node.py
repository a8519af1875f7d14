"""A real ``mainstem serve`` in a temporary directory, for as long as the demo runs."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from types import TracebackType

from mainstem.errors import Unavailable

_PR_SET_PDEATHSIG = 1
_STOP_SECONDS = 30.0

#: The node's configuration: what the page is, which channels it has, who may do what there.
_CONFIGURATION = """\
[live]
pages = {pages}
workers = 1
drain_seconds = 0.5

[live.namespaces]
comments = {{ kind = "events" }}
likes = {{ kind = "counter" }}
score = {{ kind = "latest" }}
board = {{ kind = "latest" }}
delay = {{ kind = "counter" }}

[live.access.namespaces]
comments = {{ anonymous = ["subscribe", "history", "publish"] }}
likes = {{ anonymous = ["subscribe", "history", "publish"] }}
score = {{ anonymous = ["subscribe", "history"] }}
board = {{ anonymous = ["subscribe", "history"] }}
delay = {{ anonymous = ["subscribe", "history"] }}
viewers = {{ anonymous = ["subscribe", "history", "presence"] }}
"""


class DemoNode:
    """A context manager: a node on free ports while the block runs, and no trace of it after.

    ``kafka``, ``http`` and ``live`` are ``HOST:PORT``, ``start_seconds`` is from spawn to the
    ready line.
    """

    kafka: str
    http: str
    live: str
    start_seconds: float

    def __enter__(self) -> DemoNode:
        self._scratch = tempfile.TemporaryDirectory(prefix="mainstem-demo-")
        self.data = Path(self._scratch.name, "data")
        self._log = Path(self._scratch.name, "node.log")
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    @property
    def page(self) -> str:
        """Where a browser finds the live page."""
        return f"http://{self.live}/"

    def _start(self) -> None:
        pages = str(files("mainstem.demo").joinpath("live_page"))
        config = Path(self._scratch.name, "node.toml")
        config.write_text(_CONFIGURATION.format(pages=json.dumps(pages)), "utf-8")
        libc = ctypes.CDLL(None)
        started = time.perf_counter()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mainstem", "serve", "--data", str(self.data)),
                    *("--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0"),
                    *("--live", "127.0.0.1:0", "--config", str(config)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                process_group=0,  # Ctrl-C is for the demo, which then stops the node
                # No thread runs yet. A demo that is killed must not leave its node behind.
                preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),  # noqa: PLW1509
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self.start_seconds = time.perf_counter() - started
        words = dict(word.partition("=")[::2] for word in line.split()[1:])
        if not line.startswith("ready "):
            self._process.wait()
            said = self._log.read_text("utf-8").strip().splitlines() or ["it said nothing"]
            raise Unavailable(f"the demo's node did not start: {said[-1]}")
        self.kafka, self.http, self.live = words["kafka"], words["http"], words["live"]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def bytes_on_disk(self) -> int:
        """All segments of the flights, with their indexes."""
        return sum(
            file.stat().st_size
            for directory in (self.data / "topics").glob("flights-*")
            for file in directory.rglob("*")
            if file.is_file()
        )

    def _stop(self) -> None:
        process = getattr(self, "_process", None)
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        self._scratch.cleanup()
