"""``python -m mainstem.live.child PARENT FD``: the gateway as a node's role, in its own process.

Over the inherited socket go JSON lines, as between the node and its broker: the node says
``{"start": settings}``, then ``{"ask": "metrics", "id": 7}`` or ``"ready"``; the gateway says
``{"ready": {"live": …, "http": …}}`` or ``{"failed": sentence, "usage": bool}``, then
``{"id": 7, "answer": …}``. When the node is gone, so is the gateway, gently.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from typing import Any

import msgspec

from mainstem.errors import Invalid, MainstemError
from mainstem.live.entry import run_with
from mainstem.live.role import LiveRole
from mainstem.live.settings import from_table

_PR_SET_PDEATHSIG = 1
_LINE_LIMIT = 16 << 20


def main(arguments: list[str]) -> int:
    """``arguments``: the parent's process id, the control socket's descriptor."""
    parent, number = map(int, arguments)
    # A parent that is killed lets the viewers go: SIGTERM, where the broker gets SIGKILL.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        return 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the group: the parent decides
    control = socket.socket(fileno=number)
    with control.makefile("rb") as lines:
        first = lines.readline()
    if not first:
        return 1
    try:
        settings = from_table(msgspec.json.decode(first)["start"], "[live]")

        def ready(live: str, http: str) -> None:
            _say(control, {"ready": {"live": live, "http": http}})

        return run_with(settings, ready, lambda role: _converse(control, role))
    except MainstemError as error:
        usage = isinstance(error, Invalid) and error.code is None
        _say(control, {"failed": f"live: {error}", "usage": usage})
        return 1


def _say(control: socket.socket, line: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # a parent that is gone need not hear it
        control.sendall(msgspec.json.encode(line) + b"\n")


async def _converse(control: socket.socket, role: LiveRole) -> None:
    """Answers the node until it is gone; a gateway without one stops."""
    control.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=control.dup(), limit=_LINE_LIMIT)
    try:
        while raw := await reader.readline():
            line = msgspec.json.decode(raw)
            answer: dict[str, Any] = {"reason": await role.why_not_ready()}
            if line["ask"] == "metrics":
                answer["text"] = role.metrics().decode()
            writer.write(msgspec.json.encode({"id": line["id"], "answer": answer}) + b"\n")
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
    role.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
