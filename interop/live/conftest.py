"""Fixtures of the live referees: one gateway for those that leave it alone, a browser."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from interop.live.gateways import Gateway, Reader


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Left running by all who use it."""
    with Gateway(tmp_path_factory.mktemp("live")) as gateway:
        yield gateway


@pytest.fixture
def own_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """To be killed."""
    with Gateway(tmp_path_factory.mktemp("live")) as gateway:
        yield gateway


_ids = itertools.count(1)


@pytest.fixture
def channel() -> str:
    """A channel of comments that no other test has."""
    return f"comments:{next(_ids)}"


@pytest.fixture
def reader() -> Iterator[Callable[..., Reader]]:
    """Starts readers, and ends them."""
    started: list[Reader] = []

    def start(program: str, *arguments: str) -> Reader:
        started.append(Reader(program, *arguments))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, or playwright's own where that was installed.

    One per module: while it runs, this thread counts as inside an event loop, which other
    modules' tests would stumble over.
    """
    from interop.live.browser import launch

    with closing(launch()) as browser:
        yield browser.chromium
