"""Native RocksDB's own benchmark, from Debian's ``rocksdb-tools``."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

_LINE = re.compile(r"^(\w+)\s*:\s*([\d.]+) micros/op", re.MULTILINE)


def installed() -> bool:
    return shutil.which("db_bench") is not None


def run(
    directory: Path,
    benchmarks: list[str],
    *,
    rows: int,
    batch: int,
    cache: int,
    existing: bool,
    seconds: int,
) -> dict[str, float]:
    """Rows per second of each benchmark, over all rows or for ``seconds``.

    Bloom filter on, no compression, log on, sync off.
    """
    command = [
        "db_bench",
        f"--db={directory}",
        f"--benchmarks={','.join(benchmarks)}",
        f"--num={rows}",
        "--key_size=16",
        "--value_size=100",
        "--compression_type=none",
        "--bloom_bits=10",
        f"--cache_size={cache}",
        f"--batch_size={batch}",
        "--multiread_batched=true",
        "--seed=1",
        f"--use_existing_db={int(existing)}",
        f"--duration={seconds}",
        "--max_background_jobs=2",
        "--stats_interval_seconds=0",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name: 1e6 / float(micros) for name, micros in _LINE.findall(done.stdout)}
