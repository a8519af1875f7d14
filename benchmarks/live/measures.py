"""The measurements: each starts what it needs, and answers plain numbers."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.live import servers
from benchmarks.live.crowd import crowd, publishing
from benchmarks.live.servers import PEERS, Server, free_port, get

Start = Callable[[], AbstractContextManager[Server]]
WARM_SECONDS = 2.0


@dataclass
class Delivery:
    """One run of viewers times events: what was offered, what arrived, and how late."""

    server: str
    viewers: int
    offered: float  # events a second, posted, times viewers
    delivered: float  # events a second in the viewers' streams
    sends: float  # a second; nan where the server does not tell
    p50: float
    p90: float
    p99: float
    server_cores: float
    viewer_cores: float
    bytes_per_viewer: float
    bytes_per_event: float
    gaps: int
    doubles: int


def gauge(server: Server, name: str) -> float:
    """The server's own figure, summed over namespaces; nan where it has none."""
    if not server.metrics:
        return float("nan")
    with urllib.request.urlopen(server.metrics, timeout=30) as answer:
        text = answer.read().decode()
    pattern = rf"^mainstem_live_{name}(?:\{{.*\}})? ([0-9.e+]+)$"
    found = re.findall(pattern, text, re.MULTILINE)
    return sum(map(float, found)) if found else float("nan")


def delivery(start: Start, viewers: int, rate: float, seconds: float, size: int = 100) -> Delivery:
    """``viewers`` watch one channel; ``rate`` events a second are posted to it."""
    with start() as server:
        empty = server.resident()
        with (
            crowd(server, viewers) as watching,
            publishing(server, rate, WARM_SECONDS + seconds + 1, size) as account,
        ):
            watching.tell(run=WARM_SECONDS)
            watching.counted()
            sends, used, clock = gauge(server, "sends_total"), server.cpu(), time.perf_counter()
            watching.tell(run=seconds, clear=True)
            seen = watching.counted()
            sends, used = gauge(server, "sends_total") - sends, server.cpu() - used
            clock = time.perf_counter() - clock
            memory = (server.resident() - empty) / viewers
            watching.tell(run=1.5)  # what is under way, so that the publisher can end
            watching.counted()
        offered = account[0]["posted"] / account[0]["seconds"] * viewers
        return Delivery(
            server.name,
            viewers,
            offered,
            seen.rate,
            sends / clock,
            seen.latency(0.5),
            seen.latency(0.9),
            seen.latency(0.99),
            used / clock,
            seen.cpu / seen.seconds,
            memory,
            seen.bytes / max(1, seen.events),
            seen.gaps,
            seen.doubles,
        )


def middle(runs: list[Delivery]) -> Delivery:
    """The medians, field by field, of interleaved runs of one server."""
    columns = {name: [getattr(run, name) for run in runs] for name in asdict(runs[0])}
    numbers = {
        name: statistics.median(values)
        for name, values in columns.items()
        if name not in {"server", "viewers", "gaps", "doubles"}
    }
    return Delivery(
        server=runs[0].server,
        viewers=runs[0].viewers,
        gaps=sum(columns["gaps"]),
        doubles=sum(columns["doubles"]),
        **numbers,
    )


def bare_sends(run: Delivery, seconds: float) -> float:
    """Sends a second of the bare C loop, as fast as it can, to the same load generator.

    Each of its sends carries as many events, of as many bytes, as one of ``run`` did.
    """
    port = free_port()
    events = max(1, round(run.delivered / run.sends))
    words = [port, run.viewers, round(run.bytes_per_event), events, 0, seconds]
    command = [str(PEERS / "bare"), *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        server = Server("bare", port, get("/"), "", [process.pid])
        with crowd(server, run.viewers, audited=False) as watching:
            watching.tell(run=seconds)
            watching.counted()
            counted = json.loads(process.stdout.readline())
        return float(counted["sends"] / counted["seconds"])
    finally:
        process.kill()
        process.wait()


def idle(start: Start, viewers: int, processes: int, seconds: float) -> dict[str, Any]:
    """Connections that only listen: memory each, processor time, and how long connecting took."""
    with start() as server:
        empty = server.resident()
        began = time.perf_counter()
        with crowd(server, viewers, processes, pace=300) as watching:
            connected = time.perf_counter() - began
            used, clock = server.cpu(), time.perf_counter()
            watching.tell(run=seconds, clear=True)
            seen = watching.counted()
            used, clock = server.cpu() - used, time.perf_counter() - clock
            return {
                "viewers": seen.streaming,
                "bytes_per_viewer": (server.resident() - empty) / viewers,
                "idle_cores": used / clock,
                "connect_seconds": connected,
                "closed": seen.closed,
            }


def reconnect(
    start: Start, viewers: int, processes: int, rate: float, spread: float
) -> dict[str, Any]:
    """Everybody is cut off at once while events flow, and comes back with its last id.

    ``spread``: over so many seconds, as ``retry`` tells browsers; 0: all in the same moment.
    """
    with start() as server, crowd(server, viewers, processes, pace=300, resuming=True) as watching:
        with publishing(server, rate, 20, 100):
            watching.tell(run=3)
            watching.counted()
            clock = time.perf_counter()
            watching.tell(drop=1.0, seed=1, spread=spread)
            watching.counted()
            watching.tell(run=1)
            while watching.counted().streaming < viewers:
                watching.tell(run=0.2)
            back = time.perf_counter() - clock
            watching.tell(run=3)
            watching.counted()
            watching.tell(run=14)
            watching.counted()
        watching.tell(run=2)
        seen = watching.counted()
    return {
        "viewers": seen.streaming,
        "seconds": back,
        "spread": spread,
        "resumed": seen.resumed,
        "gaps": seen.gaps,
        "doubles": seen.doubles,
        "resets": seen.resets,
    }


def stalled(
    start: Start, viewers: int, share: float, rate: float, seconds: float
) -> dict[str, float]:
    """The p99 of those who read, without and with ``share`` more viewers who never read."""
    answer = {}
    with start() as server:
        empty = server.resident()
        with crowd(server, viewers) as watching, publishing(server, rate, 3 * seconds + 8, 100):
            watching.tell(run=WARM_SECONDS)
            watching.counted()
            watching.tell(run=seconds, clear=True)
            answer["p99_before"] = watching.counted().latency(0.99)
            with crowd(server, int(viewers * share), receive_buffer=4096):
                watching.tell(run=WARM_SECONDS)
                watching.counted()
                watching.tell(run=seconds, clear=True)
                answer["p99_with_stalled"] = watching.counted().latency(0.99)
                answer["bytes_per_viewer"] = (server.resident() - empty) / (viewers * (1 + share))
            watching.tell(run=seconds + 4)
            watching.counted()
    return answer


def started(name: str, directory: Path, *settings: str) -> Start:
    """How to start a server by name."""
    return {
        "mainstem": lambda: servers.mainstem(directory, *settings),
        "nchan": lambda: servers.nchan(directory, 1),
        "centrifuge": lambda: servers.centrifuge(directory),
        "sse-starlette": lambda: servers.sse_starlette(directory),
    }[name]
