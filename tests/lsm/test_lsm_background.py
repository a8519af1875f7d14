"""Background work: one thread, slices, no cliff in back-pressure, one budget, codecs by level."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mainstem.lsm import (
    BlockCache,
    FamilyOptions,
    Store,
    cache,
    check,
    set_memory_budget,
)
from mainstem.lsm.footer import FOOTER, Footer
from mainstem.testing.filesystem import CrashFileSystem


def test_all_stores_of_a_process_share_one_background_thread(tmp_path: Path) -> None:
    stores = [Store.open(tmp_path / f"s{n}", sync="none", memtable_bytes=1 << 14) for n in range(5)]
    most = 0
    for number in range(60):
        for store in stores:
            store.put_batch([b"%d-%d" % (number, n) for n in range(40)], [b"v" * 50] * 40)
        names = [each.name for each in threading.enumerate()]
        most = max(most, names.count("mainstem-lsm"))
    assert most == 1
    for store in stores:
        store.wait_idle()
        assert store.stats().flushes > 0
        store.close()


def test_a_slice_is_a_small_part_of_a_large_merge() -> None:
    store = Store.open(
        "s",
        filesystem=CrashFileSystem(),
        background="manual",
        slice_bytes=1 << 14,
        family_options=FamilyOptions(fan_in=2),
    )
    for part in range(2):
        store.put_batch([b"%06d" % (2 * n + part) for n in range(10_000)], [b"v" * 90] * 10_000)
        store.flush()
    slices = 0
    while store.step():
        slices += 1
        assert len(store.stats().families[0].levels) == (2 if store.stats().merges == 0 else 1)
    assert slices > 50


def test_the_budget_is_of_all_stores_and_their_memtables() -> None:
    before = cache.SHARED.budget
    try:
        set_memory_budget(1 << 20)
        stores = [
            Store.open(f"s{n}", filesystem=CrashFileSystem(), background="inline") for n in range(2)
        ]
        keys = [b"%05d" % n for n in range(8000)]
        for store in stores:
            store.put_batch(keys, [b"v" * 90] * len(keys))
            store.flush()
            assert store.get_batch(keys).null_count == 0
        assert 0 < cache.SHARED.used <= 1 << 20
        cached = cache.SHARED.used
        stores[0].put_batch(keys, [b"w" * 90] * len(keys))
        assert cache.SHARED.reserved > 500_000
        assert cache.SHARED.used < cached
        for store in stores:
            store.close()
        assert cache.SHARED.reserved == 0
    finally:
        set_memory_budget(before)


def test_the_last_level_and_those_above_have_codecs_of_their_own() -> None:
    filesystem = CrashFileSystem()
    options = FamilyOptions(codec="zstd", upper_codec="lz4")
    store = Store.open("s", filesystem=filesystem, background="manual", family_options=options)

    def codecs() -> set[int]:
        found = set()
        for name in filesystem.listdir("s"):
            if name.endswith(".run"):
                file = filesystem.open(f"s/{name}")
                tail = file.pread(file.size() - FOOTER.size, FOOTER.size)
                found.add(Footer(*FOOTER.unpack(tail)).codec)
        return found

    store.put_batch([b"%05d" % n for n in range(900)], [b"same" * 9] * 900)
    store.flush()
    assert codecs() == {1}
    store.compact()
    assert codecs() == {2}


def test_checkpoints_are_hard_links(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        store.put_batch([b"a"], [b"1"])
        store.checkpoint(tmp_path / "copy")
        runs = list((tmp_path / "copy").glob("*.run"))
        assert runs
        for run in runs:
            assert run.stat().st_ino == (tmp_path / "s" / run.name).stat().st_ino


def test_evicted_blocks_are_read_again() -> None:
    store = Store.open(
        "s", filesystem=CrashFileSystem(), background="manual", cache=BlockCache(30_000)
    )
    keys = [b"%05d" % n for n in range(4000)]
    store.put_batch(keys, keys)
    store.compact()
    for _ in range(3):
        for at in range(0, 4000, 500):
            assert store.get_batch(keys[at : at + 500]).to_pylist() == keys[at : at + 500]
    assert store.stats().cache_evictions > 0


@pytest.mark.parametrize("steps", range(1, 12))
def test_what_closing_interrupts_leaves_no_files(steps: int) -> None:
    """A merge of several groups, a flush of several families: some files are finished already."""
    filesystem = CrashFileSystem()
    with Store.open("s", filesystem=filesystem, background="manual", slice_bytes=1 << 10) as store:
        families = [store.family(f"f{n}", fan_in=2, block_bytes=256) for n in range(3)]
        for part in range(2):
            for family in families:
                keys = [b"%d-%02d" % (group, 2 * n + part) for group in range(6) for n in range(9)]
                family.put_batch(keys, [b"v" * 40] * len(keys))
            if part == 0:
                store.flush()
        with store.state.write_lock:
            store.state.seal()
        for _ in range(steps):
            store.step()
    assert [each.severity for each in check("s", filesystem=filesystem)] == ["ok"]
