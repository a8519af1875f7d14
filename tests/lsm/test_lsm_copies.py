"""Checkpoints and ingests when the power goes or the disk refuses; merges that lose rows."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

import pyarrow as pa
import pytest
from lsm_life import Script, commit, contents, open_small

from mainstem.errors import Corrupt, MainstemError, Unavailable
from mainstem.kernels import lsm
from mainstem.lsm import Store, check, write_run
from mainstem.lsm.runs import StoredRun
from mainstem.testing.filesystem import CrashFileSystem, PowerCut


def filled(filesystem: CrashFileSystem) -> tuple[Store, Script]:
    script = Script(seed=31, steps=25)
    store = open_small(filesystem, sync="batch")
    for step in script.made:
        commit(store, step)
    return store, script


def calls_before() -> int:
    filesystem = CrashFileSystem()
    filled(filesystem)
    return filesystem.calls


def test_a_power_cut_leaves_a_whole_checkpoint_or_none() -> None:
    began, whole, call = calls_before(), 0, 0
    while not whole or call < 3:
        call += 1
        filesystem = CrashFileSystem(crash_at=began + call, seed=call)
        store, script = filled(filesystem)
        told = False
        with contextlib.suppress(PowerCut):
            store.checkpoint("copy")
            told = True
        whole += told
        after = filesystem.crash(call)
        again = open_small(after)
        assert contents(again) == script.made[-1].after, f"call {call}: the store itself"
        again.close()
        if not after.exists("copy/manifest"):
            assert not told, f"call {call}: a checkpoint was promised"
            continue
        copy = open_small(after, path="copy")
        assert contents(copy) == script.made[-1].after, f"call {call}: the copy"
        copy.close()


def test_a_power_cut_leaves_all_of_an_ingest_or_nothing() -> None:
    batch = pa.record_batch({"key": [b"in%02d" % n for n in range(40)], "value": [b"x"] * 40})
    began = 0
    for call in range(-1, 60, 2):
        filesystem = CrashFileSystem(seed=call + 2)
        store, script = filled(filesystem)
        write_run("store-in.run", [batch], filesystem=filesystem)
        filesystem.fsync_directory("")
        began = filesystem.calls
        filesystem.crash_at = began + call if call > 0 else 0
        told = False
        with contextlib.suppress(PowerCut):
            store.ingest("store-in.run")
            told = True
        after = filesystem.crash(call + 2)
        again = open_small(after)
        found = contents(again)["default"]
        with_run = {**script.made[-1].after["default"], **{b"in%02d" % n: b"x" for n in range(40)}}
        assert found in (script.made[-1].after["default"], with_run), f"call {call}"
        assert not told or found == with_run, f"call {call}: a promised ingest is gone"
        again.close()
        errors = [each for each in check("store", filesystem=after) if each.severity != "ok"]
        assert not errors, f"call {call}: {errors}"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_checkpoint_the_disk_refuses_harms_nothing(code: int) -> None:
    began = calls_before()
    for call in range(began + 1, began + 40, 3):
        filesystem = CrashFileSystem(
            fault=lambda number, what, path, at=call: (
                OSError(code, what, path) if number >= at and path.startswith("copy") else None
            )
        )
        store, script = filled(filesystem)
        with contextlib.suppress(MainstemError):
            store.checkpoint("copy")
        assert contents(store) == script.made[-1].after
        store.put(b"more", b"")
        filesystem.fault = None
        store.close()


def test_a_merge_that_reads_fewer_rows_than_its_files_have_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, script = filled(CrashFileSystem())
    store.flush()
    before = StoredRun.blocks

    def fewer(run: StoredRun, *bounds: bytes | None, **how: bool) -> Iterator[lsm.Block]:
        blocks = list(before(run, *bounds, **how))
        return iter(blocks[:-1])

    monkeypatch.setattr(StoredRun, "blocks", fewer)
    with pytest.raises(Unavailable, match="takes no writes"):
        store.compact()
    monkeypatch.undo()
    assert isinstance(store.state.failure, Corrupt)
    assert "a file lost some" in str(store.state.failure)
    assert contents(store) == script.made[-1].after
