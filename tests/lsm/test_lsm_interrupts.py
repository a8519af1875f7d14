"""Control-C between any two lines of a commit, and forks: nothing half done, nothing twice."""

from __future__ import annotations

import linecache
import os
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from mainstem.errors import Closed, Unavailable
from mainstem.kernels import lsm
from mainstem.lsm import Store, WriteBatch, check
from mainstem.lsm.families import declare_fields
from mainstem.lsm.options import Field
from mainstem.testing.filesystem import CrashFileSystem

ONE = (1).to_bytes(8, "little")


class Interrupt:
    """Raises ``KeyboardInterrupt`` before line number ``at`` of those of ``lsm``, once."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.where = ""

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> Any:
        back = frame.f_back
        if "/lsm/" not in frame.f_code.co_filename or (
            "__del__" in (frame.f_code.co_name, back and back.f_code.co_name)
        ):  # what is raised there is only printed
            return None
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        # Tracing comes back to a ``with`` when it ends, where a signal could not come between.
        if event == "line" and not line.startswith("with "):
            self.left -= 1
            if self.left == 0:
                self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return self


def opened(filesystem: CrashFileSystem, sync: str, memtable_bytes: int) -> Store:
    return Store.open(
        "s",
        filesystem=filesystem,
        sync=sync,  # type: ignore[arg-type]
        background="manual",
        memtable_bytes=memtable_bytes,
    )


def written(store: Store, number: int) -> None:
    """One commit: two rows, a delete, a range delete and two operands, in two families."""
    counts = store.family("counts")
    ones = lsm.Column(None, ONE * 2, None, 0, 2, 8)
    declare_fields(store.state, counts.id, (Field("n", "sum", "int64"),))
    batch = WriteBatch()
    batch.put(store, [b"a", b"b"], [b"%d" % number] * 2)
    batch.merge(counts, [b"x", b"y"], ones)
    batch.delete_range(store, b"b", b"c")
    batch.put(store, [b"c"], [b"%d" % number])
    store.write(batch, position={"step": number})


def contents(store: Store) -> tuple[list[Any], list[Any]]:
    rows = store.get_batch([b"a", b"b", b"c"]).to_pylist()
    return rows, store.family("counts").get_batch([b"x", b"y"]).to_pylist()


def expected(times: int, last: int) -> tuple[list[Any], list[Any]]:
    value = b"%d" % last
    return [value, None, value], [times.to_bytes(8, "little")] * 2


@pytest.mark.parametrize("sync", ["batch", "group", "none"])
@pytest.mark.parametrize("memtable_bytes", [1 << 20, 1 << 10])  # the latter: each commit seals
def test_control_c_at_every_line_of_a_commit(sync: str, memtable_bytes: int) -> None:
    at = poisoned = whole = 0
    while True:
        at += 1
        filesystem = CrashFileSystem()
        store = opened(filesystem, sync, memtable_bytes)
        written(store, 1)
        interrupt = Interrupt(at)
        sys.settrace(interrupt)
        try:
            written(store, 2)
        except (KeyboardInterrupt, Unavailable):
            pass
        finally:
            sys.settrace(None)
        if interrupt.left > 0:
            break
        times = 1
        if store.state.failure is None:
            whole += 1
            written(store, 3)
            counts = contents(store)[1][0]
            times = int.from_bytes(counts, "little")
            assert times in (2, 3), interrupt.where
            assert contents(store) == expected(times, 3), interrupt.where
            store.close()
        else:
            poisoned += 1
        filesystem.restart()
        again = opened(filesystem, sync, memtable_bytes)
        if store.state.failure is None:
            assert contents(again) == expected(times, 3), interrupt.where
        else:
            assert contents(again) in (expected(1, 1), expected(2, 2)), interrupt.where
        again.close()
    assert whole > 20
    assert poisoned < at / 3 or memtable_bytes < 1 << 20


def two_runs_and_a_memtable(filesystem: CrashFileSystem) -> Store:
    store = opened(filesystem, "none", 1 << 20)
    for number in range(3):
        keys = [b"%02d" % n for n in range(number, 60, 2)]
        store.put_batch(keys, [b"%d" % number] * len(keys))
        if number < 2:
            store.flush()
    return store


def test_control_c_at_every_line_of_flushing_and_merging() -> None:
    at = poisoned = 0
    filesystem = CrashFileSystem()
    plain = two_runs_and_a_memtable(filesystem)
    rows = list(plain.items())
    plain.compact()
    assert list(plain.items()) == rows
    while True:
        at += 1
        filesystem = CrashFileSystem()
        store = two_runs_and_a_memtable(filesystem)
        interrupt = Interrupt(at)
        sys.settrace(interrupt)
        try:
            store.compact()
        except (KeyboardInterrupt, Unavailable):
            pass
        finally:
            sys.settrace(None)
        if interrupt.left > 0:
            break
        assert list(store.items()) == rows, interrupt.where
        poisoned += store.state.failure is not None
        if at % 2:  # else the process dies there and then
            if store.state.failure is None:
                store.compact()
                assert list(store.items()) == rows, interrupt.where
                store.wait_idle()
            store.close()
        elif store.state.failure is None:
            store.family("other")  # another manifest, of what is believed to be there
        filesystem.restart()
        again = opened(filesystem, "none", 1 << 20)
        assert list(again.items()) == rows, interrupt.where
        again.close()
        assert [each.severity for each in check("s", filesystem=filesystem)] == ["ok"]
    assert at > 300
    assert 0 < poisoned < at / 2


def test_a_fork_leaves_stores_to_the_parent(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s", sync="none", memtable_bytes=1 << 14)
    keys = [b"%04d" % n for n in range(500)]
    for _ in range(20):
        store.put_batch(keys, keys)
    reading, writing = os.pipe()
    with store.state.write_lock, store.state.lock:  # as if another thread wrote
        child = os.fork()
        if child == 0:
            said = b"nothing"
            try:
                os.close(reading)
                try:
                    store.put_batch(keys, [b"child"] * len(keys))
                except Closed as error:
                    said = str(error).encode()
                store.close()
                with Store.open(tmp_path / "own", sync="none", memtable_bytes=1 << 12) as own:
                    for _ in range(50):
                        own.put_batch(keys, keys)
                os.write(writing, said)
            finally:
                os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert b"belongs to the process that forked this one" in pipe.read()
    os.waitpid(child, 0)
    store.put_batch(keys, [b"parent"] * len(keys))
    store.close()
    with Store.open(tmp_path / "s") as again:
        assert set(again.get_batch(keys).to_pylist()) == {b"parent"}
