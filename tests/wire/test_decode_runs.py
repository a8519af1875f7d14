"""Records of several buffers at once: their rows, their limits, what is damaged."""

from __future__ import annotations

from typing import Any

import pytest

from mainstem.errors import Corrupt, Invalid
from mainstem.kernels import read_batches
from mainstem.wire import Run, compress, decode_runs
from reference.record_batch import Record, batch_of, encode

END = 2**63 - 1


def run(data: bytes, start: int = 0, end: int = END) -> Run:
    return Run(data, read_batches(data, verify_crc=False), start, end)


def packed(base: int, *values: bytes) -> bytes:
    records = [Record(value) for value in values]
    batch = batch_of(records, base_offset=base, attributes=4)
    return encode(batch, lambda body: bytes(compress(4, body)))


def read(*runs: Run, **options: Any) -> list[tuple[list[bytes], list[tuple[int, int, Any]]]]:
    return [
        (found.records["value"].to_pylist(), [tuple(part) for part in found.parts])
        for found in decode_runs(runs, **options)
    ]


def test_runs_follow_each_other_plain_and_compressed() -> None:
    plain = encode(batch_of([Record(b"a"), Record(b"b")], base_offset=4))
    assert read(run(plain, 5), run(packed(9, b"c", b"d"), 0, 10), run(plain)) == [
        ([b"b", b"c", b"a", b"b"], [(0, 1, None), (1, 1, None), (2, 2, None)])
    ]


def test_no_runs_give_no_rows() -> None:
    data = encode(batch_of([Record(b"a")]))
    assert read(Run(data, [], 0, END)) == [([], [(0, 0, None)])]


def test_more_than_the_limit_comes_in_steps_that_say_where_they_end() -> None:
    large = packed(0, b"x" * 600) + packed(1, b"y" * 600) + packed(2, b"z" * 600)
    assert read(run(large), run(packed(7, b"w")), limit=1500) == [
        ([b"x" * 600, b"y" * 600], [(0, 2, 2)]),
        ([b"z" * 600, b"w"], [(0, 1, None), (1, 1, None)]),
    ]


def test_one_batch_beyond_the_limit_is_invalid() -> None:
    with pytest.raises(Invalid) as caught:
        read(run(packed(0, b"x" * 600)), limit=500)
    assert caught.value.code == 10


@pytest.mark.parametrize("at", [21, 61, -1])
def test_a_changed_byte_is_corrupt_and_named(at: int) -> None:
    good = encode(batch_of([Record(b"a")], base_offset=3))
    bad = bytearray(encode(batch_of([Record(b"b")], base_offset=4)))
    bad[at] ^= 0x40
    with pytest.raises(Corrupt, match=r"offset 4, fails its CRC-32C check"):
        read(run(good), run(good + bytes(bad)))
