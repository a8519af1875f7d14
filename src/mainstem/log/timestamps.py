"""Finding records by time: segments, then batch headers, then the records of one batch."""

from __future__ import annotations

from collections.abc import Iterator

from mainstem.errors import Corrupt
from mainstem.kernels import HEADER_SIZE, read_header
from mainstem.log.indexes import NO_TIMESTAMP
from mainstem.log.segment import Placed, Segment
from mainstem.log.storage import Storage

_MAX_RECORDS_BYTES = 256 << 20  # what one batch may decompress to


def first_at_or_after(storage: Storage, timestamp: int) -> tuple[int, int] | None:
    """(offset, timestamp) of the first readable record at or after ``timestamp``."""
    start = storage.log_start_offset
    for segment in storage.segments:
        if segment.largest_timestamp()[0] < timestamp:
            continue
        for placed in segment.batches(segment.time_floor(timestamp)):
            if placed.max_timestamp < timestamp or placed.last_offset < start:
                continue
            for offset, when in records(segment, placed):
                if when >= timestamp and offset >= start:
                    return offset, when
    return None


def first_with_largest(storage: Storage) -> tuple[int, int] | None:
    """(offset, timestamp) of the first record that has the partition's largest timestamp."""
    largest, last_offset = max(
        (segment.largest_timestamp() for segment in storage.segments),
        key=lambda pair: (pair[0], -pair[1]),
    )
    if largest == NO_TIMESTAMP:
        return None
    segment = storage.segments[storage.slot(last_offset)]
    placed = segment.locate(last_offset)
    for offset, when in records(segment, placed):
        if when == largest:
            return offset, when
    return placed.base_offset, largest


def records(segment: Segment, placed: Placed) -> Iterator[tuple[int, int]]:
    """(offset, timestamp) of every record of a batch. Raises ``Corrupt``."""
    data = segment.file().pread(placed.position, placed.size)
    header = read_header(data)
    if header.log_append_time:
        for delta in range(header.record_count):
            yield placed.base_offset + delta, header.max_timestamp
        return
    body = memoryview(data)[HEADER_SIZE:]
    try:
        if header.codec:
            from mainstem.wire import decompress

            body = memoryview(decompress(header.codec, body, limit=_MAX_RECORDS_BYTES))
        position = 0
        for _ in range(header.record_count):
            length, position = _varint(body, position)
            end = position + length
            if length < 0 or end > len(body):
                raise ValueError(f"a record of {length} bytes")
            time_delta, position = _varint(body, position + 1)
            offset_delta, position = _varint(body, position)
            yield placed.base_offset + offset_delta, header.base_timestamp + time_delta
            position = end
    except (ValueError, IndexError) as error:
        raise Corrupt(
            f"{segment.path}: the records of the batch at byte {placed.position} cannot be "
            f"read: {error}",
            code=2,
        ) from error


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """A zigzag varint of at most ten bytes and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), position
        shift += 7
        if shift > 63:
            raise ValueError("an overlong varint")
