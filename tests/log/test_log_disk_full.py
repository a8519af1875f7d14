"""A real, small file system that really fills up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from log_batches import batch, whole

from mainstem.errors import Unavailable
from mainstem.log import Log, LogConfig, Partition

KAFKA_STORAGE_ERROR = 56
CONFIG = LogConfig(segment_bytes=300_000, retention_ms=-1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of one MiB; skipped where this user may not mount one."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs needs root and the right to mount")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_full_disk_accepts_nothing_half_and_recovers_when_there_is_room(
    small_disk: Path,
) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(200_000))
    log = Log(small_disk / "data")
    partition = log.open("t", 0, CONFIG)
    accepted = []
    while not full(partition, data := batch(1, 5000)):
        accepted.append(bytes(data))
    assert len(accepted) > 100
    assert whole(partition) == b"".join(accepted)
    partition.sync()
    filler.unlink()
    assert partition.append(batch(1, 5000)).base_offset == len(accepted)
    log.close(clean=False)
    again = Log(small_disk / "data").open("t", 0, CONFIG)
    assert again.log_end_offset == len(accepted) + 1


def test_deleting_records_makes_room_on_a_full_disk(small_disk: Path) -> None:
    log = Log(small_disk / "data")
    partition = log.open("t", 0, CONFIG)
    while not full(partition, batch(1, 5000)):
        pass
    end = partition.log_end_offset
    partition.sync()
    assert partition.delete_records_before(end) == end
    assert partition.append(batch(1, 5000)).base_offset == end


def full(partition: Partition, data: bytearray) -> bool:
    """Append; whether there was no room for it."""
    try:
        partition.append(data)
    except Unavailable as error:
        return error.code == KAFKA_STORAGE_ERROR
    return False
