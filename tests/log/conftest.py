"""A log on the crash file system and one on the real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstem.log import Log
from mainstem.testing.clock import VirtualClock
from mainstem.testing.filesystem import CrashFileSystem


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def disk() -> CrashFileSystem:
    return CrashFileSystem()


@pytest.fixture
def log(tmp_path: Path, clock: VirtualClock) -> Iterator[Log]:
    """On real files."""
    opened = Log(tmp_path / "data", clock=clock)
    yield opened
    opened.close(clean=False)


@pytest.fixture
def memory_log(disk: CrashFileSystem, clock: VirtualClock) -> Log:
    return Log("data", filesystem=disk, clock=clock)
