"""Memory and the checked views of Arrow arrays."""

from __future__ import annotations

import gc
import random
import struct

import pyarrow as pa
import pytest

from mainstem.kernels import BinaryColumn, Memory, partitions_of
from mainstem.kernels.columns import pooled


def offsets(*values: int, wide: bool = False) -> bytes:
    return struct.pack(f"={len(values)}{'q' if wide else 'i'}", *values)


def test_memory_is_writable_and_keeps_its_bytes() -> None:
    memory = Memory(5)
    memoryview(memory)[:] = b"hello"
    assert bytes(memory) == b"hello"
    assert len(memory) == 5


@pytest.mark.parametrize("size", [0, 1, 100, 60_000, 70_000, 3_000_000])
def test_truncate_keeps_the_first_bytes(size: int) -> None:
    memory = Memory(size)
    pattern = random.Random(size).randbytes(size)
    memoryview(memory)[:] = pattern
    for keep in (size, size * 3 // 4, size // 3, 0):
        memory.truncate(keep)
        assert bytes(memory) == pattern[:keep], f"{size} cut to {keep}"


@pytest.mark.parametrize("size", [-1, 11])
def test_truncate_cannot_grow(size: int) -> None:
    with pytest.raises(ValueError, match="cannot cut"):
        Memory(10).truncate(size)


def test_truncate_waits_for_views() -> None:
    memory = Memory(10)
    with memoryview(memory), pytest.raises(BufferError):
        memory.truncate(5)
    memory.truncate(5)


@pytest.mark.parametrize("size", [-1, 2**63 - 1])
def test_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="memory of"):
        Memory(size)


def test_more_memory_than_there_is_raises() -> None:
    with pytest.raises(MemoryError):
        Memory(2**60)


def test_blocks_in_use_are_never_handed_out_twice() -> None:
    chooser = random.Random(5)
    held: list[tuple[Memory, int]] = []
    for step in range(3000):
        size = chooser.choice([10, 16_384, 16_385, 65_536, 65_537, 81_920, 131_072, 200_000])
        memory = Memory(size)
        view = memoryview(memory)
        view[0] = view[-1] = step % 251
        view.release()
        held.append((memory, step % 251))
        if len(held) > 40:
            old, mark = held.pop(chooser.randrange(len(held)))
            assert (bytes(old)[0], bytes(old)[-1]) == (mark, mark), f"seed 5 step {step}"
    for memory, mark in held:
        assert (bytes(memory)[0], bytes(memory)[-1]) == (mark, mark)


def fill_the_pool() -> None:
    """Three free blocks of 16 MiB: all that is kept."""
    blocks = [Memory(16 << 20) for _ in range(3)]
    del blocks
    gc.collect()
    assert pooled() == {16 << 20: 48 << 20}


def test_free_blocks_make_room_for_sizes_that_are_wanted_now() -> None:
    """They stayed for ever: work of another kind got all of its memory from the system."""
    fill_the_pool()
    memory = Memory(2 << 20)
    del memory
    assert pooled() == {2 << 20: 2 << 20, 16 << 20: 32 << 20}
    again = Memory(2 << 20)
    assert pooled() == {16 << 20: 32 << 20}
    del again


def test_free_blocks_do_not_make_room_for_a_size_that_nobody_asked_for_since() -> None:
    memory = Memory(2 << 20)
    fill_the_pool()
    del memory
    assert pooled() == {16 << 20: 48 << 20}


def test_arrow_keeps_memory_alive() -> None:
    memory = Memory(100_000)
    memoryview(memory)[:] = b"a" * 100_000
    buffer = pa.py_buffer(memory)
    del memory
    gc.collect()
    others = [Memory(100_000) for _ in range(10)]
    for other in others:
        memoryview(other)[:] = b"b" * 100_000
    assert buffer.to_pybytes() == b"a" * 100_000


@pytest.mark.parametrize(("first", "length"), [(-1, 1), (0, -1), (2**60, 1), (0, 2**60)])
def test_column_checks_its_range(first: int, length: int) -> None:
    with pytest.raises(ValueError, match="cannot have offset"):
        BinaryColumn(offsets(0, 1), b"x", None, first, length)


@pytest.mark.parametrize(("first", "length", "wide"), [(0, 3, False), (1, 2, False), (0, 2, True)])
def test_column_checks_its_offsets_buffer(first: int, length: int, wide: bool) -> None:
    with pytest.raises(ValueError, match="offsets buffer"):
        BinaryColumn(offsets(0, 1, 2), b"xy", None, first, length, wide)


def test_column_checks_its_validity_buffer() -> None:
    with pytest.raises(ValueError, match="validity buffer"):
        BinaryColumn(offsets(*range(10)), b"x" * 10, b"\xff", 0, 9)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("values", [(0, 3), (-1, 1), (2, 1), (2**31 - 1, 2**31 - 1)])
def test_entry_outside_the_data_is_refused(values: tuple[int, int], wide: bool) -> None:
    column = BinaryColumn(offsets(*values, wide=wide), b"xy", None, 0, 1, wide)
    with pytest.raises(ValueError, match="damaged"):
        partitions_of(column, 5)


def test_column_without_entries_needs_no_buffers() -> None:
    assert len(BinaryColumn(None, None, None, 0, 0)) == 0
