"""Rooms reach each other through their doors, and the broker stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mainstem

SOURCE = Path(mainstem.__file__).parent
ROOMS = sorted(path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists())
HEAVY = {"hypothesis", "prometheus_client", "pyarrow", "rich", "starlette", "typer", "uvicorn"}


def imports_past_doors(text: str, room: str) -> Iterator[str]:
    """Modules of other rooms that the source ``text`` of ``room`` imports behind their doors."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        else:
            continue
        for name in names:
            parts = name.split(".")
            past = parts[0] == "mainstem" and len(parts) > 2 and parts[1] in ROOMS
            if past and parts[1] != room:
                yield name


@pytest.mark.parametrize(
    "statement",
    [
        "from mainstem.log.partition import Partition",
        "import mainstem.log.partition",
        "def f():\n    from mainstem.log.partition import Partition",
    ],
)
def test_an_import_behind_a_door_is_seen(statement: str) -> None:
    assert list(imports_past_doors(statement, "broker")) == ["mainstem.log.partition"]


@pytest.mark.parametrize(
    "statement",
    ["from mainstem.log import Partition", "from mainstem import wire", "import mainstem"],
)
def test_an_import_through_a_door_is_fine(statement: str) -> None:
    assert list(imports_past_doors(statement, "broker")) == []


def test_rooms_import_each_other_only_through_their_doors() -> None:
    past = {
        f"{file.relative_to(SOURCE)}: {name}"
        for file in SOURCE.rglob("*.py")
        for name in imports_past_doors(
            file.read_text("utf-8"), file.relative_to(SOURCE).parts[0].removesuffix(".py")
        )
    }
    assert past == set()


@pytest.mark.parametrize(
    "module",
    [
        "mainstem.node.broker_process, mainstem.broker",
        "mainstem",
        "mainstem.clock, mainstem.errors, mainstem.filesystem, mainstem.http_server",
    ],
)
def test_what_must_start_fast_imports_nothing_heavy(module: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert HEAVY & {name.partition(".")[0] for name in loaded} == set()
