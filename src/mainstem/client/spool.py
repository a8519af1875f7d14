"""Fetched record batches in line to be decoded, counted by their headers alone.

So the rows of several answers, and of several partitions, are decoded at once into memory of
the right size: nothing is decoded twice, put together or copied again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Any, Final

from mainstem.client.fetcher import Fetched
from mainstem.client.leader_epochs import Epochs
from mainstem.errors import Corrupt
from mainstem.kernels import BatchError, BatchHeader
from mainstem.wire import drop_aborted

_NO_END: Final = 2**63 - 1
_CORRUPT: Final = 2
_RATIO: Final = 64  # how much larger compressed records are taken to be, until some were seen


@dataclass(frozen=True, slots=True)
class Part:
    """Record batches of one partition, in one buffer: the records from one offset to another.

    ``rows`` is how many there are at most, ``size`` about how many bytes, ``next_offset`` where
    to go on behind them, also behind what is not a record (markers, aborted ones).
    """

    topic: str
    partition: int
    data: Any
    headers: list[BatchHeader]
    from_offset: int
    to_offset: int
    next_offset: int
    epochs: Epochs
    rows: int
    size: int

    @property
    def compressed(self) -> bool:
        """Whether ``size`` is a guess."""
        return bool(self.headers) and self.headers[0].codec != 0


class Spool:
    """Parts in the order they came. ``rows`` and ``size`` add up what is in line."""

    def __init__(self) -> None:
        self.rows = 0
        self.size = 0
        self._row_bytes = 0.0
        self._parts: deque[Part] = deque()

    def __bool__(self) -> bool:
        return bool(self._parts)

    def decoded(self, rows: int, size: int) -> None:
        """How large rows turned out to be: compressed ones are counted as such from now on."""
        if rows:
            self._row_bytes = size / rows

    def add(self, chunk: Fetched) -> None:
        """Put a chunk in line. Raises ``Corrupt`` for transaction markers that are broken."""
        end = _NO_END if chunk.end is None else chunk.end
        headers = _visible(chunk)
        part = Part(
            chunk.topic,
            chunk.partition,
            chunk.data,
            headers,
            chunk.start,
            end,
            min(end, max(chunk.start, chunk.headers[-1].last_offset + 1)),
            chunk.epochs,
            *self._measure(headers, chunk.start, end),
        )
        self._put(part)

    def _put(self, part: Part, *, first: bool = False) -> None:
        self.rows += part.rows
        self.size += part.size
        if first:
            self._parts.appendleft(part)
        else:
            self._parts.append(part)

    def take(self, rows: int, size: int) -> list[Part]:
        """Parts of up to ``rows`` rows and about ``size`` bytes from the front, at least one.

        Parts are cut where their headers tell where a row is; a record batch that compaction
        has thinned out is not, and may be more than ``rows`` if it comes first.
        """
        taken: list[Part] = []
        while self._parts and (not taken or (rows > 0 and size > 0)):
            part = self._parts.popleft()
            self.rows -= part.rows
            self.size -= part.size
            if part.rows > rows or part.size > size:
                head, rest = self._split(part, rows, size, whole=not taken)
                if rest is not None:
                    self._put(rest, first=True)
                if head is not None:
                    taken.append(head)
                break
            taken.append(part)
            rows -= part.rows
            size -= part.size
        return taken

    def _split(
        self, part: Part, rows: int, size: int, *, whole: bool
    ) -> tuple[Part | None, Part | None]:
        """What fits of a part, if anything, and the rest; with ``whole`` at least some of it."""
        start = part.from_offset
        for at, header in enumerate(part.headers):
            count = _rows(header, start, part.to_offset)
            dense = header.record_count == header.last_offset_delta + 1
            if count > rows and dense and rows > 0:
                return self._cut(part, at + 1, at, max(start, header.base_offset) + rows)
            if (count > rows or size <= 0) and (at or not whole):
                return self._cut(part, at, at, max(start, header.base_offset))
            rows -= count
            size -= self._weight(header)
        return part, None

    def _cut(self, part: Part, stop: int, go_on: int, offset: int) -> tuple[Part | None, Part]:
        rest = self._measured(replace(part, headers=part.headers[go_on:], from_offset=offset))
        if not stop:
            return None, rest
        head = replace(part, headers=part.headers[:stop], to_offset=offset, next_offset=offset)
        return self._measured(head), rest

    def _measured(self, part: Part) -> Part:
        rows, size = self._measure(part.headers, part.from_offset, part.to_offset)
        return replace(part, rows=rows, size=size)

    def _measure(self, headers: list[BatchHeader], start: int, end: int) -> tuple[int, int]:
        """Rows, at most, and bytes, about."""
        rows = size = 0
        for header in headers:
            rows += _rows(header, start, end)
            size += self._weight(header)
        return rows, size

    def _weight(self, header: BatchHeader) -> int:
        """About how many bytes a batch's records are."""
        if not header.codec:
            return header.size
        if not self._row_bytes:
            return header.size * _RATIO
        return max(header.size, int(header.record_count * self._row_bytes))


def _visible(chunk: Fetched) -> list[BatchHeader]:
    """The batches whose records are meant."""
    try:
        dropped = (
            drop_aborted(chunk.data, None, chunk.aborted) if chunk.aborted else frozenset[int]()
        )
    except BatchError as error:
        name = f"topic {chunk.topic!r} partition {chunk.partition}"
        raise Corrupt(f"{name}: {error}", code=_CORRUPT) from error
    end = _NO_END if chunk.end is None else chunk.end
    return [
        header
        for header in chunk.headers
        if not header.control
        and header.position not in dropped
        and header.last_offset >= chunk.start
        and header.base_offset < end
    ]


def _rows(header: BatchHeader, start: int, end: int) -> int:
    """How many records of a batch are between two offsets, at most."""
    first = max(start, header.base_offset)
    behind = min(end, header.last_offset + 1)
    return min(header.record_count, behind - first)
