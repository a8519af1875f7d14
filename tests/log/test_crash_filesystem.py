"""The double must keep POSIX's promises, and really break what POSIX does not promise."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mainstem.log import FileSystem, RealFileSystem
from mainstem.testing.clock import VirtualClock
from mainstem.testing.filesystem import CrashFileSystem, PowerCut

SEEDS = range(200)


def survivors(disk: CrashFileSystem, path: str) -> list[bytes | None]:
    """The file's content after a crash, by seed; ``None`` where it is gone."""
    after = [disk.crash(seed) for seed in SEEDS]
    return [d.open(path).pread(0, 10**6) if d.exists(path) else None for d in after]


def test_what_was_synced_with_its_name_always_survives() -> None:
    disk = CrashFileSystem()
    file = disk.open("f", create=True)
    file.pwrite(b"a" * 3000, 0)
    file.fdatasync()
    disk.fsync_directory(".")
    assert set(survivors(disk, "f")) == {b"a" * 3000}


def test_an_unsynced_name_may_be_lost_although_its_bytes_are_synced() -> None:
    disk = CrashFileSystem()
    file = disk.open("f", create=True)
    file.pwrite(b"a", 0)
    file.fdatasync()
    assert set(survivors(disk, "f")) == {None, b"a"}


def test_unsynced_bytes_may_be_kept_lost_cut_zeroed_or_garbage() -> None:
    disk = CrashFileSystem()
    file = disk.open("f", create=True)
    disk.fsync_directory(".")
    file.pwrite(b"a" * 2000, 0)
    file.fdatasync()
    file.pwrite(b"b" * 2000, 2000)
    found = [content for content in survivors(disk, "f") if content is not None]
    assert len(found) == len(SEEDS)
    assert all(content[:2000] == b"a" * 2000 for content in found)
    tails = {content[2000:] for content in found}
    assert {b"", b"b" * 2000} <= tails
    assert any(0 < len(tail) < 2000 for tail in tails)
    assert any(bytes(512) in tail for tail in tails)
    assert any(set(tail) - {0, ord("b")} for tail in tails)


def test_an_unsynced_rename_is_kept_or_lost_as_a_whole() -> None:
    disk = CrashFileSystem()
    for name, content in (("old", b"1"), ("new", b"2")):
        file = disk.open(name, create=True)
        file.pwrite(content, 0)
        file.fdatasync()
    disk.fsync_directory(".")
    disk.rename("new", "old")
    found = {
        (after.open("old").pread(0, 9), after.exists("new"))
        for after in (disk.crash(seed) for seed in SEEDS)
    }
    assert found == {(b"1", True), (b"2", False)}


def test_an_unsynced_unlink_may_come_back() -> None:
    disk = CrashFileSystem()
    disk.open("f", create=True)
    disk.fsync_directory(".")
    disk.unlink("f")
    assert set(survivors(disk, "f")) == {None, b""}


def test_an_unsynced_truncation_may_be_undone() -> None:
    disk = CrashFileSystem()
    file = disk.open("f", create=True)
    file.pwrite(b"abc", 0)
    file.fdatasync()
    disk.fsync_directory(".")
    file.truncate(1)
    assert {b"a", b"abc"} <= set(survivors(disk, "f"))


def test_bytes_whose_sync_failed_look_written_until_the_cache_is_dropped() -> None:
    disk = CrashFileSystem()
    file = disk.open("f", create=True)
    disk.fsync_directory(".")
    file.pwrite(b"abc", 0)
    disk.fault = lambda _, operation, path: OSError(errno.EIO, operation, path)
    with pytest.raises(OSError, match="fdatasync"):
        file.fdatasync()
    disk.fault = None
    assert file.pread(0, 9) == b"abc"
    file.fdatasync()  # says nothing, as Linux does
    assert b"abc" not in survivors(disk, "f")
    file.drop_cache()
    assert file.pread(0, 9) != b"abc"


def test_the_power_goes_at_the_call_it_was_told() -> None:
    disk = CrashFileSystem(crash_at=3)
    file = disk.open("f", create=True)
    file.pwrite(b"a", 0)
    with pytest.raises(PowerCut):
        file.pwrite(b"b", 1)
    with pytest.raises(PowerCut):
        disk.fsync_directory(".")


def test_a_full_disk_takes_what_fits_and_then_nothing() -> None:
    disk = CrashFileSystem(capacity=10)
    file = disk.open("f", create=True)
    assert file.pwrite(b"x" * 8, 0) == 8
    assert file.pwrite(b"y" * 8, 8) == 2
    with pytest.raises(OSError, match="space") as raised:
        file.pwrite(b"z", 10)
    assert raised.value.errno == errno.ENOSPC
    assert file.pwrite(b"z", 0) == 1


@pytest.mark.parametrize("kind", ["real", "memory"])
def test_both_file_systems_behave_alike(kind: str, tmp_path: Path) -> None:
    root = str(tmp_path) if kind == "real" else "."
    fs: FileSystem = RealFileSystem() if kind == "real" else CrashFileSystem()
    fs.mkdir(f"{root}/d")
    fs.mkdir(f"{root}/d")
    file = fs.open(f"{root}/d/f", create=True)
    assert file.pwrite(b"hello", 3) == 5
    assert (file.size(), file.pread(0, 99), file.pread(99, 1)) == (8, b"\0\0\0hello", b"")
    file.truncate(4)
    file.fdatasync()
    file.drop_cache()
    fs.rename(f"{root}/d/f", f"{root}/d/g")
    assert (fs.listdir(f"{root}/d"), fs.size(f"{root}/d/g")) == (["g"], 4)
    fs.unlink(f"{root}/d/g")
    assert file.pread(0, 99) == b"\0\0\0h"
    for broken in (
        lambda: fs.open(f"{root}/d/g"),
        lambda: fs.unlink(f"{root}/d/g"),
        lambda: fs.rename(f"{root}/d/g", f"{root}/d/h"),
        lambda: fs.listdir(f"{root}/nowhere"),
    ):
        with pytest.raises(FileNotFoundError):
            broken()
    fs.open(f"{root}/d/h", create=True).pwrite(b"1", 0)
    assert fs.open(f"{root}/d/h", create=True).size() == 0
    with pytest.raises(OSError, match="not empty"):
        fs.rmdir(f"{root}/d")
    fs.unlink(f"{root}/d/h")
    fs.rmdir(f"{root}/d")
    fs.fsync_directory(root)
    assert not fs.exists(f"{root}/d")


def test_the_clock_moves_only_when_told() -> None:
    clock = VirtualClock(1000)
    assert (clock.now_ms(), clock.monotonic()) == (1000, 0.0)
    clock.advance(1.5)
    clock.jump(-2000)
    assert (clock.now_ms(), clock.monotonic()) == (500, 1.5)
    with pytest.raises(ValueError, match="cannot go back"):
        clock.advance(-1)
