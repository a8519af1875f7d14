"""Stores written by earlier releases open, and today's bytes are those the format promises.

`golden/v1` was written by `lsm_directory.fill`. A change of these bytes is a change of the format:
it needs a new version in the files, a reader for the old one, and a new golden directory.
"""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import pyarrow as pa
import pytest
from crc32c import crc32c
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


def plain_names() -> list[str]:
    """Golden files whose bytes depend on nothing but the format."""
    return [
        file.name
        for file in sorted((GOLDEN / "v1").iterdir())
        if file.name != "manifest" and (file.suffix != ".run" or codec_of(file.read_bytes()) == 0)
    ]


def codec_of(run: bytes) -> int:
    return int.from_bytes(run[-192 + 12 : -192 + 16], "little")


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("golden") / "store"
    fill(path)
    return path


def test_the_format_is_what_it_was(today: Path) -> None:
    assert sorted(file.name for file in today.iterdir()) == sorted(
        file.name for file in (GOLDEN / "v1").iterdir()
    )
    for name in plain_names():
        new = (today / name).read_bytes()
        assert new == (GOLDEN / "v1" / name).read_bytes(), f"{name} has changed"


def inside(run: bytes) -> dict[str, object]:
    """A run taken apart by docs/formats-lsm.md alone; blocks decompressed by pyarrow's codecs."""
    footer = run[-192:]
    codec = codec_of(run)
    index_at, index_size = struct.unpack_from("<QI", footer, 40)
    filter_at, filter_size = struct.unpack_from("<QI", footer, 56)
    index = run[index_at : index_at + index_size]
    count, key_bytes = struct.unpack_from("<II", index)
    blocks, shape = [], []
    for at in range(8, 8 + 24 * count, 24):
        offset, stored, raw, rows, crc = struct.unpack_from("<QIIII", index, at)
        padded = run[offset : offset + (stored + 63) // 64 * 64]
        assert crc32c(padded) == crc
        assert not any(padded[stored:])
        content = padded[:stored]
        if stored != raw:
            name = {1: "lz4_raw", 2: "zstd"}[codec]
            content = pa.Codec(name).decompress(content, raw, asbytes=True)
        assert content[:4] == b"MBK1"
        blocks.append(content)
        shape.append((raw, rows))
    return {
        "head": run[:64],
        "blocks": blocks,
        "shape": shape,
        "keys": (index[8 + 24 * count :], key_bytes),
        "filter": run[filter_at : filter_at + filter_size],
        # Without file size and places, which are the codec's: what is left is the format's.
        "footer": footer[:32] + footer[72:188],
    }


@pytest.mark.parametrize("codec", [0, 1, 2])
def test_runs_hold_what_the_format_says_whatever_the_codecs_release(
    today: Path, codec: int
) -> None:
    """LZ4 and Zstandard may choose other bytes for the same rows: what they hold is compared."""
    names = [
        file.name
        for file in sorted((GOLDEN / "v1").glob("*.run"))
        if codec_of(file.read_bytes()) == codec
    ]
    assert names
    for name in names:
        old, new = (GOLDEN / "v1" / name).read_bytes(), (today / name).read_bytes()
        assert inside(new) == inside(old), f"{name} has changed"
        if codec:
            blocks = inside(old)["blocks"]
            assert len(old) < sum(len(block) for block in blocks), f"{name} is not compressed"  # type: ignore[attr-defined]


def test_the_manifest_is_byte_by_byte_what_it_was(today: Path) -> None:
    old, new = (GOLDEN / "v1" / "manifest").read_bytes(), (today / "manifest").read_bytes()
    for data in (old, new):
        magic, version, size, crc, zeros = struct.unpack_from("<8sIII12s", data)
        assert (magic, version, size, zeros) == (b"MSLSMMF1", 1, len(data) - 32, bytes(12))
        assert crc == crc32c(data[20:], crc32c(data[:16]))
        body = json.loads(data[32:])
        assert json.dumps(body, separators=(",", ":")).encode() == data[32:]
        assert list(body) == [
            "store", "seed", "epoch", "edit", "next_file", "log_from", "sequence", "position",
            "families", "log_end",
        ]  # fmt: skip
    # Sizes and checksums of compressed runs are the codec's; everything else is the same bytes.
    compressed = {
        int(file.stem) for file in (GOLDEN / "v1").glob("*.run") if codec_of(file.read_bytes())
    }
    bodies = [json.loads(data[32:]) for data in (old, new)]
    for family in (family for body in bodies for family in body["families"]):
        for file in (file for layer in family["layers"] for file in layer["files"]):
            if file["id"] in compressed:
                file["size"] = file["crc"] = 0
    assert json.dumps(bodies[0]) == json.dumps(bodies[1])
