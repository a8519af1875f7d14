"""Damaged blocks and batches that end right before a page nobody may read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

GUARDED = """
import ctypes, mmap, random, sys
import test_kernel_lsm_fuzz as fuzz

PAGE, PAGES = mmap.PAGESIZE, 32
whole = mmap.mmap(-1, (PAGES + 1) * PAGE)
address = ctypes.addressof(ctypes.c_char.from_buffer(whole))
mprotect = ctypes.CDLL(None, use_errno=True).mprotect
mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
assert mprotect(address + PAGES * PAGE, PAGE, 0) == 0


def guarded(data):
    start = PAGES * PAGE - len(data)
    whole[start : PAGES * PAGE] = data
    return memoryview(whole)[start : PAGES * PAGE]


rng = random.Random(int(sys.argv[1]))
for number in range(6000):
    make, use = rng.choice(((fuzz.block_bytes, fuzz.use_block), (fuzz.batch_bytes, fuzz.use_batch)))
    data = make(rng.randrange(8 if make is fuzz.block_bytes else 5))
    whole_one = number % 20 == 0
    try:
        use(guarded(data if whole_one else fuzz.mutate(data, rng)))
    except (ValueError, OverflowError):
        assert not whole_one, "sound bytes were refused"
if len(sys.argv) > 2:
    whole[PAGES * PAGE]
print("never beyond the end")
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    here = Path(__file__).parent
    program = f"import sys; sys.path[:0] = [{str(here)!r}, {str(here.parent)!r}]\n{GUARDED}"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )


def test_state_store_kernels_read_nothing_behind_the_last_byte() -> None:
    for seed in ("1", "2"):
        done = run(seed)
        assert done.stdout == "never beyond the end\n", (seed, done.returncode, done.stderr)


def test_the_guard_page_of_the_state_store_guards() -> None:
    assert run("1", "touch").returncode == -11
