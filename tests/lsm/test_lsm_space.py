"""Disk space reserved ahead of logs and runs, and memory of memtables: given back in time."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mainstem.errors import Closed
from mainstem.filesystem import RealFileSystem
from mainstem.kernels import lsm
from mainstem.lsm import Store

MEBIBYTE = 1 << 20
ROWS = 512

KILLED = """
import os, signal, sys
from mainstem.lsm import Store
store = Store.open(sys.argv[1], sync=sys.argv[2], background="manual")
for number in range(3 << 10):
    store.put_batch([b"%010d" % number], [bytes(1024)])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def disk_that_reserves(tmp_path: Path) -> None:
    """Skip where the file system of the tests has no fallocate with FALLOC_FL_KEEP_SIZE."""
    path = tmp_path / "probe"
    file = RealFileSystem().open(str(path), create=True)
    if not file.reserve(0, MEBIBYTE) or held(path) < MEBIBYTE:
        pytest.skip("this file system reserves no space")
    path.unlink()


def held(path: Path) -> int:
    """Bytes of disk that a file takes, whatever its size."""
    return path.stat().st_blocks * 512


def reserved(path: Path) -> bool:
    return held(path) > path.stat().st_size + MEBIBYTE // 4


def files(store: Path, kind: str) -> list[Path]:
    return sorted(store.glob(f"*.{kind}"))


def fill(store: Store, size: int, first: int = 0) -> None:
    """Put at least ``size`` bytes, in order."""
    for at in range(first, first + size // 1024 + 1, ROWS):
        keys = [b"%010d" % number for number in range(at, at + ROWS)]
        store.put_batch(keys, [bytes(1024)] * ROWS)


@pytest.mark.parametrize("sync", ["none", "batch"])
def test_a_busy_log_has_space_ahead_which_goes_when_the_store_is_closed(
    tmp_path: Path, sync: str
) -> None:
    store = Store.open(tmp_path / "s", sync=sync, background="manual")  # type: ignore[arg-type]
    fill(store, 3 * MEBIBYTE)
    [log] = files(tmp_path / "s", "log")
    assert reserved(log)
    store.close()
    assert not reserved(log)
    with Store.open(tmp_path / "s") as store:
        assert len(list(store)) >= 3072


def test_a_log_reserves_no_more_than_a_memtable_is_going_to_need(tmp_path: Path) -> None:
    with Store.open(
        tmp_path / "s", sync="none", background="manual", memtable_bytes=4 * MEBIBYTE
    ) as store:
        fill(store, 3 * MEBIBYTE)
        [log] = files(tmp_path / "s", "log")
        assert reserved(log)
        assert held(log) <= 4 * MEBIBYTE + 64 * 1024


def test_a_sealed_log_holds_its_records_only(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s", sync="group", background="manual") as store:
        fill(store, 3 * MEBIBYTE)
        with store.state.write_lock:
            store.state.seal()
        assert len(files(tmp_path / "s", "log")) == 2
        assert not any(map(reserved, files(tmp_path / "s", "log")))


def test_runs_hold_their_bytes_only_after_flushes_and_merges(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s", sync="none", background="manual") as store:
        fill(store, 3 * MEBIBYTE)
        store.flush()
        fill(store, 3 * MEBIBYTE, first=1000)
        store.flush()
        runs = files(tmp_path / "s", "run")
        assert len(runs) == 2
        assert not any(map(reserved, runs))
        store.compact()
        [run] = files(tmp_path / "s", "run")
        assert run.stat().st_size > 4 * MEBIBYTE
        assert not reserved(run)


def test_a_run_has_space_ahead_while_it_is_written(tmp_path: Path) -> None:
    with Store.open(
        tmp_path / "s", sync="none", background="manual", slice_bytes=2 * MEBIBYTE
    ) as store:
        fill(store, 8 * MEBIBYTE)
        with store.state.write_lock:
            store.state.seal()
        assert store.step()
        [run] = files(tmp_path / "s", "run")
        assert reserved(run)
        store.wait_idle()
        assert not reserved(run)


@pytest.mark.parametrize("sync", ["none", "group"])
def test_what_a_killed_process_had_reserved_is_given_back_by_the_next_open(
    tmp_path: Path, sync: str
) -> None:
    store = tmp_path / "s"
    died = subprocess.run([sys.executable, "-c", KILLED, str(store), sync], check=False)
    assert died.returncode == -signal.SIGKILL
    [log] = files(store, "log")
    assert reserved(log)
    with Store.open(store, background="manual") as again:
        assert len(list(again)) == 3 << 10
        assert files(store, "log")[0] == log
        assert not any(map(reserved, files(store, "log")))


def test_a_closed_store_that_is_kept_holds_no_memtables(tmp_path: Path) -> None:
    lsm.trim()
    store = Store.open(tmp_path / "s", sync="none", background="manual")
    fill(store, 12 * MEBIBYTE)
    before = lsm.kept_bytes()
    store.close()
    assert lsm.kept_bytes() >= before + 8 * MEBIBYTE
    with pytest.raises(Closed):
        store.get_batch([b"0000000001"])
    with pytest.raises(Closed):
        list(store)
    lsm.trim()
