"""The power goes at every call that changes something: what was promised is there, in order."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from lsm_life import FAMILIES, Script, commit, contents, open_small

from mainstem.errors import Corrupt, MainstemError
from mainstem.lsm import Store, check
from mainstem.testing.filesystem import CrashFileSystem, PowerCut


def live(filesystem: CrashFileSystem, script: Script, done: list[int], **options: Any) -> None:
    """Run ``script``, background work in between; ``done`` collects acknowledged commits."""
    store = open_small(filesystem, **options)
    for step in script.made:
        commit(store, step)
        done.append(step.number)
        for _ in range(step.number % 4):
            store.step()
    store.close()


def calls_of(script: Script, **options: Any) -> int:
    """How many calls that change something the whole life makes."""
    filesystem = CrashFileSystem()
    live(filesystem, script, [], **options)
    return filesystem.calls


def recovered(filesystem: CrashFileSystem, script: Script, promised: int, seed: int) -> int:
    """Check what is found after the power came back; returns which commit it is."""
    try:
        store = open_small(filesystem)
    except MainstemError as error:
        raise AssertionError(f"seed {seed}: {error}") from error
    reached = store.position.get("step", 0)
    states = script.states()
    assert promised <= reached <= len(script.made), f"seed {seed}: {promised} lost, got {reached}"
    assert contents(store) == states[reached], f"seed {seed}: not the state after {reached}"
    store.flush()
    for name in FAMILIES:
        store.family(name).compact()
    assert contents(store) == states[reached], f"seed {seed}: lost by merging"
    store.close()
    errors = [each for each in check("store", filesystem=filesystem) if each.severity != "ok"]
    assert not errors, f"seed {seed}: {errors}"
    return reached


def crash_everywhere(script: Script, stride: int, *, durable: bool, **options: Any) -> None:
    total = calls_of(script, **options)
    assert total > 50
    for call in range(1, total + 1, stride):
        seed = script.seed * 100_000 + call
        filesystem = CrashFileSystem(crash_at=call, seed=seed)
        done: list[int] = [0]
        with contextlib.suppress(PowerCut):
            live(filesystem, script, done, **options)
        after = filesystem.crash(seed)
        if not after.exists("store"):
            assert done == [0], f"seed {seed}: the store's directory is gone"
            continue
        recovered(after, script, done[-1] if durable else 0, seed)


@pytest.mark.parametrize("sync", ["batch", "group"])
def test_what_was_acknowledged_survives_a_power_cut(sync: str) -> None:
    crash_everywhere(Script(seed=3, steps=25), 9, durable=True, sync=sync)


def test_without_syncs_a_power_cut_leaves_a_prefix() -> None:
    crash_everywhere(Script(seed=4, steps=40), 7, durable=False, sync="none")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 14))
@pytest.mark.parametrize("sync", ["batch", "group", "none"])
def test_a_power_cut_at_every_call(seed: int, sync: str) -> None:
    crash_everywhere(Script(seed=seed, steps=30), 1, durable=sync != "none", sync=sync)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 60))
def test_power_cut_after_power_cut(seed: int) -> None:
    """Recovery itself is interrupted, again and again; each life goes on where the last ended."""
    script = Script(seed=seed, steps=60)
    filesystem = CrashFileSystem(seed=seed)
    reached = 0
    for life in range(8):
        filesystem.crash_at = 15 + 37 * ((seed + life) % 5)
        done = reached
        with contextlib.suppress(PowerCut):
            store = open_small(filesystem, sync="batch")
            done = max(done, store.position.get("step", 0))
            assert contents(store) == script.states()[done], f"seed {seed}, life {life}"
            for step in script.made[done:]:
                commit(store, step)
                done = step.number
                store.step()
        filesystem = filesystem.crash(seed * 31 + life)
        with contextlib.suppress(FileNotFoundError):
            reached = done
    recovered(filesystem, script, reached, seed)


def test_an_unsynced_store_that_is_closed_in_order_can_be_opened_whenever_the_power_goes() -> None:
    """Closing says how far the log went: segments of memtables not yet flushed must be there."""
    script = Script(seed=14, steps=60)
    quiet = CrashFileSystem()
    store = open_small(quiet, sync="none")
    for step in script.made:
        commit(store, step)
    assert len(store.state.frozen) > 2
    before = quiet.calls
    store.close()
    for call in range(before + 1, quiet.calls + 2):
        filesystem = CrashFileSystem(crash_at=call, seed=call)
        store, told = open_small(filesystem, sync="none"), 0
        with contextlib.suppress(PowerCut):
            for step in script.made:
                commit(store, step)
            store.close()
            told = len(script.made)
        for seed in range(40):
            again = open_small(filesystem.crash(seed), sync="none")
            reached = again.position.get("step", 0)
            assert told <= reached, f"call {call}, seed {seed}"
            assert contents(again) == script.states()[reached], f"call {call}, seed {seed}"
            again.close()


def test_an_external_log_is_replayed_from_the_position() -> None:
    script = Script(seed=8, steps=80)
    for call in range(5, 400, 23):
        filesystem = CrashFileSystem(crash_at=call, seed=call)
        with contextlib.suppress(PowerCut):
            live(filesystem, script, [], sync="external")
        after = filesystem.crash(call)
        if not after.exists("store"):
            continue
        store = open_small(after, sync="external")
        reached = store.position.get("step", 0)
        assert contents(store) == script.states()[reached], f"call {call}"
        for step in script.made[reached:]:
            commit(store, step)
        assert contents(store) == script.made[-1].after, f"call {call}"
        store.close()


def segments(filesystem: CrashFileSystem, script: Script) -> list[str]:
    """Live without any background work, then die: the log has several segments."""
    store = open_small(filesystem, sync="batch")
    for step in script.made:
        commit(store, step)
    filesystem.restart()
    names = [name for name in filesystem.listdir("store") if name.endswith(".log")]
    assert len(names) >= 3
    return names


def test_a_log_that_lost_its_middle_is_refused() -> None:
    script = Script(seed=11, steps=120)
    filesystem = CrashFileSystem()
    first, middle, *_ = segments(filesystem, script)
    for name in (first, middle):
        file = filesystem.open(f"store/{name}")
        whole = file.pread(0, file.size())
        file.truncate(len(whole) - 8)
        with pytest.raises(Corrupt, match="commits that were promised are lost"):
            open_small(filesystem)
        assert any(each.severity == "error" for each in check("store", filesystem=filesystem))
        file.truncate(0)
        file.pwrite(whole, 0)
    filesystem.unlink(f"store/{first}")
    with pytest.raises(Corrupt, match="it begins at commit"):
        open_small(filesystem)


@pytest.mark.parametrize("sync", ["batch", "group"])
def test_a_bad_record_that_later_ones_say_was_on_disk_is_refused(sync: str) -> None:
    script, filesystem = Script(seed=13, steps=6), CrashFileSystem()
    store = open_small(filesystem, sync=sync, memtable_bytes=1 << 20)
    for step in script.made:
        commit(store, step)
    filesystem.restart()
    name = [name for name in filesystem.listdir("store") if name.endswith(".log")][-1]
    file = filesystem.open(f"store/{name}")
    whole = file.pread(0, file.size())
    for at in (64 + 70, len(whole) // 2):
        file.pwrite(bytes((whole[at] ^ 1,)), at)
        with pytest.raises(Corrupt, match="commits that were promised are lost"):
            open_small(filesystem)
        assert any(each.severity == "error" for each in check("store", filesystem=filesystem))
        file.pwrite(whole[at : at + 1], at)
    assert contents(open_small(filesystem)) == script.made[-1].after


@pytest.mark.parametrize("seed", range(12))
def test_what_a_killed_process_left_unsynced_is_synced_before_more_is_promised(seed: int) -> None:
    script = Script(seed=12, steps=20)
    filesystem = CrashFileSystem()
    store = open_small(filesystem, sync="none")
    for step in script.made[:10]:
        commit(store, step)
    filesystem.restart()
    store = open_small(filesystem, sync="batch")
    for step in script.made[10:]:
        commit(store, step)
    recovered(filesystem.crash(seed), script, len(script.made), seed)


def test_a_killed_process_loses_nothing_that_reached_the_system() -> None:
    filesystem = CrashFileSystem()
    script = Script(seed=5, steps=50)
    store: Store | None = None
    for step in script.made:
        store = store or open_small(filesystem, sync="none")
        commit(store, step)
        if step.number % 7 == 0:
            filesystem.restart()
            store = None
            reopened = open_small(filesystem, sync="none")
            assert contents(reopened) == step.after, f"commit {step.number}"
            filesystem.restart()
