"""Sorting, memtables, blocks, filters and merges against plain Python."""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest
from crc32c import crc32c

from mainstem.kernels import lsm

MASK = (1 << 64) - 1
K0, K1 = 0xA0761D6478BD642F, 0xE7037ED1A0B428DB


def column(entries: list[bytes | None], kind: pa.DataType | None = None) -> lsm.Column:
    array = pa.array(entries, kind or pa.binary())
    buffers = array.buffers()
    width = -2 if kind == pa.large_binary() else -1
    return lsm.Column(buffers[1], buffers[2], buffers[0], 0, len(array), width)


def mix(a: int, b: int) -> int:
    product = a * b
    return (product ^ (product >> 64)) & MASK


def hash_key(key: bytes, seed: int) -> int:
    """The key hash as docs/formats-lsm.md tells it."""
    word = lambda at, size: int.from_bytes(key[at : at + size], "little")  # noqa: E731
    seed ^= K0
    at = 0
    while len(key) - at > 16:
        seed = mix(word(at, 8) ^ K1, word(at + 8, 8) ^ seed)
        at += 16
    left = len(key) - at
    if left >= 8:
        a, b = word(at, 8), word(at + left - 8, 8)
    elif left >= 4:
        a, b = word(at, 4), word(at + left - 4, 4)
    elif left:
        a, b = key[at] << 16 | key[at + (left >> 1)] << 8 | key[at + left - 1], 0
    else:
        a, b = 0, 0
    return mix(K1 ^ len(key), mix(a ^ K1, b ^ seed))


def keys_of(seed: int, count: int, style: str) -> list[bytes]:
    rng = random.Random(seed)
    styles: dict[str, Callable[[], bytes]] = {
        "numbers": lambda: rng.randrange(1 << 62).to_bytes(8, "big"),
        "text": lambda: b"user:%09d" % rng.randrange(10**6),
        "ragged": lambda: rng.randbytes(rng.randrange(12)),
        "zeros": lambda: bytes(rng.randrange(20)),
        "long": lambda: b"x" * 40 + rng.randbytes(rng.randrange(1, 4)) + b"y" * rng.randrange(9),
        "few": lambda: b"%d" % rng.randrange(5),
        "mixed": lambda: rng.choice((b"", b"a" * 30 + rng.randbytes(3), rng.randbytes(9))),
    }
    return [styles[style]() for _ in range(count)]


STYLES = ["numbers", "text", "ragged", "zeros", "long", "few", "mixed"]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("count", [0, 1, 2, 13, 300, 5000])
def test_rows_sort_as_bytes_do_and_the_last_of_equals_stays(style: str, count: int) -> None:
    keys = keys_of(count, count, style)
    values = [b"%d" % n for n in range(count)]
    rows = lsm.sorted_rows_of(column(list(keys)), column(list(values)))
    wanted = sorted(dict(zip(keys, values, strict=True)).items())
    assert [(key, value) for key, _, value, _ in lsm.describe(rows)] == wanted


def memtable_of(parts: list[list[tuple[bytes, bytes | None]]], seed: int = 9) -> lsm.Memtable:
    table = lsm.Memtable(seed)
    for part in parts:
        operation = lsm.Operation(
            lsm.PUT, 0, column([key for key, _ in part]), column([value for _, value in part]), 5
        )
        table.insert(lsm.encode_batch(lsm.Arena(), [operation], 64, 8), 64, b"")
    return table


@pytest.mark.parametrize("style", STYLES)
def test_a_memtable_is_a_dict_at_every_mark(style: str) -> None:
    rng = random.Random(4)
    keys = keys_of(1, 900, style)
    parts = [
        [(key, rng.choice((None, rng.randbytes(5)))) for key in keys[at : at + 90]]
        for at in range(0, 900, 90)
    ]
    table = memtable_of(parts)
    now: dict[bytes, bytes | None] = {}
    marks = 0
    for part in parts:
        now.update(part)
        marks += len(part)
        lookup = lsm.Lookup(column(list(keys)), 9, b"", 0)
        lookup.memtable(table, marks)
        offsets, data, validity, _ = lookup.values()
        lookup.close()
        found = pa.Array.from_buffers(
            pa.binary(),
            len(keys),
            [
                None if validity is None else pa.py_buffer(validity),
                pa.py_buffer(offsets),
                pa.py_buffer(data),
            ],
        )
        assert found.to_pylist() == [now.get(key) for key in keys]
        rows = lsm.describe(table.sorted_rows(0, marks))
        assert [(key, None if kind else value) for key, kind, value, _ in rows] == sorted(
            now.items()
        )


def test_the_hash_is_the_documented_one() -> None:
    for size in range(60):
        key = bytes(range(size))
        *_, hashes, _ = lsm.encode_blocks(lsm.sorted_rows_of(column([key]), None), 0, 1, 1, 256, 77)
        assert struct.unpack("<Q", bytes(hashes))[0] == hash_key(key, 77)


def split(joined: bytes, sizes: bytes) -> list[bytes]:
    """Keys that a kernel gave one behind the other."""
    offsets = struct.unpack(f"<{len(sizes) // 4 + 2}I", lsm.offsets_of(sizes, 0))
    return [joined[start:end] for start, end in itertools.pairwise(offsets[1:])]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("widths", ["same", "differ"])
def test_blocks_give_back_their_rows(style: str, widths: str) -> None:
    rng = random.Random(8)
    keys = sorted(set(keys_of(2, 700, style)))
    values = [rng.randbytes(10 if widths == "same" else rng.randrange(30)) for _ in keys]
    rows = lsm.sorted_rows_of(column(list(keys)), column(list(values)))
    data, entries, last_keys, sizes, _, end = lsm.encode_blocks(
        rows, 0, len(keys), 10**6, 500, 3, 1 << 40
    )
    assert end == len(keys)
    view = memoryview(data)
    got = []
    lasts = split(last_keys, sizes)
    start = 0
    for (position, stored, size, count, crc), last in zip(
        struct.iter_unpack("<QIIII", entries), lasts, strict=True
    ):
        assert (position, stored) == ((1 << 40) + start, size)
        assert crc == crc32c(bytes(view[start : start + size]))
        block = lsm.Block(bytes(view[start : start + size]))
        block.verify(3)
        content = lsm.describe(block.rows())
        assert (len(content), content[-1][0]) == (count, last)
        got += [(key, value) for key, _, value, _ in content]
        start += size
    assert got == list(zip(keys, values, strict=True))


def test_a_filter_never_denies_a_key_and_rarely_passes_another() -> None:
    keys = keys_of(5, 20_000, "numbers")
    rows = lsm.sorted_rows_of(column(list(keys)), None)
    _, entries, last, sizes, hashes, _ = lsm.encode_blocks(rows, 0, len(rows), 10**6, 1 << 16, 1)
    offsets = lsm.offsets_of(sizes, len(rows.key(0)))
    for bits, low, high in ((4, 0.1, 0.25), (10, 0.004, 0.014), (20, 0.0, 0.001)):
        lines, probes = lsm.build_filter([hashes], bits)
        index = struct.pack("<I", len(entries) // 24) + offsets[-4:] + entries
        index += offsets + rows.key(0) + last
        run = lsm.Run(index, lines, probes, 1)
        assert all(run.may_contain(key) for key in keys)
        wrong = sum(run.may_contain(key + b"!") for key in keys) / len(keys)
        assert low <= wrong <= high, f"{bits} bits: {wrong}"


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_merging_is_what_a_dict_does(seed: int, reverse: bool) -> None:
    rng = random.Random(seed)
    style = STYLES[seed % len(STYLES)]
    layers = []
    for _ in range(rng.randrange(1, 6)):
        part = {
            key: rng.choice((None, rng.randbytes(4)))
            for key in keys_of(rng.randrange(99), 200, style)
        }
        layers.append(part)
    masks = [lsm.Ranges([(b"3", b"5")] if rng.random() < 0.3 else []) for _ in layers]
    wanted: dict[bytes, bytes | None] = {}
    for part, mask in zip(reversed(layers), reversed(masks), strict=True):
        for key, value in part.items():
            wanted[key] = None if mask.contains(key) else value
    low, high = rng.choice(((None, None), (b"2", b"9"), (b"\x10", None)))
    merger = lsm.Merger(len(layers), 0, low, high, reverse, True, b"", 0)
    for part, mask in zip(layers, masks, strict=True):
        rows = lsm.sorted_rows_of(column(list(part)), column(list(part.values())))
        data, entries, *_ = lsm.encode_blocks(rows, 0, len(rows), 10**6, 300, 1)
        whole = memoryview(data)
        placed = struct.iter_unpack("<QIIII", entries)
        pieces = [lsm.Block(bytes(whole[at : at + size])) for at, size, *_ in placed]
        merger.add(iter(reversed(pieces) if reverse else pieces), mask, 0)
    got = [(key, value) for rows in drain(merger, rng) for key, _, value, _ in lsm.describe(rows)]
    assert got == sorted(
        (
            (key, value)
            for key, value in wanted.items()
            if value is not None and (low is None or key >= low) and (high is None or key < high)
        ),
        reverse=reverse,
    ), f"seed {seed}"


def drain(merger: lsm.Merger, rng: random.Random) -> Iterator[lsm.RowList]:
    while len(rows := merger.next_rows(rng.randrange(1, 60), rng.choice((1, 10**6)))):
        yield rows


def test_long_stretches_of_deletes_are_not_the_end() -> None:
    keys = [b"%05d" % n for n in range(5000)]
    rows = lsm.sorted_rows_of(column(list(keys)), column([None] * 4999 + [b"last"]))
    merger = lsm.Merger(1, 0, None, None, False, True, b"", 0)
    merger.add(iter([rows]), lsm.Ranges([(b"x", None)]), 0)
    assert lsm.describe(merger.next_rows(10, 1)) == [(b"04999", lsm.PUT, b"last", 0)]
    assert (merger.rows_in, merger.rows_out) == (5000, 1)


def test_offsets_are_sums_and_stay_below_four_gibibytes() -> None:
    assert lsm.offsets_of(b"", 7) == struct.pack("<II", 0, 7)
    assert lsm.offsets_of(struct.pack("<II", 2, 3), 7) == struct.pack("<IIII", 0, 7, 9, 12)
    with pytest.raises(OverflowError, match="2 blocks take 4294967296 bytes"):
        lsm.offsets_of(struct.pack("<II", 1, (1 << 32) - 2), 1)


def test_ranges_are_united() -> None:
    ranges = lsm.Ranges(
        [(b"c", b"e"), (b"a", b"b"), (b"d", b"f"), (b"x", b"x"), (b"k", None), (b"m", b"n")]
    )
    assert ranges.pairs == ((b"a", b"b"), (b"c", b"f"), (b"k", None))
    inside = [
        key
        for key in (b"", b"a", b"az", b"b", b"c", b"ez", b"f", b"k", b"zz")
        if ranges.contains(key)
    ]
    assert inside == [b"a", b"az", b"c", b"ez", b"k", b"zz"]


def test_evicted_blocks_wait_for_their_readers() -> None:
    rows = lsm.sorted_rows_of(column([b"k"]), column([b"v"]))
    data, _, _, _, hashes, _ = lsm.encode_blocks(rows, 0, 1, 1, 256, 1)
    index = struct.pack("<II", 1, 2) + bytes(24) + struct.pack("<III", 0, 1, 2) + b"kk"
    run = lsm.Run(index, *lsm.build_filter([hashes], 10), 1)
    run.install(0, lsm.Block(bytes(data)))
    lookup = lsm.Lookup(column([b"k"]), 1, b"", 0)
    assert lookup.run([run], lambda *_: []) == 0
    run.evict(0)
    assert lsm.retired_blocks() == 1
    assert bytes(lookup.values()[1]) == b"v"
    lookup.close()
    assert lsm.retired_blocks() == 0


def test_unequal_sortings_of_one_batch_are_refused() -> None:
    with pytest.raises(ValueError, match="a key is null"):
        lsm.Operation(lsm.PUT, 0, column([None]), column([b"v"]), 0)
    with pytest.raises(ValueError, match="1 keys but 2 values"):
        lsm.Operation(lsm.PUT, 0, column([b"k"]), column([b"v", b"w"]), 0)
    with pytest.raises(ValueError, match="damaged"):
        lsm.Column(struct.pack("<iii", 0, 5, 3), b"abcde", None, 0, 2, -1)
    with pytest.raises(ValueError, match="damaged"):
        lsm.Column(struct.pack("<ii", 0, 9), b"abcde", None, 0, 1, -1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, bytes(8), None, 0, 3, 4), "the data buffer is too short"),
        ((None, bytes(8), None, 1, 2, 4), "the data buffer is too short"),
        ((bytes(8), b"abc", None, 0, 2, -1), "the offsets buffer is too short"),
        ((bytes(8), b"abc", None, 0, 1, -2), "the offsets buffer is too short"),
        ((bytes(40), b"abc", b"\1", 0, 9, -1), "the validity buffer is too short"),
        ((struct.pack("<2i", 0, 4), b"abc", None, 0, 1, -1), "point outside"),
        ((struct.pack("<2q", -1, 3), b"abc", None, 0, 1, -2), "point outside"),
        ((struct.pack("<3i", 0, 2, 1), b"abc", None, 0, 2, -1), "point outside"),
    ],
)
def test_columns_whose_buffers_are_too_short_are_refused(
    arguments: tuple[bytes | None, bytes, bytes | None, int, int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        lsm.Column(*arguments)
