"""Examples that need other packages, or Apache Kafka, run and say what they promise."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.kafka import start_kafka

ROOT = Path(__file__).parents[1]
HERE = ROOT / "interop" / "examples"
OUTPUT = {
    "lsm_tables.py": ["│ N14228 ┆ airborne │", "[('N14228', 'airborne')]"],
}


def said(path: Path, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, str(path), *arguments],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_every_example_is_tested() -> None:
    assert {path.name for path in HERE.glob("*.py")} == set(OUTPUT)


@pytest.mark.parametrize("name", sorted(OUTPUT))
def test_the_example_runs(name: str) -> None:
    assert set(OUTPUT[name]) <= set(said(HERE / name))


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    found = start_kafka(tmp_path_factory.mktemp("examples") / "data")
    yield found.address
    found.stop()


def test_administration_runs_on_kafka(kafka: str) -> None:
    assert "billing is 6 behind" in said(ROOT / "examples" / "any_cluster.py", kafka)
