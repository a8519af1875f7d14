"""Record batch v2 in plain Python, from the specification alone: slow, short, the oracle.

Source: https://kafka.apache.org/documentation/#recordbatch. Uses nothing of Mainstem, so that a
shared mistake cannot hide.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace

Header = tuple[str, bytes | None]


@dataclass(frozen=True)
class Record:
    value: bytes | None
    key: bytes | None = None
    timestamp_delta: int = 0
    offset_delta: int = 0
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True)
class Batch:
    records: tuple[Record, ...]
    base_offset: int = 0
    leader_epoch: int = -1
    attributes: int = 0
    last_offset_delta: int = -1
    base_timestamp: int = 0
    max_timestamp: int = 0
    producer_id: int = -1
    producer_epoch: int = -1
    base_sequence: int = -1
    count: int = field(default=-1)


def batch_of(records: list[Record], **fields: int) -> Batch:
    """A batch whose offset deltas, count and last delta follow from its records."""
    numbered = tuple(replace(record, offset_delta=i) for i, record in enumerate(records))
    times = [fields.get("base_timestamp", 0) + r.timestamp_delta for r in numbered]
    fields.setdefault("max_timestamp", max(times, default=0))
    return Batch(numbered, last_offset_delta=len(numbered) - 1, count=len(numbered), **fields)


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _crc_entry(index: int) -> int:
    for _ in range(8):
        index = (index >> 1) ^ (0x82F63B78 if index & 1 else 0)
    return index


_CRC_TABLE = [_crc_entry(i) for i in range(256)]


def varint(value: int) -> bytes:
    bits = (value << 1) if value >= 0 else ((-value << 1) - 1)
    out = bytearray()
    while bits >= 0x80:
        out.append(bits & 0x7F | 0x80)
        bits >>= 7
    out.append(bits)
    return bytes(out)


def sized(data: bytes | None) -> bytes:
    return varint(-1) if data is None else varint(len(data)) + data


def encode_record(record: Record) -> bytes:
    body = b"\x00" + varint(record.timestamp_delta) + varint(record.offset_delta)
    body += sized(record.key) + sized(record.value) + varint(len(record.headers))
    for key, value in record.headers:
        body += sized(key.encode()) + sized(value)
    return varint(len(body)) + body


def encode_records(records: tuple[Record, ...]) -> bytes:
    return b"".join(encode_record(record) for record in records)


def encode(batch: Batch, compress: Callable[[bytes], bytes] = bytes) -> bytes:
    return encode_around(batch, compress(encode_records(batch.records)))


def encode_around(batch: Batch, body: bytes) -> bytes:
    """The batch's header, with its length and CRC, before any ``body``."""
    tail = struct.pack(
        ">hiqqqhii",
        batch.attributes,
        batch.last_offset_delta,
        batch.base_timestamp,
        batch.max_timestamp,
        batch.producer_id,
        batch.producer_epoch,
        batch.base_sequence,
        batch.count,
    )
    tail += body
    head = struct.pack(">iBI", batch.leader_epoch, 2, crc32c(tail))
    return struct.pack(">qi", batch.base_offset, len(head) + len(tail)) + head + tail


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, size: int) -> bytes:
        if size < 0 or size > len(self.data) - self.position:
            raise ValueError(f"{size} bytes at {self.position} of {len(self.data)}")
        self.position += size
        return self.data[self.position - size : self.position]

    def varint(self, width: int = 32) -> int:
        bits = shift = 0
        while True:
            byte = self.take(1)[0]
            bits |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift > width:
                raise ValueError("varint is too long")
        if bits >> width:
            raise ValueError("varint has too many bits")
        return (bits >> 1) ^ -(bits & 1)

    def sized(self) -> bytes | None:
        size = self.varint()
        return None if size == -1 else self.take(size)


def decode_record(reader: Reader) -> Record:
    size = reader.varint()
    record = Reader(reader.take(size))
    record.take(1)
    timestamp_delta, offset_delta = record.varint(64), record.varint()
    key, value = record.sized(), record.sized()
    headers = []
    count = record.varint()
    if count < 0:
        raise ValueError(f"{count} headers")
    for _ in range(count):
        name = record.sized()
        if name is None:
            raise ValueError("null header key")
        headers.append((name.decode("utf-8", "replace"), record.sized()))
    if record.position != size:
        raise ValueError("record length disagrees")
    return Record(value, key, timestamp_delta, offset_delta, tuple(headers))


def decode_records(body: bytes, count: int) -> tuple[Record, ...]:
    reader = Reader(body)
    records = tuple(decode_record(reader) for _ in range(count))
    if reader.position != len(body):
        raise ValueError("bytes left over")
    return records


def decode(data: bytes, decompress: Callable[[bytes], bytes] = bytes) -> Batch:
    base_offset, length = struct.unpack_from(">qi", data)
    if len(data) != length + 12:
        raise ValueError("batch length disagrees")
    leader_epoch, magic, crc = struct.unpack_from(">iBI", data, 12)
    if magic != 2 or crc != crc32c(data[21:]):
        raise ValueError("magic or CRC disagrees")
    fields = struct.unpack_from(">hiqqqhii", data, 21)
    records = decode_records(decompress(data[61:]), fields[7])
    return Batch(records, base_offset, leader_epoch, *fields)
