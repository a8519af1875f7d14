"""What the machine can do with nothing in the way: the loops that brokers are measured against.

Each is a process of its own, as a broker is: ``python -m benchmarks.bare sink|source|durable …``
prints its port, serves one connection at a time and ends with its standard input.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHUNK = 1 << 20
REPLY = b"\x00\x00\x00\x04\x00\x00\x00\x00"


def sink(path: Path, request: int) -> None:
    """Receive, write to a file, and answer once per ``request`` bytes. A new file each time."""
    for connection in _connections():
        path.unlink(missing_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        buffer = memoryview(bytearray(CHUNK))
        total, due = 0, request
        while size := connection.recv_into(buffer):
            os.write(file, buffer[:size])
            total += size
            while total >= due:
                connection.sendall(REPLY)
                due += request
        os.close(file)
        path.unlink()


def source(path: Path) -> None:
    """Answer every 12-byte request (offset, size) with its length and the file's bytes."""
    file = os.open(path, os.O_RDONLY)
    for connection in _connections():
        # A small send buffer keeps sender and receiver in step: half as fast again as the default.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 17)
        while request := connection.recv(12, socket.MSG_WAITALL):
            offset, size = struct.unpack(">qi", request)
            connection.sendall(struct.pack(">i", size), socket.MSG_MORE)
            while size:
                sent = os.sendfile(connection.fileno(), file, offset, size)
                offset, size = offset + sent, size - sent


class _Disk(threading.Thread):
    """Syncs a file and answers what it made durable: one sync begins when the last ends."""

    def __init__(self, connection: socket.socket, file: int) -> None:
        super().__init__()
        self._connection, self._file = connection, file
        self._news = threading.Condition()
        self._waiting = 0
        self._over = False

    def wrote(self) -> None:
        with self._news:
            self._waiting += 1
            self._news.notify()

    def finish(self) -> None:
        with self._news:
            self._over = True
            self._news.notify()
        self.join()

    def run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._over)
                answered, self._waiting = self._waiting, 0
            if not answered:
                return
            os.fdatasync(self._file)
            self._connection.sendall(REPLY * answered)


def durable(path: Path, request: int) -> None:
    """As ``sink``, but a request is answered once it is on disk."""
    for connection in _connections():
        path.unlink(missing_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        buffer = memoryview(bytearray(request))
        disk = _Disk(connection, file)
        disk.start()
        while connection.recv_into(buffer, request, socket.MSG_WAITALL) == request:
            os.write(file, buffer)
            disk.wrote()
        disk.finish()
        os.close(file)
        path.unlink()


def prime(path: Path, size: int) -> None:
    """Leave ``size`` bytes of page cache just freed, as the kernel hands it out again first."""
    block = bytes(CHUNK)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for _ in range(-(-size // CHUNK)):
        os.write(file, block)
    os.close(file)
    path.unlink()


def _connections() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection:
                yield connection


@contextmanager
def running(kind: str, *arguments: str) -> Iterator[str]:
    """Start one of the loops; yield its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bare", kind, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield f"127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


if __name__ == "__main__":
    if sys.argv[1] == "sink":
        sink(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1] == "durable":
        durable(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        source(Path(sys.argv[2]))
