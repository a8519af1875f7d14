"""What the guides quote exists: each fragment parses, and its names and arguments are ours."""

from __future__ import annotations

import ast
import inspect
import re
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
