"""Data that ends right before a page nobody may read: one byte too far kills the process."""

from __future__ import annotations

import subprocess
import sys

GUARDED = """
import ctypes, mmap, struct, sys
from mainstem.kernels import (
    BatchError, BinaryColumn, HeaderColumn, decode_records, encode_records, number,
    partitions_of, read_batches, seal,
)

PAGE = mmap.PAGESIZE
whole = mmap.mmap(-1, 5 * PAGE)
address = ctypes.addressof(ctypes.c_char.from_buffer(whole))
mprotect = ctypes.CDLL(None, use_errno=True).mprotect
mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
assert mprotect(address + 4 * PAGE, PAGE, 0) == 0


def guarded(data):
    start = 4 * PAGE - len(data)
    whole[start : 4 * PAGE] = data
    return memoryview(whole)[start : 4 * PAGE]


def ints(*values):
    return struct.pack(f"={len(values)}i", *values)


for size in range(700):
    text = bytes([size % 251]) * size
    column = BinaryColumn(ints(0, size), guarded(text), None, 0, 1)
    names = BinaryColumn(ints(0, size), text, None, 0, 1)
    partitions_of(column, 5)
    for key, headers in (
        (None, None), (column, None), (None, HeaderColumn(ints(0, 1), None, 0, 1, names, column))
    ):
        batch, _ = encode_records(column, key, headers, None, 0, 0, 1, 1 << 20)
        seal(batch)
        number(batch, producer_id=1, producer_epoch=2, base_sequence=3)
        kept = bytes(whole[4 * PAGE - size : 4 * PAGE])
        data = guarded(batch)
        columns = decode_records(data, read_batches(data))
        assert bytes(columns.values) == text
        if size % 10 == 0:  # cut in the middle of anything
            for cut in range(0, len(batch) - 61, 7):
                short = bytearray(memoryview(batch)[: 61 + cut])
                short[8:12] = struct.pack(">i", len(short) - 12)
                data = guarded(short)
                try:
                    decode_records(data, read_batches(data, verify_crc=False))
                except BatchError:
                    continue
                raise SystemExit("a cut batch was read")
        guarded(kept)
if len(sys.argv) > 1:
    whole[4 * PAGE]
print("never beyond the end")
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", GUARDED, *arguments], capture_output=True, text=True, check=False
    )


def test_kernels_read_nothing_behind_the_last_byte() -> None:
    done = run()
    assert done.stdout == "never beyond the end\n", (done.returncode, done.stderr)


def test_the_guard_page_guards() -> None:
    assert run("touch").returncode == -11
