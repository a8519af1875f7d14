"""Runs everything and prints the tables; see the package."""

from __future__ import annotations

import argparse
import json
import random
import statistics
import struct
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.lsm import native
from benchmarks.lsm.data import Rows, missing, sequential, shuffled
from benchmarks.lsm.engines import available, fresh
from benchmarks.lsm.overwrite import overwrite
from benchmarks.machine import describe

Figures = dict[tuple[str, int], dict[str, list[float]]]
CACHE = 1 << 30
BARRED = ("fillrandom", "overwrite", "readrandom", "readseq")


def timed(rows: int, work: Callable[[], object]) -> float:
    """Rows per second."""
    began = time.perf_counter()
    work()
    return rows / (time.perf_counter() - began)


def batches(
    call: Callable[[Rows, int, int], Any], rows: Rows, batch: int, count: int
) -> Callable[[], int]:
    def work() -> int:
        return sum(call(rows, at, min(at + batch, count)) or 0 for at in range(0, count, batch))

    return work


def seeks(engine: Any, rows: int, count: int) -> Callable[[], None]:
    rng = random.Random(5)
    starts = [struct.pack(">Q", rng.randrange(rows)) for _ in range(count)]

    def work() -> None:
        for start in starts:
            engine.scan(start, 50)

    return work


def beside_writer(engine: Any, rows: Rows, batch: int, count: int) -> float:
    """Rows read per second while a second thread writes all the time."""
    stop = threading.Event()

    def write() -> None:
        at = 0
        while not stop.is_set():
            engine.put(rows, at, at + batch)
            at = (at + batch) % (len(rows) - batch)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        return timed(count, batches(engine.get, rows, batch, count))
    finally:
        stop.set()
        writer.join()


def one_engine(
    kind: type[Any], place: Path, data: dict[str, Rows], batch: int, figures: Figures, cache: int
) -> None:
    random_rows, absent = data["random"], data["missing"]
    total = len(random_rows)
    count = total if batch >= 256 else min(total, 4000 * batch)
    name = kind.name

    def note(what: str, value: float) -> None:
        figures[what, batch][name].append(value)

    if cache == CACHE:
        engine = fresh(kind, place, cache)
        note("fillseq", timed(count, batches(engine.put, data["sequential"], batch, count)))
        engine.close()
    engine = fresh(kind, place, cache)
    note("fillrandom", timed(count, batches(engine.put, random_rows, batch, count)))
    if count < total:
        batches(engine.put, random_rows, 4096, total)()
    note("overwrite", timed(count, batches(engine.put, random_rows, batch, count)))
    engine.settle()
    reads = count if batch >= 256 else min(count, 20_000)
    if cache == CACHE:
        batches(engine.get, random_rows, 4096, total)()  # everybody's caches are warm
    note("readrandom", timed(reads, batches(engine.get, random_rows, batch, reads)))
    reads = min(reads, len(absent))
    note("readmissing", timed(reads, batches(engine.get, absent, batch, reads)))
    if batch in {256, 4096}:
        note("readseq", timed(total, lambda: engine.scan(None, total + 1)))
    if batch == 256:
        note("seekrandom", timed(2000, seeks(engine, total, 2000)))
        note("readwhilewriting", beside_writer(engine, random_rows, batch, min(total, 100_000)))
    engine.close()


def one_native(place: Path, rows: int, batch: int, figures: Figures, cache: int) -> None:
    for what in ("fillseq", "fillrandom"):
        got = native.run(place, [what], rows=rows, batch=batch, cache=cache, existing=False)
        figures[what, batch]["RocksDB native"].append(got[what])
    names = ["overwrite", "compact", "multireadrandom", "multireadrandom", "readmissing"]
    names += ["readseq", "seekrandom"] if batch in (256, 4096) else []
    got = native.run(
        place, names, rows=rows, batch=batch, cache=cache, existing=True, operations=rows
    )
    figures["overwrite", batch]["RocksDB native"].append(got["overwrite"])
    figures["readrandom", batch]["RocksDB native"].append(got["multireadrandom"])
    figures["readmissing", batch]["RocksDB native"].append(got["readmissing"])
    if "readseq" in got:
        figures["readseq", batch]["RocksDB native"].append(got["readseq"])


def table(title: str, figures: Figures, names: list[str]) -> Table:
    result = Table(title=title)
    result.add_column("what")
    result.add_column("batch", justify="right")
    for name in names:
        result.add_column(name, justify="right")
    result.add_column("x rocksdict", justify="right")
    result.add_column("x native", justify="right")
    for (what, batch), by_engine in sorted(figures.items()):
        middle = {name: statistics.median(values) for name, values in by_engine.items()}
        if "Mainstem" not in middle:
            continue
        ours = middle["Mainstem"]
        ratios = []
        for peer, bar in (("rocksdict", 5.0), ("RocksDB native", 1 / 1.5)):
            ratio = ours / middle[peer] if peer in middle else None
            barred = batch >= 256 and what in BARRED and ratio is not None
            colour = ("green" if ratio >= bar else "red") if barred and ratio else ""
            text = "" if ratio is None else f"{ratio:.2f}"
            ratios.append(f"[{colour}]{text}[/]" if colour else text)
        result.add_row(
            what,
            str(batch),
            *(f"{middle[name] / 1e3:,.0f}" if name in middle else "" for name in names),
            *ratios,
        )
    return result


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lsm", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, action="append", help="batch size; repeatable")
    parser.add_argument("--engine", action="append", help="this engine, or native; repeatable")
    parser.add_argument("--cold", action="store_true", help="data four times the cache")
    parser.add_argument("--overwrite", type=float, metavar="SECONDS", help="only this, so long")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--directory", help="where the data goes")
    options = parser.parse_args()
    console = Console(stderr=options.json, width=None if sys.stdout.isatty() else 150)
    with tempfile.TemporaryDirectory(prefix="bench-lsm-", dir=options.directory) as name:
        place = Path(name)
        machine = describe(place)
        if options.overwrite:
            print(
                json.dumps({"machine": machine} | overwrite(place, options.overwrite, options.rows))
            )
            return 0
        rows = options.rows
        data = {
            "sequential": sequential(rows),
            "random": shuffled(rows),
            "missing": missing(min(rows, 200_000), rows),
        }
        for each in data.values():
            _ = each.key_list, each.value_list
        cache = rows * 116 // 4 if options.cold else CACHE
        figures: Figures = defaultdict(lambda: defaultdict(list))
        kinds = available(options.engine)
        wanted = not options.engine or "native" in options.engine
        with_native = native.installed() and wanted
        names = [kind.name for kind in kinds]
        for batch in options.batch or [1, 16, 256, 4096, 65536]:
            for at in range(options.rounds):
                for kind in kinds:
                    console.print(f"batch {batch}, round {at + 1}: {kind.name}", style="dim")
                    one_engine(kind, place, data, batch, figures, cache)
                if with_native:
                    one_native(place / "native", rows, batch, figures, cache)
        if with_native:
            names.append("RocksDB native")
    title = f"thousand rows a second, {rows:,} rows, cache {cache >> 20} MiB"
    if options.json:
        medians = {
            f"{what}/{batch}": {name: statistics.median(v) for name, v in by_engine.items()}
            for (what, batch), by_engine in figures.items()
        }
        print(json.dumps({"machine": machine, "figures": medians}, indent=1))
    else:
        console.print(" · ".join(f"{key}: {value}" for key, value in machine.items()))
        console.print(table(title, figures, names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
