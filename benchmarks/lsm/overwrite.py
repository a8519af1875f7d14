"""A long overwrite: throughput second by second, worst stall, amplification, memory."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from benchmarks.lsm.data import shuffled
from benchmarks.lsm.engines import Mainstem


def overwrite(place: Path, seconds: float, rows: int, batch: int = 1024) -> dict[str, object]:
    """Overwrite random rows for ``seconds``; times in milliseconds, sizes in MB."""
    data = shuffled(rows)
    engine = Mainstem(place / "overwrite", 256 << 20)
    waits: list[float] = []
    per_second: list[int] = []
    began = mark = time.perf_counter()
    done = at = 0
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        engine.put(data, at, at + batch)
        now = time.perf_counter()
        waits.append(now - start)
        done += batch
        at = (at + batch) % (rows - batch)
        if now - mark >= 1:
            per_second.append(round(done / (now - mark)))
            mark, done = now, 0
    stats = engine.store.stats()
    memory = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]
    engine.store.wait_idle()
    live = rows * 116
    size = sum(each.stat().st_size for each in (place / "overwrite").glob("*.run"))
    engine.close()
    waits.sort()
    return {
        "rows_per_second": per_second,
        "median_rows_per_second": statistics.median(per_second),
        "slowest_second": min(per_second),
        "p99.9_ms": round(1e3 * waits[int(len(waits) * 0.999)], 2),
        "worst_stall_ms": round(1e3 * waits[-1], 2),
        "write_amplification": round(stats.write_amplification, 2),
        "space_amplification": round(size / live, 2),
        "delayed_seconds": round(stats.delayed_seconds, 2),
        "resident_mb": int(memory) // 1024,
        "input_mb": rows * 232 // (1 << 20),
    }
