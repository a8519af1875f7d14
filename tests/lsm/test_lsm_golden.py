"""Stores written by earlier releases open, and today's bytes are those the format promises.

`golden/v1` was written by `lsm_directory.fill`. A change of these bytes is a change of the format:
it needs a new version in the files, a reader for the old one, and a new golden directory.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from lsm_directory import expected, fill, read_all

from mainstem.lsm import check

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("version", ["v1"])
def test_a_golden_store_opens(version: str, tmp_path: Path) -> None:
    path = tmp_path / "store"
    shutil.copytree(GOLDEN / version, path)
    assert [each.severity for each in check(path)] == ["ok"]
    found = read_all(path)
    assert found["default"] == expected() | {}
    assert len(found["lz4"]) == 199
    assert found["stamped"] == {b"x": b"1", b"yy": b"22"}
    assert set(found["sums"]) == {b"a", b"b"}


def test_the_format_is_what_it_was(tmp_path: Path) -> None:
    fill(tmp_path / "store")
    for file in sorted((GOLDEN / "v1").iterdir()):
        new = (tmp_path / "store" / file.name).read_bytes()
        # Compressed blocks depend on the codec's release, not on the format.
        if file.suffix == ".run" and new[-192 + 12 : -192 + 16] != b"\0\0\0\0":
            assert new[-192:-172] == file.read_bytes()[-192:-172]
        elif file.name == "manifest":
            assert new[:8] == b"MSLSMMF1"
        else:
            assert new == file.read_bytes(), f"{file.name} has changed"
