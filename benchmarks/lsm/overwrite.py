"""A long overwrite: throughput second by second, worst stall, amplification, memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.lsm.data import shuffled
from benchmarks.lsm.engines import Mainstem
from mainstem.lsm import Statistics

_BATCH = 1024
_ROW = 116


def resident() -> int:
    """Resident memory of this process in MB."""
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) // 1024


def size_of(directory: Path, pattern: str = "*") -> int:
    total = 0
    for each in directory.glob(pattern):
        try:
            total += each.stat().st_size
        except FileNotFoundError:  # merged away meanwhile
            continue
    return total


def overwrite(place: Path, seconds: float, rows: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Overwrite random rows for ``seconds``; times in milliseconds, sizes in MB."""
    data = shuffled(rows)
    base = resident()
    engine = Mainstem(place / "overwrite", 64 << 20)
    waits: list[float] = []
    series: list[tuple[int, int, int]] = []  # rows, resident MB, MB on disk; of each second
    total = done = at = 0
    began = mark = time.perf_counter()
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        engine.put(data, at, at + _BATCH)
        now = time.perf_counter()
        waits.append(now - start)
        done += _BATCH
        at = (at + _BATCH) % (rows - _BATCH)
        if now - mark >= 1:
            disk = size_of(place / "overwrite") >> 20
            series.append((round(done / (now - mark)), resident() - base, disk))
            total += done
            mark, done = now, 0
            if len(series) % 30 == 0:
                say(f"overwrite: {len(series)} of {seconds:.0f} s, {series[-1][0]:,} rows/s")
    stats = engine.store.stats()
    engine.store.wait_idle()
    engine.store.flush()
    settled = size_of(place / "overwrite", "*.run")
    engine.close()
    found = {"seconds": round(seconds), "rows": rows, "batch": _BATCH, "series": series}
    return found | _summary(waits, series, stats, total * _ROW, settled, rows * _ROW)


def _summary(
    waits: list[float],
    series: list[tuple[int, int, int]],
    stats: Statistics,
    written: int,
    settled: int,
    live: int,
) -> dict[str, float]:
    """What the series and the store's own counters say; sizes in bytes, waits in seconds."""
    waits.sort()
    speeds = [speed for speed, _, _ in series]
    merged = stats.bytes_flushed + stats.bytes_merged
    return {
        "median": statistics.median(speeds),
        "slowest second": min(speeds),
        "fastest second": max(speeds),
        "p50 ms": round(1e3 * waits[len(waits) // 2], 2),
        "p99.9 ms": round(1e3 * waits[int(len(waits) * 0.999)], 2),
        "worst stall ms": round(1e3 * waits[-1], 2),
        "delayed seconds": round(stats.delayed_seconds, 2),
        "flushes": stats.flushes,
        "merges": stats.merges,
        "write amplification": round(1 + merged / written, 2),
        "largest space amplification": round(max(d for _, _, d in series) / (live >> 20), 2),
        "settled space amplification": round(settled / live, 2),
        "largest resident MB": max(memory for _, memory, _ in series),
    }
