"""Merges keep step with flushes: each flushed byte obliges so many bytes of every merge.

A merge became due because as many bytes were flushed as its newer inputs hold, and the next of
its kind will be due after as many again. It is to be over after half of them, so each byte that
is flushed meanwhile is followed by ``2 * all inputs / newer inputs`` bytes of it: no burst of
merging holds flushes up, and no burst of writing leaves merges behind (docs/decisions/0206).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Final

from mainstem.lsm.layers import LAST_LEVEL, DiskLayer

_AHEAD: Final = 2.0  # times as fast as would do
_MOST: Final = 32.0  # bytes of merges per flushed byte at most
_AT_REST: Final = 1.5  # times fan_in: layers of a family whose merges keep step


@dataclass
class Merge:
    """A merge under way: ``job`` yields the rows that a slice has read."""

    job: Generator[int, None, None]
    layers: tuple[DiskLayer, ...]
    size: int = field(init=False)
    share: float = field(init=False)
    _row: float = field(init=False)

    def __post_init__(self) -> None:
        self.size = sum(layer.size for layer in self.layers)
        newer = sum(layer.size for layer in self.layers if layer.level != LAST_LEVEL)
        self.share = _AHEAD * self.size / max(1, newer or self.size)
        self._row = self.size / max(1, sum(layer.rows for layer in self.layers))

    def bytes_of(self, rows: int) -> float:
        """About how large ``rows`` of its inputs are."""
        return rows * self._row


class Beats:
    """Whose turn it is while something waits to be flushed."""

    def __init__(self) -> None:
        self._owed = 0.0

    def flushed(self, size: float, merges: Iterable[Merge], crowding: float) -> None:
        """So many bytes were flushed; ``crowding`` are layers in units of the fan-in."""
        share = sum(each.share for each in merges) * max(1.0, crowding - _AT_REST + 1)
        self._owed += size * min(_MOST, share)

    def merged(self, size: float) -> None:
        """So many bytes of inputs were merged: what a slice was too large is made up for."""
        self._owed = max(-size, self._owed - size)

    def merge_is_due(self, merges: list[Merge]) -> bool:
        """Whether the next slice is for a merge."""
        if not merges:
            self._owed = 0.0
        return self._owed > 0
