"""Runs the benchmarks and prints the table; exits 1 where a gate is missed with --gate."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from benchmarks import targets
from benchmarks.machine import describe
from benchmarks.rows import Context, Row

if TYPE_CHECKING:
    from benchmarks.client import PeerRow

NAMES = ["start", "produce", "fetch", "small", "durable", "latency", "client"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: about a minute")
    parser.add_argument("--only", action="append", choices=NAMES, help="this benchmark; repeatable")
    parser.add_argument("--json", action="store_true", help="machine and rows as one JSON object")
    parser.add_argument("--gate", action="store_true", help="exit 1 where a bar is missed")
    parser.add_argument("--readme", action="store_true", help="put the client's rows into Markdown")
    parser.add_argument("--directory", help="where the data goes: the disk that is measured")
    options = parser.parse_args()
    console = Console(stderr=options.json, width=None if sys.stdout.isatty() else 160)
    rows: list[Row] = []
    peers: list[PeerRow] = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as name,
        console.status("starting") as status,
    ):
        directory = Path(name)
        machine = describe(directory)
        context = Context(directory, options.quick, progress=status.update)
        names = [each for each in NAMES if not options.only or each in options.only]
        if "start" in names:
            rows += import_module("benchmarks.start").run(context)
            names.remove("start")
        if "client" in names:
            clients = import_module("benchmarks.client")
            peers = clients.run(context)
            names.remove("client")
        if names:
            with targets.both(directory) as context.targets:
                for each in names:
                    rows += import_module(f"benchmarks.{each}").run(context)
    if options.readme and peers:
        import_module("benchmarks.client_readme").write(peers, machine)
    if options.json:
        print(
            json.dumps(
                {"machine": machine, "rows": [asdict(row) for row in (*rows, *peers)]}, indent=1
            )
        )
    else:
        console.print(" · ".join(f"{key}: {value}" for key, value in machine.items()))
        if rows:
            console.print(_table(rows))
        if peers:
            console.print(clients.table(peers))
    return int(options.gate and any(row.passes is False for row in (*rows, *peers)))


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def _table(rows: list[Row]) -> Table:
    table = Table(title="Mainstem beside its peers (ratios: how many times better we are)")
    for column in ("what", "unit"):
        table.add_column(column)
    for column in ("Mainstem", "Kafka", "x Kafka", "bare loop", "x bare"):
        table.add_column(column, justify="right")
    table.add_column("bar")
    table.add_column("")
    table.add_column("note")
    for row in rows:
        table.add_row(
            row.what,
            row.unit,
            _number(row.mainstem),
            _number(row.kafka),
            _number(row.ratio_to_kafka),
            _number(row.bare),
            _number(row.ratio_to_bare),
            row.bar or "information",
            {True: "[green]pass[/]", False: "[red]miss[/]", None: ""}[row.passes],
            row.note,
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
