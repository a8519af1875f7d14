"""Finding a run of batches: index lookups, a short header scan, and memory of recent ends."""

from __future__ import annotations

from typing import NamedTuple

from mainstem.errors import Invalid
from mainstem.filesystem import File
from mainstem.log.segment import Segment
from mainstem.log.storage import Storage

OFFSET_OUT_OF_RANGE = 1
_REMEMBERED = 128


class Slice(NamedTuple):
    """A run of whole batches: ``size`` bytes at ``position`` of ``file``.

    The file stays readable for as long as this is held, even if its segment is deleted.
    ``next_offset`` is the offset after the last record.
    """

    file: File
    position: int
    size: int
    next_offset: int

    def read(self) -> bytes:
        return self.file.pread(self.position, self.size)


class Reader:
    """Reads of one partition. Not thread safe: the partition's lock guards it.

    A consumer asks next for where its last slice ended, so recent ends are remembered with
    their positions; a consumer at the tail asks for the batch just appended.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._ends: dict[int, tuple[Segment, int]] = {}

    def remember(self, offset: int, segment: Segment, position: int) -> None:
        """A batch with base ``offset`` begins, or will begin, at ``position``."""
        ends = self._ends
        if len(ends) >= _REMEMBERED:
            del ends[next(iter(ends))]
        ends[offset] = (segment, position)

    def forget(self) -> None:
        """Segments went away."""
        self._ends.clear()

    def read(self, offset: int, max_bytes: int, up_to: int, at_least_one: bool) -> Slice | None:
        storage = self._storage
        if not storage.log_start_offset <= offset <= storage.log_end_offset:
            raise Invalid(
                f"{storage.name}: offset {offset} is outside "
                f"{storage.log_start_offset} to {storage.log_end_offset}",
                code=OFFSET_OUT_OF_RANGE,
            )
        if offset >= up_to:
            return None
        slot = len(storage.bases) - 1
        if offset < storage.bases[slot]:
            slot = storage.slot(offset)
        segment = storage.segments[slot]
        known = self._ends.get(offset)
        if known is not None and known[0] is segment:
            start = known[1]
        else:
            start = segment.locate(offset).position
        end, next_offset = segment.size, storage.end_of(slot)
        if up_to < next_offset:
            placed = segment.locate(up_to)
            end, next_offset = placed.position, placed.base_offset
        if end - start > max_bytes:
            end, next_offset = self._cut(segment, start, end, max_bytes, at_least_one, next_offset)
        if end <= start:
            return None
        self.remember(next_offset, segment, end)
        return Slice(segment.file(), start, end - start, next_offset)

    def _cut(
        self,
        segment: Segment,
        start: int,
        end: int,
        max_bytes: int,
        at_least_one: bool,
        next_offset: int,
    ) -> tuple[int, int]:
        """The last boundary within ``max_bytes`` of ``start``, or past the first batch."""
        position, offset = segment.boundary(start, start + max_bytes)
        if position == start and at_least_one:
            first = next(segment.batches(start))
            position, offset = start + first.size, first.last_offset + 1
        if position >= end or offset is None:
            return end, next_offset
        return position, offset
