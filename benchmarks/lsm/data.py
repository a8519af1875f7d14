"""Rows as db_bench makes them: 16-byte keys (a number, then zeros), 100-byte values."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

KEY, VALUE = 16, 100
_AT_ONCE = 1 << 18  # randbytes counts bits in a C int


@dataclass
class Rows:
    """``keys`` and ``values`` as Arrow arrays, and as the lists other engines want."""

    keys: Any
    values: Any

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def key_list(self) -> list[bytes]:
        return list(self.keys.to_pylist())

    @cached_property
    def value_list(self) -> list[bytes]:
        return list(self.values.to_pylist())


def rows_of(numbers: list[int], seed: int) -> Rows:
    """Rows with these numbers as keys and random values."""
    keys = b"".join(struct.pack(">Q", number) + b"0" * (KEY - 8) for number in numbers)
    rng = random.Random(seed)
    values = b"".join(
        rng.randbytes(min(_AT_ONCE, len(numbers) - at) * VALUE)
        for at in range(0, len(numbers), _AT_ONCE)
    )
    return Rows(_fixed(keys, KEY), _fixed(values, VALUE))


def _fixed(data: bytes, width: int) -> Any:
    kind = pa.binary(width)
    return pa.Array.from_buffers(kind, len(data) // width, [None, pa.py_buffer(data)])


def sequential(count: int, seed: int = 1) -> Rows:
    return rows_of(list(range(count)), seed)


def shuffled(count: int, seed: int = 2) -> Rows:
    numbers = list(range(count))
    random.Random(seed).shuffle(numbers)
    return rows_of(numbers, seed)


def missing(count: int, among: int, seed: int = 3) -> Rows:
    """Keys between those of ``sequential(among)``, none of which is there."""
    rng = random.Random(seed)
    keys = b"".join(
        struct.pack(">Q", rng.randrange(among)) + b"1" * (KEY - 8) for _ in range(count)
    )
    return Rows(_fixed(keys, KEY), _fixed(bytes(count * VALUE), VALUE))
