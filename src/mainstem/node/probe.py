"""Does anybody speak Kafka at this address? One ApiVersions round trip finds out.

ApiVersions v0 is the one request every broker since 0.10 answers before anything else; its
bytes are fixed, so the supervisor needs no message library for them.
"""

from __future__ import annotations

import asyncio
import socket
import struct

# size, api key 18, version 0, correlation id, null client id (KIP-35)
_CORRELATION = 0x6D73746D
_REQUEST = struct.pack(">ihhih", 10, 18, 0, _CORRELATION, -1)
_REPLY = struct.Struct(">iih")  # size, correlation id, error code
_LARGEST_REPLY = 1 << 16


def answers(host: str, port: int, timeout: float) -> bool:
    """Blocking; ``timeout`` in seconds covers connecting and each read."""
    try:
        with socket.create_connection((host, port), timeout) as connection:
            connection.sendall(_REQUEST)
            reply = b""
            while len(reply) < _REPLY.size:
                part = connection.recv(_LARGEST_REPLY)
                if not part:
                    return False
                reply += part
            return _good(reply)
    except OSError:
        return False


async def answers_async(host: str, port: int, timeout: float) -> bool:
    """The same from an event loop; ``timeout`` in seconds is for all of it."""
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(_REQUEST)
                return _good(await reader.readexactly(_REPLY.size))
            finally:
                writer.close()
    except (OSError, EOFError, TimeoutError):
        return False


def _good(reply: bytes) -> bool:
    size, correlation, error = _REPLY.unpack_from(reply)
    return bool(correlation == _CORRELATION and error == 0 and 0 < size <= _LARGEST_REPLY)
