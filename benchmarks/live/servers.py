"""Starts Mainstem's gateway and its peers, each with one channel named ``a``."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
PEERS = Path(".peers")
NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")


@dataclass
class Server:
    """A running server: where viewers connect and where events are posted."""

    name: str
    port: int
    request: bytes  # of a viewer, without the last empty line
    publish: str
    processes: list[int] = field(default_factory=list)
    resumes: bool = False
    metrics: str = ""

    def resident(self) -> int:
        """Bytes of memory of all its processes (Pss: what they share counts once)."""
        return sum(_pss(pid) for each in self.processes for pid in _family(each))

    def cpu(self) -> float:
        """Processor seconds used so far by all of its processes."""
        return sum(_cpu(pid) for each in self.processes for pid in _family(each))

    def post(self, body: bytes) -> None:
        """Publish one event over HTTP."""
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.publish, data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from _family(int(child))


def _pss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:"))


def _cpu(pid: int) -> float:
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / 100


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def get(path: str, *headers: str) -> bytes:
    """Return the head of a viewer's request."""
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: text/event-stream", *headers]
    return ("\r\n".join(lines) + "\r\n").encode()


@contextmanager
def _process(command: list[str], ready: str, log: Path) -> Iterator[tuple[int, str]]:
    """A process that prints a line starting with ``ready``, which is answered; ended at the end."""
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        line = ready
        if ready:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith(ready):
                raise RuntimeError(f"{command[0]} said {line!r}: {log.read_text()[-500:]}")
        yield process.pid, line.strip()
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@contextmanager
def mainstem(directory: Path, *settings: str) -> Iterator[Server]:
    """`mainstem serve` and, as a process of its own, `mainstem live` before it."""
    serve = [sys.executable, "-m", "mainstem", "serve", "--data", str(directory / "mainstem")]
    live = [sys.executable, "-m", "mainstem", "live", "--listen", "127.0.0.1:0"]
    with ExitStack() as stack:
        command = [*serve, "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        _, line = stack.enter_context(_process(command, "ready ", directory / "serve.log"))
        brokers = dict(word.split("=", 1) for word in line.split()[1:])["kafka"]
        command = [*live, "--http", "127.0.0.1:0", "--brokers", brokers, *settings]
        pid, line = stack.enter_context(_process(command, "ready ", directory / "live.log"))
        words = dict(word.split("=", 1) for word in line.split()[1:])
        port = int(words["live"].rsplit(":", 1)[1])
        yield Server(
            "mainstem",
            port,
            get("/live?channel=comments:a"),
            f"kafka://{brokers}/live.comments/a",
            [pid],
            resumes=True,
            metrics=f"http://{words['http']}/metrics",
        )


@contextmanager
def nchan(directory: Path, workers: int) -> Iterator[Server]:
    """nginx with Nchan."""
    port, home = free_port(), directory / "nchan"
    home.mkdir(exist_ok=True)
    text = (HERE / "peers" / "nchan.conf").read_text()
    for name, value in {
        "DIRECTORY": home,
        "MODULE": NCHAN,
        "PORT": port,
        "WORKERS": workers,
    }.items():
        text = text.replace(name, str(value))
    (home / "nginx.conf").write_text(text)
    command = ["nginx", "-p", str(home), "-c", str(home / "nginx.conf")]
    with _process(command, "", directory / "nchan.log") as (pid, _):
        _wait(port)
        publish = f"http://127.0.0.1:{port}/publish"
        yield Server("nchan", port, get("/live"), publish, [pid])


@contextmanager
def centrifuge(directory: Path) -> Iterator[Server]:
    """Centrifugo's engine behind its own server-sent events handler."""
    port = free_port()
    command = [str(PEERS / "centrifuge"), str(port)]
    with _process(command, "ready", directory / "centrifuge.log") as (pid, _):
        request = get("/live?cf_connect=%7B%22connect%22%3A%7B%7D%2C%22id%22%3A1%7D")
        yield Server("centrifuge", port, request, f"http://127.0.0.1:{port}/publish", [pid])


@contextmanager
def sse_starlette(directory: Path) -> Iterator[Server]:
    """sse-starlette on uvicorn with uvloop and httptools."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "benchmarks.live.peers.sse_starlette_app:app"]
    command += ["--port", str(port), "--log-level", "warning", "--backlog", "4096"]
    with _process(command, "", directory / "sse_starlette.log") as (pid, _):
        _wait(port)
        publish = f"http://127.0.0.1:{port}/publish"
        yield Server("sse-starlette", port, get("/live"), publish, [pid])


def available() -> dict[str, bool]:
    """Which peers are installed."""
    return {
        "nchan": shutil.which("nginx") is not None and NCHAN.exists(),
        "centrifuge": (PEERS / "centrifuge").exists(),
        "bare": (PEERS / "bare").exists(),
        "k6": (PEERS / "k6").exists(),
    }
