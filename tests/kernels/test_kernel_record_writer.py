"""Columns to records: sizes, splitting, damaged arrays and the sealed header."""

from __future__ import annotations

import mmap
import struct

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.kernels import (
    BatchError,
    BinaryColumn,
    HeaderColumn,
    encode_records,
    number,
    read_batches,
    seal,
)
from reference.record_batch import Record, batch_of, decode, encode

PAIR = pa.struct([("key", pa.string()), ("value", pa.binary())])


def column(array: pa.Array) -> BinaryColumn:
    validity, offsets, data = array.buffers()
    return BinaryColumn(offsets, data, validity, array.offset, len(array))


def header_column(array: pa.Array) -> HeaderColumn:
    keys, values = array.values.flatten()
    validity, offsets = array.buffers()[:2]
    return HeaderColumn(offsets, validity, array.offset, len(array), column(keys), column(values))


def ints(*values: int, kind: str = "i") -> bytes:
    return struct.pack(f"={len(values)}{kind}", *values)


def encoded(values: BinaryColumn, *, target: int = 2**31, **options: object) -> tuple[bytes, int]:
    batch, rows = encode_records(
        values,
        options.get("keys"),
        options.get("headers"),
        options.get("timestamps"),
        1000,
        options.get("first", 0),
        options.get("stop", len(values)),
        target,
    )
    seal(batch)
    return bytes(batch), rows


def test_bytes_are_those_of_the_reference() -> None:
    values, keys = [b"one", None, b"", b"x" * 300], [None, b"k", b"", b"y" * 70]
    times = [50, 40, 10**12, 50]
    headers = [[("a", b"1"), ("b", None)], None, [], [("", b"")]]
    batch, rows = encoded(
        column(pa.array(values)),
        keys=column(pa.array(keys)),
        timestamps=ints(*times, kind="q"),
        headers=header_column(
            pa.array(
                [h and [dict(zip(("key", "value"), p, strict=True)) for p in h] for h in headers],
                pa.list_(PAIR),
            )
        ),
    )
    records = [
        Record(v, k, t - 50, 0, tuple(h or ()))
        for v, k, t, h in zip(values, keys, times, headers, strict=True)
    ]
    assert rows == 4
    assert batch == encode(batch_of(records, base_timestamp=50))


def test_now_is_the_time_of_records_without_one() -> None:
    batch, _ = encoded(column(pa.array([b"a", b"b"])))
    assert batch == encode(batch_of([Record(b"a"), Record(b"b")], base_timestamp=1000))


@pytest.mark.parametrize("target", [0, 61, 68, 200, 1000, 1001, 100_000])
def test_target_bounds_every_batch_and_none_could_take_more(target: int) -> None:
    values = column(pa.array([b"v" * (i % 150) for i in range(300)]))
    first = 0
    while first < 300:
        batch, rows = encoded(values, target=target, first=first)
        assert rows >= 1
        assert len(batch) <= target or rows == 1
        if first + rows < 300:
            longer, _ = encoded(values, first=first, stop=first + rows + 1)
            assert len(longer) > target
        first += rows
    assert first == 300


def test_max_timestamp_is_not_of_a_record_left_out() -> None:
    times = ints(5, 7, 9000, kind="q")
    batch, rows = encoded(column(pa.array([b"v" * 10] * 3)), timestamps=times, target=61 + 2 * 17)
    assert rows == 2
    assert read_batches(batch)[0].max_timestamp == 7


def test_row_range_of_sliced_columns() -> None:
    array = pa.array([b"%d" % i if i % 3 else None for i in range(40)])
    sliced = array.slice(7, 20)
    batch, _ = encoded(column(sliced), keys=column(sliced), first=2, stop=9)
    assert [r.value for r in decode(batch).records] == sliced.to_pylist()[2:9]
    assert [r.key for r in decode(batch).records] == sliced.to_pylist()[2:9]


@pytest.mark.parametrize(("first", "stop"), [(-1, 1), (0, 0), (1, 1), (0, 4), (4, 5)])
def test_rows_outside_the_column_are_refused(first: int, stop: int) -> None:
    with pytest.raises(ValueError, match="rows"):
        encoded(column(pa.array([b"a"] * 3)), first=first, stop=stop)


def test_columns_of_other_lengths_are_refused() -> None:
    values, other = column(pa.array([b"a"] * 3)), pa.array([b"b"] * 2)
    with pytest.raises(ValueError, match="2 keys"):
        encoded(values, keys=column(other))
    with pytest.raises(ValueError, match="2 header lists"):
        encoded(values, headers=header_column(pa.array([[], []], pa.list_(PAIR))))
    with pytest.raises(ValueError, match="16 bytes of timestamps"):
        encoded(values, timestamps=ints(1, 2, kind="q"))


@pytest.mark.parametrize("offsets", [(0, 1, 9), (0, -1, 1), (0, 2, 1), (-5, 1, 2)])
def test_damaged_offsets_are_refused(offsets: tuple[int, ...]) -> None:
    damaged = BinaryColumn(ints(*offsets), b"xy", None, 0, 2)
    good = BinaryColumn(ints(0, 1, 2), b"xy", None, 0, 2)
    with pytest.raises(ValueError, match="damaged"):
        encoded(damaged)
    with pytest.raises(ValueError, match="damaged"):
        encoded(good, keys=damaged)
    headers = HeaderColumn(ints(0, 1, 2), None, 0, 2, damaged, good)
    with pytest.raises(ValueError, match="damaged"):
        encoded(good, headers=headers)
    headers = HeaderColumn(ints(0, 1, 2), None, 0, 2, good, damaged)
    with pytest.raises(ValueError, match="damaged"):
        encoded(good, headers=headers)


@pytest.mark.parametrize("offsets", [(0, 3, 3), (-1, 0, 0), (2, 1, 2), (0, 1, 3)])
def test_damaged_list_offsets_are_refused(offsets: tuple[int, ...]) -> None:
    good = BinaryColumn(ints(0, 1, 2), b"xy", None, 0, 2)
    with pytest.raises(ValueError, match="damaged"):
        encoded(good, headers=HeaderColumn(ints(*offsets), None, 0, 2, good, good))


def test_list_that_goes_on_behind_its_children_is_refused() -> None:
    """The children's buffers hold more entries than their arrays; those are not ours to send."""
    child = BinaryColumn(ints(0, 1, 2, 2), b"xy", None, 0, 2)
    with pytest.raises(ValueError, match="damaged"):
        encoded(child, headers=HeaderColumn(ints(0, 1, 3), None, 0, 2, child, child))


def test_null_header_key_is_refused() -> None:
    values = column(pa.array([b"a", b"b"]))
    headers = pa.array([[], [{"key": None, "value": b"v"}]], pa.list_(PAIR))
    with pytest.raises(ValueError, match=r"row 1 .* null key"):
        encoded(values, headers=header_column(headers))


def test_header_column_checks_its_buffers() -> None:
    good = BinaryColumn(ints(0, 1, 2), b"xy", None, 0, 2)
    with pytest.raises(ValueError, match="list offsets"):
        HeaderColumn(ints(0, 1), None, 0, 2, good, good)
    with pytest.raises(ValueError, match="list validity"):
        HeaderColumn(ints(*range(10)), b"\xff", 0, 9, good, good)
    with pytest.raises(ValueError, match="header values"):
        HeaderColumn(ints(0, 1, 2), None, 0, 2, good, BinaryColumn(None, None, None, 0, 0))
    with pytest.raises(ValueError, match="cannot have offset"):
        HeaderColumn(ints(0, 1, 2), None, -1, 2, good, good)


def test_record_beyond_two_gigabytes_is_refused() -> None:
    huge = 2**31 - 70
    with pytest.raises(ValueError, match="larger than 2 GiB"):
        encoded(BinaryColumn(ints(0, huge, kind="q"), memory_of(huge), None, 0, 1, True))
    with pytest.raises(ValueError, match="larger than 2 GiB"):
        encoded(BinaryColumn(ints(0, 2**31, kind="q"), memory_of(2**31), None, 0, 1, True))


def test_headers_beyond_two_gigabytes_are_refused() -> None:
    half = 2**30
    values = BinaryColumn(ints(0, 1), b"v", None, 0, 1)
    names = BinaryColumn(ints(0, 1, 2), b"ab", None, 0, 2)
    offsets = ints(0, half, 2 * half, kind="q")
    contents = BinaryColumn(offsets, memory_of(2 * half), None, 0, 2, True)
    with pytest.raises(ValueError, match="larger than 2 GiB"):
        encoded(values, headers=HeaderColumn(ints(0, 2), None, 0, 1, names, contents))


def memory_of(size: int) -> memoryview:
    return memoryview(mmap.mmap(-1, size))  # never touched, so it takes no memory


def test_seal_writes_producer_and_codec() -> None:
    batch, _ = encode_records(column(pa.array([b"a"])), None, None, None, 5, 0, 1, 1000)
    seal(batch, 4, producer_id=9, producer_epoch=3, base_sequence=77, transactional=True)
    (header,) = read_batches(batch)
    assert (header.codec, header.transactional) == (4, True)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (9, 3, 77)
    seal(batch)
    (header,) = read_batches(batch)
    assert (header.codec, header.transactional) == (0, False)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (-1, -1, -1)


@given(
    size=st.sampled_from([0, 1, 7, 100, 5_000, 70_000, 1_100_000]),
    producer_id=st.integers(-1, 2**63 - 1),
    epoch=st.integers(-1, 2**15 - 1),
    sequence=st.integers(-1, 2**31 - 1),
    transactional=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_number_makes_the_bytes_that_seal_makes(
    size: int, producer_id: int, epoch: int, sequence: int, transactional: bool
) -> None:
    batch, _ = encode_records(column(pa.array([b"x" * size])), None, None, None, 5, 0, 1, 2_000_000)
    numbers = {"producer_id": producer_id, "producer_epoch": epoch, "base_sequence": sequence}
    seal(batch, 3, producer_id=4, producer_epoch=5, base_sequence=6, transactional=True)
    number(batch, **numbers, transactional=transactional)
    found = bytes(batch)
    seal(batch, 3, **numbers, transactional=transactional)
    assert found == bytes(batch)


def test_number_does_not_mend_damaged_records() -> None:
    batch = bytearray(encode(batch_of([Record(b"abc")])))
    batch[-2] ^= 1
    number(batch, producer_id=1, producer_epoch=2, base_sequence=3)
    with pytest.raises(BatchError, match="CRC"):
        read_batches(batch)


def test_number_refuses_less_than_a_header() -> None:
    with pytest.raises(ValueError, match="60 bytes"):
        number(bytearray(60), producer_id=1, producer_epoch=2, base_sequence=3)


def test_seal_keeps_log_append_time() -> None:
    batch = bytearray(encode(batch_of([Record(b"a")], attributes=8)))
    seal(batch, 1)
    assert read_batches(batch)[0].log_append_time


@pytest.mark.parametrize("codec", [-1, 5, 8])
def test_seal_refuses_an_unknown_codec(codec: int) -> None:
    with pytest.raises(ValueError, match="codec"):
        seal(bytearray(encode(batch_of([Record(b"a")]))), codec)


def test_seal_refuses_less_than_a_header() -> None:
    with pytest.raises(ValueError, match="60 bytes"):
        seal(bytearray(60))
