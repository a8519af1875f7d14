"""Measures what the arguments say and writes RESULTS.md; see the package."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.lsm import native
from benchmarks.lsm.engines import available
from benchmarks.lsm.measure import Bench, Plan, everything
from benchmarks.lsm.overwrite import overwrite
from benchmarks.lsm.report import keep
from benchmarks.machine import describe

WHOLE = Plan(1_000_000, 3, 0.5, (1, 16, 256, 4096, 65536), (1, 256, 4096, 65536))
MINUTES = 10  # then the rest is measured once: twelve in all
QUICK = Plan(300_000, 1, 0.3, (1, 16, 256, 4096, 65536), (1, 256, 4096))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lsm", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything: three minutes")
    parser.add_argument("--rows", type=int, help="how many rows a store holds")
    parser.add_argument("--rounds", type=int, help="how often each figure is measured")
    parser.add_argument("--engine", action="append", help="this engine, or native; repeatable")
    parser.add_argument("--overwrite", type=float, metavar="SECONDS", help="only this, so long")
    parser.add_argument("--directory", help="where the data goes")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {what}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="bench-lsm-", dir=options.directory) as name:
        place = Path(name)
        machine = describe(place)
        machine.pop("java", None)
        if options.overwrite:
            rows = options.rows or 1_000_000
            load = os.getloadavg()[0]
            found = overwrite(place, options.overwrite, rows, say)
            found |= {"machine": machine, "load when it began": round(load, 1)}
            keep("overwrite", found)
            return 0
        plan = QUICK if options.quick else WHOLE
        plan.rows, plan.rounds = options.rows or plan.rows, options.rounds or plan.rounds
        with_native = native.installed() and (not options.engine or "native" in options.engine)
        load = os.getloadavg()[0]
        bench = Bench(
            plan, available(options.engine), place, say, with_native, began + 60 * MINUTES
        )
        tables = everything(bench)
    found = {
        "machine": machine,
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
        "rows": plan.rows,
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "tables": tables,
    }
    keep("tables", found)
    for title, table in tables.items():
        for what, row in table.items():
            figures = "  ".join(f"{engine} {value / 1e3:,.1f}" for engine, value in row.items())
            print(f"{title:22} {what:26} {figures}")
    say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
