"""Nobody waits for what others have to do: closing of files, manifests, slow disks."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest

from mainstem.lsm import BlockCache, FamilyOptions, Store, graves, scheduler
from mainstem.testing.filesystem import CrashFileSystem

KEYS = [b"%05d" % n for n in range(2000)]


def two_runs(path: Path, cache: BlockCache | None = None) -> Store:
    """A store of two runs that the next step merges."""
    store = Store.open(
        path,
        background="manual",
        sync="none",
        family_options=FamilyOptions(fan_in=2),
        cache=cache,
    )
    for value in (b"a" * 50, b"b" * 50):
        store.put_batch(KEYS, [value] * len(KEYS))
        with store.state.write_lock:
            store.state.seal()
        store.background.drain()
    return store


def unlinked(path: Path) -> list[str]:
    """Files below ``path`` that this process has open, though they have no name any more."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            target = str(each.readlink())
        except FileNotFoundError:
            continue
        if target.startswith(str(path)) and target.endswith("(deleted)"):
            found.append(target)
    return found


def test_the_last_reader_of_an_unlinked_file_does_not_close_it(tmp_path: Path) -> None:
    store = two_runs(tmp_path / "s")
    snapshot = store.snapshot()
    store.wait_idle()
    assert len(unlinked(tmp_path / "s")) == 2
    assert len(store.state.graves) == 0
    snapshot.close()
    del snapshot
    assert len(store.state.graves) == len(unlinked(tmp_path / "s")) == 2
    store.wait_idle()
    assert unlinked(tmp_path / "s") == []
    store.close()


def test_a_large_file_goes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graves, "_PIECE", 10_000)
    store = two_runs(tmp_path / "s")
    while store.stats().merges == 0:
        store.step()
    pieces = 0
    while store.step():
        pieces += 1
    assert pieces > 2 * 2000 * 55 // 10_000
    assert unlinked(tmp_path / "s") == []
    store.close()


def test_a_file_that_a_checkpoint_names_is_not_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graves, "_PIECE", 10_000)
    store = two_runs(tmp_path / "s")
    store.checkpoint(tmp_path / "copy")
    store.compact()
    store.wait_idle()
    store.close()
    with Store.open(tmp_path / "copy", create=False) as copy:
        assert copy.get_batch(KEYS).to_pylist() == [b"b" * 50] * len(KEYS)


def test_a_file_is_not_cut_while_a_snapshot_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graves, "_PIECE", 10_000)
    with two_runs(tmp_path / "s", cache=BlockCache(0)) as store:
        snapshot = store.snapshot()
        store.put_batch(KEYS, [b"c" * 50] * len(KEYS))
        store.compact()
        store.wait_idle()
        assert store.state.disk[0][0].size > 10_000
        assert snapshot.get_batch(KEYS).to_pylist() == [b"b" * 50] * len(KEYS)
        assert list(snapshot.values()) == [b"b" * 50] * len(KEYS)
        snapshot.close()


def test_a_file_is_not_cut_while_the_reader_of_a_checkpoint_has_it_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graves, "_PIECE", 10_000)
    with two_runs(tmp_path / "s", cache=BlockCache(0)) as store:
        store.checkpoint(tmp_path / "copy")
        cache = BlockCache(0)
        with Store.open(tmp_path / "copy", background="manual", cache=cache) as copy:
            snapshot = copy.snapshot()
            copy.compact()  # neither names the old files now
            copy.wait_idle()
            store.compact()
            store.wait_idle()
            assert snapshot.get_batch(KEYS).to_pylist() == [b"b" * 50] * len(KEYS)
            snapshot.close()


def test_files_go_with_their_last_reader_not_with_the_next_search_for_cycles(
    tmp_path: Path,
) -> None:
    store = two_runs(tmp_path / "s")
    assert store.get_batch(KEYS[:1]).to_pylist() == [b"b" * 50]  # index and filter are loaded
    gc.collect()
    gc.disable()
    try:
        store.wait_idle()
        assert unlinked(tmp_path / "s") == []
    finally:
        gc.enable()
    store.close()


@pytest.mark.parametrize("what", ["flush", "merge", "family"])
def test_commits_and_readers_do_not_wait_while_a_manifest_is_written(what: str) -> None:
    others: list[threading.Thread] = []

    def beside(_call: int, operation: str, path: str) -> None:
        if operation != "rename" or not path.endswith("manifest.tmp") or not armed:
            return
        armed.clear()
        other = threading.Thread(target=commit, daemon=True)
        other.start()
        other.join(timeout=30)
        others.append(other)

    def commit() -> None:
        if what != "family":  # families are made in order with commits
            store.put_batch([b"new"], [b"1"])
            assert store[b"new"] == b"1"
        assert store.get_batch(KEYS[:1]).to_pylist() == [b"old"]

    armed: list[bool] = []
    store = Store.open(
        "s",
        filesystem=CrashFileSystem(fault=beside),
        background="manual",
        family_options=FamilyOptions(fan_in=2),
    )
    for _ in range(2):
        store.put_batch(KEYS[:2], [b"old", b"old"])
        with store.state.write_lock:
            store.state.seal()
        if what == "flush":
            armed.append(True)
        store.background.drain()
    armed.append(True)
    if what == "family":
        store.family("f")
    else:
        store.put_batch([b"x"], [b"x"])
        store.wait_idle()
    assert others
    assert not any(each.is_alive() for each in others), "it waited for the manifest"
    store.close()


def test_workers_that_nobody_woke_are_asked_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows expire with time alone, and a reader who drops a snapshot wakes nobody."""
    monkeypatch.setattr(scheduler, "_IDLE", 0.001)
    asked = threading.Event()

    class Asleep:
        def step(self) -> bool:
            asked.set()
            return False

    class Woken:
        def step(self) -> bool:
            return False

    own, asleep, woken = scheduler.Scheduler(), Asleep(), Woken()
    own.add(asleep)
    own.add(woken)
    own.wake(woken)
    assert asked.wait(timeout=30)
    own.remove(asleep)
    own.remove(woken)
