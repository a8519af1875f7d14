"""Bytes whose checksums hold but whose content cannot be: refused by name, never followed."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from crc32c import crc32c
from lsm_life import Script, commit, open_small

from mainstem.errors import Corrupt
from mainstem.kernels import lsm
from mainstem.lsm import BlockCache, Store
from mainstem.lsm import manifest as manifests
from mainstem.lsm.codecs import compress, decompress
from mainstem.lsm.footer import FOOTER, read_footer
from mainstem.lsm.log import SegmentReader
from mainstem.lsm.manifest import FamilyRecord, FileRecord, LayerRecord, Manifest
from mainstem.lsm.options import FamilyOptions
from mainstem.lsm.runs import StoredRun
from mainstem.testing.filesystem import CrashFileSystem

SEGMENT = 2  # of a new store, whose opening begins a second one


def log_of_three() -> tuple[bytearray, int]:
    """A segment with three commits, and the id of its store."""
    filesystem, script = CrashFileSystem(), Script(seed=1, steps=3)
    store = open_small(filesystem, sync="batch", memtable_bytes=1 << 20)
    for step in script.made:
        commit(store, step)
    number = store.state.manifest.store
    name = next(name for name in filesystem.listdir("store") if name.endswith(".log"))
    file = filesystem.open(f"store/{name}")
    data = bytearray(file.pread(0, file.size()))
    assert len(list(SegmentReader(bytes(data), "x", number, SEGMENT))) == 3
    return data, number


def second_record(data: bytearray) -> int:
    return 64 + int(struct.unpack_from("<Q", data, 64 + 8)[0])


def seal_record(data: bytearray, at: int) -> None:
    size = struct.unpack_from("<Q", data, at + 8)[0]
    crc = crc32c(bytes(data[at + 8 : at + size]), crc32c(b"REC1"))
    struct.pack_into("<I", data, at + 4, crc)


def test_a_log_of_another_store_or_place_is_refused() -> None:
    data, store = log_of_three()
    for of_store, segment in ((store + 1, SEGMENT), (store, SEGMENT + 1)):
        with pytest.raises(Corrupt, match="belongs to another store or place"):
            SegmentReader(bytes(data), "x", of_store, segment)


def test_commits_that_skip_a_number_are_refused() -> None:
    data, store = log_of_three()
    at = second_record(data)
    size = struct.unpack_from("<Q", data, at + 8)[0]
    struct.pack_into("<Q", data, at + 16, 7)
    struct.pack_into("<Q", data, at + size - 8, 7 ^ 0x5AFE_C0DE_D00D_BEA7)
    seal_record(data, at)
    with pytest.raises(Corrupt, match="goes from commit 1 to 7"):
        list(SegmentReader(bytes(data), "x", store, SEGMENT))


def test_a_record_that_says_more_was_synced_than_was_written_is_refused() -> None:
    data, store = log_of_three()
    at = second_record(data)
    struct.pack_into("<Q", data, at + 24, 1 << 40)
    seal_record(data, at)
    with pytest.raises(Corrupt, match="were synced"):
        list(SegmentReader(bytes(data), "x", store, SEGMENT))


def file(number: int) -> FileRecord:
    return FileRecord(number, 512, 1, b"a", b"b", 0)


def family(number: int, name: str, *files: FileRecord) -> FamilyRecord:
    return FamilyRecord(number, name, FamilyOptions(), (), (LayerRecord(0, files),))


@pytest.mark.parametrize(
    "change",
    [
        {"families": (family(0, "a", file(1)), family(1, "b", file(1)))},
        {"families": (family(0, "a", file(9)),)},
        {"families": (family(0, "a"), family(1, "a"))},
        {"families": (family(0, "a"), family(0, "b"))},
        {"families": (family(1 << 16, "a"),)},
        {"seed": 1 << 64},
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    sound = Manifest(1, 2, 0, 0, 9, 1, 0, {}, (family(0, "default", file(1)),))
    assert manifests.decode(manifests.encode(sound), "m") == sound
    with pytest.raises(Corrupt, match=r"contradicts itself|does not hold a manifest"):
        manifests.decode(manifests.encode(msgspec.structs.replace(sound, **change)), "m")


def small_run() -> tuple[CrashFileSystem, FileRecord]:
    """A run of several blocks."""
    filesystem = CrashFileSystem()
    store = Store.open(
        "s",
        filesystem=filesystem,
        background="manual",
        family_options=FamilyOptions(block_bytes=256),
    )
    store.put_batch([b"%03d" % n for n in range(200)], [b"v" * 9] * 200)
    store.compact()
    record: FileRecord = store.state.disk[0][0].files[0].record
    return filesystem, record


def forge(
    filesystem: CrashFileSystem, record: FileRecord, change: Callable[[bytearray, int], None]
) -> StoredRun:
    """Change the run's index (data, where it begins), and make every checksum right again."""
    path = f"s/{record.id:012d}.run"
    held = filesystem.open(path)
    data = bytearray(held.pread(0, held.size()))
    footer = read_footer(bytes(data[-FOOTER.size :]), len(data), path)
    change(data, footer.index_offset)
    crc = crc32c(bytes(data[footer.index_offset : footer.filter_offset]))
    changed = FOOTER.pack(*footer._replace(index_crc=crc))
    seal = crc32c(changed[:-4])
    data[-FOOTER.size :] = changed[:-4] + struct.pack("<I", seal)
    held.pwrite(data, 0)
    new = msgspec.structs.replace(record, crc=seal)
    return StoredRun(filesystem, "s", new, BlockCache(0))  # type: ignore[arg-type]


@pytest.mark.parametrize("offset", [0, 63, 65, 1 << 40])
def test_an_index_that_points_outside_the_blocks_is_refused(offset: int) -> None:
    def change(data: bytearray, index: int) -> None:
        struct.pack_into("<Q", data, index + 8, offset)

    run = forge(*small_run(), change)
    with pytest.raises(Corrupt, match="points outside its blocks"):
        run.run.load([0])


def test_a_block_of_other_rows_than_the_index_says_is_refused() -> None:
    def change(data: bytearray, index: int) -> None:
        rows = struct.unpack_from("<I", data, index + 8 + 16)[0]
        struct.pack_into("<I", data, index + 8 + 16, rows + 1)

    run = forge(*small_run(), change)
    with pytest.raises(Corrupt, match=r"it has \d+ rows, not"):
        run.run.load([0])


def test_a_run_of_other_keys_than_its_manifest_says_is_refused() -> None:
    filesystem, record = small_run()
    other = msgspec.structs.replace(record, max_key=b"zzz")
    with pytest.raises(Corrupt, match="does not hold the keys its manifest says"):
        _ = StoredRun(filesystem, "s", other, BlockCache(0)).run


@pytest.mark.parametrize(
    "change",
    [
        {"file_size": 1},
        {"codec": 3},
        {"head_size": 0},
        {"index_offset": 0},
        {"index_offset": 1 << 20},
        {"index_offset": 65},
        {"filter_offset": 64},
        {"filter_size": 1 << 20},
        {"zeros": b"\1" + bytes(55)},
    ],
)
def test_a_footer_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    filesystem, record = small_run()
    held = filesystem.open(f"s/{record.id:012d}.run")
    footer = read_footer(held.pread(record.size - FOOTER.size, FOOTER.size), record.size, "r")
    packed = FOOTER.pack(*footer._replace(**change))
    packed = packed[:-4] + struct.pack("<I", crc32c(packed[:-4]))
    with pytest.raises(Corrupt, match="contradicts itself"):
        read_footer(packed, record.size, "r")


def test_a_file_that_ends_early_is_told_from_one_that_is_damaged() -> None:
    filesystem, record = small_run()
    run = StoredRun(filesystem, "s", record, BlockCache(0))
    with pytest.raises(Corrupt, match="ends before byte"):
        run.body.read(record.size - 8, 64)


@pytest.mark.parametrize("codec", [1, 2])
@pytest.mark.parametrize("more", [-1, 1, 1000])
def test_a_block_that_unpacks_to_another_size_is_refused(codec: int, more: int) -> None:
    data = b"same" * 50
    packed = compress(codec, data)
    assert packed is not None
    with pytest.raises(Corrupt, match=r"not|decompress"):
        decompress(codec, packed, len(data) + more, "x")


def block_of(values: list[bytes | None]) -> bytearray:
    keys = b"".join(b"%03d" % n for n in range(len(values)))
    key_column = lsm.Column(None, keys, None, 0, len(values), 3)
    data = b"".join(value or b"" for value in values)
    ends = [sum(len(value or b"") for value in values[:n]) for n in range(len(values) + 1)]
    valid = sum(1 << n for n, value in enumerate(values) if value is not None)
    value_column = lsm.Column(
        struct.pack(f"<{len(ends)}i", *ends), data, valid.to_bytes(8, "little"), 0, len(values), -1
    )
    rows = lsm.sorted_rows_of(key_column, value_column)
    return bytearray(lsm.encode_blocks(rows, 0, len(rows), 1, 1 << 16, 1)[0])


def test_a_block_whose_hash_table_is_full_is_refused() -> None:
    data = block_of([b"v"] * 9)
    slots = struct.unpack_from("<I", data, 16)[0]
    struct.pack_into(f"<{slots}H", data, 64, *(n % 9 + 1 for n in range(slots)))
    with pytest.raises(ValueError, match="its hash table is full"):
        lsm.Block(bytes(data))


def test_a_block_with_a_row_of_no_known_kind_is_refused() -> None:
    data = block_of([b"v"] * 8 + [None])
    slots = struct.unpack_from("<I", data, 16)[0]
    assert data[64 + 2 * slots + 8] == lsm.DELETE
    data[64 + 2 * slots + 8] = 7
    with pytest.raises(ValueError, match="of no known kind"):
        lsm.Block(bytes(data))


def test_rows_out_of_order_are_not_written() -> None:
    data = block_of([b"v"] * 9)
    data = data.replace(b"003004", b"004003")
    rows = lsm.Block(bytes(data)).rows()
    with pytest.raises(ValueError, match="not above the one before"):
        lsm.encode_blocks(rows, 0, len(rows), 9, 1 << 16, 1)
    with pytest.raises(ValueError, match="is damaged"):
        lsm.Block(bytes(data)).verify(1)


def test_columns_whose_sizes_overflow_together_are_refused() -> None:
    """Keys and values of 2^63 bytes each, which add up to what is there modulo 2^64."""
    rows, key_width, value_width, size = 2147506816, 4294920968, 4294920953, 481920
    assert rows * (key_width + value_width) == (1 << 64) + size
    data = bytearray(64 + size)
    struct.pack_into("<BBHIII", data, 0, lsm.PUT, 0, 0, rows, key_width, value_width)
    struct.pack_into("<QQqQ", data, 16, rows * key_width, rows * value_width, 0, len(data))
    with pytest.raises(ValueError, match="is damaged"):
        lsm.read_operation(data, 0)
