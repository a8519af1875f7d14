"""The load generator beside k6: the same gateway, viewers and events, counted by both."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from dataclasses import replace
from typing import Any

from benchmarks.live.crowd import crowd, publishing
from benchmarks.live.measures import Start, gauge
from benchmarks.live.servers import HERE, PEERS, Server, get

MASK = b"mask"


def subscribing(server: Server) -> tuple[Server, str]:
    """The same server, watched over WebSocket, and the first frame to send to it, in hex."""
    text = b'{"subscribe":["comments:a"]}'
    masked = bytes(byte ^ MASK[place % 4] for place, byte in enumerate(text))
    headers = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    headers += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    request = get("/live/ws", *headers)
    frame = bytes([0x81, 0x80 | len(text)]) + MASK + masked
    return replace(server, request=request), frame.hex()


def by_us(start: Start, viewers: int, rate: float, seconds: float) -> dict[str, Any]:
    """What the load generator counts."""
    with start() as plain:
        server, greeting = subscribing(plain)
        with crowd(server, viewers, greeting=greeting) as watching:
            watching.tell(run=2)  # everybody is subscribed
            watching.counted()
            with publishing(server, rate, seconds, 100) as account:
                watching.tell(run=seconds + 3)
                seen = watching.counted()
    return {
        "expected": account[0]["posted"] * viewers,
        "events": seen.events,
        "p50": seen.latency(0.5),
        "p90": seen.latency(0.9),
        "p99": seen.latency(0.99),
        "gaps": seen.gaps,
        "doubles": seen.doubles,
    }


def _all_subscribed(server: Server, viewers: int, patience: float = 120) -> None:
    deadline = time.monotonic() + patience
    while not (there := gauge(server, "connections")) >= viewers:  # nan while there is none
        if time.monotonic() > deadline:
            raise RuntimeError(f"{there:.0f} of {viewers} viewers came")
        time.sleep(0.2)


def by_k6(start: Start, viewers: int, rate: float, seconds: float) -> dict[str, Any]:
    """What k6 counts."""
    opening = viewers / 100 + 20
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # k6 inherits it, and would stop at it
    with start() as server:
        environment = {
            **os.environ,
            "URL": f"ws://127.0.0.1:{server.port}/live/ws",
            "VIEWERS": str(viewers),
            "SECONDS": str(opening + seconds + 8),
        }
        command = [str(PEERS / "k6"), "run", "--quiet", str(HERE / "peers" / "k6.js")]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            _all_subscribed(server, viewers)
            with publishing(server, rate, seconds, 100) as account:
                time.sleep(seconds)
            output, errors = process.communicate(timeout=opening + seconds + 120)
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        raise RuntimeError(f"k6 ended with {process.returncode}: {errors[-500:]}")
    seen = json.loads(output)
    return {
        "expected": account[0]["posted"] * viewers,
        "events": int(seen["events"]),
        **{f"p{share}": seen["latency"].get(f"p({share})") for share in (50, 90, 99)},
    }
