"""What somebody does who has not read the documentation."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from mainstem.errors import Corrupt, Invalid, MainstemError
from mainstem.lsm import Store, check, write_run
from mainstem.lsm.log import segment_name
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
