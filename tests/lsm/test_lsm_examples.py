"""The state store's examples run, and say what they promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
OUTPUT = {
    "lsm_first_steps.py": [
        "[b'departed', None, b'on time']",
        "2 from EWR: [b'boarding', b'departed']",
        "last: [b'on time']",
        "b'single keys are bytes' False",
        "['boarding', 'on time', 'single keys are bytes']",
    ],
    "lsm_counters.py": [
        str(
            [
                {"flights": 2, "total": 42.0, "worst": 30.0},
                {"flights": 1, "total": -3.0, "worst": -3.0},
                {"flights": None, "total": None, "worst": None},
            ]
        ),
        "{'departures-0': 3} 2",
    ],
    "lsm_changelog.py": [
        "read 2",
        "read 1",
        "position {'orders-0': 2}",
        "read 2 {b'ann': b'8', b'bob': b'5', b'cyd': b'13'}",
    ],
    "lsm_copies.py": [
        "b'1' [b'a', b'b'] b'changed'",
        "1000 rows added, 1003 keys",
        "1003 rows on disk",
        "the backup has {b'a': b'changed', b'b': b'2', b'c': b'3'}",
        "ok 1 families, 2 runs",
    ],
    "lsm_time.py": [
        "{b'ann': b'cart: 3'}",
        "11 of the last ten hours, 25 in all",
        "(datetime.datetime(2023, 11, 14, 23, 13, 21, tzinfo=datetime.timezone.utc), 'EWR')",
    ],
}


def test_every_example_of_the_store_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("lsm_*.py")} == set(OUTPUT)


@pytest.mark.parametrize("name", sorted(OUTPUT))
def test_the_example_says_what_it_promises(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == OUTPUT[name]
