"""The batch header kernel: every way to refuse a batch, and stamping in place."""

from __future__ import annotations

import struct

import pytest

from mainstem.kernels import BatchError, read_batches, read_header, stamp, stamp_append_time
from reference.record_batch import Batch, Record, batch_of, crc32c, encode

GOOD = encode(
    batch_of(
        [Record(b"one"), Record(b"two", b"key", 5)],
        base_offset=40,
        leader_epoch=3,
        base_timestamp=1000,
        producer_id=9,
        producer_epoch=2,
        base_sequence=17,
        attributes=16,
    )
)


def refused(data: bytes, **options: bool) -> BatchError:
    with pytest.raises(BatchError) as caught:
        read_batches(data, **options)
    return caught.value


def edited(position: int, replacement: bytes, *, crc: bool = True) -> bytes:
    data = bytearray(GOOD)
    data[position : position + len(replacement)] = replacement
    if crc:
        data[17:21] = struct.pack(">I", crc32c(bytes(data[21:])))
    return bytes(data)


def test_header_fields_are_read() -> None:
    (header,) = read_batches(GOOD)
    assert (header.position, header.size) == (0, len(GOOD))
    assert (header.base_offset, header.last_offset, header.last_offset_delta) == (40, 41, 1)
    assert (header.leader_epoch, header.record_count) == (3, 2)
    assert (header.base_timestamp, header.max_timestamp) == (1000, 1005)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (9, 2, 17)
    assert header.transactional
    assert not header.control
    assert not header.log_append_time
    assert header.codec == 0
    assert header.crc == crc32c(GOOD[21:])
    assert "offsets=40..41" in repr(header)


def test_batches_follow_each_other() -> None:
    headers = read_batches(GOOD * 3)
    assert [h.position for h in headers] == [0, len(GOOD), 2 * len(GOOD)]


def test_start_and_end_bound_the_reading() -> None:
    data = b"junk" + GOOD + b"more junk"
    (header,) = read_batches(data, 4, 4 + len(GOOD))
    assert header.position == 4


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (5, 4), (0, 10_000), (10_000, -1)])
def test_range_outside_the_buffer_is_refused(start: int, end: int) -> None:
    with pytest.raises(BatchError) as caught:
        read_batches(GOOD, start, end)
    assert caught.value.reason == "size"


@pytest.mark.parametrize("size", [1, 11, 12, 16, 17, 60])
def test_cut_header_is_refused(size: int) -> None:
    error = refused(GOOD + GOOD[:size])
    assert (error.reason, error.position) == ("size", len(GOOD))


def test_cut_body_is_refused() -> None:
    assert refused(GOOD[:-1]).reason == "size"


@pytest.mark.parametrize("size", [0, 1, 60, 61, len(GOOD) - 1])
def test_cut_batch_at_the_end_is_left_out_when_asked(size: int) -> None:
    assert len(read_batches(GOOD + GOOD[:size], whole=False)) == 1


@pytest.mark.parametrize("length", [-(2**31), -1, 0, 48])
def test_length_below_a_header_is_refused(length: int) -> None:
    data = edited(8, struct.pack(">i", length))
    assert refused(data).reason == "size"
    assert refused(data, whole=False).reason == "size"


def test_length_beyond_the_buffer_is_refused() -> None:
    assert refused(edited(8, struct.pack(">i", 2**31 - 1))).reason == "size"


@pytest.mark.parametrize("magic", [0, 1, 3, 255])
def test_other_magic_is_refused(magic: int) -> None:
    assert refused(edited(16, bytes([magic]))).reason == "magic"


@pytest.mark.parametrize("position", [21, 40, 61, len(GOOD) - 1])
def test_changed_byte_fails_the_crc(position: int) -> None:
    data = edited(position, bytes([GOOD[position] ^ 1]), crc=False)
    if position >= 61:
        assert refused(data).reason == "crc"
        assert len(read_batches(data, verify_crc=False)) == 1
    else:
        assert refused(data).reason in {"crc", "count"}


@pytest.mark.parametrize(("delta", "count"), [(1, 1), (1, 3), (-1, 0), (0, 2), (-2, -1), (1, -2)])
def test_count_that_disagrees_is_refused(delta: int, count: int) -> None:
    data = edited(23, struct.pack(">i", delta))
    data = bytearray(data)
    data[57:61] = struct.pack(">i", count)
    data[17:21] = struct.pack(">I", crc32c(bytes(data[21:])))
    assert refused(bytes(data)).reason == "count"


def test_compacted_batch_needs_permission() -> None:
    data = encode(Batch((Record(b"x", offset_delta=4),), last_offset_delta=9, count=1))
    assert refused(data).reason == "count"
    (header,) = read_batches(data, dense=False)
    assert (header.record_count, header.last_offset) == (1, 9)


def test_empty_compacted_batch_is_read() -> None:
    (header,) = read_batches(encode(Batch((), last_offset_delta=9, count=0)), dense=False)
    assert header.record_count == 0


@pytest.mark.parametrize(("delta", "count"), [(1, 3), (-1, 0), (5, -1), (-(2**31), 0)])
def test_compacted_batch_cannot_hold_more_than_its_offsets(delta: int, count: int) -> None:
    data = encode(Batch((), last_offset_delta=delta, count=count))
    assert refused(data, dense=False).reason == "count"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_contiguous_buffer_is_read(kind: type) -> None:
    assert len(read_batches(kind(GOOD))) == 1


def test_read_header_needs_no_body() -> None:
    assert read_header(GOOD[:61]).size == len(GOOD)
    assert read_header(b"junk" + GOOD, 4).base_offset == 40


@pytest.mark.parametrize("position", [-1, 1, 100, 2**40])
def test_read_header_checks_the_position(position: int) -> None:
    with pytest.raises(BatchError) as caught:
        read_header(GOOD[:61], position)
    assert caught.value.reason == "size"


def test_read_header_checks_magic_and_length() -> None:
    with pytest.raises(BatchError, match="magic 0"):
        read_header(edited(16, b"\x00"))
    with pytest.raises(BatchError, match="length"):
        read_header(edited(8, struct.pack(">i", 48)))


def test_stamp_keeps_the_crc_valid() -> None:
    data = bytearray(GOOD + GOOD)
    stamp(data, len(GOOD), 2**40, 77)
    first, second = read_batches(data)
    assert (first.base_offset, first.leader_epoch) == (40, 3)
    assert (second.base_offset, second.leader_epoch) == (2**40, 77)


@pytest.mark.parametrize("position", [-1, 1, len(GOOD)])
def test_stamp_checks_the_position(position: int) -> None:
    data = bytearray(GOOD[:61])
    with pytest.raises(BatchError):
        stamp(data, position, 0, 0)
    assert data == GOOD[:61]


def test_stamp_append_time_sets_bit_timestamp_and_crc() -> None:
    data = bytearray(GOOD + GOOD)
    stamp_append_time(data, len(GOOD), 123_456)
    first, second = read_batches(data)
    assert not first.log_append_time
    assert second.log_append_time
    assert second.transactional
    assert (second.base_timestamp, second.max_timestamp) == (1000, 123_456)


@pytest.mark.parametrize("position", [-1, 1, len(GOOD)])
def test_stamp_append_time_checks_the_position(position: int) -> None:
    data = bytearray(GOOD)
    with pytest.raises(BatchError):
        stamp_append_time(data, position, 0)
    assert data == GOOD


@pytest.mark.parametrize("length", [-1, 48, len(GOOD) - 11, 2**31 - 1])
def test_stamp_append_time_checks_the_length(length: int) -> None:
    data = bytearray(edited(8, struct.pack(">i", length)))
    before = bytes(data)
    with pytest.raises(BatchError):
        stamp_append_time(data, 0, 0)
    assert data == before
