"""Any records, through our kernels, the plain-Python reference and kio, in every pairing."""

from __future__ import annotations

import datetime
import io
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.kernels import read_batches
from mainstem.wire import compress, decode_batches, decompress, encode_batch, encode_batches
from reference.record_batch import Batch, Record, batch_of, decode, encode

examine = settings(deadline=None, derandomize=True)

sizes = st.sampled_from([0, 1, 31, 32, 33, 63, 64, 100, 255, 256, 257, 400, 8192])
byte_strings = st.binary(max_size=60) | st.builds(
    lambda n, b: b * n, sizes, st.binary(min_size=1, max_size=1)
)
optional_bytes = st.none() | byte_strings
headers = st.lists(st.tuples(st.text(max_size=8), optional_bytes), max_size=4).map(tuple)
deltas = st.integers(-(2**40), 2**40) | st.integers(-100, 100)
records = st.lists(
    st.builds(Record, optional_bytes, optional_bytes, deltas, st.just(0), headers | st.just(())),
    min_size=1,
    max_size=30,
)
HEADERS = pa.map_(pa.string(), pa.binary())


def columns(rows: list[Record], base: int, wide: bool = False) -> dict[str, Any]:
    kind = pa.large_binary() if wide else pa.binary()
    return {
        "value": pa.array([r.value for r in rows], kind),
        "key": pa.array([r.key for r in rows], kind),
        "timestamp": pa.array([base + r.timestamp_delta for r in rows]),
        "headers": pa.array([r.headers for r in rows], HEADERS),
    }


def rows_of(data: bytes, **options: Any) -> list[tuple[Any, ...]]:
    batch = decode_batches(data, **options).records
    batch.validate(full=True)
    pairs = [tuple((h["key"], h["value"]) for h in row) for row in batch["_headers"].to_pylist()]
    times = batch["_timestamp"].view(pa.int64()).to_pylist()
    plain = (batch[name].to_pylist() for name in ("_offset", "_key", "value"))
    return list(zip(times, pairs, *plain, strict=True))


def expected(rows: list[Record], base: int, first_offset: int = 0) -> list[tuple[Any, ...]]:
    return [
        (base + r.timestamp_delta, r.headers, first_offset + i, r.key, r.value)
        for i, r in enumerate(rows)
    ]


def rebased(rows: list[Record], base: int) -> tuple[Record, ...]:
    """As the encoder writes them: deltas from the first record's timestamp."""
    first = rows[0].timestamp_delta
    return batch_of(
        [Record(r.value, r.key, r.timestamp_delta - first, 0, r.headers) for r in rows]
    ).records


@examine
@given(records, st.integers(0, 2**41), st.booleans())
def test_reference_reads_what_we_write(rows: list[Record], base: int, wide: bool) -> None:
    batch = decode(bytes(encode_batch(**columns(rows, base, wide), now_ms=0)))
    assert batch.records == rebased(rows, base)
    assert batch.base_timestamp == base + rows[0].timestamp_delta
    assert batch.max_timestamp == base + max(r.timestamp_delta for r in rows)
    assert (batch.last_offset_delta, batch.count) == (len(rows) - 1, len(rows))


@examine
@given(records, st.integers(0, 2**41), st.integers(0, 2**62), st.integers(1, 4))
def test_we_read_what_the_reference_writes(
    rows: list[Record], base: int, offset: int, codec: int
) -> None:
    batch = batch_of(rows, base_timestamp=base, base_offset=offset)
    assert rows_of(encode(batch)) == expected(rows, base, offset)
    batch = batch_of(rows, base_timestamp=base, base_offset=offset, attributes=codec)
    packed = encode(batch, lambda body: compress(codec, body))
    assert rows_of(packed) == expected(rows, base, offset)


@examine
@given(records, st.integers(0, 4), st.integers(0, 35), st.integers(0, 35))
def test_sliced_columns_survive(rows: list[Record], codec: int, start: int, stop: int) -> None:
    kept = rows[start:stop]
    if kept:
        sliced = {name: array[start:stop] for name, array in columns(rows, 5).items()}
        assert rows_of(bytes(encode_batch(**sliced, codec=codec, now_ms=0))) == expected(kept, 5)


@examine
@given(records, st.integers(0, 4), st.integers(0, 4000))
def test_split_batches_hold_every_row_in_order(
    rows: list[Record], codec: int, batch_bytes: int
) -> None:
    batches = list(
        encode_batches(**columns(rows, 0), codec=codec, batch_bytes=batch_bytes, now_ms=0)
    )
    found = [row for batch in batches for row in rows_of(bytes(batch))]
    assert [row[3:] + row[:2] for row in found] == [
        (r.key, r.value, r.timestamp_delta, r.headers) for r in rows
    ]
    for batch in batches:
        (header,) = read_batches(batch)
        body = memoryview(decompress(codec, bytes(batch)[61:])).nbytes
        if header.record_count > 1:
            assert 61 + body <= 3 * batch_bytes
            assert min(61 + body, len(batch)) <= batch_bytes


@examine
@given(st.lists(records, max_size=4), st.integers(0, 120))
def test_several_batches_and_an_offset_to_start_from(many: list[list[Record]], first: int) -> None:
    data, offset, wanted = b"", 0, []
    for rows in many:
        data += encode(batch_of(rows, base_offset=offset))
        wanted += expected(rows, 0, offset)
        offset += len(rows) + 3
    assert rows_of(data, from_offset=first) == [row for row in wanted if row[2] >= first]


def whole_seconds(rows: list[Record]) -> list[Record]:
    """kio drops fractions, and compares the maximum in milliseconds with seconds."""
    return [
        Record(r.value, r.key, abs(r.timestamp_delta) * 1000 % 10**12, 0, r.headers) for r in rows
    ]


@examine
@given(records)
def test_kio_reads_what_we_write(rows: list[Record]) -> None:
    from kio.records.readers import read_batch

    seconds = [
        Record(r.value, r.key, abs(r.timestamp_delta) * 1000 % 10**12, 0, r.headers) for r in rows
    ]
    data = bytes(
        encode_batch(
            **columns(seconds, 0), producer_id=7, producer_epoch=1, base_sequence=3, now_ms=0
        )
    )
    batch, size = read_batch(data, 0)
    assert size == len(data)
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (7, 1, 3)
    assert [
        (
            int(r.timestamp.timestamp() * 1000),
            tuple((h.key.decode(), h.value) for h in r.headers),
            r.offset,
            r.key,
            r.value,
        )
        for r in batch.records
    ] == expected(seconds, 0)


@examine
@given(records, st.integers(0, 2**40))
def test_we_read_what_kio_writes(rows: list[Record], offset: int) -> None:
    from kio.records import schema
    from kio.records.writers import write_batch

    seconds = [
        Record(r.value, r.key, abs(r.timestamp_delta) * 1000 % 10**12, 0, r.headers) for r in rows
    ]
    out = io.BytesIO()
    kio_records = tuple(
        schema.Record(
            attributes=0,
            timestamp=datetime.datetime.fromtimestamp(r.timestamp_delta / 1000, datetime.UTC),
            offset=offset + i,
            key=r.key,
            value=r.value,
            headers=tuple(schema.RecordHeader(key=k.encode(), value=v) for k, v in r.headers),
        )
        for i, r in enumerate(seconds)
    )
    write_batch(
        out,
        schema.NewRecordBatch(
            producer_id=-1, producer_epoch=-1, base_sequence=-1, attributes=0, records=kio_records
        ),
    )
    assert rows_of(out.getvalue()) == expected(seconds, 0, offset)


def test_every_small_size_of_key_and_value() -> None:
    """Copies run in fixed steps; every length around them, at both ends of the buffer."""
    for size in range(600):
        rows = [Record(b"v" * size, b"k" * (size % 67)), Record(b"w" * (size % 41), b"l" * size)]
        data = bytes(encode_batch(**columns(rows, 9), now_ms=0))
        assert decode(data).records == rebased(rows, 9), f"size {size}"
        assert rows_of(data) == expected(rows, 9), f"size {size}"


def test_compacted_batch_keeps_its_offsets() -> None:
    kept = (Record(b"a", offset_delta=3), Record(None, b"k", offset_delta=8))
    data = encode(Batch(kept, base_offset=50, last_offset_delta=9, count=2))
    assert [row[2] for row in rows_of(data)] == [53, 58]
    assert decode_batches(data).next_offset == 60
