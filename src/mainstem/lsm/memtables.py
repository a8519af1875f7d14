"""The memtables that take writes, and commits put into them."""

from __future__ import annotations

from typing import Any, Final

from mainstem.kernels import lsm
from mainstem.lsm.disk import Disk
from mainstem.lsm.layers import MemoryLayer, union
from mainstem.lsm.log import FIRST_OPERATION

_RANGE_DELETE: Final = lsm.RANGE_DELETE


class Memtables(Disk):
    """The part of :class:`mainstem.lsm.state.State` that writes fill, under its ``write_lock``."""

    def __init__(self, *of_disk: Any) -> None:
        super().__init__(*of_disk)
        self.active: dict[int, list[MemoryLayer]] = {}
        self.arena = lsm.Arena()
        self._expected: dict[int, int] = {}

    def memory_of(self, family: int) -> MemoryLayer:
        """The layer that takes the family's writes."""
        layers = self.active.get(family)
        if layers is None:
            layers = self.active[family] = [
                MemoryLayer(self.manifest.seed, self._expected.get(family, 0))
            ]
        return layers[0]

    def active_bytes(self) -> int:
        return lsm.bytes_held(self.active)

    def apply(self, data: bytes, at: int, operations: int) -> None:
        """Insert the operations of a commit into memtables, not yet visible."""
        for _ in range(operations):
            kind, family, _, end = lsm.read_operation(data, at)
            if family not in self.families:
                raise ValueError(f"an operation is for family {family}, which does not exist")
            if kind == lsm.RANGE_DELETE:
                self._delete_ranges(family, lsm.Ranges(lsm.read_ranges(data, at)))
            else:
                self.memory_of(family).memtable.insert(data, at, self.specs[family])
            at = end

    def insert(self, record: lsm.Piece, operations: list[lsm.Operation]) -> None:
        """As :meth:`apply`, for the operations that ``record`` was just made of.

        Goes on where it was interrupted, if it was: operands must not be folded twice.
        """
        while left := lsm.insert_rows(record, FIRST_OPERATION, operations, self.active, self.specs):
            operation, at = left
            if operation.kind == _RANGE_DELETE:
                ranges = lsm.Ranges(lsm.read_ranges(record, at))
                self._delete_ranges(operation.family, ranges)  # twice does no harm
                record.inserted = at + operation.size
            else:
                self.memory_of(operation.family)

    def _delete_ranges(self, family: int, ranges: lsm.Ranges) -> None:
        layer = self.memory_of(family)
        seed = self.manifest.seed
        if layer.memtable.rows:
            # A layer of their own: the ranges this one carries must not reach its rows.
            self.active[family].insert(0, MemoryLayer(seed, 0, ranges))
        else:
            # A new object even so, because readers hold the old one.
            self.active[family][0] = MemoryLayer(seed, 0, union(layer.ranges, ranges))

    def active_layers(self) -> list[MemoryLayer]:
        return [layer for layers in self.active.values() for layer in layers]
