"""``mainstem demo``, from the first word to the exit code."""

from __future__ import annotations

import json
import signal
import sys
import time
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

import mainstem as ms
from mainstem.demo import answers as questions
from mainstem.demo import flights, screen
from mainstem.demo.answers import Answers
from mainstem.demo.node import DemoNode
from mainstem.demo.replay import TOPIC, parse_speed, replay
from mainstem.errors import Corrupt, Invalid, MainstemError


def run_demo(*, speed: str = "max", keep: bool = False, as_json: bool = False) -> int:
    """Runs the demo in the main thread; returns the exit code, having said why on stderr."""
    began = time.perf_counter()
    progress = Console(stderr=True)
    console = Console(file=sys.stderr) if as_json else Console()
    try:
        factor = parse_speed(speed)
    except Invalid as error:
        print(f"mainstem demo: {error}", file=sys.stderr)  # noqa: T201
        return 2
    try:
        source = flights.find()
        with DemoNode() as node:
            if not as_json:
                console.print(
                    f"A node is [bold]ready[/bold] after {node.start_seconds:.2f} s "
                    f"at [bold]{node.kafka}[/bold] (any Kafka client may watch).",
                    highlight=False,
                )
            code = _run(node, source, factor, began, console, progress, as_json)
            if not keep and not as_json:
                console.print(
                    "With [bold]--keep[/bold] it stays up, for kcat or any other Kafka client."
                )
            if keep and code == 0:
                screen.connect_hints(progress if as_json else console, node)
                _wait_for_interrupt()
            return code
    except MainstemError as error:
        print(f"mainstem demo: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        print("mainstem demo: stopped", file=sys.stderr)  # noqa: T201
        return 1


def _run(
    node: DemoNode,
    source: Any,
    factor: float | None,
    began: float,
    console: Console,
    progress: Console,
    as_json: bool,
) -> int:
    table = flights.load(source)
    with screen.live(progress, table.num_rows) as show:
        journey = replay(node.kafka, table, factor, show)
    with ms.connect(node.kafka) as stem, progress.status("reading it all again, alone"):
        raw_seconds, json_bytes = _read_raw(stem, journey.total)
        read_seconds = _read_typed(stem)
    # Counted only now, so that it takes no time from what is measured.
    with progress.status("counting the source file row by row, to check"):
        received = pa.Table.from_batches(journey.batches)
        found = questions.answer(received)
        wrong = list(questions.disorder(received))
        wrong += questions.differences(found, flights.count(source))
    figures = screen.Figures(
        records=journey.total,
        start_seconds=node.start_seconds,
        write_seconds=journey.write_seconds,
        replay_seconds=journey.seconds,
        largest_lag=journey.largest_lag,
        read_seconds=read_seconds,
        raw_seconds=raw_seconds,
        json_bytes=json_bytes,
        disk_bytes=node.bytes_on_disk(),
        seconds=time.perf_counter() - began,
    )
    if as_json:
        print(json.dumps(_as_json(found, figures, wrong)))  # noqa: T201
    else:
        screen.results(console, found, figures)
    return _verdict(wrong, console)


def _read_raw(stem: ms.Stem, expected: int) -> tuple[float, int]:
    """Seconds to read the topic as bytes, and how many bytes its values are."""
    began = time.perf_counter()
    rows = size = 0
    for batch in stem.topic(TOPIC).read(start="earliest"):
        rows += batch.num_rows
        size += pc.sum(pc.binary_length(batch.column("value"))).as_py() or 0
    if rows != expected:
        raise Corrupt(f"{rows} records came back at the second reading, {expected} were written")
    return time.perf_counter() - began, size


def _read_typed(stem: ms.Stem) -> float:
    began = time.perf_counter()
    for _ in stem.topic(TOPIC).read(start="earliest", format=ms.Json(flights.SCHEMA)):
        pass
    return time.perf_counter() - began


def _verdict(wrong: list[str], console: Console) -> int:
    if not wrong:
        console.print(
            "[bold green]Checked:[/bold green] all totals equal a separate count of the source "
            "file;\noffsets, event times and keys are in order.",
            highlight=False,
        )
        return 0
    print("mainstem demo: what came out is not what went in:", file=sys.stderr)  # noqa: T201
    for line in wrong:
        print(f"  {line}", file=sys.stderr)  # noqa: T201
    return 1


def _as_json(found: Answers, figures: screen.Figures, wrong: list[str]) -> dict[str, Any]:
    rows = [
        {"airport": airport, "month": month, **asdict(cell), "average_delay": round(cell.delay, 2)}
        for (airport, month), cell in sorted(found.cells.items())
    ]
    return {
        "departures": found.total().departures,
        "cancelled": found.total().cancelled,
        "delay_minutes": found.total().delay_sum,
        "months": rows,
        "most_cancelled": {**asdict(found.most_cancelled), "day": str(found.most_cancelled.day)},
        "most_delayed": {**asdict(found.most_delayed), "day": str(found.most_delayed.day)},
        "aircraft": found.aircraft,
        "measured": figures.as_dict(),
        "differences": wrong,
    }


def _wait_for_interrupt() -> None:
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        return
