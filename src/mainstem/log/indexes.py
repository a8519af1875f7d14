"""A segment's sparse offset and time index, in memory, in Kafka's file formats.

Entries follow Kafka's LogSegment.append: an entry's offset is the *last* offset of the batch
appended at that moment and its position that batch's first byte; a time entry pairs the largest
timestamp so far with the last offset of the batch that first had it. Offsets are relative to the
segment's base. Files are big-endian: 8-byte (offset int32, position int32) entries in ``.index``,
12-byte (timestamp int64, offset int32) entries in ``.timeindex``.
"""

from __future__ import annotations

import operator
import struct
import sys
from array import array
from bisect import bisect_right
from itertools import islice

MAX_RELATIVE_OFFSET = 2**31 - 1
MAX_OFFSET_ENTRIES = 10 * 1024 * 1024 // 8
"""Kafka's default ``segment.index.bytes``; a full index rolls the segment."""

_TIME_ENTRY = struct.Struct(">qi")
NO_TIMESTAMP = -1


class IndexFileError(ValueError):
    """An index file that must not be trusted; it can be rebuilt from its segment."""


def _increasing(values: array[int]) -> bool:
    return all(map(operator.lt, values, islice(values, 1, None)))


class OffsetIndex:
    """Relative offset to file position, both strictly increasing."""

    __slots__ = ("offsets", "positions")

    def __init__(self) -> None:
        self.offsets = array("i")
        self.positions = array("i")

    def append(self, relative_offset: int, position: int) -> None:
        self.offsets.append(relative_offset)
        self.positions.append(position)

    def floor(self, relative_offset: int) -> int:
        """Position to scan from for ``relative_offset``."""
        slot = bisect_right(self.offsets, relative_offset)
        return self.positions[slot - 1] if slot else 0

    def floor_position(self, position: int) -> int:
        """The last known batch boundary at or before ``position``."""
        slot = bisect_right(self.positions, position)
        return self.positions[slot - 1] if slot else 0

    def to_bytes(self) -> bytes:
        entries = array("i", bytes(8 * len(self.offsets)))
        entries[0::2] = self.offsets
        entries[1::2] = self.positions
        if sys.byteorder == "little":
            entries.byteswap()
        return entries.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, segment_size: int) -> OffsetIndex:
        """Parse a file; raises ``IndexFileError`` unless every entry could be right."""
        if len(data) % 8:
            raise IndexFileError(f"{len(data)} bytes are not whole 8-byte entries")
        entries = array("i", data)
        if sys.byteorder == "little":
            entries.byteswap()
        index = cls()
        index.offsets, index.positions = entries[0::2], entries[1::2]
        if entries and (
            min(index.offsets[0], index.positions[0]) < 0
            or index.positions[-1] >= segment_size
            or not _increasing(index.offsets)
            or not _increasing(index.positions)
        ):
            raise IndexFileError("entries are not increasing or point past the segment")
        return index


class TimeIndex:
    """Largest timestamp so far to relative offset; timestamps strictly increasing."""

    __slots__ = ("offsets", "timestamps")

    def __init__(self) -> None:
        self.timestamps = array("q")
        self.offsets = array("i")

    def append(self, timestamp: int, relative_offset: int) -> None:
        """Add an entry unless the last one has this timestamp already (Kafka's maybeAppend)."""
        if timestamp > (self.timestamps[-1] if self.timestamps else NO_TIMESTAMP):
            self.timestamps.append(timestamp)
            self.offsets.append(relative_offset)

    def floor(self, timestamp: int) -> int | None:
        """Relative offset before which everything is older than ``timestamp``."""
        slot = bisect_right(self.timestamps, timestamp)
        return self.offsets[slot - 1] if slot else None

    def last(self) -> tuple[int, int] | None:
        """The segment's largest timestamp and the relative offset it belongs to."""
        return (self.timestamps[-1], self.offsets[-1]) if self.timestamps else None

    def to_bytes(self) -> bytes:
        return b"".join(map(_TIME_ENTRY.pack, self.timestamps, self.offsets))

    @classmethod
    def from_bytes(cls, data: bytes) -> TimeIndex:
        """Parse a file; raises ``IndexFileError`` unless every entry could be right."""
        if len(data) % 12:
            raise IndexFileError(f"{len(data)} bytes are not whole 12-byte entries")
        index = cls()
        for timestamp, relative_offset in _TIME_ENTRY.iter_unpack(data):
            index.timestamps.append(timestamp)
            index.offsets.append(relative_offset)
        offsets = index.offsets
        if not _increasing(index.timestamps) or (
            data and (offsets[0] < 0 or not _increasing(offsets))
        ):
            raise IndexFileError("entries are not increasing")
        return index
