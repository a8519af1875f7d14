"""The page's files: complete, the client's own build, and nothing from elsewhere."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

PAGE = files("mainstem.demo").joinpath("live_page")
CLIENT = Path(__file__).parents[2] / "clients" / "javascript"
NAMES = ["icon.svg", "index.html", "mainstem-live.js", "page.css", "page.js"]


def test_all_files_are_there() -> None:
    found = sorted(each.name for each in PAGE.iterdir() if not each.name.startswith("__"))
    assert found == NAMES


def test_its_client_is_the_one_we_publish() -> None:
    published = CLIENT.joinpath("dist", "mainstem-live.js").read_bytes()
    assert PAGE.joinpath("mainstem-live.js").read_bytes() == published


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_loaded_from_elsewhere(name: str) -> None:
    text = PAGE.joinpath(name).read_text("utf-8")
    assert re.findall(r"(?:https?:)?//(?!www\.w3\.org)[a-z0-9-]+\.[a-z]{2,}", text) == []


def test_what_it_names_exists() -> None:
    page = PAGE.joinpath("index.html").read_text("utf-8")
    script = PAGE.joinpath("page.js").read_text("utf-8")
    for name in re.findall(r'(?:href|src)="([^"]+)"', page):
        assert PAGE.joinpath(name).is_file(), name
    ids = set(re.findall(r'id="([^"]+)"', page))
    assert set(re.findall(r'byId\("([^"]+)"\)', script)) <= ids


def test_the_wheel_takes_them_along() -> None:
    root = Path(__file__).parents[2]
    settings = tomllib.loads(root.joinpath("pyproject.toml").read_text("utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["mainstem"]
    package = root / "src" / "mainstem"
    taken = {path for pattern in patterns for path in package.glob(pattern)}
    assert {package / "demo" / "live_page" / name for name in NAMES} <= taken
