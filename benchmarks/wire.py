"""Just enough Kafka protocol to load a broker at almost no cost of its own.

Requests are built once; a load loop patches a correlation id or sends the same bytes again, so
what is measured is the broker. Layouts: https://kafka.apache.org/protocol (versions named below).
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass

from crc32c import crc32c

BATCH_HEADER = 61
CREATE_TOPICS, DELETE_TOPICS, LIST_OFFSETS, PRODUCE, FETCH = 19, 20, 2, 0, 1


def _varint(number: int) -> bytes:
    """Return a zigzag varint, as inside records."""
    return _unsigned((number << 1) ^ (number >> 63))


def _unsigned(number: int) -> bytes:
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _compact(text: str) -> bytes:
    return _unsigned(len(text) + 1) + text.encode()


def batch(count: int, size: int, *, timestamp: int | None = None) -> bytes:
    """Return an uncompressed record batch v2 of ``count`` keyless records of ``size`` bytes."""
    value = bytes(32 + i % 90 for i in range(size))
    tail = _varint(size) + value + b"\x00"
    records = []
    for delta in range(count):
        body = b"\x00\x00" + _varint(delta) + b"\x01" + tail
        records.append(_varint(len(body)) + body)
    payload = b"".join(records)
    now = int(time.time() * 1000) if timestamp is None else timestamp
    checked = struct.pack(">hiqqqhii", 0, count - 1, now, now, -1, -1, -1, count) + payload
    after = struct.pack(">iBI", -1, 2, crc32c(checked)) + checked
    return struct.pack(">qi", 0, len(after)) + after


def frame(body: bytes) -> bytes:
    """Return a request with its length in front."""
    return struct.pack(">i", len(body)) + body


def produce(topic: str, records: bytes, *, acks: int, correlation: int = 0) -> bytes:
    """Return a whole Produce v9 request for partition 0."""
    header = struct.pack(">hhi", PRODUCE, 9, correlation) + _string("bench") + b"\x00"
    body = b"\x00" + struct.pack(">hi", acks, 30_000) + b"\x02" + _compact(topic)
    part = b"\x02" + struct.pack(">i", 0) + _unsigned(len(records) + 1) + records
    return frame(header + body + part + b"\x00\x00\x00")


@dataclass(frozen=True)
class ProduceReply:
    """Where things are in every answer to :func:`produce` of ``topic``: its size never varies."""

    topic: str

    @property
    def error_position(self) -> int:
        """Byte position of the error code in the whole answer, its length included."""
        return 4 + 4 + 1 + 1 + len(_compact(self.topic)) + 1 + 4

    def error(self, answer: bytes) -> int:
        code: int = struct.unpack_from(">h", answer, self.error_position)[0]
        return code


def fetch(
    topic: str, offset: int, max_bytes: int, *, max_wait: int = 500, correlation: int = 0
) -> bytes:
    """Return a whole Fetch v11 request for partition 0, outside any session."""
    header = struct.pack(">hhi", FETCH, 11, correlation) + _string("bench")
    limits = struct.pack(">iiiibii", -1, max_wait, 1, max_bytes, 0, 0, -1)
    part = struct.pack(">iiiqqi", 1, 0, -1, offset, -1, max_bytes)
    body = limits + struct.pack(">i", 1) + _string(topic) + part
    return frame(header + body + struct.pack(">i", 0) + _string(""))


def fetch_head_size(topic: str) -> int:
    """Bytes of a Fetch v11 answer before the records: no aborted transactions are expected."""
    return 4 + 4 + 4 + 2 + 4 + 4 + 2 + len(topic) + 4 + 4 + 2 + 8 + 8 + 8 + 4 + 4 + 4


class Connection:
    """A blocking socket that speaks frames. One thread at a time."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def receive(self, size: int) -> bytes:
        """Return exactly ``size`` bytes; raises ConnectionError where the broker hangs up."""
        found = self.socket.recv(size, socket.MSG_WAITALL)
        while len(found) < size:
            more = self.socket.recv(size - len(found), socket.MSG_WAITALL)
            if not more:
                raise ConnectionError("the broker closed the connection")
            found += more
        return found

    def answer(self) -> bytes:
        """Return one whole answer, its length included."""
        head = self.receive(4)
        return head + self.receive(struct.unpack(">i", head)[0])

    def ask(self, request: bytes) -> bytes:
        self.socket.sendall(request)
        return self.answer()

    def close(self) -> None:
        self.socket.close()


def create_topic(connection: Connection, topic: str, config: Mapping[str, str]) -> int:
    """Create a topic of one partition (CreateTopics v4); return Kafka's error code."""
    entries = b"".join(_string(name) + _string(value) for name, value in config.items())
    body = struct.pack(">i", 1) + _string(topic) + struct.pack(">ihi", 1, 1, 0)
    body += struct.pack(">i", len(config)) + entries + struct.pack(">ib", 30_000, 0)
    header = struct.pack(">hhi", CREATE_TOPICS, 4, 1) + _string("bench")
    answer = connection.ask(frame(header + body))
    code: int = struct.unpack_from(">h", answer, 4 + 4 + 4 + 4 + 2 + len(topic))[0]
    return code


def delete_topic(connection: Connection, topic: str) -> int:
    """Delete a topic (DeleteTopics v3); return Kafka's error code."""
    header = struct.pack(">hhi", DELETE_TOPICS, 3, 1) + _string("bench")
    body = struct.pack(">i", 1) + _string(topic) + struct.pack(">i", 30_000)
    answer = connection.ask(frame(header + body))
    code: int = struct.unpack_from(">h", answer, 4 + 4 + 4 + 4 + 2 + len(topic))[0]
    return code


def end_offset(connection: Connection, topic: str) -> tuple[int, int]:
    """Return (error code, next offset) of partition 0 (ListOffsets v2)."""
    header = struct.pack(">hhi", LIST_OFFSETS, 2, 1) + _string("bench")
    body = struct.pack(">ibi", -1, 0, 1) + _string(topic) + struct.pack(">iiq", 1, 0, -1)
    answer = connection.ask(frame(header + body))
    where = 4 + 4 + 4 + 4 + 2 + len(topic) + 4 + 4
    code, _, offset = struct.unpack_from(">hqq", answer, where)
    return code, offset
