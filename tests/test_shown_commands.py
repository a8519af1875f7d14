"""Every command that README and guides show is one that its program takes."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from mainstem.cli.app import app

ROOT = Path(__file__).parents[1]
SHOWN = [ROOT / "README.md", *sorted((ROOT / "docs" / "guides").glob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
USAGE = typer.BadParameter.__bases__[0]  # what every error of a command line is
FENCE = re.compile(r"^```(\w*)$", re.MULTILINE)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each program with its arguments; those of a pipe apart."""
    for path in SHOWN:
        for block in BLOCK.findall(path.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                while words:
                    end = words.index("|") if "|" in words else len(words)
                    yield path.name, words[:end]
                    words = words[end + 1 :]


FOUND = list(commands())


def parse(command: Any, words: list[str], parent: Any = None, name: str = "mainstem") -> str:
    """As the real command line parses them, without doing it; the command's name."""
    context = command.make_context(name, words, parent=parent)
    if not hasattr(command, "resolve_command"):
        return str(context.command_path)
    rest = [*context._protected_args, *context.args]
    found, inner, arguments = command.resolve_command(context, rest)
    return parse(inner, arguments, context, found)


def check_mainstem(words: list[str]) -> None:
    assert parse(typer.main.get_command(app), words).startswith("mainstem ")


def check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in (word for word in words if "=" not in word):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def check_curl(words: list[str]) -> None:
    """A path that the operators' port has, and JSON."""
    host, _, path = words[0].partition("/")
    assert re.fullmatch(r"127\.0\.0\.1:\d+", host)
    routes = "".join(file.read_text() for file in (ROOT / "src" / "mainstem" / "live").glob("*.py"))
    assert f'"/{path}"' in routes
    assert words[1:-1] == ["-H", "Content-Type: application/json", "-d"]
    assert json.loads(words[-1])


def check_kcat(words: list[str]) -> None:
    """As the interop suite calls it."""
    assert words[::2] == ["-b", "-t", "-C"]


PROGRAMS = {
    "mainstem": check_mainstem, "make": check_make, "curl": check_curl, "kcat": check_kcat,
}  # fmt: skip


@pytest.mark.parametrize(("page", "words"), FOUND, ids=[" ".join(words) for _, words in FOUND])
def test_a_command_is_taken(
    page: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert words[0] in PROGRAMS, page
    monkeypatch.chdir(tmp_path)
    for word in words[1:]:  # files to read, and a node's data
        if re.fullmatch(r"[\w.-]+\.\w+", word):
            Path(word).touch()
        elif word.startswith("./"):
            Path(word).mkdir()
    PROGRAMS[words[0]](words[1:])


def test_every_page_shows_some() -> None:
    assert len(FOUND) > 15
    assert {"README.md", "formats.md", "live.md", "live-access.md"} <= {page for page, _ in FOUND}


@pytest.mark.parametrize(
    "words", ["frobnicate", "topic create", "consume t --formt csv", "serve x"]
)
def test_what_is_no_command_is_not_taken(words: str) -> None:
    """So that the test above can fail."""
    with pytest.raises(USAGE):
        check_mainstem(words.split())


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.name)
def test_every_block_says_what_it_is(page: Path) -> None:
    """One without a language would be looked at by no test."""
    fences = FENCE.findall(page.read_text())
    assert fences[1::2] == [""] * (len(fences) // 2)
    assert set(fences[::2]) <= {"python", "sh", "js", "toml"}
