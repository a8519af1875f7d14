from __future__ import annotations

import random
from pathlib import Path

import pytest
from crc32c import crc32c
from log_batches import batch, whole

from mainstem.errors import Conflict, Invalid
from mainstem.log import Log, LogConfig, Partition
from mainstem.log.snapshots import SnapshotError, decode_snapshot, encode_snapshot
from mainstem.testing.clock import VirtualClock

LAST_SEQUENCE = 2**31 - 1


def send(
    partition: Partition, sequence: int, count: int = 1, *, pid: int = 7, epoch: int = 0
) -> tuple[int, int, bool]:
    """(base offset, last offset, duplicate) of one idempotent append."""
    answer = partition.append(batch(count, producer=(pid, epoch, sequence)))
    return answer.base_offset, answer.last_offset, answer.duplicate


def refused(partition: Partition, sequence: int, *, epoch: int = 0, count: int = 1) -> int | None:
    before = whole(partition)
    with pytest.raises((Invalid, Conflict)) as raised:
        send(partition, sequence, count, epoch=epoch)
    assert whole(partition) == before
    return raised.value.code


def test_a_retry_is_answered_with_its_first_offset_and_not_stored(log: Log) -> None:
    partition = log.open("t", 0)
    partition.append(batch(3))
    assert send(partition, 0, 4) == (3, 6, False)
    assert send(partition, 0, 4) == (3, 6, True)
    assert partition.log_end_offset == 7


def test_any_of_the_last_five_batches_is_recognised(log: Log) -> None:
    partition = log.open("t", 0)
    for sequence in range(9):
        send(partition, sequence)
    for sequence in range(4, 9):
        assert send(partition, sequence) == (sequence, sequence, True)


def test_an_older_repeat_is_out_of_order(log: Log) -> None:
    partition = log.open("t", 0)
    for sequence in range(9):
        send(partition, sequence)
    assert refused(partition, 3) == 45


def test_a_gap_is_out_of_order(log: Log) -> None:
    partition = log.open("t", 0)
    send(partition, 0, 3)
    assert refused(partition, 4) == 45
    assert send(partition, 3) == (3, 3, False)


def test_the_same_first_sequence_with_another_length_is_out_of_order(log: Log) -> None:
    partition = log.open("t", 0)
    send(partition, 0, 3)
    assert refused(partition, 0, count=2) == 45


def test_an_unknown_producer_may_begin_anywhere(log: Log) -> None:
    assert send(log.open("t", 0), 12345) == (0, 0, False)


def test_an_older_epoch_is_fenced(log: Log) -> None:
    partition = log.open("t", 0)
    send(partition, 0, epoch=2)
    assert refused(partition, 1, epoch=1) == 47


def test_a_new_epoch_begins_at_zero(log: Log) -> None:
    partition = log.open("t", 0)
    send(partition, 0, epoch=0)
    assert refused(partition, 1, epoch=1) == 45
    assert send(partition, 0, epoch=1) == (1, 1, False)
    assert refused(partition, 1, epoch=0) == 47


def test_a_repeat_of_an_older_epochs_batch_is_not_taken_for_a_duplicate(log: Log) -> None:
    partition = log.open("t", 0)
    send(partition, 0, epoch=0)
    assert send(partition, 0, epoch=1) == (1, 1, False)


def test_sequences_wrap_to_zero(log: Log) -> None:
    partition = log.open("t", 0)
    send(partition, LAST_SEQUENCE - 1, 2)
    assert send(partition, 0) == (2, 2, False)
    across = log.open("across", 0)
    send(across, LAST_SEQUENCE, 3)
    assert send(across, LAST_SEQUENCE, 3) == (0, 2, True)
    assert send(across, 2) == (3, 3, False)


def test_producers_do_not_disturb_each_other(log: Log) -> None:
    partition = log.open("t", 0)
    send(partition, 0, pid=1)
    send(partition, 0, pid=2)
    assert send(partition, 0, pid=1) == (0, 0, True)
    assert send(partition, 1, pid=2) == (2, 2, False)


@pytest.mark.parametrize("producer", [(5, 0, -1), (5, -1, 0)])
def test_a_producer_without_sequence_or_epoch_is_invalid(
    log: Log, producer: tuple[int, int, int]
) -> None:
    with pytest.raises(Invalid) as raised:
        log.open("t", 0).append(batch(producer=producer))
    assert raised.value.code == 87


def test_an_idempotent_append_of_two_batches_is_invalid(log: Log) -> None:
    both = batch(producer=(5, 0, 0)) + batch(producer=(5, 0, 1))
    with pytest.raises(Invalid) as raised:
        log.open("t", 0).append(both)
    assert raised.value.code == 87


def test_a_duplicate_keeps_its_append_time(log: Log, clock: VirtualClock) -> None:
    partition = log.open("t", 0, LogConfig(timestamp_type="LogAppendTime"))
    first = partition.append(batch(producer=(1, 0, 0)))
    clock.advance(60)
    assert partition.append(batch(producer=(1, 0, 0))) == first._replace(duplicate=True)


@pytest.mark.parametrize("clean", [True, False])
def test_duplicates_are_recognised_after_a_restart(tmp_path: Path, clean: bool) -> None:
    config = LogConfig(segment_bytes=500)
    log = Log(tmp_path)
    for sequence in range(12):
        send(log.open("t", 0, config), sequence)
        send(log.open("t", 0, config), sequence * 3, 3, pid=8)
    log.close(clean=clean)
    again = Log(tmp_path).open("t", 0, config)
    assert send(again, 33, 3, pid=8)[2]
    assert send(again, 36, 3, pid=8) == (again.log_end_offset - 3, again.log_end_offset - 1, False)
    assert {p.producer_id: len(p.batches) for p in again.active_producers()} == {7: 5, 8: 5}


def test_a_damaged_snapshot_is_rebuilt_from_the_log(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for sequence in range(12):
        send(log.open("t", 0), sequence)
    log.close()
    for path in tmp_path.rglob("*.producers"):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    again = Log(tmp_path).open("t", 0)
    assert send(again, 8) == (8, 8, True)


def test_producers_expire_by_this_machines_clock(log: Log, clock: VirtualClock) -> None:
    """Records of 2013 must not make their producer look idle since 2013."""
    partition = log.open("t", 0, LogConfig(producer_expiry_ms=1000, retention_ms=-1))
    partition.append(batch(producer=(7, 0, 0), timestamps=1_000_000))
    partition.enforce_retention(clock.now_ms())
    assert send(partition, 0) == (0, 0, True)
    clock.advance(1.5)
    partition.enforce_retention(clock.now_ms())
    assert partition.active_producers() == []
    assert send(partition, 99) == (1, 1, False)


def test_snapshots_survive_a_round_trip_and_no_damage(log: Log) -> None:
    partition, rng = log.open("t", 0), random.Random(4)
    for sequence in range(8):
        for pid in (1, 2**62, 3):
            send(partition, sequence, pid=pid, epoch=5)
    producers = partition._storage.producers
    data = encode_snapshot(producers)
    assert decode_snapshot(data).by_id == producers.by_id
    for _ in range(2000):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        with pytest.raises(SnapshotError):
            decode_snapshot(bytes(damaged))
    extra = bytearray(data + b"\0")
    extra[10:14] = crc32c(extra[14:]).to_bytes(4, "big")
    with pytest.raises(SnapshotError, match="too many"):
        decode_snapshot(bytes(extra))
    for size in range(len(data)):
        with pytest.raises(SnapshotError):
            decode_snapshot(data[:size])
