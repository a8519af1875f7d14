"""Ctrl-C may come between any two steps of a blocking call, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys, time
from mainstem.face.loop import run

begun = []

async def work(number):
    begun.append(number)
    return number

class Interrupter:
    # Raises where a signal's handler would: at the n-th line or call of a blocking call.
    def __init__(self, at):
        self.left = at
    def __call__(self, frame, event, argument):
        if frame.f_code is not run.__code__:
            return None
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return self

assert run(work, 0) == 0
interrupted = 0
for at in range(1, 40):
    sys.settrace(Interrupter(at))
    try:
        run(work, at)
    except KeyboardInterrupt:
        interrupted += 1
    finally:
        sys.settrace(None)
assert interrupted > 5, interrupted
assert run(work, 40) == 40  # and what was begun before is over
"""


def test_an_interrupt_at_any_step_leaves_no_coroutine_behind() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", SCRIPT],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
