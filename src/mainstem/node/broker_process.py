"""``python -m mainstem.node.broker_process``: the broker, alone in a process of its own.

Started by the supervisor with inherited descriptors: control channel, listener, directory lock.
Imports nothing that the broker does not need: its start is the node's start.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mainstem.errors import Invalid, MainstemError
from mainstem.node import logs
from mainstem.node.config import NodeConfig, broker_config
from mainstem.node.directory import storage_error
from mainstem.node.lines import LINE_LIMIT, read_line, write_line

if TYPE_CHECKING:
    from mainstem.broker import Broker

logger = logging.getLogger("mainstem.node")

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """``arguments``: parent's process id, control descriptor, listener's, lock's."""
    parent, control_number, listener_number, _lock = map(int, arguments)
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the group: the parent decides
    control = socket.socket(fileno=control_number)
    line = read_line(control)
    if line is None:
        return 1
    settings = line["start"]
    logs.configure(settings["logging"])
    listener = socket.socket(fileno=listener_number)
    try:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, listener, control))
    except Exception as error:
        write_line(control, {"failed": _sentence(error, settings), "usage": _is_usage(error)})
        return 1
    return 0


def _die_with(parent: int) -> None:
    """A supervisor that is killed takes its broker along (prctl(2), Linux)."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


async def _serve(settings: dict[str, Any], listener: socket.socket, control: socket.socket) -> None:
    from mainstem.broker import Broker, raise_descriptor_limit

    raise_descriptor_limit()
    names = ("data", "logging", "broker", "log")
    node = NodeConfig(**{name: settings[name] for name in names})
    advertised = tuple(settings["advertised"]) if settings["advertised"] else None
    broker = Broker(broker_config(node, settings["host"], settings["port"], advertised))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await broker.start(listener)
    try:
        write_line(control, {"ready": True})
        conversation = asyncio.create_task(_converse(control, broker, stop))
        await stop.wait()
        conversation.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await conversation
    finally:
        await broker.close()


async def _converse(control: socket.socket, broker: Broker, stop: asyncio.Event) -> None:
    """Answers the supervisor until it is gone; a broker without one stops."""
    from mainstem.node.statistics import gather

    control.setblocking(False)
    # A duplicate: the transport closes its own, and the last words need ours.
    reader, writer = await asyncio.open_connection(sock=control.dup(), limit=LINE_LIMIT)
    try:
        while raw := await reader.readline():
            line = msgspec.json.decode(raw)
            writer.write(msgspec.json.encode({"id": line["id"], "answer": gather(broker)}))
            writer.write(b"\n")
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
    stop.set()


def _sentence(error: Exception, settings: dict[str, Any]) -> str:
    if isinstance(error, MainstemError):
        return str(error)
    if isinstance(error, OSError):
        return str(storage_error(error, Path(settings["data"])))
    logger.error("the broker failed", exc_info=error)
    return f"the broker failed: {type(error).__name__}: {error}"


def _is_usage(error: Exception) -> bool:
    return isinstance(error, Invalid) and error.code is None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
