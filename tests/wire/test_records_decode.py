"""Fetched bytes to Arrow: schema, where to go on, what is skipped, and what is refused."""

from __future__ import annotations

import threading

import pyarrow as pa
import pytest

from mainstem.errors import Corrupt, Invalid
from mainstem.wire import compress, decode_batches
from mainstem.wire.records import SCHEMA
from reference.record_batch import Batch, Record, batch_of, encode, encode_around

PLAIN = [Record(b"first", b"k", 0), Record(None, None, 5)]


def batch(base_offset: int = 0, records: list[Record] = PLAIN, **fields: int) -> bytes:
    return encode(batch_of(records, base_offset=base_offset, **fields))


def test_schema_is_the_documented_one() -> None:
    headers = pa.struct([("key", pa.string()), ("value", pa.binary())])
    fields = {
        "_offset": pa.int64(),
        "_timestamp": pa.timestamp("ms", tz="UTC"),
        "_key": pa.binary(),
        "_headers": pa.list_(headers),
        "value": pa.binary(),
    }
    for data in (b"", batch(), batch(records=[Record(b"", headers=(("a", b""),))])):
        schema = decode_batches(data).records.schema
        assert schema.equals(SCHEMA)
        assert {field.name: field.type for field in schema} == fields


def test_nothing_decodes_to_nothing() -> None:
    decoded = decode_batches(b"", from_offset=33)
    assert decoded.records.num_rows == 0
    assert (decoded.next_offset, decoded.end) == (33, 0)


def test_records_have_no_headers_as_empty_lists() -> None:
    records = decode_batches(batch()).records
    assert records["_headers"].to_pylist() == [[], []]
    assert records["_headers"].null_count == 0


@pytest.mark.parametrize("cut", [1, 11, 12, 16, 17, 60, 61, 70])
def test_partial_batch_at_the_end_is_left_for_the_next_fetch(cut: int) -> None:
    whole = batch(7)
    decoded = decode_batches(whole + batch(9)[:cut])
    assert decoded.records["_offset"].to_pylist() == [7, 8]
    assert (decoded.next_offset, decoded.end) == (9, len(whole))


def test_range_of_a_larger_buffer() -> None:
    data = b"before" + batch(7) + b"after"
    decoded = decode_batches(data, start=6, end=len(data) - 5)
    assert decoded.records["_offset"].to_pylist() == [7, 8]
    assert decoded.end == len(data) - 5


def test_control_batches_are_skipped_but_move_the_offset() -> None:
    control = batch(2, [Record(b"\0\0\0\0\0\0", b"\0\0\0\1")], attributes=48)
    decoded = decode_batches(batch(0) + control + batch(3))
    assert decoded.records["_offset"].to_pylist() == [0, 1, 3, 4]
    assert decoded.next_offset == 5
    assert decode_batches(batch(0) + control).next_offset == 3
    assert decode_batches(batch(0) + control[:-1]).next_offset == 2


def test_batch_that_compaction_emptied_moves_the_offset() -> None:
    empty = encode(Batch((), base_offset=100, last_offset_delta=9, count=0))
    decoded = decode_batches(empty)
    assert (decoded.records.num_rows, decoded.next_offset) == (0, 110)


def test_records_before_the_wanted_offset_are_dropped() -> None:
    decoded = decode_batches(batch(0) + batch(2) + batch(4), from_offset=3)
    assert decoded.records["_offset"].to_pylist() == [3, 4, 5]


def test_whole_batches_before_the_wanted_offset_are_not_even_decompressed() -> None:
    junk = encode_around(batch_of(PLAIN, attributes=4), b"not zstd at all")
    assert decode_batches(junk + batch(2), from_offset=2).records.num_rows == 2
    with pytest.raises(Corrupt):
        decode_batches(junk + batch(2), from_offset=1)


def test_wanted_offset_beyond_everything() -> None:
    decoded = decode_batches(batch(0), from_offset=50)
    assert (decoded.records.num_rows, decoded.next_offset) == (0, 50)


def test_codecs_may_change_from_batch_to_batch() -> None:
    data = b"".join(
        encode(
            batch_of(PLAIN, base_offset=2 * codec, attributes=codec),
            lambda body, codec=codec: bytes(compress(codec, body)),  # type: ignore[misc]
        )
        for codec in range(5)
    )
    records = decode_batches(data).records
    assert records["_offset"].to_pylist() == list(range(10))
    assert records["value"].to_pylist() == [b"first", None] * 5


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, pa.py_buffer])
def test_any_buffer_is_read(kind: type) -> None:
    assert decode_batches(kind(batch())).records.num_rows == 2


def test_result_does_not_depend_on_the_bytes_any_more() -> None:
    data = bytearray(batch())
    records = decode_batches(data).records
    data[:] = bytes(len(data))
    assert records["value"].to_pylist() == [b"first", None]


def test_header_names_that_are_not_text_are_repaired_as_java_does() -> None:
    raw = batch(records=[Record(b"", headers=(("\u00e4\u00e4", b"1"),)), Record(b"")])
    assert decode_batches(raw).records["_headers"].to_pylist()[0][0]["key"] == "\u00e4\u00e4"
    damaged = bytearray(raw)
    position = raw.index("\u00e4\u00e4".encode())
    damaged[position : position + 2] = b"\xff\xfe"
    records = decode_batches(damaged, verify_crc=False).records
    records.validate(full=True)
    assert records["_headers"].to_pylist() == [[{"key": "\ufffd\ufffd\u00e4", "value": b"1"}], []]


def test_crc_is_checked_unless_told_otherwise() -> None:
    data = bytearray(batch())
    data[-3] ^= 1
    with pytest.raises(Corrupt, match="CRC") as caught:
        decode_batches(data)
    assert caught.value.code == 2


@pytest.mark.parametrize("codec", range(1, 8))
def test_compressed_junk_is_corrupt_and_says_where(codec: int) -> None:
    data = batch(10) + encode_around(batch_of(PLAIN, base_offset=12, attributes=codec), b"junk")
    with pytest.raises(Corrupt, match=f"byte {len(batch())}, offset 12") as caught:
        decode_batches(data)
    assert caught.value.code == 2


def test_damaged_record_is_corrupt() -> None:
    data = encode_around(Batch((), last_offset_delta=0, count=1), b"\xff" * 20)
    with pytest.raises(Corrupt, match="record 0"):
        decode_batches(data)


def test_old_message_format_is_refused() -> None:
    data = bytearray(batch())
    data[16] = 1
    with pytest.raises(Corrupt, match="magic 1"):
        decode_batches(data)


@pytest.mark.parametrize(("start", "end"), [(-1, None), (0, 10_000), (90, 80)])
def test_range_outside_the_buffer_is_refused(start: int, end: int | None) -> None:
    with pytest.raises(Corrupt, match="outside"):
        decode_batches(batch(), start=start, end=end)


@pytest.mark.parametrize("codec", range(5))
def test_limit_leaves_the_rest_for_another_call(codec: int) -> None:
    records = [Record(b"v" * 1000)] * 10
    data = b"".join(
        encode(
            batch_of(records, base_offset=10 * i, attributes=codec),
            lambda body: bytes(compress(codec, body)),
        )
        for i in range(10)
    )
    offsets, position, calls = [], 0, 0
    while position < len(data):
        decoded = decode_batches(data, start=position, limit=35_000)
        assert decoded.records.num_rows <= 30
        assert decoded.next_offset == decoded.records["_offset"][-1].as_py() + 1
        offsets += decoded.records["_offset"].to_pylist()
        position, calls = decoded.end, calls + 1
    assert offsets == list(range(100))
    assert calls == 4


@pytest.mark.parametrize("codec", range(5))
def test_limit_never_skips_a_batch_for_a_smaller_one(codec: int) -> None:
    data = b"".join(
        encode(
            batch_of([Record(b"v" * size)], base_offset=i, attributes=codec),
            lambda body: bytes(compress(codec, body)),
        )
        for i, size in enumerate([10_000, 30_000, 100])
    )
    decoded = decode_batches(data, limit=35_000)
    assert decoded.records["_offset"].to_pylist() == [0]
    assert decoded.next_offset == 1
    rest = decode_batches(data, start=decoded.end, limit=35_000)
    assert rest.records["_offset"].to_pylist() == [1, 2]


@pytest.mark.parametrize("codec", range(5))
def test_single_batch_beyond_the_limit_is_refused(codec: int) -> None:
    one = batch_of([Record(b"v" * 1000)], attributes=codec)
    data = encode(one, lambda body: bytes(compress(codec, body)))
    assert decode_batches(data, limit=1100).records.num_rows == 1
    with pytest.raises(Invalid, match="byte 0") as caught:
        decode_batches(data, limit=999)
    assert caught.value.code == 10


def test_threads_decode_at_the_same_time() -> None:
    data = b"".join(batch(2 * i, [Record(b"%d" % i * 50)] * 2) for i in range(200))
    wanted = decode_batches(data).records
    results: list[bool] = []

    def work() -> None:
        results.extend(decode_batches(data).records.equals(wanted) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 80
