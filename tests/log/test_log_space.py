"""Disk space reserved ahead of a segment's end: used where it helps, never kept, never needed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from log_batches import batch, whole

from mainstem.filesystem import RealFileSystem, SpaceAhead
from mainstem.log import Log, LogConfig, Partition
from mainstem.testing.clock import VirtualClock
from mainstem.testing.filesystem import CrashFileSystem

MEBIBYTE = 1 << 20


@pytest.fixture(autouse=True)
def disk_that_reserves(tmp_path: Path) -> None:
    """Skip where the file system of the tests has no fallocate with FALLOC_FL_KEEP_SIZE."""
    path = tmp_path / "probe"
    file = RealFileSystem().open(str(path), create=True)
    if not file.reserve(0, MEBIBYTE) or held(path) < MEBIBYTE:
        pytest.skip("this file system reserves no space")
    path.unlink()


def held(path: Path) -> int:
    """Bytes of disk that a file takes, whatever its size."""
    return path.stat().st_blocks * 512


def segments(log: Path) -> list[Path]:
    return sorted(log.rglob("*.log"))


def fill(partition: Partition, size: int) -> int:
    """Append at least ``size`` bytes; returns how many records."""
    data, count = batch(10, 50_000), 0
    while size > 0:
        partition.append(bytearray(data))
        size -= len(data)
        count += 10
    return count


def test_a_growing_segment_has_space_ahead_that_is_not_part_of_it(tmp_path: Path) -> None:
    log = Log(tmp_path / "data")
    partition = log.open("t", 0, LogConfig())
    fill(partition, 16 * MEBIBYTE)
    [path] = segments(tmp_path / "data")
    size = path.stat().st_size
    assert size + MEBIBYTE <= held(path) <= size * 5 / 4 + MEBIBYTE
    assert size == len(whole(partition))
    log.close(clean=False)


def test_a_small_segment_reserves_nothing(tmp_path: Path) -> None:
    log = Log(tmp_path / "data")
    fill(log.open("t", 0, LogConfig()), SpaceAhead.FROM // 2)
    [path] = segments(tmp_path / "data")
    assert held(path) < path.stat().st_size + 64 * 1024
    log.close(clean=False)


def test_no_segment_reserves_more_than_it_may_grow_to(tmp_path: Path) -> None:
    log = Log(tmp_path / "data")
    fill(log.open("t", 0, LogConfig(segment_bytes=3 * MEBIBYTE)), 2 * MEBIBYTE)
    [path] = segments(tmp_path / "data")
    assert held(path) <= 3 * MEBIBYTE + 64 * 1024
    log.close(clean=False)


def test_a_sealed_segment_gives_its_space_back(tmp_path: Path) -> None:
    log = Log(tmp_path / "data")
    fill(log.open("t", 0, LogConfig(segment_bytes=4 * MEBIBYTE)), 5 * MEBIBYTE)
    sealed, _active = segments(tmp_path / "data")
    assert held(sealed) < sealed.stat().st_size + 64 * 1024
    log.close(clean=False)


def test_a_clean_stop_gives_the_space_back(tmp_path: Path) -> None:
    log = Log(tmp_path / "data")
    fill(log.open("t", 0, LogConfig()), 3 * MEBIBYTE)
    log.close()
    [path] = segments(tmp_path / "data")
    assert held(path) < path.stat().st_size + 64 * 1024


def test_the_start_after_a_kill_gives_the_space_back(tmp_path: Path) -> None:
    log = Log(tmp_path / "data")
    count = fill(log.open("t", 0, LogConfig()), 16 * MEBIBYTE)
    log.close(clean=False)
    [path] = segments(tmp_path / "data")
    assert held(path) >= path.stat().st_size + MEBIBYTE
    again = Log(tmp_path / "data")
    assert again.open("t", 0, LogConfig()).log_end_offset == count
    assert held(path) < path.stat().st_size + 64 * 1024
    again.close(clean=False)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EOPNOTSUPP, errno.EIO])
def test_without_space_ahead_all_goes_on(code: int, clock: VirtualClock) -> None:
    disk = CrashFileSystem(
        fault=lambda _call, operation, path: (
            OSError(code, os.strerror(code), path) if operation == "reserve" else None
        )
    )
    partition = Log("data", filesystem=disk, clock=clock).open("t", 0, LogConfig())
    count = fill(partition, 3 * MEBIBYTE)
    assert partition.log_end_offset == count
    partition.sync()
