"""Every example runs, and says what it promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
OUTPUT = {
    "append_and_read.py": [
        "3 rows in partitions",
        "{'tailnum': 'N14228', 'origin': 'EWR', 'delay': 2}",
        "'delay': None",
    ],
    "coming_from_confluent_kafka.py": [
        "3 rows acknowledged",
        "billed 16",
        "3 rows in all, billing is 0 behind",
        "took 3 partitions",
        "3 since yesterday",
        "there is no topic 'order': did you mean 'orders'?",
    ],
    "formats.py": [
        "json: {'tail': 'N14228', 'delay': 2,",
        "offset 2: delay: the value does not fit its type (int32)",
        "offset 3: it is not a JSON object",
        "avro: 2 rows",
        "conflict:",
        "arrow: True {0}",
    ],
    "registry.py": ["['N14228', 'N24211', 'N14228', 'N24211']", "int64", "[2, None, 2, None]"],
    "raw_bytes.py": ["['25.8', '25.9']", "[3, 4]"],
    "asynchronous.py": ["followed 100 events"],
    "consumer_group.py": ["handed out 400", "600 to go", "took 4 partitions", "then 600; 0 to go"],
    "exactly_once.py": ["has no transactions"],
    "any_cluster.py": [
        "partition 1: offsets 0 to 10",
        "new leaders: []",
        "billing is 6 behind",
        "moved to {0: (None, 0), 1: (4, 10)}",
        "there is no topic 'example-order': did you mean 'example-orders'?",
    ],
}


def test_every_example_is_tested() -> None:
    elsewhere = {path.name for path in EXAMPLES.glob("lsm_*.py")}  # tests/lsm/test_lsm_examples
    elsewhere |= {path.name for path in EXAMPLES.glob("live_*.py")}  # tests/demo
    elsewhere |= {"secure.py"}  # interop/client/test_security.py
    assert {path.name for path in EXAMPLES.glob("*.py")} - elsewhere == set(OUTPUT)


@pytest.mark.parametrize("name", sorted(OUTPUT))
def test_the_example_runs(name: str) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    for line in OUTPUT[name]:
        assert line in done.stdout
