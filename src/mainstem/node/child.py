"""The broker process as its supervisor holds it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from mainstem.node.config import NodeConfig
from mainstem.node.lines import write_line

if TYPE_CHECKING:
    from mainstem.node.control import Control

_MODULE = "mainstem.node.broker_process"


class Child:
    """One run of the broker process. ``control`` is there once ``connect`` has been awaited."""

    control: Control

    def __init__(
        self,
        config: NodeConfig,
        advertised: tuple[str, int] | None,
        listener: socket.socket,
        lock: int,
    ) -> None:
        """Starts it at once, without an event loop: start-up time counts.

        The process shares the listener, so the port stays ours while it restarts and clients
        wait instead of being refused, and the directory's lock, so that nobody can open the
        directory before its last writer is really gone.
        """
        self.started = time.monotonic()
        ours, theirs = socket.socketpair()
        numbers = (theirs.fileno(), listener.fileno(), lock)
        self._socket = ours
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", _MODULE, str(os.getpid()), *map(str, numbers)],
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=numbers,
            )
        host, port = listener.getsockname()[:2]
        settings: dict[str, Any] = {"host": host, "port": port, "advertised": advertised}
        with contextlib.suppress(OSError):  # already dead: the control channel will say so
            write_line(ours, {"start": settings | {name: getattr(config, name) for name in _SENT}})

    async def connect(self) -> Control:
        """Takes up the control channel on the running event loop."""
        from mainstem.node.control import Control

        self.control = await Control.open(self._socket)
        return self.control

    async def reap(self) -> str:
        """After the control channel ended: how the process ended, in a few words."""
        import asyncio

        code = await asyncio.get_running_loop().run_in_executor(None, self.process.wait)
        if code < 0:
            return f"was killed by {_signal_name(-code)}"
        return f"ended with exit code {code}"

    def ask_to_stop(self) -> None:
        """A clean shutdown, please."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """No more asking."""
        self.process.kill()


_SENT = ("data", "logging", "broker", "log")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
