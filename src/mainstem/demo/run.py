"""``mainstem demo``, from the first word to the exit code."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

import mainstem as ms
from mainstem.demo import answers as questions
from mainstem.demo import flights, screen
from mainstem.demo.answers import Answers
from mainstem.demo.node import DemoNode
from mainstem.demo.replay import TOPIC, Journey, parse_speed, replay
from mainstem.demo.show import Show
from mainstem.demo.viewer import viewers, year_on_the_page
from mainstem.errors import Corrupt, Invalid, MainstemError

#: How long a page that nobody looks at is kept for somebody at the terminal, in seconds.
_INVITATION_S = 15.0


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
            (progress if as_json else console).print(
                f"Open [bold blue]{node.page}[/]: departures, delays, comments, live.\n"
                f"[dim]The log is at {node.kafka}, ready after {node.start_seconds:.2f} s: "
                "any Kafka client may join.[/dim]",
                highlight=False,
            )
            table = flights.load(source)
            with Show(node.kafka, table) as show:
                demo = _Demo(node, show, table, factor, began, console, progress, as_json)
                code = demo.run(source)
                if code == 0:
                    _stay(node, progress if as_json else console, keep=keep, as_json=as_json)
                return code
    except MainstemError as error:
        print(f"mainstem demo: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        print("mainstem demo: stopped", file=sys.stderr)  # noqa: T201
        return 1


@dataclass(frozen=True, slots=True)
class _Demo:
    node: DemoNode
    show: Show
    table: pa.Table
    factor: float | None
    began: float
    console: Console
    progress: Console
    as_json: bool

    def run(self, source: Path) -> int:
        """Replays, asks, checks, tells; the exit code."""
        journey = self._replay()
        node = self.node
        with ms.connect(node.kafka) as stem, self.progress.status("reading it all again, alone"):
            raw_seconds, json_bytes = _read_raw(stem, journey.total)
            read_seconds = _read_typed(stem)
        # Counted only now, so that it takes no time from what is measured.
        with self.progress.status("counting the source file row by row, to check"):
            received = pa.Table.from_batches(journey.batches)
            found, truth = questions.answer(received), flights.count(source)
            wrong = list(questions.disorder(received)) + list(questions.differences(found, truth))
            wrong += self._on_the_page(truth)
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
            seconds=time.perf_counter() - self.began,
        )
        if self.as_json:
            print(json.dumps(_as_json(found, figures, wrong)))  # noqa: T201
        else:
            screen.results(self.console, found, figures)
        return _verdict(wrong, self.console)

    def _replay(self) -> Journey:
        with screen.live(self.progress, self.table.num_rows) as progress:

            def moved(journey: Journey) -> None:
                self.show.year(journey)
                progress(journey)

            return replay(self.node.kafka, self.table, self.factor, moved)

    def _on_the_page(self, truth: flights.Truth) -> list[str]:
        if self.show.failure is not None:
            return [f"the page's show ended early: {self.show.failure}"]
        return year_on_the_page(self.node.live, truth)


def _stay(node: DemoNode, console: Console, *, keep: bool, as_json: bool) -> None:
    """Until Ctrl-C if asked to, or if somebody looks at the page; else not for long."""
    if keep:
        screen.connect_hints(console, node)
        _wait(lambda: True)
    elif console.is_terminal and not as_json:
        console.print(
            f"The page stays for those who open it within {_INVITATION_S:.0f} s, until they leave; "
            "with\n[bold]--keep[/bold] everything stays up. [bold]Ctrl-C[/bold] ends it."
        )
        _wait(_Invitation(node.live).stands)
    elif not as_json:
        console.print("With [bold]--keep[/bold] it stays up: the page, and the log for kcat.")


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
            "file,\nthe live page's too; offsets, event times and keys are in order.",
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


class _Invitation:
    """Stands while somebody looks at the page, and a moment longer: they may be reloading."""

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway
        self._until = time.monotonic() + _INVITATION_S

    def stands(self) -> bool:
        if viewers(self._gateway) > 0:
            self._until = time.monotonic() + _INVITATION_S
        return time.monotonic() < self._until


def _wait(going_on: Callable[[], bool]) -> None:
    """Until Ctrl-C, or until it says no; asks once a second."""
    try:
        while going_on():
            time.sleep(1.0)
    except KeyboardInterrupt:
        return
