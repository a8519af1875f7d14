"""What the demo shows: eighty columns, on any terminal."""

from __future__ import annotations

import calendar
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Table
from rich.text import Text

from mainstem.demo.answers import Answers, Cell, Day
from mainstem.demo.flights import AIRPORTS, TIME_ZONE
from mainstem.demo.node import DemoNode
from mainstem.demo.replay import TOPIC, Journey


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured. Rates are per second; bytes of JSON before compression."""

    records: int
    start_seconds: float
    write_seconds: float
    replay_seconds: float
    largest_lag: int
    read_seconds: float
    raw_seconds: float
    json_bytes: int
    disk_bytes: int
    seconds: float

    def as_dict(self) -> dict[str, float]:
        """With the rates worked out, for ``--json``."""
        return {name: getattr(self, name) for name in self.__slots__} | {
            "written_per_second": self.records / self.write_seconds,
            "read_per_second": self.records / self.read_seconds,
            "read_raw_per_second": self.records / self.raw_seconds,
        }


_FIRST_DAY = "01 Jan 2013"


class _Rate(ProgressColumn):
    """Records written per second since the start."""

    def render(self, task: Task) -> Text:
        rate = task.completed / task.elapsed if task.elapsed else 0.0
        return Text(f"{rate:9,.0f}/s", style="cyan")


@contextmanager
def live(console: Console, total: int) -> Iterator[Any]:
    """A progress line; yields the function that moves it. Shows nothing off a terminal."""
    columns = (
        TextColumn("{task.fields[day]}", style="bold"),
        BarColumn(bar_width=20),
        TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.completed:>7,} records"),
        _Rate(),
        TextColumn("lag {task.fields[lag]:>6,}", style="magenta"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total, day=_FIRST_DAY, lag=0)

        def show(journey: Journey) -> None:
            day = datetime.fromtimestamp(journey.event_time_ms / 1000, TIME_ZONE)
            progress.update(
                task,
                completed=journey.written,
                lag=journey.lag,
                day=f"{day:%d %b %Y}" if journey.event_time_ms else _FIRST_DAY,
            )

        yield show


def results(console: Console, answers: Answers, figures: Figures) -> None:
    """The tables."""
    for table in (_months(answers), _sentences(answers), _measurements(figures)):
        console.print()
        console.print(table)
    console.print()


def _months(answers: Answers) -> Table:
    table = Table(
        title="Departures from New York City in 2013: flights, cancelled, average delay (min)",
        title_style="bold",
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
        header_style="bold cyan",
    )
    table.add_column("")
    for airport in AIRPORTS:
        table.add_column(airport, justify="right")
        table.add_column("canc.", justify="right", style="red")
        table.add_column("delay", justify="right", style="yellow")
    table.add_column("all", justify="right", style="bold")
    table.add_column("delay", justify="right", style="yellow")
    for month in range(1, 13):
        cells = [answers.total(airport, month) for airport in AIRPORTS]
        table.add_row(calendar.month_abbr[month], *_row(cells))
    table.add_row("year", *_row([answers.total(airport) for airport in AIRPORTS]), style="bold")
    return table


def _row(cells: list[Cell]) -> Iterator[str]:
    for cell in cells:
        yield f"{cell.departures:,}"
        yield f"{cell.cancelled:,}"
        yield f"{cell.delay:.1f}"
    together = sum(cells, Cell(0, 0, 0))
    yield f"{together.departures:,}"
    yield f"{together.delay:.1f}"


def _sentences(answers: Answers) -> Table:
    table = _pairs("The year")
    total = answers.total()
    worst, slowest = answers.most_cancelled, answers.most_delayed
    table.add_row(
        "Cancelled", f"{total.cancelled:,} of {total.departures:,} ({_share(total):.1f} %)"
    )
    table.add_row("Worst day", f"{_date(worst)}: {worst.cancelled} of {worst.departures} cancelled")
    table.add_row("Longest waits", f"{_date(slowest)}: {slowest.delay:.0f} minutes late on average")
    table.add_row(
        "Aircraft",
        f"{answers.aircraft:,}; {answers.busiest_aircraft} left most often, "
        f"{answers.busiest_departures} times",
    )
    return table


def _measurements(figures: Figures) -> Table:
    table = _pairs("The log")
    megabytes = figures.json_bytes / 1e6
    table.add_row("Node", f"ready {figures.start_seconds:.2f} s after its process was started")
    table.add_row("Written", _rate(figures.records, megabytes, figures.write_seconds))
    table.add_row(
        "Read along", f"at most {figures.largest_lag:,} records behind, while they were written"
    )
    table.add_row("Read again", f"{_rate(figures.records, megabytes, figures.read_seconds)}, typed")
    table.add_row("", f"{_rate(figures.records, megabytes, figures.raw_seconds)}, as bytes")
    table.add_row(
        "On disk",
        f"{figures.disk_bytes / 1e6:.1f} MB for {megabytes:.1f} MB of JSON (zstd, with indexes)",
    )
    table.add_row("Altogether", f"{figures.seconds:.1f} s")
    return table


def _pairs(title: str) -> Table:
    table = Table(
        title=title,
        title_style="bold",
        title_justify="left",
        box=None,
        show_header=False,
        padding=(0, 2, 0, 0),
    )
    table.add_column(style="bold cyan", min_width=13)
    table.add_column()
    return table


def _rate(records: int, megabytes: float, seconds: float) -> str:
    return (
        f"{records:,} records in {seconds:.2f} s: {records / seconds:,.0f}/s, "
        f"{megabytes / seconds:,.0f} MB/s"
    )


def _share(cell: Cell) -> float:
    return 100 * cell.cancelled / max(cell.departures, 1)


def _date(day: Day) -> str:
    return f"{day.day:%a} {day.day.day} {day.day:%b}"


def _ourselves() -> str:
    """What to type for ``mainstem`` where this one was started from."""
    if shutil.which("mainstem"):
        return "mainstem"
    return os.path.relpath(Path(sys.executable).with_name("mainstem"))


def connect_hints(console: Console, node: DemoNode) -> None:
    """How to look at what is running, with commands to copy."""
    console.print()
    console.print(
        f"[bold]It stays up.[/bold] The page is at [bold blue]{node.page}[/], "
        "and any Kafka\nclient can use the node:",
        highlight=False,
    )
    for command in (
        f"kcat -b {node.kafka} -L",
        f"kcat -b {node.kafka} -t {TOPIC} -C -o beginning -c 3",
        f"{_ourselves()} consume {TOPIC} --brokers {node.kafka} --max 3 --format json",
        f"curl http://{node.http}/metrics",
        f"curl -N 'http://{node.live}/live?channel=board:JFK'",
    ):
        console.print(f"  [green]{escape(command)}[/green]", soft_wrap=True, highlight=False)
    console.print("[bold]Ctrl-C[/bold] ends it and removes its data.")
