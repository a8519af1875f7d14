"""What the guides quote exists: each block of Python is part of an example that a test runs, and
what stands in tables parses, with names and arguments of ours."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mainstem as ms
from mainstem.client import ClientConfig

ROOT = Path(__file__).parents[1]
FRAGMENT = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: In a table our side is the last cell, with calls between backquotes.
CELL = re.compile(r"`((?:await )?(?:ms|stem|orders|consumer|topic)\.[^`|]*\))`")
GUIDES = sorted(path for path in (ROOT / "docs" / "guides").glob("*.md"))
#: Run by tests/client/test_examples.py, tests/lsm/test_lsm_examples.py,
#: tests/demo/test_live_examples.py, interop/client/test_security.py, interop/test_examples.py.
EXAMPLES = sorted(
    [*(ROOT / "examples").glob("*.py"), *(ROOT / "interop" / "examples").glob("*.py")]
)
OURS: dict[str, Any] = {
    "ms": ms, "stem": ms.Stem, "topic": ms.Topic, "orders": ms.Topic, "flights": ms.Topic,
    "consumer": ms.Consumer, "transactions": ms.Transactions, "transaction": ms.Transaction,
    "registry": ms.Registry,
}  # fmt: skip
OPTIONS = set(inspect.signature(ClientConfig).parameters)


def fragments() -> Iterator[tuple[str, str]]:
    for path in GUIDES:
        text = path.read_text()
        rows = [re.split(r"(?<!\\)\|", row) for row in text.splitlines() if row.startswith("|")]
        cells = [call for row in rows for call in CELL.findall(row[-2])]
        for found in (*FRAGMENT.findall(text), *cells):
            yield path.name, found


FOUND = list(fragments())


def calls(tree: ast.AST) -> Iterator[tuple[str, Any, set[str]]]:
    """What is called of ours, and by which names its arguments go."""
    for node in ast.walk(tree):
        target = node.func if isinstance(node, ast.Call) else None
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            home = OURS.get(target.value.id)
            if home is not None and isinstance(node, ast.Call):
                named = {word.arg for word in node.keywords if word.arg is not None}
                yield f"{target.value.id}.{target.attr}", getattr(home, target.attr, None), named


def test_the_guides_have_fragments() -> None:
    assert len(FOUND) > 15
    names = {name for name, _ in FOUND}
    assert {"consumer-groups.md", "formats.md", "security.md"} <= names
    assert "coming-from-confluent-kafka.md" in names


@pytest.mark.parametrize(("name", "fragment"), FOUND, ids=[f"{n}-{f[:30]}" for n, f in FOUND])
def test_a_fragment_calls_what_there_is_with_arguments_that_it_takes(
    name: str, fragment: str
) -> None:
    tree = ast.parse(fragment.replace("…", "..."), name)
    for call, found, named in calls(tree):
        assert callable(found), call
        known = inspect.signature(found).parameters
        takes = set(known)
        if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in known.values()):
            takes |= OPTIONS
        assert named <= takes, (call, named - takes)


def is_part(block: str, program: str) -> bool:
    """Whether lines of the program are the block, indented together or not."""
    wanted, lines = block.rstrip().splitlines(), program.splitlines()
    size = len(wanted)
    return any(
        textwrap.dedent("\n".join(lines[at : at + size])).splitlines() == wanted
        for at in range(len(lines) - size + 1)
        if lines[at].strip() == wanted[0].strip()
    )


BLOCKS = [(path.name, block) for path in GUIDES for block in FRAGMENT.findall(path.read_text())]


@pytest.mark.parametrize(("guide", "block"), BLOCKS, ids=[f"{n}-{b[:30]}" for n, b in BLOCKS])
def test_a_block_is_part_of_an_example_that_runs(guide: str, block: str) -> None:
    homes = [path.name for path in EXAMPLES if is_part(block, path.read_text())]
    assert homes, f"{guide} shows what no example holds, line for line:\n{block}"
    text = (ROOT / "docs" / "guides" / guide).read_text()
    assert any(f"/{home})" in text for home in homes), f"{guide} does not name one of {homes}"


def test_a_part_is_whole_lines_in_their_order() -> None:
    program = "if a:\n    b()\n    c(1)\n"
    assert is_part("b()\nc(1)\n", program)
    assert is_part("if a:\n    b()\n", program)
    for other in ("c(1)\nb()\n", "b()\nc(2)\n", "b()\n  c(1)\n", "b(\n"):
        assert not is_part(other, program)
