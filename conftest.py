"""What every suite here needs, `tests` and `interop` alike."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest


def pytest_configure() -> None:
    """Let Ctrl-C reach the programs that tests start.

    A shell without job control starts a background command with SIGINT ignored, every child
    inherits that, and a test that interrupts `mainstem serve` would wait for ever.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def standard_descriptors_stay_open() -> Iterator[None]:
    """Fail the test that closes a descriptor which is not its own, not the one that meets it.

    A kernel that closes 0 because it never opened anything hands that number to an event loop,
    which aborts the process when it ends, many tests later.
    """
    yield
    for descriptor in range(3):
        os.fstat(descriptor)
