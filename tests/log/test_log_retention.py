from __future__ import annotations

from pathlib import Path

import pytest
from log_batches import batch, whole

from mainstem.errors import Invalid
from mainstem.kernels import read_batches
from mainstem.log import Log, LogConfig, Partition
from mainstem.testing.clock import VirtualClock

ONE = len(batch(1, 200))
CONFIG = LogConfig(segment_bytes=2 * ONE, retention_ms=-1, index_interval_bytes=0)


def filled(log: Log, clock: VirtualClock, **settings: int) -> Partition:
    """Ten records, two to a segment, a second apart, the last one now."""
    partition = log.open("t", 0, CONFIG)
    for age in range(9, -1, -1):
        partition.append(batch(1, 200, timestamps=clock.now_ms() - age * 1000))
    partition.config = LogConfig(segment_bytes=2 * ONE, **{"retention_ms": -1, **settings})
    return partition


def bases(partition: Partition) -> list[int]:
    return sorted(int(path.stem) for path in Path(partition.directory).glob("*.log"))


def test_nothing_goes_without_a_limit(log: Log, clock: VirtualClock) -> None:
    partition = filled(log, clock)
    assert partition.enforce_retention(clock.now_ms() + 10**12) == 0


def test_segments_whose_newest_record_is_too_old_go(log: Log, clock: VirtualClock) -> None:
    partition = filled(log, clock, retention_ms=4000)
    assert partition.enforce_retention(clock.now_ms()) == 2  # ages 9, 8 and 7, 6; 5, 4 stays
    assert (partition.log_start_offset, bases(partition)) == (4, [4, 6, 8])
    assert partition.enforce_retention(clock.now_ms()) == 0


def test_the_active_segment_goes_once_it_expired(log: Log, clock: VirtualClock) -> None:
    partition = filled(log, clock, retention_ms=1000)
    clock.advance(60)
    assert partition.enforce_retention(clock.now_ms()) == 5
    assert (partition.log_start_offset, partition.log_end_offset) == (10, 10)
    assert bases(partition) == [10]
    assert partition.append(batch()).base_offset == 10


def test_an_empty_partition_never_rolls(log: Log, clock: VirtualClock) -> None:
    partition = log.open("t", 0, LogConfig(retention_ms=1))
    clock.advance(10**6)
    assert partition.enforce_retention(clock.now_ms()) == 0
    assert bases(partition) == [0]


@pytest.mark.parametrize(
    ("limit", "left"), [(10 * ONE, 10), (9 * ONE, 10), (8 * ONE, 8), (5 * ONE, 6), (0, 2)]
)
def test_the_oldest_segments_go_while_what_is_left_is_enough(
    log: Log, clock: VirtualClock, limit: int, left: int
) -> None:
    partition = filled(log, clock, retention_bytes=limit)
    partition.enforce_retention(clock.now_ms())
    assert partition.log_end_offset - partition.log_start_offset == left
    assert partition.size_bytes == left * ONE


def test_a_topic_that_is_only_compacted_keeps_its_age(log: Log, clock: VirtualClock) -> None:
    partition = filled(log, clock)
    partition.config = LogConfig(cleanup_policy=("compact",), retention_ms=1, retention_bytes=1)
    clock.advance(10**6)
    assert partition.enforce_retention(clock.now_ms()) == 0


def test_deleting_records_moves_the_start_within_a_segment(log: Log, clock: VirtualClock) -> None:
    partition = filled(log, clock)
    assert partition.delete_records_before(5) == 5
    assert bases(partition) == [4, 6, 8]
    with pytest.raises(Invalid) as raised:
        partition.read(4, 100)
    assert raised.value.code == 1
    found = partition.read(5, 1)
    assert found is not None
    assert read_batches(found.read())[0].base_offset == 5


def test_deleting_all_records_leaves_an_empty_log(log: Log, clock: VirtualClock) -> None:
    partition = filled(log, clock)
    assert partition.delete_records_before(-1) == 10
    assert partition.read(10, 100) is None
    assert partition.append(batch()).base_offset == 10


def test_deleting_before_the_start_changes_nothing(log: Log, clock: VirtualClock) -> None:
    partition = filled(log, clock)
    partition.delete_records_before(6)
    assert partition.delete_records_before(2) == 6


@pytest.mark.parametrize("offset", [11, -2])
def test_deleting_past_the_end_is_out_of_range(log: Log, clock: VirtualClock, offset: int) -> None:
    with pytest.raises(Invalid) as raised:
        filled(log, clock).delete_records_before(offset)
    assert raised.value.code == 1


@pytest.mark.parametrize("clean", [True, False])
def test_the_start_offset_survives_a_restart(
    tmp_path: Path, clock: VirtualClock, clean: bool
) -> None:
    log = Log(tmp_path, clock=clock)
    partition = filled(log, clock)
    partition.delete_records_before(5)
    content = whole(partition)
    log.close(clean=clean)
    again = Log(tmp_path).open("t", 0, CONFIG)
    assert (again.log_start_offset, again.log_end_offset) == (5, 10)
    assert whole(again) == content


def test_epochs_before_the_start_are_forgotten(tmp_path: Path, clock: VirtualClock) -> None:
    for _ in range(3):
        log = Log(tmp_path, clock=clock)
        partition = filled(log, clock)
        log.close(clean=False)
    partition = Log(tmp_path).open("t", 0, CONFIG)
    partition.delete_records_before(15)
    assert partition.end_offset_for_epoch(0) == (0, 15)
    assert partition.end_offset_for_epoch(1) == (1, 20)
    assert partition.end_offset_for_epoch(3) == (3, 30)
    assert partition.end_offset_for_epoch(4) == (-1, -1)
    assert partition.end_offset_for_epoch(-1) == (-1, -1)
    text = Path(partition.directory, "leader-epoch-checkpoint").read_text()
    assert text == "0\n3\n1 15\n2 20\n3 30\n"


def test_old_producer_snapshots_do_not_pile_up(log: Log, clock: VirtualClock) -> None:
    partition = filled(log, clock)
    for _ in range(40):
        partition.append(batch(1, 200))
    partition.sync()
    assert len(list(Path(partition.directory).glob("*.producers"))) == 1
