"""The disk refuses at every call: a clean error, reads that go on, and nothing lost."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from lsm_life import Script, commit, contents, open_small

from mainstem import filesystem as filesystems
from mainstem.errors import MainstemError, Unavailable
from mainstem.lsm import Store
from mainstem.testing.filesystem import CrashFileSystem


def run(filesystem: CrashFileSystem, script: Script, **options: Any) -> tuple[Store | None, int]:
    """Live until something is refused; the store (if it opened) and the last good commit."""
    reached = 0
    try:
        store = open_small(filesystem, **options)
    except MainstemError:
        return None, 0
    try:
        for step in script.made:
            commit(store, step)
            reached = step.number
            for _ in range(step.number % 4):
                store.step()
    except Unavailable:
        pass
    return store, reached


def refuse_everywhere(script: Script, code: int, stride: int, *, once: bool, sync: str) -> None:
    clean = CrashFileSystem()
    run(clean, script, sync=sync)
    for call in range(1, clean.calls + 1, stride):
        where = f"seed {script.seed}, errno {code}, call {call}"

        def fault(number: int, operation: str, path: str, at: int = call) -> OSError | None:
            hit = number == at if once else number >= at
            return OSError(code, operation, path) if hit else None

        filesystem = CrashFileSystem(fault=fault)
        store, reached = run(filesystem, script, sync=sync)
        states = script.states()
        if store is not None and store.state.failure is not None:
            # Read-only: what was acknowledged is served, what was not is not seen.
            assert contents(store) == states[reached], where
            with pytest.raises(Unavailable):
                store.put(b"more", b"")
        filesystem.fault = None
        filesystem.restart()
        after = filesystem.crash(call) if sync == "batch" else filesystem
        if not after.exists("store"):
            assert reached == 0, where
            continue
        again = open_small(after, sync=sync)
        kept = again.position.get("step", 0)
        # The commit that failed may have reached the disk, or not; those before it did.
        assert reached <= kept <= reached + 1, where
        assert contents(again) == states[kept], where
        again.close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_full_or_broken_disk_loses_nothing(code: int) -> None:
    refuse_everywhere(Script(seed=6, steps=25), code, 11, once=False, sync="batch")


@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("sync", ["batch", "group", "none"])
def test_refused_at_every_call(code: int, once: bool, sync: str) -> None:
    refuse_everywhere(Script(seed=7, steps=30), code, 1, once=once, sync=sync)


@pytest.mark.parametrize("capacity", [2_000, 9_000, 20_000])
def test_a_disk_that_fills_up_ends_in_a_clean_error(capacity: int) -> None:
    script = Script(seed=9, steps=120)
    filesystem = CrashFileSystem(capacity=capacity)
    store, reached = run(filesystem, script, sync="batch")
    assert store is not None
    assert reached < 120
    with pytest.raises(Unavailable, match="takes no writes"):
        store.put(b"more", b"")
    assert contents(store) == script.states()[reached]
    filesystem.capacity = None
    filesystem.restart()
    again = open_small(filesystem)
    assert contents(again) == script.states()[again.position.get("step", 0)]


def test_a_short_write_is_finished() -> None:
    class Stutter(CrashFileSystem):
        def open(self, path: str, *, create: bool = False) -> Any:
            file = super().open(path, create=create)
            whole = file.pwrite
            file.pwrite = lambda data, at: whole(memoryview(data).cast("B")[:7], at)  # type: ignore[method-assign]
            return file

    filesystem = Stutter()
    script = Script(seed=2, steps=12)
    store, reached = run(filesystem, script, sync="batch")
    assert store is not None
    assert reached == 12
    store.close()
    assert contents(open_small(filesystem)) == script.made[-1].after


def test_a_write_that_failed_before_the_last_sync_of_a_run_is_not_forgotten() -> None:
    """The system tells of it once: a sync that comes later may well succeed."""
    broken = [errno.EIO]

    def fault(_call: int, operation: str, path: str) -> OSError | None:
        return (
            OSError(broken.pop(), operation, path) if operation == "write_out" and broken else None
        )

    filesystem = CrashFileSystem(fault=fault)
    store = Store.open("s", filesystem=filesystem, background="manual", sync="batch")
    keys = [b"%06d" % n for n in range(6000)]
    store.put_batch(keys, [b"v" * 1000] * len(keys))
    with pytest.raises(Unavailable):
        store.flush()
    assert not broken
    again = Store.open("s", filesystem=filesystem.crash(1), background="manual")
    assert again.get_batch(keys).to_pylist() == [b"v" * 1000] * len(keys)
    again.close()


def test_writing_out_tells_what_the_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = filesystems.RealFileSystem().open(str(tmp_path / "f"), create=True)
    file.pwrite(b"v" * 5000, 0)
    file.write_out(0, 5000, wait=False)
    file.write_out(0, 5000, wait=True)
    answers = {errno.ENOSYS: False, errno.EINVAL: False, errno.EIO: True, errno.ENOSPC: True}
    for code, told in answers.items():
        monkeypatch.setattr(filesystems, "_sync_file_range", lambda code=code: lambda *_: code)
        if told:
            with pytest.raises(OSError) as caught:  # noqa: PT011 - its number says which
                file.write_out(0, 5000, wait=True)
            assert caught.value.errno == code
        else:
            file.write_out(0, 5000, wait=True)


def test_a_growing_file_is_written_behind_its_end() -> None:
    asked: list[tuple[int, int, bool]] = []

    class Asked:
        def write_out(self, position: int, size: int, *, wait: bool) -> None:
            asked.append((position, size, wait))

    behind = filesystems.WriteBehind()
    for mebibytes in range(1, 25):
        behind.grown(Asked(), mebibytes << 20)  # type: ignore[arg-type]
    started = [(at, size) for at, size, wait in asked if not wait]
    waited = [(at, size) for at, size, wait in asked if wait]
    assert started == [(at << 20, 4 << 20) for at in range(0, 24, 4)]
    assert waited == [(at << 20, 4 << 20) for at in range(0, 16, 4)]
