"""What somebody does who has not read the documentation."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from mainstem.errors import Corrupt, Invalid, MainstemError
from mainstem.lsm import FamilyOptions, Store, check, write_run
from mainstem.lsm.log import segment_name
from mainstem.testing.clock import VirtualClock
from mainstem.testing.filesystem import CrashFileSystem


def run(path: Path, keys: list[bytes]) -> Path:
    write_run(str(path), [pa.record_batch({"key": pa.array(keys), "value": pa.array(keys)})])
    return path


def test_an_ingest_that_is_refused_leaves_no_files(tmp_path: Path) -> None:
    one, two = run(tmp_path / "1.run", [b"a", b"c"]), run(tmp_path / "2.run", [b"b", b"d"])
    damaged = run(tmp_path / "3.run", [b"x", b"y"])
    data = bytearray(damaged.read_bytes())
    data[70] ^= 1
    damaged.write_bytes(data)
    store = Store.open(tmp_path / "s", background="manual")
    before = sorted(each.name for each in (tmp_path / "s").iterdir())
    attempts: tuple[tuple[list[Path], type[MainstemError]], ...] = (
        ([one, two], Invalid),
        ([one, one], Invalid),
        ([one, damaged], Corrupt),
        ([one, tmp_path / "none.run"], MainstemError),
    )
    for paths, error in attempts:
        with pytest.raises(error):
            store.ingest(*paths)
        assert sorted(each.name for each in (tmp_path / "s").iterdir()) == before
    store.ingest(one)
    store.ingest(two)
    assert [key for key, _ in store.items()] == [b"a", b"b", b"c", b"d"]
    store.close()
    assert one.exists()
    assert [each.severity for each in check(tmp_path / "s")] == ["ok"]


def store_with_a_hole(sync: str) -> CrashFileSystem:
    """Three log segments with commits, of which the second is gone."""
    filesystem = CrashFileSystem()
    store = Store.open(
        "s",
        filesystem=filesystem,
        sync=sync,  # type: ignore[arg-type]
        background="manual",
    )
    first = store.state.segment
    for number in range(3):
        store.put_batch([b"k%d" % number], [b"v"])
        store.put_batch([b"l%d" % number], [b"v"])
        with store.state.write_lock:
            store.state.seal()
    filesystem.unlink(f"s/{segment_name(first + 1)}")
    filesystem.restart()
    return filesystem


def test_doctor_calls_a_hole_that_opening_heals_a_warning() -> None:
    filesystem = store_with_a_hole("none")
    findings = [each for each in check("s", filesystem=filesystem) if each.severity != "ok"]
    assert [each.severity for each in findings] == ["warning"]
    assert "left out" in findings[0].message
    with Store.open("s", filesystem=filesystem, sync="none", background="manual") as store:
        assert [key for key, _ in store.items()] == [b"k0", b"l0"]
    assert [each.severity for each in check("s", filesystem=filesystem)] == ["ok"]


def test_doctor_calls_a_hole_in_what_was_promised_an_error() -> None:
    filesystem = store_with_a_hole("batch")
    findings = list(check("s", filesystem=filesystem))
    assert [each.severity for each in findings] == ["error"]
    assert "lost commits" in findings[0].message
    with pytest.raises(Corrupt):
        Store.open("s", filesystem=filesystem, sync="batch", background="manual")


def test_another_process_is_told_that_the_store_is_open(tmp_path: Path) -> None:
    code = f"from mainstem.lsm import Store; Store.open({str(tmp_path / 's')!r})"
    with Store.open(tmp_path / "s"):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert "Conflict" in done.stderr
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")  # and one that exits while it is open


def test_long_keys_and_values_go_the_whole_way(tmp_path: Path) -> None:
    rows = {b"": b"empty", b"k" * 65_536: b"", b"m" * (16 << 20): b"v", b"v": b"x" * (20 << 20)}
    with Store.open(tmp_path / "s", memtable_bytes=8 << 20) as store:
        for key, value in rows.items():
            store.put(key, value)
        assert dict(store.items()) == rows
        store.compact()
        assert dict(store.items()) == rows
    assert [each.severity for each in check(tmp_path / "s")] == ["ok"]
    with Store.open(tmp_path / "s") as store:
        assert store.get_batch(list(rows)).to_pylist() == list(rows.values())
        assert [key for key, _ in store.items(reverse=True)] == sorted(rows, reverse=True)


def test_a_scan_goes_on_over_merges_and_the_end_of_its_store(tmp_path: Path) -> None:
    keys = [b"%06d" % n for n in range(20_000)]
    store = Store.open(tmp_path / "s", sync="none", background="manual")
    store.put_batch(keys, keys)
    store.compact()
    scan = store.scan()
    found = scan.read_next_batch().column("key").to_pylist()
    store.delete_batch(keys)
    store.compact()
    store.close()
    for batch in scan:
        found += batch.column("key").to_pylist()
    assert found == keys


def test_checkpoints_beside_a_writer_hold_whole_commits(tmp_path: Path) -> None:
    keys = [b"%04d" % n for n in range(500)]
    over = threading.Event()
    store = Store.open(tmp_path / "s", sync="none", memtable_bytes=1 << 16)
    store.put_batch(keys, [b"0"] * len(keys))

    def write() -> None:
        number = 0
        while not over.is_set():
            number += 1
            store.put_batch(keys, [b"%d" % number] * len(keys))

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        try:
            for number in range(5):
                store.checkpoint(tmp_path / f"copy{number}")
        finally:
            over.set()
        writer.result(timeout=60)
    store.close()
    for number in range(5):
        with Store.open(tmp_path / f"copy{number}") as copy:
            assert len(set(copy.get_batch(keys).to_pylist())) == 1


def test_a_clock_that_goes_back_loses_no_row() -> None:
    clock = VirtualClock(1_000_000)
    store = Store.open(
        "s",
        filesystem=CrashFileSystem(),
        clock=clock,
        background="manual",
        family_options=FamilyOptions(ttl_ms=1000),
    )
    store.put_batch([b"before"], [b"1"])
    clock.jump(-600_000)
    store.put_batch([b"after"], [b"2"])
    store.compact()
    assert [key for key, _ in store.items()] == [b"after", b"before"]
    clock.jump(2_000)
    store.compact()
    assert [key for key, _ in store.items()] == [b"before"]
    clock.jump(600_000)
    store.compact()
    assert not list(store.items())


def test_hundreds_of_families_are_kept_apart() -> None:
    filesystem = CrashFileSystem()
    store = Store.open("s", filesystem=filesystem, background="manual")
    for number in range(300):
        store.family(f"f{number}").put_batch([b"k"], [b"%d" % number])
    store.flush()
    store.wait_idle()
    store.close()
    again = Store.open("s", filesystem=filesystem, background="manual")
    for number in range(300):
        assert again.family(f"f{number}", create=False)[b"k"] == b"%d" % number
    again.close()
