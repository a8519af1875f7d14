"""One fetched chunk decoded by itself, for readers that take partitions as they come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mainstem.client.fetcher import Fetched
from mainstem.client.leader_epochs import Epochs
from mainstem.wire import decode_batches


@dataclass(frozen=True, slots=True)
class Piece:
    """Decoded records of one partition, maybe none; ``next_offset`` comes behind them."""

    topic: str
    partition: int
    records: Any
    next_offset: int
    epochs: Epochs = ()


def decode(chunk: Fetched) -> list[Piece]:
    """Records of a fetched chunk, those outside its bounds dropped. Raises ``Corrupt``."""
    pieces: list[Piece] = []
    position = 0
    while True:
        found = decode_batches(
            chunk.data, start=position, from_offset=chunk.start, aborted=chunk.aborted
        )
        records, next_offset = found.records, found.next_offset
        if chunk.end is not None and next_offset > chunk.end:
            records = records.slice(0, _rows_below(records.column(0), chunk.end))
            next_offset = chunk.end
        pieces.append(Piece(chunk.topic, chunk.partition, records, next_offset, chunk.epochs))
        if found.end <= position or found.end >= len(chunk.data):
            return pieces
        position = found.end


def _rows_below(offsets: Any, end: int) -> int:
    """Offsets rise, so a binary search finds the cut."""
    low, high = 0, len(offsets)
    while low < high:
        middle = (low + high) // 2
        if offsets[middle].as_py() < end:
            low = middle + 1
        else:
            high = middle
    return low
