"""Ports for servers that another process starts, or that start again where they were."""

from __future__ import annotations

import atexit
import random
import socket
from pathlib import Path

_LOWEST = 10_000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_marks: list[socket.socket] = []


def lasting_port() -> int:
    """A loopback port that is free, and this process's as long as it runs.

    Not one that binding port 0 gave and that was let go: until a server has it (again), any
    socket of the system's choosing may get it, and a client that tries a port of that range
    while nobody listens there may be connected to itself. Others that ask here get others.
    """
    above = max(int(_RANGE.read_text().split()[0]), 2 * _LOWEST)
    for port in random.SystemRandom().sample(range(_LOWEST, above), 1000):
        mark = socket.socket(socket.AF_UNIX)  # in the abstract namespace: gone with the process
        try:
            mark.bind(f"\0mainstem-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            continue
        _marks.append(mark)
        return port
    raise OSError(f"no port from {_LOWEST} to {above} is free")


@atexit.register
def _let_go() -> None:
    for mark in _marks:
        mark.close()
