from __future__ import annotations

import random
from pathlib import Path

import pytest
from log_batches import batch, encode_batch

from mainstem.errors import Corrupt
from mainstem.log import Log, LogConfig
from mainstem.testing.clock import VirtualClock

SMALL = LogConfig(segment_bytes=2000, index_interval_bytes=200)


def test_an_empty_log_has_no_times(log: Log) -> None:
    partition = log.open("t", 0)
    assert partition.offset_for_timestamp(0) is None
    assert partition.offset_of_max_timestamp() is None
    assert partition.largest_timestamp == -1


@pytest.mark.parametrize("codec", range(5))
def test_the_record_within_the_batch_is_found(log: Log, codec: int) -> None:
    partition = log.open("t", 0)
    partition.append(encode_batch([b"a"] * 4, timestamps=[10, 20, 20, 30], codec=codec))
    partition.append(encode_batch([b"a"] * 3, timestamps=[25, 40, 35], codec=codec))
    expected = {0: (0, 10), 11: (1, 20), 20: (1, 20), 21: (3, 30), 30: (3, 30), 31: (5, 40)}
    for timestamp, found in expected.items():
        assert partition.offset_for_timestamp(timestamp) == found
    assert partition.offset_for_timestamp(41) is None
    assert partition.offset_of_max_timestamp() == (5, 40)


def test_the_first_of_equal_largest_timestamps_counts(log: Log) -> None:
    partition = log.open("t", 0, SMALL)
    for _ in range(40):
        partition.append(encode_batch([b"x" * 100] * 2, timestamps=[5, 9]))
    assert partition.offset_of_max_timestamp() == (1, 9)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("restart", [False, True])
def test_lookups_agree_with_a_plain_list(tmp_path: Path, seed: int, restart: bool) -> None:
    rng, times = random.Random(seed), []
    log = Log(tmp_path)
    partition = log.open("t", 0, SMALL)
    for number in range(150):
        base = number * 10 + rng.choice((0, 0, -300, 500))
        batch_times = [max(0, base + rng.randint(-20, 20)) for _ in range(rng.randint(1, 4))]
        times += batch_times
        partition.append(encode_batch([b"x" * 50] * len(batch_times), timestamps=batch_times))
    if restart:
        log.close(clean=seed % 2 == 0)
        partition = Log(tmp_path).open("t", 0, SMALL)
    start = rng.randrange(0, 60)
    partition.delete_records_before(start)
    for timestamp in range(0, max(times) + 3, 3):
        expected = next(
            ((i, t) for i, t in enumerate(times) if i >= start and t >= timestamp), None
        )
        assert partition.offset_for_timestamp(timestamp) == expected, (seed, timestamp)


def test_with_log_append_time_the_batch_answers(log: Log, clock: VirtualClock) -> None:
    partition = log.open("t", 0, LogConfig(timestamp_type="LogAppendTime"))
    partition.append(batch(3))
    clock.advance(1)
    partition.append(batch(3))
    assert partition.offset_for_timestamp(clock.now_ms()) == (3, clock.now_ms())
    assert partition.offset_of_max_timestamp() == (3, clock.now_ms())


def test_records_that_lie_about_their_length_are_corrupt(log: Log) -> None:
    data = batch(1, 40, timestamps=5)
    data[61] = 0x7F  # the record's length; the CRC is made to fit
    from crc32c import crc32c

    data[17:21] = crc32c(data[21:]).to_bytes(4, "big")
    partition = log.open("t", 0)
    partition.append(data)
    with pytest.raises(Corrupt, match="records of the batch at byte 0"):
        partition.offset_for_timestamp(1)
