"""What every suite here needs, `tests` and `interop` alike."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Let Ctrl-C reach the programs that tests start.

    A shell without job control starts a background command with SIGINT ignored, every child
    inherits that, and a test that interrupts `mainstem serve` would wait for ever.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
