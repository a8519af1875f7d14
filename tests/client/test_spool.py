"""Fetched batches cut into groups of rows: whatever the cuts, every record comes once, in order."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest

from mainstem.client.chunks import decode
from mainstem.client.decoding import decode_parts, places
from mainstem.client.fetcher import Fetched
from mainstem.client.spool import Spool
from mainstem.errors import Corrupt
from mainstem.kernels import read_batches, seal
from mainstem.wire import compress
from reference.record_batch import Batch, Record, batch_of, encode, encode_around, encode_records

TRANSACTIONAL, CONTROL = 16, 32


def chunk(data: bytes, start: int = 0, end: int | None = None, **more: Any) -> Fetched:
    headers = read_batches(data, 0, -1, False, whole=False, dense=False)
    more = {"topic": "t", "partition": 0, **more}
    return Fetched(data=data, headers=headers, start=start, end=end, **more)


def dense(base: int, rows: int, size: int = 5) -> bytes:
    return encode(batch_of([Record(b"x" * size)] * rows, base_offset=base))


def sparse(base: int, deltas: list[int]) -> bytes:
    records = tuple(Record(b"s", None, 0, delta) for delta in deltas)
    batch = Batch(records, base, last_offset_delta=deltas[-1] + 3, count=len(deltas))
    return encode_around(batch, encode_records(records))


def marker(base: int, producer: int, *, commit: bool) -> bytes:
    record = Record(bytes(6), struct.pack(">hh", 0, int(commit)))
    found = bytearray(
        encode(batch_of([record], base_offset=base, attributes=CONTROL | TRANSACTIONAL))
    )
    seal(found, 0, producer_id=producer, producer_epoch=0, transactional=True)
    return bytes(found)


def drained(spool: Spool, rows: int, size: int, step: int) -> tuple[list[Any], dict[Any, int]]:
    """(topic, partition, offset) of all records, and where each partition goes on."""
    found: list[Any] = []
    at: dict[Any, int] = {}
    while spool:
        before = spool.rows
        parts = spool.take(rows, size)
        assert parts
        assert spool.rows <= before
        for records, spans in decode_parts(parts, step):
            assert records.num_rows <= step
            assert sum(span.rows for span in spans) == records.num_rows
            offsets = records.column(0).to_pylist()
            for span in spans:
                mine, offsets = offsets[: span.rows], offsets[span.rows :]
                found += [(span.topic, span.partition, offset) for offset in mine]
            for where, place in places(spans).items():
                assert place.offset >= at.get(where, 0)
                at[where] = place.offset
    assert (spool.rows, spool.size) == (0, 0)
    return found, at


def test_a_dense_batch_is_cut_at_the_row() -> None:
    spool = Spool()
    spool.add(chunk(dense(10, 7) + dense(17, 5), start=12, end=20))
    assert spool.rows == 8
    parts = spool.take(6, 1 << 20)
    assert [(part.rows, part.from_offset, part.to_offset, part.next_offset) for part in parts] == [
        (6, 12, 18, 18)
    ]
    (rest,) = spool.take(6, 1 << 20)
    assert (rest.rows, rest.from_offset, rest.next_offset) == (2, 18, 20)
    assert not spool


def test_a_batch_with_gaps_is_not_cut() -> None:
    spool = Spool()
    spool.add(chunk(dense(0, 2) + sparse(10, [0, 4, 5]) + dense(30, 2)))
    assert [part.rows for part in spool.take(3, 1 << 20)] == [2]
    assert [part.rows for part in spool.take(1, 1 << 20)] == [3]  # alone: more than asked for
    assert [part.rows for part in spool.take(9, 1 << 20)] == [2]


def test_size_cuts_between_batches() -> None:
    spool = Spool()
    one = dense(0, 10, 1000)
    spool.add(chunk(one + dense(10, 10, 1000) + dense(20, 10, 1000)))
    assert [part.rows for part in spool.take(100, len(one) + 1)] == [20]
    assert [part.rows for part in spool.take(100, 1)] == [10]


def test_what_is_compressed_counts_for_more() -> None:
    batch = batch_of([Record(b"y" * 100)] * 50, attributes=4)
    data = encode(batch, lambda body: bytes(compress(4, body)))
    spool = Spool()
    spool.add(chunk(data))
    assert spool.size == 64 * len(data)  # a guess
    spool.decoded(10, 1200)
    spool.add(chunk(data))
    assert spool.size == 64 * len(data) + 50 * 120
    spool.decoded(0, 0)
    spool.add(chunk(dense(0, 50)))
    assert spool.size == 64 * len(data) + 50 * 120 + len(dense(0, 50))


def test_places_pass_what_holds_no_records() -> None:
    spool = Spool()
    spool.add(chunk(marker(5, 7, commit=True), start=3))
    assert drained(spool, 10, 1 << 20, 10) == ([], {("t", 0): 6})


def test_a_broken_marker_is_corrupt_and_names_the_partition() -> None:
    record = Record(b"", b"\0")
    data = bytearray(encode(batch_of([record], attributes=CONTROL | TRANSACTIONAL)))
    seal(data, 0, producer_id=7, producer_epoch=0, transactional=True)
    with pytest.raises(Corrupt, match="topic 't' partition 0"):
        Spool().add(chunk(bytes(data), aborted=((7, 0),)))


@pytest.mark.parametrize("seed", range(60))
def test_however_it_is_cut_every_record_comes_once(seed: int) -> None:
    rng = random.Random(seed)
    spool, expected, behind = Spool(), {}, {}
    for partition in range(rng.randint(1, 3)):
        offset, data = rng.randint(0, 5), b""
        first = offset
        for _ in range(rng.randint(1, 6)):
            kind = rng.random()
            if kind < 0.6:
                rows = rng.randint(1, 30)
                data += dense(offset, rows, rng.randint(0, 60))
                offset += rows
            elif kind < 0.8:
                deltas = sorted(rng.sample(range(40), rng.randint(1, 10)))
                data += sparse(offset, deltas)
                offset += deltas[-1] + 4
            else:
                data += marker(offset, 9, commit=True)
                offset += 1
        start = rng.randint(first, offset - 1)
        end = rng.choice([None, rng.randint(start + 1, offset + 3)])
        found = chunk(data, start, end, partition=partition)
        pieces = decode(found)
        expected[partition] = [o for p in pieces for o in p.records.column(0).to_pylist()]
        behind["t", partition] = pieces[-1].next_offset
        spool.add(found)
    rows, size = rng.choice([1, 3, 10, 500]), rng.choice([1, 200, 1 << 20])
    records, at = drained(spool, rows, size, rng.choice([1, 7, 500]))
    wanted = [("t", part, offset) for part in sorted(expected) for offset in expected[part]]
    assert records == wanted, f"seed {seed}"
    assert at == behind, f"seed {seed}"
