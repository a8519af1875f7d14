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


class Linking(CrashFileSystem):
    """With second names for files, as real file systems have."""

    def link(self, source: str, target: str) -> None:
        parent, name = self._parent(source)
        other, new = self._parent(target)
        after = self.begin("link", target)
        other.change("", new, parent.entries[name])
        after()


KINDS = pytest.mark.parametrize("kind", [CrashFileSystem, Linking])
FEW, MANY = 4, 60  # ways the power may go; many where names may be lost out of order


def filled(filesystem: CrashFileSystem) -> tuple[Store, Script]:
    script = Script(seed=31, steps=25)
    store = open_small(filesystem, sync="batch")
    for step in script.made:
        commit(store, step)
    return store, script


@KINDS
def test_a_power_cut_leaves_a_whole_checkpoint_or_none(kind: type[CrashFileSystem]) -> None:
    quiet = kind()
    filled(quiet)
    told, call = False, quiet.calls
    while not told:
        call += 1
        filesystem = kind(crash_at=call, seed=call)
        store, script = filled(filesystem)
        with contextlib.suppress(PowerCut):
            store.checkpoint("copy")
            told = True
        for seed in range(MANY):
            after, where = filesystem.crash(seed), f"call {call}, seed {seed}"
            if seed < FEW:
                again = open_small(after)
                assert contents(again) == script.made[-1].after, f"{where}: the store itself"
                again.close()
            if not after.exists("copy/manifest"):
                assert not told, f"{where}: a checkpoint was promised"
                continue
            if seed < FEW or not told:
                copy = open_small(after, path="copy")
                assert contents(copy) == script.made[-1].after, f"{where}: the copy"
                copy.close()


@KINDS
def test_a_power_cut_leaves_all_of_an_ingest_or_nothing(kind: type[CrashFileSystem]) -> None:
    """The run was copied there by a tool that syncs nothing."""
    new = {b"in%02d" % n: b"x" for n in range(40)}
    batch = pa.record_batch({"key": list(new), "value": list(new.values())})
    elsewhere = CrashFileSystem()
    write_run("run", [batch], filesystem=elsewhere)
    run = elsewhere.open("run").pread(0, elsewhere.size("run"))
    told, call = False, 0
    while not told:
        call += 1
        filesystem = kind(seed=call)
        store, script = filled(filesystem)
        store.flush()
        filesystem.open("in.run", create=True).pwrite(run, 0)
        filesystem.crash_at = filesystem.calls + call
        with contextlib.suppress(PowerCut):
            store.ingest("in.run")
            told = True
        for seed in range(MANY if kind is Linking else FEW):
            after, where = filesystem.crash(seed), f"call {call}, seed {seed}"
            again = open_small(after)
            found, before = contents(again)["default"], script.made[-1].after["default"]
            assert found in (before, before | new), where
            assert not told or found == before | new, f"{where}: a promised ingest is gone"
            again.close()
            if seed >= FEW:
                continue
            errors = [each for each in check("store", filesystem=after) if each.severity != "ok"]
            assert not errors, f"{where}: {errors}"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_checkpoint_the_disk_refuses_harms_nothing(code: int) -> None:
    quiet = CrashFileSystem()
    filled(quiet)
    for call in range(quiet.calls + 1, quiet.calls + 40, 3):
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
