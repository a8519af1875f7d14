from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from log_batches import batch, whole

from mainstem.errors import Corrupt, Unavailable
from mainstem.kernels import stamp
from mainstem.log import Log, LogConfig, Partition, RealFileSystem
from mainstem.log.checkpoints import write_numbers
from mainstem.testing.clock import VirtualClock
from mainstem.testing.filesystem import CrashFileSystem, PowerCut

SMALL = LogConfig(segment_bytes=1000, index_interval_bytes=100)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def reopen(root: Path, config: LogConfig = SMALL) -> Partition:
    return Log(root).open("t", 0, config)


def killed(root: Path, appends: int, *, checkpoint: int | None = None) -> bytes:
    """Append, stop without a shutdown, and return the content; optionally checkpoint once."""
    log = Log(root)
    partition = log.open("t", 0, SMALL)
    for number in range(appends):
        partition.append(batch(1, 80 + number))
        if number == checkpoint:
            partition.checkpoint()
    content = whole(partition)
    log.close(clean=False)
    return content


def last_segment(root: Path) -> Path:
    return max(root.rglob("*.log"))


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_a_clean_restart_keeps_content_and_epoch(root: Path) -> None:
    log = Log(root)
    partition = log.open("t", 0, SMALL)
    for _ in range(20):
        partition.append(batch(2, 80))
    content = whole(partition)
    log.close()
    again = reopen(root)
    assert whole(again) == content
    assert (again.leader_epoch, again.durable_offset) == (0, 40)
    assert again.append(batch()).base_offset == 40


def test_a_clean_restart_reads_no_segment_but_the_active_one(root: Path) -> None:
    killed(root, 30)
    log = Log(root)
    log.open("t", 0, SMALL)
    log.close()
    first = min(root.rglob("*.log"))
    first.write_bytes(b"\xff" * first.stat().st_size)
    assert reopen(root).log_end_offset == 30


def test_a_kill_loses_nothing_and_raises_the_epoch(root: Path) -> None:
    content = killed(root, 30)
    again = reopen(root)
    assert whole(again) == content
    assert (again.leader_epoch, again.log_end_offset, again.durable_offset) == (1, 30, 30)
    assert again.end_offset_for_epoch(0) == (0, 30)
    assert again.end_offset_for_epoch(1) == (1, 30)


def test_each_unclean_start_raises_the_epoch_once(root: Path) -> None:
    for expected in range(4):
        log = Log(root)
        partition = log.open("t", 0, SMALL)
        assert partition.leader_epoch == expected
        partition.append(batch())
        log.close(clean=False)


def test_an_append_after_a_clean_start_makes_a_kill_unclean(root: Path) -> None:
    killed(root, 3)
    log = Log(root)
    log.open("t", 0, SMALL)
    log.close()
    log = Log(root)
    log.open("t", 0, SMALL).append(batch())
    log.close(clean=False)
    assert (reopen(root).leader_epoch, reopen(root).log_end_offset) == (2, 4)


@pytest.mark.parametrize("cut", [1, 50, 100, 160])
def test_a_torn_tail_is_cut_at_the_last_whole_batch(root: Path, cut: int) -> None:
    killed(root, 30)
    path = last_segment(root)
    os.truncate(path, path.stat().st_size - cut)
    again = reopen(root)
    assert again.log_end_offset == 29
    assert again.append(batch()).base_offset == 29
    assert reopen(root).log_end_offset == 30


@pytest.mark.parametrize("junk", [b"\0" * 300, b"\xff" * 300, b"\x12\x34" * 61, b"\0"])
def test_garbage_after_the_last_batch_is_cut(root: Path, junk: bytes) -> None:
    content = killed(root, 30)
    with last_segment(root).open("ab") as file:
        file.write(junk)
    assert whole(reopen(root)) == content


@pytest.mark.parametrize(("offset", "epoch"), [(7, 1), (31, 1), (30, 0)])
def test_a_stale_whole_batch_after_the_last_is_cut(root: Path, offset: int, epoch: int) -> None:
    """A block of an older file may hold a batch whose CRC is right, but not where it lies."""
    killed(root, 29)
    log = Log(root)
    partition = log.open("t", 0, SMALL)
    partition.append(batch(1, 10))
    content = whole(partition)
    log.close(clean=False)
    stale = batch(1, 10)
    stamp(stale, 0, offset, epoch)
    with last_segment(root).open("ab") as file:
        file.write(stale)
    assert whole(reopen(root)) == content


def test_producer_state_of_records_that_were_lost_is_lost_too(root: Path) -> None:
    log = Log(root)
    partition = log.open("t", 0, SMALL)
    for sequence in range(30):
        partition.append(batch(1, 100, producer=(1, 0, sequence)))
    log.close(clean=False)
    (root / "topics" / "t-0" / "recovery-point").unlink(missing_ok=True)
    segments = sorted(root.rglob("*.log"))
    os.truncate(segments[1], 0)
    log = Log(root)
    partition = log.open("t", 0, SMALL)
    end = partition.log_end_offset
    assert end == int(segments[1].stem)
    assert max(int(path.stem) for path in root.rglob("*.producers")) <= end
    assert partition.append(batch(1, 100, producer=(1, 0, end))).base_offset == end
    log.close(clean=False)


def test_retention_of_what_was_never_synced_leaves_no_end_before_the_start() -> None:
    for seed in range(60):
        disk = CrashFileSystem(seed=seed)
        log = Log("d", filesystem=disk)
        partition = log.open("t", 0, SMALL)
        for _ in range(20):
            partition.append(batch(1, 200))
        partition.config = replace(SMALL, retention_bytes=0)
        partition.enforce_retention(0)
        start, end = partition.log_start_offset, partition.log_end_offset
        again = Log("d", filesystem=disk.crash(seed)).open("t", 0, SMALL)
        assert start == again.log_start_offset <= again.log_end_offset <= end, seed
        assert again.append(batch()).base_offset >= start, seed


def test_a_log_that_ends_before_its_start_is_refused(root: Path) -> None:
    killed(root, 30)
    directory = str(root / "topics" / "t-0")
    write_numbers(RealFileSystem(), directory, "log-start-offset", offset=31)
    with pytest.raises(Corrupt, match="ends at offset 30"):
        reopen(root)


def test_a_partition_without_any_segment_is_refused_once_it_had_records(root: Path) -> None:
    killed(root, 30, checkpoint=29)
    for path in root.rglob("*.log"):
        path.unlink()
    with pytest.raises(Corrupt, match="no segment holds"):
        reopen(root)


def test_an_index_whose_sync_failed_is_not_trusted_by_the_next_start(
    disk: CrashFileSystem, memory_log: Log
) -> None:
    partition = memory_log.open("t", 0, SMALL)
    for _ in range(20):
        partition.append(batch(1, 200))
    disk.fault = lambda _, operation, path: (
        OSError(errno.EIO, operation, path)
        if operation == "fdatasync" and path.endswith("index")
        else None
    )
    partition.sync()
    disk.fault = None
    assert (partition.durable_offset, partition.poisoned) == (20, False)
    memory_log.close()
    again = Log("data", filesystem=disk).open("t", 0, SMALL)
    assert (again.leader_epoch, again.log_end_offset) == (1, 20)  # it was recovered


def test_damage_in_an_earlier_segment_past_the_recovery_point_drops_what_follows(
    root: Path,
) -> None:
    killed(root, 30)
    segments = sorted(root.rglob("*.log"))
    flip(segments[1], 200)
    again = reopen(root)
    assert again.log_end_offset < 30
    assert again.log_end_offset > int(segments[1].stem)
    assert sorted(root.rglob("*.log")) == segments[:2]
    assert again.append(batch()).base_offset == again.log_end_offset - 1


def test_damage_before_the_recovery_point_refuses_that_partition_alone(root: Path) -> None:
    killed(root, 30, checkpoint=29)
    log = Log(root)
    log.open("other", 0).append(batch())
    path = last_segment(root.joinpath("topics", "t-0"))
    before = path.read_bytes()
    flip(path, 100)
    with pytest.raises(Corrupt, match=rf"{path.name}.*offset {int(path.stem)} ") as raised:
        log.open("t", 0, SMALL)
    assert raised.value.code == 56
    assert path.stat().st_size == len(before)
    assert log.open("other", 0).append(batch()).base_offset == 1


def test_a_log_that_ends_before_its_recovery_point_is_refused(root: Path) -> None:
    killed(root, 30, checkpoint=29)
    path = last_segment(root)
    os.truncate(path, 0)
    with pytest.raises(Corrupt, match="was durable"):
        reopen(root)


def test_a_missing_first_segment_is_refused(root: Path) -> None:
    killed(root, 30)
    min(root.rglob("*.log")).unlink()
    with pytest.raises(Corrupt, match="restore the missing files"):
        reopen(root)


@pytest.mark.parametrize("name", ["recovery-point", "log-start-offset", "leader-epoch-checkpoint"])
def test_a_damaged_checkpoint_is_refused_by_name(root: Path, name: str) -> None:
    killed(root, 30, checkpoint=29)
    log = Log(root)
    log.open("t", 0, SMALL).delete_records_before(3)
    log.close(clean=False)
    path = root / "topics" / "t-0" / name
    path.write_bytes(path.read_bytes().replace(b"3", b"4").replace(b"0\n", b"x\n"))
    with pytest.raises(Corrupt, match=name):
        reopen(root)


def test_a_damaged_clean_marker_only_costs_a_scan(root: Path) -> None:
    log = Log(root)
    log.open("t", 0, SMALL).append(batch(3))
    log.close()
    (root / "topics" / "t-0" / "clean-shutdown").write_bytes(b"torn")
    again = reopen(root)
    assert (again.log_end_offset, again.leader_epoch) == (3, 1)


def test_a_clean_marker_for_another_file_size_is_not_believed(root: Path) -> None:
    log = Log(root)
    log.open("t", 0, SMALL).append(batch(3))
    log.close()
    with last_segment(root).open("ab") as file:
        file.write(b"\0" * 10)
    again = reopen(root)
    assert (again.log_end_offset, again.leader_epoch) == (3, 1)
    assert last_segment(root).stat().st_size == again.size_bytes


def test_recovery_begins_at_the_recovery_point(root: Path) -> None:
    """Damage before it that nobody reads stays unnoticed until the doctor looks."""
    killed(root, 30, checkpoint=29)
    flip(min(root.rglob("*.log")), 100)
    assert reopen(root).log_end_offset == 30


def test_a_batch_larger_than_the_scan_window_survives_and_is_checked(root: Path) -> None:
    config = LogConfig(max_message_bytes=10 << 20)
    log = Log(root)
    partition = log.open("t", 0, config)
    for _ in range(2):
        partition.append(batch(3, 1 << 20))
    log.close(clean=False)
    assert reopen(root, config).log_end_offset == 6
    flip(last_segment(root), -10)
    (root / "topics" / "t-0" / "recovery-point").unlink()
    assert reopen(root, config).log_end_offset == 3


def test_opening_twice_after_a_crash_finds_the_same(root: Path) -> None:
    killed(root, 30)
    with last_segment(root).open("ab") as file:
        file.write(b"\xff" * 99)
    first = whole(reopen(root))
    assert whole(reopen(root)) == first


def test_sync_moves_the_durable_offset_and_append_does_not(memory_log: Log) -> None:
    partition = memory_log.open("t", 0)
    partition.append(batch(3))
    assert partition.durable_offset == 0
    partition.sync()
    assert partition.durable_offset == 3


def test_a_failed_fdatasync_poisons_until_reopened(disk: CrashFileSystem, memory_log: Log) -> None:
    partition = memory_log.open("t", 0)
    partition.append(batch())
    partition.sync()
    partition.append(batch())
    disk.fault = lambda _, operation, path: OSError(errno.EIO, operation, path)
    with pytest.raises(Unavailable, match="fdatasync failed") as raised:
        partition.sync()
    assert raised.value.code == 56
    disk.fault = None
    for refused in (partition.sync, lambda: partition.append(batch())):
        with pytest.raises(Unavailable):
            refused()
    assert partition.read(1, 100) is not None
    assert (partition.durable_offset, partition.poisoned) == (1, True)
    memory_log.close()
    again = Log("data", filesystem=disk).open("t", 0)
    assert (again.log_end_offset, again.poisoned) == (1, False)  # what never reached the disk


def test_a_failed_write_accepts_nothing_and_the_next_one_works(
    disk: CrashFileSystem, memory_log: Log
) -> None:
    partition = memory_log.open("t", 0)
    partition.append(batch())
    disk.fault = lambda _, operation, path: (
        OSError(errno.ENOSPC, operation, path) if operation == "pwrite" else None
    )
    with pytest.raises(Unavailable, match="nothing was accepted") as raised:
        partition.append(batch())
    assert (raised.value.code, partition.log_end_offset) == (56, 1)
    disk.fault = None
    assert partition.append(batch()).base_offset == 1


def test_a_write_that_cannot_be_undone_poisons(disk: CrashFileSystem, memory_log: Log) -> None:
    partition = memory_log.open("t", 0)
    partition.append(batch())
    disk.fault = lambda _, operation, path: (
        OSError(errno.EIO, operation, path) if operation in ("pwrite", "truncate") else None
    )
    with pytest.raises(Unavailable):
        partition.append(batch())
    disk.fault = None
    assert partition.poisoned
    with pytest.raises(Unavailable, match="could not be undone"):
        partition.append(batch())


def test_a_short_write_leaves_no_torn_batch_behind(clock: VirtualClock) -> None:
    disk = CrashFileSystem(capacity=3000)
    log = Log("data", filesystem=disk, clock=clock)
    partition, accepted = log.open("t", 0), 0
    while not partition.poisoned:
        try:
            partition.append(batch(1, 400))
        except Unavailable:
            break
        accepted += 1
    assert disk.size(f"{partition.directory}/{0:020d}.log") == partition.size_bytes
    assert partition.log_end_offset == accepted > 0
    disk.capacity = None
    assert partition.append(batch()).base_offset == accepted


def test_a_segment_that_cannot_be_made_leaves_the_old_one_in_use(
    disk: CrashFileSystem, memory_log: Log
) -> None:
    partition = memory_log.open("t", 0, SMALL)
    for _ in range(9):
        partition.append(batch(1, 20))
    disk.fault = lambda _, operation, path: (
        OSError(errno.ENOSPC, operation, path) if operation == "create" else None
    )
    with pytest.raises(Unavailable, match="no new segment"):
        partition.append(batch(1, 600))
    disk.fault = None
    assert partition.append(batch(1, 600)).base_offset == 9
    assert partition.append(batch(1, 600)).base_offset == 10


def test_delete_removes_everything_and_a_new_one_starts_at_zero(log: Log) -> None:
    log.open("t", 0).append(batch(5))
    log.delete("t", 0)
    assert log.existing() == []
    assert log.open("t", 0).log_end_offset == 0


def test_a_deletion_cut_short_is_finished_at_the_next_start(disk: CrashFileSystem) -> None:
    log = Log("data", filesystem=disk)
    for _ in range(10):
        log.open("t", 0, SMALL).append(batch(1, 400))
    disk.fault = lambda _, operation, path: (
        OSError(errno.EIO, operation, path) if operation == "unlink" else None
    )
    with pytest.raises(Unavailable, match="could not be deleted"):
        log.delete("t", 0)
    disk.fault = None
    again = Log("data", filesystem=disk)
    assert again.existing() == []
    assert disk.listdir("data/topics") == []


@pytest.mark.parametrize("seed", range(40))
def test_a_deleted_partition_never_comes_back_in_part(seed: int) -> None:
    for crash_at in range(1, 60, 3):
        disk = CrashFileSystem(seed=seed)
        log = Log("data", filesystem=disk)
        partition = log.open("t", 0, SMALL)
        for _ in range(10):
            partition.append(batch(1, 200))
        partition.sync()
        disk.crash_at = disk.calls + crash_at
        with contextlib.suppress(PowerCut):
            log.delete("t", 0)
        after = Log("data", filesystem=disk.crash(seed))
        if after.existing():
            assert after.open("t", 0, SMALL).log_end_offset == 10, (seed, crash_at)


def test_a_roll_by_retention_after_a_clean_start_keeps_the_next_stop_clean(root: Path) -> None:
    log = Log(root)
    log.open("t", 0, SMALL).append(batch(1, timestamps=1))
    log.close()
    log = Log(root)
    partition = log.open("t", 0, SMALL)
    assert partition.enforce_retention(10**13) == 1
    log.close()
    again = reopen(root)
    assert (again.leader_epoch, again.log_start_offset, again.log_end_offset) == (0, 1, 1)


def test_a_file_that_cannot_be_read_is_unavailable(disk: CrashFileSystem) -> None:
    log = Log("data", filesystem=disk)
    partition = log.open("t", 0, SMALL)
    for _ in range(20):
        partition.append(batch(1, 200))
    log.close()
    partition = Log("data", filesystem=disk).open("t", 0, SMALL)
    disk.unlink(f"{partition.directory}/{0:020d}.log")
    for lookup in (lambda: partition.read(0, 100), lambda: partition.offset_for_timestamp(0)):
        with pytest.raises(Unavailable, match="t-0 cannot be read") as raised:
            lookup()
        assert raised.value.code == 56


def test_a_start_offset_seen_but_not_durable_deletes_nothing() -> None:
    """Killed between rename and fsync; while the next start deletes, the power goes."""
    for seed in range(300):
        disk = CrashFileSystem(seed=seed)
        partition = Log("d", filesystem=disk).open("t", 0, SMALL)
        for _ in range(20):
            partition.append(batch(1, 200))
        partition.sync()
        disk.fault = lambda _, operation, path: (
            OSError(errno.EIO, operation, path) if operation == "fsync_directory" else None
        )
        with pytest.raises(Unavailable):
            partition.delete_records_before(15)
        disk.fault = None
        disk.crash_at = disk.calls + 4 + seed % 12
        with pytest.raises(PowerCut):
            Log("d", filesystem=disk).open("t", 0, SMALL)
        again = Log("d", filesystem=disk.crash(seed)).open("t", 0, SMALL)
        assert again.log_start_offset in (0, 15), seed
        assert again.log_end_offset == 20, seed
