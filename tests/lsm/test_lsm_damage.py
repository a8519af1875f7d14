"""A bit flips in any byte of any file: it is noticed, never served, never repaired in silence."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from lsm_directory import fill, read_all

from mainstem.errors import Corrupt
from mainstem.lsm import check


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("damage") / "store"
    fill(path)
    return path


def files(path: Path) -> Iterator[Path]:
    return (each for each in sorted(path.iterdir()) if each.name != "lock")


def damaged(pristine: Path, target: Path, name: str, data: bytes) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(pristine, target)
    (target / name).write_bytes(data)
    return target


def noticed(pristine: Path, scratch: Path, name: str, data: bytes) -> list[str]:
    """Who notices: the doctor, and whoever opens and reads everything."""
    path = damaged(pristine, scratch, name, data)
    who = []
    if any(each.severity == "error" for each in check(path)):
        who.append("check")
    wanted = read_all(damaged(pristine, scratch, name, (pristine / name).read_bytes()))
    damaged(pristine, scratch, name, data)
    try:
        same = read_all(path) == wanted
    except Corrupt:
        who.append("read")
    else:
        assert same, f"{name}: damaged data was served"
    return who


def positions(data: bytes, stride: int, seed: int) -> Iterator[tuple[int, int]]:
    rng = random.Random(seed)
    for at in range(rng.randrange(stride), len(data), stride):
        yield at, 1 << rng.randrange(8)


def flip_everywhere(pristine: Path, scratch: Path, stride: int) -> None:
    assert len(list(files(pristine))) >= 7
    for file in files(pristine):
        data = file.read_bytes()
        small = file.suffix != ".run"
        for at, bit in positions(data, stride // 8 if small else stride, len(data)):
            wrong = bytearray(data)
            wrong[at] ^= bit
            who = noticed(pristine, scratch, file.name, bytes(wrong))
            assert "check" in who, f"{file.name}, byte {at}, bit {bit}: not noticed"


def test_a_flipped_bit_is_noticed(pristine: Path, tmp_path: Path) -> None:
    flip_everywhere(pristine, tmp_path / "scratch", 389)


@pytest.mark.slow
def test_a_flipped_bit_in_any_byte_is_noticed_by_the_check(pristine: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    shutil.copytree(pristine, scratch)
    for file in files(pristine):
        data = file.read_bytes()
        for at, bit in positions(data, 1, 99):
            wrong = bytearray(data)
            wrong[at] ^= bit
            (scratch / file.name).write_bytes(wrong)
            assert any(each.severity == "error" for each in check(scratch)), (
                f"{file.name}, byte {at}, bit {bit}: not noticed"
            )
        (scratch / file.name).write_bytes(data)


def test_a_file_cut_short_is_noticed(pristine: Path, tmp_path: Path) -> None:
    for file in files(pristine):
        data = file.read_bytes()
        for size in {0, 1, len(data) // 2, len(data) - 1}:
            who = noticed(pristine, tmp_path / "scratch", file.name, data[:size])
            assert "check" in who, f"{file.name} cut to {size}"
            assert "read" in who, f"{file.name} cut to {size}"


def test_a_missing_file_is_noticed(pristine: Path, tmp_path: Path) -> None:
    for file in files(pristine):
        path = damaged(pristine, tmp_path / "scratch", file.name, b"")
        (path / file.name).unlink()
        assert any(each.severity == "error" for each in check(path)), file.name
        with pytest.raises(Corrupt):
            read_all(path)


def test_runs_without_a_manifest_are_not_taken_for_a_new_store(
    pristine: Path, tmp_path: Path
) -> None:
    path = damaged(pristine, tmp_path / "scratch", "manifest", b"")
    for name in ("manifest", *(each.name for each in path.glob("*.log"))):
        (path / name).unlink()
    runs = sorted(path.glob("*.run"))
    with pytest.raises(Corrupt, match="but no manifest"):
        read_all(path)
    assert sorted(path.glob("*.run")) == runs


def test_runs_put_in_each_others_place_are_noticed(pristine: Path, tmp_path: Path) -> None:
    runs = [file for file in files(pristine) if file.suffix == ".run"]
    path = damaged(pristine, tmp_path / "scratch", runs[0].name, runs[1].read_bytes())
    assert any(each.severity == "error" for each in check(path))
    with pytest.raises(Corrupt, match="not the file its manifest knows"):
        read_all(path)


def test_a_sound_store_is_found_sound(pristine: Path) -> None:
    assert [each.severity for each in check(pristine)] == ["ok"]


def test_no_store_is_an_error_of_the_check(tmp_path: Path) -> None:
    assert [each.severity for each in check(tmp_path)] == ["error"]


def test_strange_files_are_pointed_out_and_left_alone(pristine: Path, tmp_path: Path) -> None:
    path = damaged(pristine, tmp_path / "scratch", "notes.txt", b"mine")
    (path / "000000009999.run").write_bytes(b"left by a crash")
    assert {each.severity for each in check(path)} == {"warning", "ok"}
    read_all(path)
    assert (path / "notes.txt").exists()
    assert not (path / "000000009999.run").exists()
