"""HyperLogLog: how wrong it is, and that it merges."""

from __future__ import annotations

import math
import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.kernels import hyperloglog
from mainstem.live.viewers import SKETCH_ERROR

HASHES = st.lists(st.integers(0, 2**64 - 1), max_size=50)


def sketch(hashes: list[int]) -> bytearray:
    registers = bytearray(hyperloglog.SKETCH_SIZE)
    hyperloglog.sketch_add(registers, array("Q", hashes))
    return registers


def plain(hashes: list[int]) -> bytearray:
    """The definition: of each register's hashes the longest run of leading zeros, plus one."""
    registers = bytearray(1 << 14)
    for each in hashes:
        rest = each & ((1 << 50) - 1)
        registers[each >> 50] = max(registers[each >> 50], 51 - rest.bit_length())
    return registers


@given(HASHES)
def test_registers_are_those_of_the_definition(hashes: list[int]) -> None:
    assert sketch(hashes) == plain(hashes)


@pytest.mark.parametrize("rest", [0, 1, (1 << 50) - 1, 1 << 49, (1 << 49) - 1])
def test_the_ends_of_a_register(rest: int) -> None:
    for place in (0, 1, (1 << 14) - 1):
        assert sketch([place << 50 | rest]) == plain([place << 50 | rest])


@given(HASHES, HASHES)
def test_merging_is_adding_both(first: list[int], second: list[int]) -> None:
    merged = sketch(first)
    hyperloglog.sketch_merge(merged, sketch(second))
    assert merged == sketch(first + second)


def test_nothing_is_nobody() -> None:
    assert hyperloglog.sketch_estimate(sketch([])) == 0.0


def test_everything_is_finite() -> None:
    assert math.isfinite(hyperloglog.sketch_estimate(bytes([50]) * (1 << 14)))


@pytest.mark.parametrize("size", [100, 5_000, 20_000, 40_000, 100_000, 300_000])
def test_the_standard_error_is_what_is_stated(size: int) -> None:
    # 40 sketches: their root mean square error is within 30 % of the true one.
    seed = 20_260_000 + size
    source = random.Random(seed)
    errors = []
    for _ in range(40):
        data = array("Q", source.randbytes(8 * size))
        registers = bytearray(hyperloglog.SKETCH_SIZE)
        hyperloglog.sketch_add(registers, data)
        errors.append(hyperloglog.sketch_estimate(registers) / size - 1)
    spread = math.sqrt(sum(error**2 for error in errors) / len(errors))
    bias = sum(errors) / len(errors)
    assert spread < 1.35 * SKETCH_ERROR, f"seed {seed}"
    assert abs(bias) < 3.5 * SKETCH_ERROR / math.sqrt(len(errors)), f"seed {seed}"
    if size >= 100_000:  # small sets are counted better than stated, large ones are not
        assert spread > 0.6 * SKETCH_ERROR, f"seed {seed}"


def test_what_is_no_sketch_is_refused() -> None:
    whole = bytearray(hyperloglog.SKETCH_SIZE)
    for registers in (bytearray(), whole[1:], whole + b"\0"):
        with pytest.raises(ValueError, match="16384"):
            hyperloglog.sketch_estimate(registers)
        with pytest.raises(ValueError, match="16384"):
            hyperloglog.sketch_add(registers, array("Q", [1]))
        with pytest.raises(ValueError, match="16384"):
            hyperloglog.sketch_merge(whole, registers)
        with pytest.raises(ValueError, match="16384"):
            hyperloglog.sketch_merge(registers, whole)


def test_a_register_that_no_hash_gives_is_refused_and_not_merged() -> None:
    damaged = bytearray(hyperloglog.SKETCH_SIZE)
    damaged[0], damaged[7] = 5, 52
    with pytest.raises(ValueError, match="damaged"):
        hyperloglog.sketch_estimate(damaged)
    mine = bytearray(hyperloglog.SKETCH_SIZE)
    with pytest.raises(ValueError, match="damaged"):
        hyperloglog.sketch_merge(mine, damaged)
    assert not any(mine)
