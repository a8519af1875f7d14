"""The usual soft limit of 1,024 open files is for shells, not for brokers."""

from __future__ import annotations

import resource
from pathlib import Path

from node_client import serve


def test_the_broker_process_lifts_its_soft_limit_to_the_hard_one(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1_000, soft), hard))  # children inherit it
    try:
        with serve(tmp_path) as node:
            limits = Path(f"/proc/{node.broker_pid()}/limits").read_text().splitlines()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    (line,) = [line for line in limits if line.startswith("Max open files")]
    told = line.split()[3:5]
    assert told[0] == told[1] == str(hard)
