"""The log of a store that does not sync: zeros ahead of it, none behind what is sealed."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from lsm_life import Script, commit, contents, open_small

from mainstem.lsm import Store, check, log
from mainstem.testing.filesystem import CrashFileSystem, PowerCut


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_AHEAD", 4096)
    monkeypatch.setattr(log, "_AT_ONCE", 512)


def fill(store: Store, script: Script, first: int = 0) -> None:
    for step in script.made[first:]:
        commit(store, step)


def logs(filesystem: CrashFileSystem) -> list[str]:
    return [name for name in filesystem.listdir("store") if name.endswith(".log")]


def sizes(filesystem: CrashFileSystem) -> list[int]:
    return [filesystem.size(f"store/{name}") for name in logs(filesystem)]


def torn(filesystem: CrashFileSystem) -> list[str]:
    """Segments that do not end as they should, as ``check`` sees it."""
    found = check("store", filesystem=filesystem)
    return [each.path.name for each in found if each.severity != "ok"]


def test_zeros_are_ahead_of_a_busy_log_and_a_kill_leaves_all_commits() -> None:
    filesystem, script = CrashFileSystem(), Script(seed=1, steps=120)
    store = open_small(filesystem, sync="none", memtable_bytes=1 << 20)
    fill(store, script)
    assert max(sizes(filesystem)) % 4096 == 0
    assert max(sizes(filesystem)) > store.stats().log_bytes
    filesystem.restart()
    again = open_small(filesystem, sync="none", memtable_bytes=1 << 20)
    assert contents(again) == script.made[-1].after
    again.close()


def test_nothing_follows_the_last_record_of_a_closed_log() -> None:
    filesystem, script = CrashFileSystem(), Script(seed=2, steps=120)
    store = open_small(filesystem, sync="none", memtable_bytes=1 << 20)
    fill(store, script)
    size = store.stats().log_bytes
    assert sizes(filesystem)[-1] > size
    store.close()
    assert sizes(filesystem)[-1] == size


def sealed_and_followed(script: Script, sealed: int) -> CrashFileSystem:
    """A store that was killed after ``sealed`` steps in one segment and the rest in another."""
    filesystem = CrashFileSystem()
    store = open_small(filesystem, sync="none", memtable_bytes=1 << 20, background="manual")
    for number, step in enumerate(script.made):
        if number == sealed:
            size = store.stats().log_bytes
            with store.state.write_lock:
                store.state.seal()
            assert sizes(filesystem)[0] > size  # zeros, which nobody waits for to be cut
        commit(store, step)
    filesystem.restart()
    return filesystem


def test_zeros_behind_a_sealed_log_are_no_torn_end() -> None:
    script = Script(seed=5, steps=140)
    filesystem = sealed_and_followed(script, 120)
    assert torn(filesystem) == logs(filesystem)[1:]
    before = sizes(filesystem)[0]
    again = open_small(filesystem, sync="none", memtable_bytes=1 << 20, background="manual")
    assert contents(again) == script.made[-1].after
    assert sizes(filesystem)[0] < before
    again.close()
    assert not torn(filesystem)


def test_zeros_in_place_of_the_last_records_of_a_sealed_log_end_it() -> None:
    script = Script(seed=6, steps=140)
    filesystem = sealed_and_followed(script, 120)
    file = filesystem.open(f"store/{logs(filesystem)[0]}")
    data = file.pread(0, file.size())
    last = data.rindex(b"REC1")
    file.pwrite(bytes(len(data) - last), last)
    assert torn(filesystem) == logs(filesystem)[:1]
    again = open_small(filesystem, sync="none", memtable_bytes=1 << 20)
    assert again.position["step"] == 119
    assert contents(again) == script.states()[119]
    again.close()


def test_a_synced_log_writes_no_zeros() -> None:
    filesystem, script = CrashFileSystem(), Script(seed=3, steps=120)
    store = open_small(filesystem, sync="group", memtable_bytes=1 << 20)
    fill(store, script)
    assert sizes(filesystem)[-1] == store.stats().log_bytes


def test_a_disk_without_room_for_zeros_still_takes_commits() -> None:
    filesystem, script = CrashFileSystem(), Script(seed=4, steps=60)
    store = open_small(filesystem, sync="none", memtable_bytes=1 << 20)
    fill(store, script)
    full = CrashFileSystem(capacity=store.stats().log_bytes + 3000)
    store = open_small(full, sync="none", memtable_bytes=1 << 20)
    fill(store, script)
    assert store.stats().failure is None
    assert contents(store) == script.made[-1].after


@pytest.mark.parametrize("seed", range(3))
def test_a_power_cut_leaves_a_prefix(seed: int) -> None:
    script = Script(seed=seed, steps=150)
    for call in range(5, 400, 13):
        filesystem = CrashFileSystem(crash_at=call, seed=call)
        with contextlib.suppress(PowerCut):
            store = open_small(filesystem, sync="none", memtable_bytes=40 << 10)
            for step in script.made:
                commit(store, step)
                store.step()
            store.close()
        after = filesystem.crash(call)
        if not after.exists("store"):
            continue
        again = open_small(after, sync="none")
        reached = again.position.get("step", 0)
        assert contents(again) == script.states()[reached], f"seed {seed}, call {call}"
        again.close()


def test_a_large_store_on_disk_lives_with_zeros(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s", sync="none", memtable_bytes=1 << 18) as store:
        for number in range(300):
            store.put_batch([b"%d-%d" % (number, n) for n in range(20)], [b"v" * 20] * 20)
        assert len(list(store)) == 6000
    with Store.open(tmp_path / "s") as store:
        assert len(list(store)) == 6000
