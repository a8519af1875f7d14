"""Fetch, the other hot request: answered as header bytes around file slices, never copied.

Source: FetchResponse.json, versions 4 to 18. Fetch sessions (KIP-227) are declined: the session
id is always 0, which every client takes as "send full requests".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

_HEAD = struct.Struct(">ihi")
_PARTITION = struct.Struct(">ihqqq")
_INT32 = struct.Struct(">i")
_INT16 = struct.Struct(">h")


class Sized(Protocol):
    """Records to send: bytes, or a slice of a file."""

    @property
    def size(self) -> int: ...


@dataclass(slots=True)
class FetchedPartition:
    """One partition's part of the answer; ``records`` is ``None`` when there are none."""

    index: int
    error_code: int = 0
    high_watermark: int = -1
    last_stable_offset: int = -1
    log_start_offset: int = -1
    records: Sized | None = None
    diverging_epoch: tuple[int, int] | None = None


def write_fetch_response(
    version: int,
    correlation_id: int,
    topics: list[tuple[str | UUID, list[FetchedPartition]]],
    *,
    error_code: int = 0,
) -> list[bytes | Sized]:
    """A whole Fetch response: bytes and ``records`` objects, in the order to send them."""
    parts: list[bytes | Sized] = []
    size = 0
    flexible = version >= 12
    out = bytearray(_INT32.pack(correlation_id))
    if flexible:
        out += b"\0"
    out += _HEAD.pack(0, error_code, 0) if version >= 7 else _INT32.pack(0)
    out += _count(len(topics), flexible)
    for name, partitions in topics:
        out += _topic(name, flexible)
        out += _count(len(partitions), flexible)
        for partition in partitions:
            _write_partition(out, partition, version)
            if partition.records is not None:
                size += len(out) + partition.records.size
                parts.append(bytes(out))
                parts.append(partition.records)
                out = bytearray()
            out += _partition_tags(partition, version)
        if flexible:
            out += b"\0"
    if flexible:
        out += b"\0"
    size += len(out)
    parts.append(bytes(out))
    parts[0] = _INT32.pack(size) + parts[0]  # type: ignore[operator]  # the first is always bytes
    return parts


def _write_partition(out: bytearray, partition: FetchedPartition, version: int) -> None:
    flexible = version >= 12
    out += _PARTITION.pack(
        partition.index,
        partition.error_code,
        partition.high_watermark,
        partition.last_stable_offset,
        partition.log_start_offset,
    )[: 30 if version >= 5 else 22]
    out += b"\0" if flexible else b"\xff\xff\xff\xff"  # no aborted transactions
    if version >= 11:
        out += b"\xff\xff\xff\xff"  # no preferred read replica
    out += _count(0 if partition.records is None else partition.records.size, flexible)


def _partition_tags(partition: FetchedPartition, version: int) -> bytes:
    if version < 12:
        return b""
    if partition.diverging_epoch is None:
        return b"\0"
    epoch, end_offset = partition.diverging_epoch
    return b"\x01\x00\x0d" + struct.pack(">iq", epoch, end_offset) + b"\0"


def _topic(name: str | UUID, flexible: bool) -> bytes:
    if isinstance(name, UUID):
        return name.bytes
    raw = name.encode()
    return (_varint(len(raw) + 1) if flexible else _INT16.pack(len(raw))) + raw


def _count(count: int, flexible: bool) -> bytes:
    return _varint(count + 1) if flexible else _INT32.pack(count)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
