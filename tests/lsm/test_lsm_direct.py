"""Lookups that read blocks from real files themselves: the same answers, the same complaints."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from mainstem.errors import Corrupt, Invalid, Unavailable
from mainstem.filesystem import RealFile
from mainstem.kernels import lsm
from mainstem.lsm import BlockCache, FamilyOptions, Store, set_lookup_threads
from mainstem.lsm.runs import LoadedRun, StoredRun

ROWS = 3000
SEED = 20261123
BLOCK = 512


@pytest.fixture(autouse=True, params=[1, 2, 8], ids=lambda count: f"{count} threads")
def lookup_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = lsm.set_helpers(0)
    set_lookup_threads(request.param)
    yield request.param
    lsm.set_helpers(before)


def key(number: int) -> bytes:
    return b"%06d" % number


def full_store(path: Path, budget: int, **options: object) -> Store:
    """Even keys, of values of many sizes, in one run of several hundred blocks."""
    store = Store.open(
        path,
        sync="none",
        background="manual",
        cache=BlockCache(budget),
        family_options=FamilyOptions(block_bytes=BLOCK, **options),  # type: ignore[arg-type]
    )
    rng = random.Random(SEED)
    keys = [key(2 * n) for n in range(ROWS)]
    store.put_batch(keys, [rng.randbytes(n % 61) for n in range(ROWS)])
    store.compact()
    return store


@cache
def values() -> dict[bytes, bytes]:
    rng = random.Random(SEED)
    return {key(2 * n): rng.randbytes(n % 61) for n in range(ROWS)}


def only_run(store: Store) -> StoredRun:
    [layer] = store.state.disk[0]
    [file] = layer.files
    return file  # type: ignore[no-any-return]


def damage(store: Store, change: int, block: int = 0) -> None:
    """Turn a bit of a stored block, ``change`` bytes from where it begins."""
    file = only_run(store)
    at = file.run.entry(block)[0] + change
    held = file.body.file.pread(at, 1)
    file.body.file.pwrite(bytes([held[0] ^ 1]), at)


@pytest.mark.parametrize("budget", [0, 3000, 20_000, 1 << 20])
@pytest.mark.parametrize("batch", [1, 7, 256, 5000])
@pytest.mark.parametrize("codec", ["none", "lz4"])
def test_answers_are_those_of_a_dictionary(
    tmp_path: Path, budget: int, batch: int, codec: str
) -> None:
    known, rng = values(), random.Random(SEED + batch)
    with full_store(tmp_path / "s", budget, codec=codec) as store:
        for _ in range(max(3, 60 // batch)):
            asked = [key(rng.randrange(2 * ROWS + 9)) for _ in range(batch)]
            expected = [known.get(each) for each in asked]
            assert store.get_batch(asked).to_pylist() == expected, f"seed {SEED + batch}"
            assert store.state.cache.used <= budget


def test_nothing_of_it_goes_through_python_while_blocks_are_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with full_store(tmp_path / "s", 3000) as store:
        _ = only_run(store).run
        monkeypatch.setattr(RealFile, "pread", None)
        asked = list(values())
        assert store.get_batch(asked).to_pylist() == list(values().values())


@pytest.mark.parametrize("change", [0, 5, 70, 300])
@pytest.mark.parametrize("block", [0, 40])
def test_a_damaged_block_is_named_and_the_others_are_read(
    tmp_path: Path, change: int, block: int
) -> None:
    with full_store(tmp_path / "s", 0) as store:
        run = only_run(store).run
        first = b"" if block == 0 else run.key_after(block - 1)
        inside = [each for each in values() if first < each <= run.key_after(block)]
        others = [each for each in values() if each not in inside]
        damage(store, change, block)
        with pytest.raises(Corrupt, match=rf"block {block} of .*checksum"):
            store.get_batch(list(values()))
        with pytest.raises(Corrupt, match=rf"block {block} of .*checksum"):
            store.get(inside[-1])
        assert store.get_batch(others).to_pylist() == [values()[each] for each in others]


def test_a_file_that_was_cut_is_said_to_be(tmp_path: Path) -> None:
    with full_store(tmp_path / "s", 0) as store:
        file = only_run(store)
        last = file.run.max_key
        assert store.get(last) is not None  # what was read stays where the next read goes
        file.body.file.truncate(file.run.entry(file.run.block_count - 1)[0] + 64)
        with pytest.raises(Corrupt, match="ends before byte"):
            store.get(last)
        assert store.get(key(0)) is not None


def test_a_descriptor_that_cannot_be_read_is_left_to_python(tmp_path: Path) -> None:
    with full_store(tmp_path / "s", 0) as store:
        file = only_run(store)
        file.run.read_from(1 << 20, file.footer.index_offset)  # no such descriptor
        assert store.get_batch(list(values())).to_pylist() == list(values().values())


def test_blocks_behind_the_end_of_blocks_are_not_read_by_kernels(tmp_path: Path) -> None:
    with full_store(tmp_path / "s", 0) as store:
        file = only_run(store)
        file.run.read_from(file.body.file.fileno(), file.run.entry(3)[0] + 64)
        asked, loaded = list(values()), []
        load = type(file.run).load

        def watch(run: object, blocks: list[int], **more: bool) -> object:
            loaded.extend(blocks)
            return load(run, blocks, **more)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(file.run), "load", watch)
            assert store.get_batch(asked).to_pylist() == list(values().values())
        assert sorted(loaded) == list(range(3, file.run.block_count))


def test_an_error_of_the_disk_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    with full_store(tmp_path / "s", 0) as store:
        file = only_run(store)
        file.run.read_from(1 << 20, file.footer.index_offset)
        monkeypatch.setattr(RealFile, "pread", fail)
        with pytest.raises(Unavailable, match="cannot be read"):
            store.get(key(0))


def test_a_cache_with_room_keeps_every_block(tmp_path: Path) -> None:
    with full_store(tmp_path / "s", 1 << 20) as store:
        store.get_batch(list(values()))
        before = store.state.cache.misses
        assert before >= only_run(store).run.block_count
        store.get_batch(list(values()))
        assert store.state.cache.misses == before


def test_blocks_read_in_turn_do_not_drive_each_other_out_of_a_smaller_cache(tmp_path: Path) -> None:
    with full_store(tmp_path / "s", 60_000) as store:
        blocks = only_run(store).run.block_count
        for _ in range(3):
            store.get_batch(list(values()))
        before = store.state.cache.misses
        for _ in range(10):
            store.get_batch(list(values()))
        assert store.state.cache.misses - before < 9.5 * blocks
        assert store.state.cache.used > 40_000


def test_readers_in_many_threads_get_what_is_there(tmp_path: Path) -> None:
    known = values()
    wrong: list[object] = []
    with full_store(tmp_path / "s", 10_000) as store:

        def read(seed: int) -> None:
            rng = random.Random(seed)
            for _ in range(100):
                asked = [key(rng.randrange(2 * ROWS)) for _ in range(64)]
                if store.get_batch(asked).to_pylist() != [known.get(each) for each in asked]:
                    wrong.append(seed)

        threads = [threading.Thread(target=read, args=(SEED + n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_blocks_larger_than_what_is_read_at_once_are_left_to_python(tmp_path: Path) -> None:
    large = {key(n): bytes([n]) * (n * 70_000) for n in range(9)}
    with Store.open(tmp_path / "s", sync="none", background="manual", cache=BlockCache(0)) as store:
        store.put_batch(list(large), list(large.values()))
        store.compact()
        loaded: list[int] = []
        load = LoadedRun.load

        def watch(run: LoadedRun, blocks: list[int], **more: bool) -> object:
            loaded.extend(blocks)
            return load(run, blocks, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LoadedRun, "load", watch)
            assert store.get_batch(list(large)).to_pylist() == list(large.values())
        run = only_run(store).run
        assert sorted(loaded) == [run.block_at(key(n)) for n in range(2, 9)]


def test_helpers_take_part_of_a_lookup(tmp_path: Path, lookup_threads: int) -> None:
    known = values()
    with full_store(tmp_path / "s", 0) as store:
        before = lsm.joins()
        for _ in range(10_000 if lookup_threads > 1 else 3):
            assert store.get_batch(list(known)).to_pylist() == list(known.values())
            if lsm.joins() > before:
                break
        assert (lsm.joins() > before) == (lookup_threads > 1)


@pytest.mark.parametrize("times", [1, 40, 1000])
def test_a_block_asked_for_by_many_keys_is_read_once(tmp_path: Path, times: int) -> None:
    known = dict(list(values().items())[: 60_000 // times])
    with full_store(tmp_path / "s", 0) as store:
        run, before = only_run(store).run, store.state.cache.misses
        asked = [each for each in known for _ in range(times)]
        assert store.get_batch(asked).to_pylist() == [known[each] for each in asked]
        blocks = {run.block_at(each) for each in known}
        assert store.state.cache.misses - before == len(blocks)


def test_few_keys_wake_nobody(tmp_path: Path) -> None:
    with full_store(tmp_path / "s", 0) as store:
        before = lsm.joins()
        for number in range(300):
            assert store.get(key(2 * number)) is not None
        assert lsm.joins() == before


def test_a_forked_process_has_helpers_of_its_own(tmp_path: Path, lookup_threads: int) -> None:
    def helped(place: Path) -> bool:
        known, before = values(), lsm.joins()
        with full_store(place, 0) as store:
            for _ in range(10_000 if lookup_threads > 1 else 3):
                if store.get_batch(list(known)).to_pylist() != list(known.values()):
                    return False
                if lsm.joins() > before:
                    break
        return (lsm.joins() > before) == (lookup_threads > 1)

    assert helped(tmp_path / "s")
    child = os.fork()
    if not child:
        good = False
        try:
            good = helped(tmp_path / "other")
        finally:
            os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("count", [0, 9, -1, True, 2.0, "2"])
def test_a_number_of_threads_that_cannot_be_is_refused(count: object) -> None:
    with pytest.raises(Invalid, match="ask for 1 to 8"):
        set_lookup_threads(count)  # type: ignore[arg-type]
