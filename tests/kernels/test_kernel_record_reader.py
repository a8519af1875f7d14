"""Records to columns: each way a record can lie, and what is read when none does."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from mainstem.kernels import (
    BatchError,
    RecordColumns,
    decode_records,
    decode_runs,
    read_batches,
)
from reference.record_batch import (
    Batch,
    Record,
    batch_of,
    encode,
    encode_around,
    encode_record,
    sized,
    varint,
)

HEADERS = (("name", b"content"), ("null", None), ("name", b""))


def decoded(data: bytes, from_offset: int = 0) -> RecordColumns:
    return decode_records(data, read_batches(data, dense=False), None, from_offset)


def integers(memory: object, kind: str) -> list[int]:
    data = bytes(memory)  # type: ignore[call-overload]
    return list(struct.unpack(f"={len(data) // struct.calcsize(kind)}{kind}", data))


def fault_of(body: bytes, count: int = 1, last_offset_delta: int | None = None) -> str:
    delta = count - 1 if last_offset_delta is None else last_offset_delta
    data = encode_around(Batch((), last_offset_delta=delta, count=count), body)
    with pytest.raises(BatchError) as caught:
        decoded(data)
    assert caught.value.reason == "record"
    return str(caught.value)


def framed(body: bytes) -> bytes:
    """A record of any content with an honest length, padded so that counts pass the first check."""
    return varint(len(body)) + body


def test_columns_of_a_plain_batch() -> None:
    records = [Record(b"one", b"k", 0), Record(None, None, -5), Record(b"", b"", 7)]
    columns = decoded(encode(batch_of(records, base_offset=10, base_timestamp=100)))
    assert columns.count == 3
    assert integers(columns.offsets, "q") == [10, 11, 12]
    assert integers(columns.timestamps, "q") == [100, 95, 107]
    assert integers(columns.key_offsets, "i") == [0, 1, 1, 1]
    assert integers(columns.value_offsets, "i") == [0, 3, 3, 3]
    assert (bytes(columns.keys), bytes(columns.values)) == (b"k", b"one")
    assert (columns.key_nulls, columns.value_nulls) == (1, 1)
    assert bytes(columns.key_validity)[0] & 7 == 0b101
    assert bytes(columns.value_validity)[0] & 7 == 0b101
    assert columns.headers is None


def test_columns_of_several_batches_follow_each_other() -> None:
    first = encode(batch_of([Record(b"a" * 300), Record(None)], base_offset=5))
    second = encode(batch_of([Record(b"b", b"key")], base_offset=90))
    columns = decoded(first + second)
    assert integers(columns.offsets, "q") == [5, 6, 90]
    assert integers(columns.value_offsets, "i") == [0, 300, 300, 301]
    assert bytes(columns.values) == b"a" * 300 + b"b"
    assert bytes(columns.keys) == b"key"


def test_headers_of_records_with_and_without() -> None:
    records = [
        Record(b"x"),
        Record(b"y", headers=HEADERS),
        Record(b"z"),
        Record(b"", None, 0, 0, HEADERS[:1]),
    ]
    headers = decoded(encode(batch_of(records))).headers
    assert headers is not None
    assert headers.count == 4
    assert integers(headers.offsets, "i") == [0, 0, 3, 3, 4]
    assert bytes(headers.keys) == b"namenullnamename"
    assert bytes(headers.values) == b"contentcontent"
    assert integers(headers.key_offsets, "i") == [0, 4, 8, 12, 16]
    assert integers(headers.value_offsets, "i") == [0, 7, 7, 7, 14]
    assert headers.value_nulls == 1
    assert bytes(headers.value_validity)[0] & 15 == 0b1101
    assert headers.ascii_keys


def test_headers_that_first_appear_in_a_later_batch() -> None:
    data = encode(batch_of([Record(None, b"k"), Record(b"v")]))
    data += encode(batch_of([Record(None, headers=HEADERS)], base_offset=2))
    columns = decoded(data)
    assert columns.headers is not None
    assert integers(columns.headers.offsets, "i") == [0, 0, 0, 3]
    assert (columns.key_nulls, columns.value_nulls) == (2, 2)
    assert bytes(columns.key_validity)[0] & 7 == 0b001
    assert bytes(columns.value_validity)[0] & 7 == 0b010


def test_header_key_beyond_ascii_is_told() -> None:
    headers = decoded(encode(batch_of([Record(b"", headers=(("\u00e4", b""),))]))).headers
    assert headers is not None
    assert not headers.ascii_keys


def test_log_append_time_gives_every_record_the_maximum() -> None:
    batch = batch_of([Record(b"a"), Record(b"b", None, 50)], attributes=8, max_timestamp=777)
    assert integers(decoded(encode(batch)).timestamps, "q") == [777, 777]


@pytest.mark.parametrize("first", range(7))
def test_records_below_from_offset_are_dropped(first: int) -> None:
    records = [Record(b"%d" % i, None, 0, 0, HEADERS if i == 1 else ()) for i in range(3)]
    data = encode(batch_of(records, base_offset=2)) + encode(batch_of(records, base_offset=5))
    columns = decoded(data, first)
    wanted = [offset for offset in range(2, 8) if offset >= first]
    assert integers(columns.offsets, "q") == wanted
    assert bytes(columns.values) == b"".join(b"%d" % ((o - 2) % 3) for o in wanted)
    expected = sum(3 for offset in wanted if offset in {3, 6})
    assert (columns.headers.count if columns.headers else 0) == expected


def test_gaps_that_compaction_left() -> None:
    records = (Record(b"a", offset_delta=2), Record(b"b", offset_delta=7))
    data = encode(Batch(records, base_offset=100, last_offset_delta=9, count=2))
    assert integers(decoded(data).offsets, "q") == [102, 107]


def test_batch_emptied_by_compaction() -> None:
    assert decoded(encode(Batch((), base_offset=100, last_offset_delta=9, count=0))).count == 0


def test_body_given_apart() -> None:
    batch = batch_of([Record(b"apart")])
    data = encode(batch, lambda body: b"compressed")
    body = b"".join(encode_record(record) for record in batch.records)
    columns = decode_records(data, read_batches(data), [body])
    assert bytes(columns.values) == b"apart"


def test_extreme_numbers_wrap_as_javas_do() -> None:
    records = [Record(b"", None, 2**63 - 1), Record(b"", None, -(2**63))]
    data = encode(batch_of(records, base_timestamp=10, max_timestamp=0))
    assert integers(decoded(data).timestamps, "q") == [-(2**63) + 9, -(2**63) + 10]


@pytest.mark.parametrize(
    "body",
    [
        b"\x80" * 7,
        b"\xff\xff\xff\xff\x1f" + b"\0" * 7,
        varint(-1) + b"\0" * 7,
        varint(8) + b"\0" * 7,
    ],
    ids=["endless", "33 bits", "negative", "beyond the batch"],
)
def test_record_length_is_checked(body: bytes) -> None:
    assert "its length" in fault_of(body)


@pytest.mark.parametrize(
    "body",
    [b"", b"\0", b"\0\0", b"\0" + b"\xff" * 10, b"\0" + b"\xff" * 9 + b"\2", b"\0\0" + b"\x80" * 5],
    ids=["empty", "attributes", "timestamp", "endless timestamp", "65 bits", "endless offset"],
)  # fmt: skip
def test_fields_before_the_key_are_checked(body: bytes) -> None:
    padding = encode_record(Record(b"", offset_delta=1))
    assert "timestamp or offset" in fault_of(framed(body) + padding)


def test_number_with_more_bits_than_its_type_is_refused() -> None:
    """12 is a length of 6; bit 33 behind it must not be dropped without a word."""
    body = b"\0\0\0\x01\x01\0"
    assert "its length is not a number" in fault_of(b"\x8c\x80\x80\x80\x10" + body)


def test_number_in_more_bytes_than_it_needs_is_read_as_java_does() -> None:
    body = b"\0\0\0\x01\x01\0"
    data = encode_around(Batch((), last_offset_delta=0, count=1), b"\x8c\x80\x80\x80\0" + body)
    assert decoded(data).count == 1


@pytest.mark.parametrize("size", [-2, 100, 2**31 - 1, -(2**31)])
def test_key_size_is_checked(size: int) -> None:
    body = b"\0\0\0" + varint(size) + b"\x01\0" + b"k" * 9
    assert "its key size" in fault_of(framed(body))


def test_key_size_that_is_cut_off() -> None:
    assert "its key size" in fault_of(framed(b"\0\0\0\x80") + b"\0" * 9)


@pytest.mark.parametrize("size", [-2, 100, 2**31 - 1, -(2**31)])
def test_value_size_is_checked(size: int) -> None:
    body = b"\0\0\0\x01" + varint(size) + b"\0" + b"v" * 9
    assert "its value size" in fault_of(framed(body))


@pytest.mark.parametrize("count", [-1, 3, 2**31 - 1, -(2**31)])
def test_header_count_is_checked(count: int) -> None:
    body = b"\0\0\0\x01\x01" + varint(count) + b"\0\0\0\0"
    assert "its header count" in fault_of(framed(body))


@pytest.mark.parametrize(
    "pair",
    [sized(None) + sized(b"v"), varint(-2) + sized(b"v"), varint(9) + b"key" + sized(b"v"),
     sized(b"k") + varint(-2), sized(b"k") + varint(5) + b"v", b"\x80\x80"],
    ids=["null key", "negative key", "long key", "negative value", "long value", "cut off"],
)  # fmt: skip
def test_header_sizes_are_checked(pair: bytes) -> None:
    body = b"\0\0\0\x01\x01" + varint(1) + pair
    assert "one of its headers" in fault_of(framed(body))


@pytest.mark.parametrize("extra", [b"\0", b"\0\0\0\0\0\0\0\0"])
def test_bytes_behind_the_headers_of_a_record_are_refused(extra: bytes) -> None:
    assert "ends before" in fault_of(framed(b"\0\0\0\x01\x01\0" + extra))
    with_headers = b"\0\0\0\x01\x01" + varint(1) + sized(b"k") + sized(b"v")
    assert "ends before" in fault_of(framed(with_headers + extra))


@pytest.mark.parametrize(
    ("deltas", "last"), [((0, 0), 1), ((1, 0), 1), ((0, 2), 1), ((-1, 0), 1), ((0, 2**31 - 1), 9)]
)
def test_offsets_must_increase_up_to_the_last(deltas: tuple[int, ...], last: int) -> None:
    body = b"".join(encode_record(Record(b"", offset_delta=delta)) for delta in deltas)
    assert "its offset" in fault_of(body, 2, last)


@pytest.mark.parametrize("extra", [b"\0", encode_record(Record(b"", offset_delta=1))])
def test_bytes_behind_the_last_record_are_refused(extra: bytes) -> None:
    assert "left over" in fault_of(encode_record(Record(b"")) + extra)


def test_fewer_records_than_counted() -> None:
    body = encode_record(Record(b"x" * 50))
    assert "record 1 of the batch at byte 0" in fault_of(body, 2)


@pytest.mark.parametrize("count", [9, 2**31 - 1])
def test_count_that_cannot_fit_is_refused_before_allocating(count: int) -> None:
    data = encode_around(Batch((), last_offset_delta=count - 1, count=count), b"\0" * 56)
    with pytest.raises(BatchError) as caught:
        decoded(data)
    assert caught.value.reason == "count"


@pytest.mark.parametrize("base_offset", [-1, -(2**63), 2**63 - 1, 2**63 - 2**31])
def test_base_offset_that_overflows_is_refused(base_offset: int) -> None:
    data = encode(batch_of([Record(b"")], base_offset=base_offset))
    with pytest.raises(BatchError) as caught:
        decoded(data)
    assert caught.value.reason == "count"


def test_damage_in_a_later_batch_names_it() -> None:
    good = encode(batch_of([Record(b"fine")]))
    bad = encode_around(Batch((), last_offset_delta=0, count=1), b"\0" * 9)
    with pytest.raises(BatchError) as caught:
        decoded(good + bad)
    assert caught.value.position == len(good)


def test_headers_of_another_buffer_are_checked() -> None:
    data = encode(batch_of([Record(b"x")]))
    with pytest.raises(BatchError) as caught:
        decode_records(data[:-1], read_batches(data))
    assert caught.value.reason == "size"


def test_arguments_are_checked() -> None:
    data = encode(batch_of([Record(b"x")]))
    headers = read_batches(data)
    with pytest.raises(ValueError, match="bodies"):
        decode_records(data, headers, [])
    with pytest.raises(ValueError, match="offset -1"):
        decode_records(data, headers, None, -1)
    with pytest.raises(TypeError):
        decode_records(data, [None])  # type: ignore[list-item]


def test_runs_of_several_buffers_become_one_with_the_rows_of_each() -> None:
    one = encode(batch_of([Record(b"a"), Record(b"b"), Record(b"c")], base_offset=5))
    two = encode(batch_of([Record(b"d", headers=HEADERS), Record(b"e")], base_offset=2))
    runs: list[Any] = [
        (one, read_batches(one), None, 6, 8),
        (two, [], None, 0, 9),
        (two, read_batches(two), None, 0, 3),
        (one, read_batches(one), None, 0, 6),
    ]
    columns, rows = decode_runs(runs)
    assert rows == [2, 0, 1, 1]
    assert integers(columns.offsets, "q") == [6, 7, 2, 5]
    assert bytes(columns.values) == b"bcda"
    assert columns.headers is not None
    assert integers(columns.headers.offsets, "i") == [0, 0, 0, 3, 3]


@pytest.mark.parametrize(("start", "end"), [(0, 5), (6, 6), (8, 99), (7, 6)])
def test_a_run_may_want_no_rows_of_its_batch(start: int, end: int) -> None:
    data = encode(batch_of([Record(b"a"), Record(b"b"), Record(b"c")], base_offset=5))
    columns, rows = decode_runs([(data, read_batches(data), None, start, end)])
    assert (rows, columns.count, bytes(columns.values)) == ([0], 0, b"")


def test_a_run_stops_at_its_end_whatever_comes_behind() -> None:
    body = encode_record(Record(b"good")) + framed(b"\0\0\2\1" + b"\x7f" * 9)
    data = encode_around(Batch((), last_offset_delta=1, count=2), body)
    headers = read_batches(data)
    columns, _ = decode_runs([(data, headers, None, 0, 1)])
    assert bytes(columns.values) == b"good"
    with pytest.raises(BatchError, match="record 1 of the batch"):
        decode_runs([(data, headers, None, 0, 2)])


def test_offsets_of_a_run_cannot_be_negative() -> None:
    data = encode(batch_of([Record(b"a")]))
    with pytest.raises(ValueError, match="no record is at offset -1"):
        decode_runs([(data, read_batches(data), None, 0, -1)])
