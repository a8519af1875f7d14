"""One process of viewers: ``python -m benchmarks.live.viewers``, driven by lines of JSON.

On stdin come commands, one a line; each is answered by one line with what was counted.
``{"open": {…Load's arguments…}, "pace": 2000}`` connects all viewers, at most ``pace`` a tenth of a
second; ``{"run": SECONDS, "clear": true}`` reads; ``{"drop": SHARE, "seed": N, "spread": SECONDS}``
cuts viewers off, who come back spread over that time, as the server's jittered ``retry`` asks for.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Sequence
from typing import Any

from mainstem.kernels.live_load import Load, bucket_bound

STEP_SECONDS = 0.01


def percentile(histogram: Sequence[int], share: float) -> float:
    """Return the milliseconds below which ``share`` of the events came; nan without events."""
    wanted = share * sum(histogram)
    if not wanted:
        return float("nan")
    seen = 0
    for bucket, count in enumerate(histogram):
        seen += count
        if seen >= wanted:
            return bucket_bound(bucket) / 1000
    return float("inf")


def _open(arguments: dict[str, Any], pace: int) -> tuple[Load, float]:
    arguments["request"] = arguments["request"].encode()
    if "greeting" in arguments:
        arguments["greeting"] = bytes.fromhex(arguments["greeting"])
    load = Load(
        arguments.pop("host"),
        arguments.pop("port"),
        arguments.pop("count"),
        arguments.pop("request"),
        **arguments,
    )
    start = time.perf_counter()
    while load.connect(pace):
        load.run(0.1, until_connected=True)
    load.run(60, until_connected=True)
    return load, time.perf_counter() - start


def main() -> None:
    load: Load | None = None
    for line in sys.stdin:
        command = json.loads(line)
        seconds = 0.0
        if "open" in command:
            load, seconds = _open(command["open"], command.get("pace", 500))
        assert load is not None, "open comes first"
        if command.get("clear"):
            load.clear()
        if "drop" in command:
            dice = random.Random(command["seed"])
            count = len(load.sequence)
            gone = int(count * command["drop"])
            load.drop(dice.sample(range(count), gone))
            steps = max(1, int(command["spread"] / STEP_SECONDS))
            while load.connect(-(-gone // steps)):
                load.run(STEP_SECONDS)
        if "run" in command:
            start, used = time.perf_counter(), time.process_time()
            load.run(command["run"], until_events=command.get("until", 0))
            seconds, used = time.perf_counter() - start, time.process_time() - used
            command["cpu"] = used
        answer = {
            **load.counted,
            "seconds": seconds,
            "streaming": load.streaming,
            "latency": load.latency,
            "cpu": command.get("cpu", 0.0),
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
