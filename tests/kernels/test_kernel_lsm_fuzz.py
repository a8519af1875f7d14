"""Bytes from a hostile disk, with checksums that hold: parsers refuse them or stay inside."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest
from test_kernel_lsm_rows import column, memtable_of

from mainstem.errors import Corrupt
from mainstem.kernels import lsm
from mainstem.lsm import manifest
from mainstem.lsm.codecs import compress, decompress
from mainstem.lsm.footer import FOOTER, read_footer
from mainstem.lsm.log import SegmentReader


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Flip, overwrite with telling numbers, cut, extend or swap."""
    wrong = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(wrong))
        kind = rng.randrange(5)
        if kind == 0:
            wrong[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            number = rng.choice(
                (0, 1, 2**16 - 1, 2**31 - 1, 2**32 - 1, len(data), rng.getrandbits(32))
            )
            at &= ~3
            wrong[at : at + 4] = struct.pack("<I", number)
        elif kind == 2:
            del wrong[at & ~63 :]
        elif kind == 3:
            wrong += rng.randbytes(rng.choice((1, 8, 64)))
        else:
            wrong[at : at + 8] = rng.randbytes(8)
        if not wrong:
            return b""
    return bytes(wrong)


def block_bytes(style: int) -> bytes:
    keys = [b"%04d" % n if style & 1 else b"k" * n for n in range(1, 60)]
    values: list[bytes | None] = [b"v" * (5 if style & 2 else n % 7) for n in range(1, 60)]
    if style & 4:
        values[3] = None
    rows = lsm.sorted_rows_of(column(list(keys)), column(values))
    return bytes(lsm.encode_blocks(rows, 0, len(rows), 1, 1 << 20, 1)[0])


def use_block(data: bytes) -> None:
    """Everything a reader does with a block that was accepted."""
    block = lsm.Block(data)
    lsm.describe(block.rows())
    merger = lsm.Merger(1, 0, b"0", b"5", False, True, b"", 0)
    merger.add(iter([block]), lsm.Ranges([]), 0)
    merger.next_rows(1000, 1 << 20)
    index = struct.pack("<II", 1, 5) + bytes(24) + struct.pack("<III", 0, 0, 5) + b"\xff" * 5
    run = lsm.Run(index, b"", 0, 1)
    run.install(0, block)
    wanted = [b"%04d" % n for n in range(0, 70, 3)] + [b"k" * n for n in range(0, 60, 7)]
    lookup = lsm.Lookup(column(list(wanted)), 1, b"", 0)
    lookup.run([run], lambda *_: [])
    lookup.values()
    lookup.close()
    run.evict(0)
    try:
        block.verify(1)
    except ValueError:
        return


def use_batch(data: bytes) -> None:
    kind, _, _, _ = lsm.read_operation(data, 0)
    if kind == lsm.RANGE_DELETE:
        lsm.read_ranges(data, 0)
        return
    table = lsm.Memtable(1)
    table.insert(data, 0, b"\0")
    lsm.describe(table.sorted_rows(0, table.rows))


def batch_bytes(style: int) -> bytes:
    keys, values = (
        column([b"a", b"bb", b"ccc"]),
        column([b"1", None if style & 1 else b"2", b"333"]),
    )
    if style == 4:
        state = lsm.Column(None, bytes(24), None, 0, 3, 8)
        merge = lsm.Operation(lsm.MERGE, 0, keys, state, 0)
        return bytes(lsm.encode_batch(lsm.Arena(), [merge], 0, 0))
    kind = lsm.RANGE_DELETE if style & 2 else lsm.PUT
    return bytes(lsm.encode_batch(lsm.Arena(), [lsm.Operation(kind, 0, keys, values, 0)], 0, 0))


def use_index(data: bytes) -> None:
    run = lsm.Run(data, bytes(128), 6, 1)
    for block in range(min(run.block_count, 9)):
        run.entry(block)
        run.key_after(block)
    for key in (b"", b"a", b"bb", b"\xff" * 9):
        assert 0 <= run.block_at(key) <= run.block_count
        run.may_contain(key)
    _ = run.min_key, run.max_key


def index_bytes() -> bytes:
    keys = [b"a", b"aa", b"abc", b"b"]
    sizes = [0, 1, 3, 6, 7]
    return struct.pack("<II", 3, 7) + bytes(72) + struct.pack("<5I", *sizes) + b"".join(keys)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_blocks_are_refused_or_harmless(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(4000):
        data = mutate(block_bytes(rng.randrange(8)), rng)
        try:
            use_block(data)
        except (ValueError, OverflowError):
            continue


@pytest.mark.parametrize("seed", range(4))
def test_damaged_batches_are_refused_or_harmless(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(8000):
        data = mutate(batch_bytes(rng.randrange(5)), rng)
        try:
            use_batch(data)
        except ValueError:
            continue


@pytest.mark.parametrize("seed", range(4))
def test_damaged_indexes_are_refused_or_harmless(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(8000):
        try:
            use_index(mutate(index_bytes(), rng))
        except ValueError:
            continue


def test_damaged_manifests_logs_and_footers_are_refused() -> None:
    rng = random.Random(1)
    sound = manifest.Manifest(1, 2, 3, 4, 5, 6, 7, {"a": 1}, ())
    data = manifest.encode(sound)
    assert manifest.decode(data, "m") == sound
    for _ in range(3000):
        wrong = mutate(data, rng)
        if wrong != data:
            with pytest.raises(Corrupt):
                manifest.decode(wrong, "m")
        junk = rng.randbytes(rng.randrange(300))
        reader = SegmentReader(junk, "l", 1, 1)
        assert list(reader) == []
        assert reader.promised() == 0
        with pytest.raises(Corrupt):
            read_footer(junk[: FOOTER.size], len(junk), "r")


@pytest.mark.parametrize("codec", [1, 2])
def test_damaged_compression_is_corrupt_and_bounded(codec: int) -> None:
    rng = random.Random(codec)
    data = b"some words and some words " * 90
    packed = compress(codec, data)
    assert packed is not None
    assert decompress(codec, packed, len(data), "x") == data
    for _ in range(2000):
        size = rng.choice((len(data), 0, 1, len(data) - 1, len(data) + 1, 1 << 16))
        try:
            got: Any = decompress(codec, mutate(packed, rng), size, "x")
        except Corrupt:
            continue
        assert len(got) == size
    assert compress(codec, rng.randbytes(64)) is None


def test_a_memtable_refuses_what_is_not_for_it() -> None:
    table = memtable_of([[(b"a", b"1")]])
    state = lsm.Column(None, bytes(8), None, 0, 1, 8)
    merge = lsm.Operation(lsm.MERGE, 0, column([b"a"]), state, 0)
    record = lsm.encode_batch(lsm.Arena(), [merge], 0, 0)
    with pytest.raises(ValueError, match="does not fit"):
        table.insert(record, 0, b"")
    with pytest.raises(ValueError, match="has 1 rows"):
        lsm.Lookup(column([b"a"]), 9, b"", 0).memtable(table, 2)
