from __future__ import annotations

import struct
from pathlib import Path

import pytest
from log_batches import batch, encode_batch, whole

from mainstem.errors import Closed, Corrupt, Invalid, MainstemError
from mainstem.kernels import read_batches
from mainstem.log import Log, LogConfig, Partition
from mainstem.testing.clock import VirtualClock


def refusal(partition: Partition, data: bytearray) -> MainstemError:
    """The error an append raises, which must have changed nothing."""
    before, content = partition.log_end_offset, whole(partition)
    with pytest.raises(MainstemError) as raised:
        partition.append(data)
    assert partition.log_end_offset == before
    assert whole(partition) == content
    return raised.value


def test_offsets_continue_from_batch_to_batch(log: Log) -> None:
    partition = log.open("t", 0)
    assert partition.append(batch(3))[:2] == (0, 2)
    assert partition.append(batch(1))[:2] == (3, 3)
    assert (partition.log_end_offset, partition.high_watermark) == (4, 4)


def test_base_offset_and_epoch_are_stamped_without_touching_the_rest(log: Log) -> None:
    partition = log.open("t", 0)
    partition.append(batch(5))
    sent = batch(2, base_offset=77)
    data = bytearray(sent)
    partition.append(data)
    assert data[12:16] == struct.pack(">i", partition.leader_epoch)
    assert data[:8] == struct.pack(">q", 5)
    assert data[16:] == sent[16:]
    assert whole(partition).endswith(data)


def test_several_batches_go_in_with_one_append(log: Log) -> None:
    partition = log.open("t", 0)
    data = batch(2) + batch(3) + batch(1)
    assert partition.append(data) == (0, 5, -1, False)
    assert [header.base_offset for header in read_batches(whole(partition))] == [0, 2, 5]


def test_a_part_of_a_larger_buffer_is_appended(log: Log) -> None:
    partition = log.open("t", 0)
    first, second = batch(2, 10), batch(1, 99)
    data = bytearray(b"junk" + first + second + b"more")
    start, end = 4 + len(first), 4 + len(first) + len(second)
    headers = read_batches(data, start, end)
    partition.append(memoryview(data), headers, start=start, end=end)
    assert whole(partition)[16:] == second[16:]
    assert data[:start] == b"junk" + first


def test_headers_that_do_not_cover_the_range_are_refused(log: Log) -> None:
    partition, data = log.open("t", 0), batch(2) + batch(1)
    headers = read_batches(data)
    for wrong in (headers[:1], headers[1:], [], headers[::-1]):
        with pytest.raises(Invalid, match="header"):
            partition.append(data, wrong)
    assert partition.log_end_offset == 0


def test_a_flipped_bit_is_corrupt(log: Log) -> None:
    data = batch(2)
    data[-1] ^= 1
    error = refusal(log.open("t", 0), data)
    assert isinstance(error, Corrupt)
    assert error.code == 2


@pytest.mark.parametrize("cut", [1, 30, 61, 62])
def test_a_cut_batch_is_corrupt(log: Log, cut: int) -> None:
    assert refusal(log.open("t", 0), batch(2)[:-cut]).code == 2


def test_an_old_magic_is_an_invalid_record(log: Log) -> None:
    data = batch()
    data[16] = 1
    assert refusal(log.open("t", 0), data).code == 87


def test_an_empty_append_is_invalid(log: Log) -> None:
    assert refusal(log.open("t", 0), bytearray()).code == 87


def test_control_batches_are_refused(log: Log) -> None:
    assert refusal(log.open("t", 0), batch(attributes=0x20)).code == 87


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_undefined_codecs_are_refused(log: Log, codec: int) -> None:
    assert refusal(log.open("t", 0), batch(attributes=codec)).code == 87


def test_a_batch_over_the_limit_is_too_large_and_one_at_it_is_not(log: Log) -> None:
    data = batch(1, 500)
    exact = log.open("exact", 0, LogConfig(max_message_bytes=len(data)))
    assert exact.append(bytearray(data)).base_offset == 0
    small = log.open("small", 0, LogConfig(max_message_bytes=len(data) - 1))
    assert refusal(small, data).code == 10


def test_an_append_larger_than_a_segment_is_refused(log: Log) -> None:
    partition = log.open("t", 0, LogConfig(segment_bytes=1000))
    assert refusal(partition, batch(1, 600) + batch(1, 600)).code == 18


def test_log_append_time_is_stamped_and_the_crc_holds(log: Log, clock: VirtualClock) -> None:
    partition = log.open("t", 0, LogConfig(timestamp_type="LogAppendTime"))
    clock.advance(5)
    answer = partition.append(batch(2, timestamps=1))
    assert answer.log_append_time == clock.now_ms()
    (header,) = read_batches(whole(partition))
    assert header.log_append_time
    assert header.max_timestamp == partition.largest_timestamp == clock.now_ms()


def test_timestamps_too_far_ahead_are_refused(log: Log, clock: VirtualClock) -> None:
    partition = log.open("t", 0, LogConfig(message_timestamp_after_max_ms=1000))
    late = clock.now_ms() + 1001
    assert refusal(partition, batch(2, timestamps=[clock.now_ms(), late])).code == 32
    assert partition.append(batch(1, timestamps=late - 1)).base_offset == 0


def test_timestamps_too_far_behind_are_refused(log: Log, clock: VirtualClock) -> None:
    partition = log.open("t", 0, LogConfig(message_timestamp_before_max_ms=1000))
    early = clock.now_ms() - 1001
    assert refusal(partition, batch(2, timestamps=[early, clock.now_ms()])).code == 32
    assert partition.append(batch(1, timestamps=early + 1)).base_offset == 0
    assert partition.append(batch(1, timestamps=-1)).base_offset == 1  # has none


def test_settings_can_change_while_open(log: Log) -> None:
    partition = log.open("t", 0)
    partition.config = LogConfig(max_message_bytes=70)
    assert refusal(partition, batch(1, 100)).code == 10


def test_a_segment_is_rolled_before_it_would_pass_its_size(log: Log) -> None:
    data = batch(1, 300)
    partition = log.open("t", 0, LogConfig(segment_bytes=3 * len(data)))
    for _ in range(7):
        partition.append(bytearray(data))
    files = sorted(Path(partition.directory).glob("*.log"))
    assert [int(file.stem) for file in files] == [0, 3, 6]
    assert {file.stat().st_size for file in files[:2]} == {3 * len(data)}


def test_a_segment_is_rolled_by_record_time(log: Log, clock: VirtualClock) -> None:
    partition = log.open("t", 0, LogConfig(segment_ms=1000))
    now = clock.now_ms()
    for time in (now, now + 1000, now + 1001):
        partition.append(batch(1, timestamps=time))
    assert sorted(int(f.stem) for f in Path(partition.directory).glob("*.log")) == [0, 2]


def test_a_segment_without_timestamps_is_rolled_by_its_age(log: Log, clock: VirtualClock) -> None:
    partition = log.open("t", 0, LogConfig(segment_ms=1000))
    partition.append(batch(1, timestamps=-1))
    clock.advance(1.5)
    partition.append(batch(1, timestamps=-1))
    assert sorted(int(f.stem) for f in Path(partition.directory).glob("*.log")) == [0, 1]


def test_a_closed_partition_says_so(log: Log) -> None:
    partition = log.open("t", 0)
    partition.append(batch())
    partition.close()
    with pytest.raises(Closed, match="t-0 is closed"):
        partition.append(batch())
    with pytest.raises(Closed):
        partition.read(0, 10)


@pytest.mark.parametrize("topic", ["", ".", "..", "a/b", "a b", "x" * 250, "ü", "a\0b"])
def test_names_that_cannot_be_topics_are_refused(log: Log, topic: str) -> None:
    with pytest.raises(Invalid) as raised:
        log.open(topic, 0)
    assert raised.value.code == 17
    assert log.existing() == []


def test_the_longest_name_works(log: Log) -> None:
    log.open("x" * 249, 99_999).append(batch())
    log.delete("x" * 249, 99_999)
    assert log.existing() == []


def test_the_same_partition_is_the_same_object_while_open(log: Log) -> None:
    assert log.open("t", 0) is log.open("t", 0)
    assert log.open("t-1", 0) is not log.open("t", 1)
    assert log.existing() == [("t", 0), ("t", 1), ("t-1", 0)]


def test_encoder_and_kernel_agree_on_every_codec(log: Log) -> None:
    partition = log.open("t", 0)
    for codec in range(5):
        partition.append(encode_batch([b"a" * 100, None], codec=codec, key=b"k"))
    assert [header.codec for header in read_batches(whole(partition))] == [0, 1, 2, 3, 4]
