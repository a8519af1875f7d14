"""CRC-32C is that of the ``crc32c`` package, at every length and wherever the bytes lie."""

from __future__ import annotations

import random

import crc32c as package
import pytest

from mainstem.kernels.checksum import crc32c, folds


def test_known_values() -> None:
    # RFC 3720, B.4
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize("seed", range(3))
def test_every_length_and_place_agrees_with_the_package(seed: int) -> None:
    rng = random.Random(seed)
    data = memoryview(rng.randbytes(5000))
    for size in [*range(1100), 2047, 2048, 2049, 4095, 4096, 4097]:
        start, value = rng.randrange(64), rng.getrandbits(32)
        part = data[start : start + size]
        assert crc32c(part, value) == package.crc32c(part, value), f"seed {seed}, {size} bytes"


def test_parts_make_the_whole() -> None:
    data = random.Random(4).randbytes(1 << 18)
    value = 0
    for start in range(0, len(data), 70_001):
        value = crc32c(data[start : start + 70_001], value)
    assert value == crc32c(data) == package.crc32c(data)


def test_no_bytes_change_nothing() -> None:
    assert crc32c(b"") == 0
    assert crc32c(b"", 7) == 7


def test_a_processor_that_cannot_fold_leaves_it_to_the_package() -> None:
    data = random.Random(5).randbytes(100_000)
    can = folds()
    try:
        assert not folds(False)
        assert crc32c(data, 3) == package.crc32c(data, 3)
        assert crc32c(b"", 7) == 7
    finally:
        assert folds(True) is can
