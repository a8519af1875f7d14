"""A plain encoder of record batch v2 for the log's tests: what a client would send."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from crc32c import crc32c

from mainstem.log import Partition
from mainstem.wire import compress


def zigzag(value: int) -> bytes:
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_record(delta: int, value: bytes | None, time_delta: int, key: bytes | None) -> bytes:
    body = b"\x00" + zigzag(time_delta) + zigzag(delta)
    for field in (key, value):
        body += zigzag(-1) if field is None else zigzag(len(field)) + field
    body += zigzag(0)
    return zigzag(len(body)) + body


def encode_batch(
    values: Sequence[bytes | None],
    *,
    timestamps: Sequence[int] | int = 1_700_000_000_000,
    key: bytes | None = None,
    producer: tuple[int, int, int] = (-1, -1, -1),
    attributes: int = 0,
    codec: int = 0,
    base_offset: int = 0,
) -> bytearray:
    """One batch; ``producer`` is (id, epoch, base sequence), timestamps one or one each."""
    times = [timestamps] * len(values) if isinstance(timestamps, int) else list(timestamps)
    records = b"".join(
        encode_record(delta, value, time - times[0], key)
        for delta, (value, time) in enumerate(zip(values, times, strict=True))
    )
    if codec:
        records = bytes(compress(codec, records))
    checked = struct.pack(
        ">hiqqqhii",
        attributes | codec,
        len(values) - 1,
        times[0],
        max(times),
        *producer,
        len(values),
    )
    checked += records
    head = struct.pack(">qiibI", base_offset, 9 + len(checked), -1, 2, crc32c(checked))
    return bytearray(head + checked)


def batch(count: int = 1, size: int = 20, **options: object) -> bytearray:
    """A batch of ``count`` records of ``size`` bytes."""
    return encode_batch([b"x" * size] * count, **options)  # type: ignore[arg-type]


def whole(partition: Partition) -> bytes:
    """Every byte from the log start offset on."""
    offset, parts = partition.log_start_offset, []
    while found := partition.read(offset, 1 << 20):
        parts.append(found.read())
        offset = found.next_offset
    return b"".join(parts)
