"""Fan-out beside its peers: ``python -m benchmarks.live``; writes ``RESULTS.md`` with --write.

About ten minutes in full, two with --quick. --only names one part; all run in one process of
the operating system after the other, rounds of the peers interleaved.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.live import measures, referee
from benchmarks.live.measures import Delivery, Start, started
from benchmarks.live.report import markdown
from benchmarks.live.servers import HERE, available
from benchmarks.machine import describe

PARTS = ["delivery", "windows", "sends", "stalled", "reconnect", "idle", "referee"]
ONE_WORKER = ("--workers", "1")
RETRY_SPREAD_SECONDS = 8.0  # the gateway's `retry` is drawn from 2 to 10 seconds
Say = Callable[[str], None]


class Bench:
    """The parts, by name; each answers what goes into the report."""

    def __init__(self, directory: Path, quick: bool, rounds: int, say: Say) -> None:
        self._directory = directory
        self._quick = quick
        self._rounds = rounds
        self._say = say
        self._numbers = count()

    def _start(self, name: str, *settings: str) -> Start:
        def fresh() -> Any:
            directory = self._directory / f"{name}-{next(self._numbers)}"
            directory.mkdir()
            return started(name, directory, *settings)()

        return fresh

    def _pick(self, full: float, quick: float) -> float:
        return quick if self._quick else full

    def delivery(self) -> list[dict[str, Any]]:
        """Viewers times 100 events a second, every server, interleaved rounds."""
        there = available()
        names = ["mainstem", *(name for name in ("nchan", "centrifuge") if there[name])]
        names.append("sse-starlette")
        viewers, rounds = int(self._pick(10_000, 2_000)), self._rounds or int(self._pick(3, 1))
        runs: dict[str, list[Delivery]] = {name: [] for name in names}
        for turn in range(rounds):
            for name in names:
                self._say(f"delivery: round {turn + 1} of {rounds}, {name}")
                settings = ONE_WORKER if name == "mainstem" else ()
                start = self._start(name, *settings)
                runs[name].append(measures.delivery(start, viewers, 100, self._pick(10, 3)))
        return [asdict(measures.middle(each)) for each in runs.values()]

    def windows(self) -> list[dict[str, Any]]:
        """From append to socket at several flush windows."""
        answer = []
        viewers = int(self._pick(10_000, 2_000))
        for window in (20, 50, 100, 250):
            self._say(f"windows: {window} ms")
            start = self._start("mainstem", *ONE_WORKER, "--set", f"window_ms={window}")
            run = measures.delivery(start, viewers, 100, self._pick(8, 3))
            answer.append({"window_ms": window, **asdict(run)})
        return answer

    def sends(self) -> dict[str, Any]:
        """Our sends as a share of a bare C loop's, both as fast as they can.

        A window of a millisecond: whatever is new is sent as soon as the last round is over.
        """
        viewers, rounds = int(self._pick(10_000, 2_000)), self._rounds or int(self._pick(5, 1))
        seconds = self._pick(6, 3)
        ours, bare = [], []
        for turn in range(rounds):
            self._say(f"sends: round {turn + 1} of {rounds}")
            start = self._start("mainstem", *ONE_WORKER, "--set", "window_ms=1")
            ours.append(measures.delivery(start, viewers, 100, seconds))
            bare.append(measures.bare_sends(ours[-1], seconds))
        shares = [one.sends / other for one, other in zip(ours, bare, strict=True)]
        middle = measures.middle(ours)
        return {
            "mainstem": middle.sends,
            "events": middle.delivered / middle.sends,
            "bytes": middle.bytes_per_event,
            "bare": statistics.median(bare),
            "share": statistics.median(shares),
            "shares": shares,
        }

    def stalled(self) -> dict[str, float]:
        """Five viewers in a hundred never read."""
        self._say("stalled readers")
        start = self._start("mainstem", *ONE_WORKER)
        return measures.stalled(start, int(self._pick(5_000, 1_000)), 0.05, 50, 6)

    def reconnect(self) -> list[dict[str, Any]]:
        """Everybody is cut off at once: some come back in the same moment, many as told to."""
        answer = []
        cases = [(10_000, 2, 20, 0.0), (100_000, 6, 1, RETRY_SPREAD_SECONDS)]
        for full, processes, rate, spread in cases:
            viewers = int(self._pick(full, full / 10))
            self._say(f"mass reconnect: {viewers:,} viewers")
            start = self._start("mainstem", "--workers", str(processes))
            answer.append(measures.reconnect(start, viewers, processes, rate, spread))
        return answer

    def idle(self) -> dict[str, Any]:
        """A hundred thousand connections, six workers, six processes of viewers."""
        viewers = int(self._pick(100_000, 12_000))
        workers = math.ceil(viewers / 16_700)
        self._say(f"idle: {viewers:,} connections on {workers} workers")
        start = self._start("mainstem", "--workers", str(workers), *OPEN_TO_MANY)
        return measures.idle(start, viewers, workers, self._pick(20, 5))

    def referee(self) -> dict[str, Any]:
        """The load generator and k6 count the same events."""
        viewers = int(self._pick(5_000, 500))
        self._say("referee: the load generator")
        # k6 runs JavaScript per event: a rate that it can follow, or it would count too few.
        rate, seconds = 1, self._pick(20, 6)
        ours = referee.by_us(self._start("mainstem", *ONE_WORKER), viewers, rate, seconds)
        answer = {"viewers": viewers, "mainstem": ours}
        if available()["k6"]:
            self._say("referee: k6")
            start = self._start("mainstem", *ONE_WORKER)
            answer["k6"] = referee.by_k6(start, viewers, rate, seconds)
        return answer


OPEN_TO_MANY: tuple[str, ...] = ()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer viewers, one round")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; repeatable")
    parser.add_argument("--rounds", type=int, default=0, help="of what is interleaved")
    parser.add_argument("--json", action="store_true", help="everything as one JSON object")
    parser.add_argument("--write", action="store_true", help="write benchmarks/live/RESULTS.md")
    options = parser.parse_args()
    console = Console(stderr=True)
    answers: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory(prefix="bench-live-") as name,
        console.status("starting") as status,
    ):
        answers["machine"] = describe(Path(name))

        def say(text: str) -> None:
            status.update(text)
            if not console.is_terminal:
                console.print(text)

        bench = Bench(Path(name), options.quick, options.rounds, say)
        for part in options.only or PARTS:
            answers[part] = getattr(bench, part)()
            if options.write:  # after each: a long run may be cut short
                (HERE / "RESULTS.md").write_text(markdown(answers))
    if options.json:
        print(json.dumps(answers, indent=1))
    else:
        print(markdown(answers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
