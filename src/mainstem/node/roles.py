"""A role beside the broker: a process of its own that reaches the broker over its port.

The live gateway is one. It is started when the broker is ready, started again when it dies, and
told to stop before the broker is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from mainstem.errors import Unavailable
from mainstem.node.control import Control
from mainstem.node.lines import write_line
from mainstem.node.supervisor import Failed

logger = logging.getLogger("mainstem.node")

_WELL_AFTER_S = 10.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_ASK_S = 3.0
_STOP_GRACE_S = 40.0


class Role:
    """One role of a node. ``module`` is run with the parent's id and a control socket; ``where``
    names what its ready line calls its address, which it keeps when it is started again."""

    def __init__(self, name: str, module: str, settings: dict[str, Any], where: str) -> None:
        self.name = name
        self._module = module
        self._settings = dict(settings)
        self._where = where
        self._process: subprocess.Popen[bytes] | None = None
        self._control: Control | None = None
        self._stopping = asyncio.Event()
        self._reason = f"{name} is starting"
        self.restarts = 0

    async def run(self, when_ready: Callable[[str], None]) -> None:
        """Until ``stop``. Raises ``Failed`` if the first run does not get ready."""
        failures, ever_ready = 0, False
        while not self._stopping.is_set():
            started = time.monotonic()
            address, how = await self._run_once(None if ever_ready else when_ready)
            if address is None and not ever_ready and not self._stopping.is_set():
                raise how
            ever_ready = ever_ready or address is not None
            if self._stopping.is_set():
                return
            failures = failures + 1 if time.monotonic() - started < _WELL_AFTER_S else 1
            pause = min(_FIRST_PAUSE_S * 2 ** (failures - 1), _LONGEST_PAUSE_S)
            self._reason = f"{how}; it is being started again"
            logger.error("%s; starting it again in %.1f s", how, pause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            self.restarts += 1

    async def why_not_ready(self) -> str | None:
        """None while it serves; else the reason."""
        if self._reason:
            return self._reason
        answer = await self._ask("ready")
        if answer is None:
            return f"{self.name} gave no answer"
        reason = answer.get("reason")
        return None if reason is None else f"{self.name}: {reason}"

    async def metrics(self) -> bytes:
        """Its own figures in Prometheus's text; empty while there is none."""
        answer = None if self._reason else await self._ask("metrics")
        return b"" if answer is None else str(answer.get("text", "")).encode()

    async def stop(self) -> None:
        """Ask it to end, wait, insist."""
        self._reason = "the node is shutting down"
        self._stopping.set()
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, process.wait, _STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            logger.error("%s did not stop within %.0f s: killing it", self.name, _STOP_GRACE_S)
            process.kill()

    def kill(self) -> None:
        """No more asking."""
        self._stopping.set()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    # --- one run -----------------------------------------------------------------------------

    async def _run_once(
        self, when_ready: Callable[[str], None] | None
    ) -> tuple[str | None, Failed]:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", self._module, str(os.getpid()), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=(theirs.fileno(),),
            )
        self._process = process
        with contextlib.suppress(OSError):  # already dead: the control channel will say so
            write_line(ours, {"start": self._settings})
        control = await Control.open(ours)
        listening = asyncio.create_task(control.listen())
        address: str | None = None
        with contextlib.suppress(Unavailable):
            line = await control.first
            if "ready" in line and not self._stopping.is_set():
                address = str(line["ready"][self._where])
                self._settings["listen"] = address  # the port of now, also if it was 0
                self._control, self._reason = control, ""
                logger.info("%s is ready", self.name)
                if when_ready is not None:
                    when_ready(address)
        await listening
        code = await asyncio.get_running_loop().run_in_executor(None, process.wait)
        self._control = None
        if control.failure is not None:
            return address, Failed(control.failure[0], usage=control.failure[1])
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return address, Failed(f"the {self.name} process {how}")

    async def _ask(self, what: str) -> dict[str, Any] | None:
        control = self._control
        if control is None:
            return None
        try:
            return await control.ask(what, _ASK_S)
        except Unavailable:
            return None
