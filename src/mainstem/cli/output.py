"""Rows for people or programs: a table on a terminal, aligned text in a pipe, JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol


def show(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, as_json: bool) -> None:
    """Print rows; ``columns`` are lower-case words, the members' names in JSON."""
    if as_json:
        names = [name.replace(" ", "_") for name in columns]
        for row in rows:
            print(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, default=str))
        return
    found = [list(row) for row in rows]
    if sys.stdout.isatty():
        _table(columns, found)
    else:
        _aligned([list(columns), *found])


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _table(columns: Sequence[str], rows: list[list[Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(columns):
        right = any(_is_number(row[index]) for row in rows)
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(f"{v:,}" if _is_number(v) else _text(v) for v in row))
    Console().print(table)


def _aligned(rows: list[list[Any]]) -> None:
    texts = [[_text(value) for value in row] for row in rows]
    widths = [max(len(row[index]) for row in texts) for index in range(len(texts[0]))]
    for row in texts:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


def note(text: str) -> None:
    """A remark for people, on standard error."""
    print(text, file=sys.stderr)


class Advance(Protocol):
    """Reports work done."""

    def __call__(self, amount: int, /) -> None: ...


@contextmanager
def progress(
    title: str, total: int | None, *, unit: str, hidden: bool = False
) -> Iterator[Advance]:
    """A progress bar on standard error, only where that is a terminal."""
    if hidden or not sys.stderr.isatty():
        yield lambda _amount: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    count = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda amount: bar.advance(task, amount)
