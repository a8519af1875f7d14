"""The live examples run, and say what they promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
OUTPUT = {
    "live_counts.py": ["100 likes of 150 requests by 100 visitors, 1 watching"],
    "live_resume.py": [
        "heard: posted by a page at offset 0",
        *(f"heard: missed {number} at offset {number + 1}" for number in range(3)),
    ],
    "live_token.py": ["rooms:42 200 rooms:43 403"],
}


def test_every_live_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("live_*.py")} == set(OUTPUT)


@pytest.mark.parametrize("name", sorted(OUTPUT))
def test_the_live_example_runs(name: str) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if " info " not in line.lower()]
    assert (done.returncode, complaints) == (0, [])
    assert done.stdout.splitlines() == OUTPUT[name]
