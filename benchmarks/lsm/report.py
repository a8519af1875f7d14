"""RESULTS.md from the figures that are there: tables, where a bar is missed, the long run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.lsm import bare
from benchmarks.lsm.plot import curves

HERE = Path(__file__).parent
FIGURES = HERE / "figures"
_ORDER = ("Mainstem", "rocksdict", "plyvel", "lmdb", "sqlite3", "RocksDB native", bare.NAME)
_WHATS = (
    "fillseq",
    "fillrandom",
    "fillrandom, synced",
    "overwrite",
    "readrandom",
    "readmissing",
    "readseq",
    "readwhilewriting",
    "seekrandom, 50 rows",
)
_BARS = {"rocksdict": 5.0, "RocksDB native": 1 / 1.5}
_BARRED = ("fillseq", "fillrandom", "overwrite", "readrandom", "readmissing", "readseq")

_README = HERE.parents[1] / "README.md"
_BEGIN, _END = "<!-- make bench-lsm writes this -->\n", "<!-- to here -->"
_SHORT_NAMES = ("Mainstem", "rocksdict", "RocksDB native")
_SHORT = (
    ("put in order, 256 at a time", "fillseq/256"),
    ("put in order, 4,096", "fillseq/4096"),
    ("put in random order, 256", "fillrandom/256"),
    ("put in random order, 4,096", "fillrandom/4096"),
    ("get, 256", "readrandom/256"),
    ("get, 4,096", "readrandom/4096"),
    ("get, 256, four times the cache", "readrandom/256"),
    ("get, 4,096, four times the cache", "readrandom/4096"),
    ("get, 65,536, four times the cache", "readrandom/65536"),
    ("get what is not there, 256", "readmissing/256"),
    ("scan to Arrow", "readseq/"),
    ("put one", "fillrandom/1"),
    ("get one", "readrandom/1"),
)

_HEAD = """# What was measured

Written by `make bench-lsm` and `make bench-lsm-overwrite`; `benchmarks/lsm/__init__.py` has the
rules. 16-byte keys, 100-byte values that do not compress, no compression, Bloom filters of 10 bits,
a log, and no sync per batch but where it says so. Peers get lists of `bytes` made beforehand and
give `bytes`; ours is Arrow in and out. `db_bench` asks for absent keys one at a time; its
`multireadrandom` stands beside readrandom. "x" is ours over theirs, **bold** where a bar of issue 4
is missed (5 x rocksdict in batches of 256 and more, 1/1.5 of native RocksDB's batches). Smaller
caches bind Mainstem, rocksdict, plyvel and RocksDB; lmdb and sqlite3 have the page cache besides,
which all of this data fits in. "Bare reads" is no store: keys a second if only the blocks that
are not cached had to be read (`pread` on every core, [bare.py](bare.py)). The machine is small and
shared: look at ratios within a row.
"""


def keep(name: str, figures: dict[str, Any]) -> None:
    """Keep ``figures`` and write RESULTS.md anew."""
    FIGURES.mkdir(exist_ok=True)
    (FIGURES / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")
    (HERE / "RESULTS.md").write_text("\n".join(_lines()))
    _into_readme()


def _into_readme() -> None:
    """Put the few rows a reader wants to know between the README's marks."""
    found = _read("tables")
    text = _README.read_text()
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if found is None or not end:
        return
    lines = ["", "| thousand rows a second | Mainstem | rocksdict | native RocksDB | x rocksdict |"]
    lines.append("|---|---:|---:|---:|---:|")
    for label, key in _SHORT:
        table = next((name for name in found["tables"] if label.endswith(name)), "in cache")
        row = found["tables"].get(table, {}).get(key, {})
        cells = [_number(row[name]) if name in row else "" for name in _SHORT_NAMES]
        what, _, batch = key.partition("/")
        ratio = _ratio(what, batch, row, "rocksdict")[0]
        lines.append(f"| {label} | {' | '.join((*cells, ratio))} |")
    _README.write_text("".join((before, begin, "\n".join(lines), "\n\n", end, after)))


def _read(name: str) -> dict[str, Any] | None:
    path = FIGURES / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _lines() -> Iterator[str]:
    yield _HEAD
    found = _read("tables")
    if found is not None:
        yield _machine(found)
        for title, table in found["tables"].items():
            yield f"\n## {found['rows']:,} rows, {title}: thousand rows (or seeks) a second\n"
            yield f"Median of {found['rounds']} rounds of up to {found['seconds']:g} s each.\n"
            yield from _table(table)
        yield "\n## Where we lose\n"
        yield from _losses(found["tables"])
    long = _read("overwrite")
    if long is not None:
        yield from _long(long)
    yield ""


def _machine(found: dict[str, Any]) -> str:
    parts = [f"{key} {value}" for key, value in found["machine"].items()]
    if "load" in found:
        began, ended = found["load"]
        parts.append(f"load of the machine {began} when it began, {ended} when it ended")
    return " · ".join(parts)


def _rows(table: dict[str, dict[str, float]]) -> Iterator[tuple[str, str, dict[str, float]]]:
    for what in _WHATS:
        sizes = [key.partition("/")[2] for key in table if key.partition("/")[0] == what]
        for batch in sorted(sizes, key=lambda size: int(size or 0)):
            yield what, batch, table[f"{what}/{batch}"]


def _ratio(what: str, batch: str, row: dict[str, float], peer: str) -> tuple[str, bool]:
    if peer not in row or "Mainstem" not in row:
        return "", False
    ratio = row["Mainstem"] / row[peer]
    barred = what in _BARRED and (what == "readseq" or int(batch or 0) >= 256)
    missed = barred and ratio < _BARS.get(peer, 0)
    return (f"**{ratio:.2f}**" if missed else f"{ratio:.2f}"), missed


def _table(table: dict[str, dict[str, float]]) -> Iterator[str]:
    names = [name for name in _ORDER if any(name in row for row in table.values())]
    yield f"| what | batch | {' | '.join(names)} | x rocksdict | x native |"
    yield f"|---|---:|{'---:|' * (len(names) + 2)}"
    for what, batch, row in _rows(table):
        cells = [_number(row[name]) if name in row else "" for name in names]
        ratios = [_ratio(what, batch, row, peer)[0] for peer in _BARS]
        yield f"| {what} | {batch} | {' | '.join((*cells, *ratios))} |"


def _number(value: float) -> str:
    return f"{value / 1e3:,.0f}" if value >= 1e4 else f"{value / 1e3:,.1f}"


def _losses(tables: dict[str, dict[str, dict[str, float]]]) -> Iterator[str]:
    """Bars that are missed, and rows where some peer is faster: nothing is left out."""
    none = True
    for title, table in tables.items():
        for what, batch, row in _rows(table):
            said = [
                f"{_ratio(what, batch, row, peer)[0]} x {peer} (bar {bar:.2g})"
                for peer, bar in _BARS.items()
                if _ratio(what, batch, row, peer)[1]
            ]
            ours = row.get("Mainstem", 0.0)
            said += [
                f"{peer} is {value / ours:.1f} x as fast"
                for peer, value in row.items()
                if ours and value > ours and peer != bare.NAME
            ]
            if (
                bare.NAME in row
                and "rocksdict" in row
                and ours < _BARS["rocksdict"] * row["rocksdict"]
            ):
                limit = row[bare.NAME] / row["rocksdict"]
                said.append(f"reading the blocks and nothing else is {limit:.2f} x rocksdict")
            if said:
                none = False
                size = f", batch {batch}" if batch else ""
                yield f"- **{what}{size}** ({title}): {'; '.join(said)}."
    if none:
        yield "Nowhere in these tables."


def _long(found: dict[str, Any]) -> Iterator[str]:
    series = found["series"]
    (FIGURES / "overwrite.svg").write_text(
        curves(
            f"Overwriting {found['rows']:,} random rows for {found['seconds']} s",
            (
                ("thousand rows a second", [speed / 1e3 for speed, _, _ in series]),
                ("resident memory above the benchmark's own, MB", [m for _, m, _ in series]),
                ("on disk, MB (log and runs)", [d for _, _, d in series]),
            ),
        )
    )
    yield f"\n## Overwriting for {found['seconds']} s\n"
    yield (
        f"{found['rows']:,} rows in random order, batches of {found['batch']:,}, no sync, "
        "memtables of 64 MiB and as much for blocks.\n"
    )
    yield "![throughput, memory and disk by second](figures/overwrite.svg)\n"
    yield "| what | figure |\n|---|---:|"
    for key, value in found.items():
        if key not in ("series", "machine", "rows", "seconds", "batch"):
            yield f"| {key}{', rows/s' if key in _SPEEDS else ''} | {value:,} |"


_SPEEDS = ("median", "slowest second", "fastest second")
