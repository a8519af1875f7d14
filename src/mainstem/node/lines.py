"""The line between supervisor and broker process: JSON objects, one a line, over a socket pair.

Supervisor to broker: ``{"start": {...}}`` first, then ``{"ask": "statistics", "id": 7}``.
Broker to supervisor: ``{"ready": "host:port"}`` or ``{"failed": sentence, "usage": bool}``,
then ``{"id": 7, "answer": {...}}``. End of file means that the other side is gone.
"""

from __future__ import annotations

import socket
from typing import Any

import msgspec

#: Statistics of ten thousand partitions are 2 MB.
LINE_LIMIT = 64 << 20

Line = dict[str, Any]


def write_line(connection: socket.socket, line: Line) -> None:
    """Blocking, for the first words on either side."""
    connection.sendall(msgspec.json.encode(line) + b"\n")


def read_line(connection: socket.socket) -> Line | None:
    """Blocking, byte by byte so that nothing behind the line is taken; None at the end."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            return None
        line += byte
    decoded: Line = msgspec.json.decode(line)
    return decoded
