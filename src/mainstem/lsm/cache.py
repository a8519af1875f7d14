"""Blocks in memory, within one budget for all stores of the process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from mainstem.kernels import lsm

_LEAST_SHARE: Final = 8  # blocks keep an eighth of the budget whatever memtables take


class BlockCache:
    """Keeps blocks installed in their runs and evicts the ones not used lately (CLOCK).

    ``budget`` is in bytes and covers blocks and, as far as stores report them, memtables.
    Thread-safe; readers inside a kernel never wait for it.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.hits = 0
        self.misses = 0
        self._lock = threading.Lock()
        self._clock = lsm.Clock()
        self._reserved: dict[int, int] = {}
        self.reserved = 0  # bytes that memtables of all stores hold

    def reserve(self, owner: int, size: int) -> None:
        """Say how many bytes a store's memtables hold."""
        if size:
            self._reserved[owner] = size
        else:
            self._reserved.pop(owner, None)
        self.reserved = sum(tuple(self._reserved.values()))
        if self.used > self.room:
            with self._lock:
                self._clock.shrink(self.room)

    def forget_locks(self) -> None:
        """This is the child of a fork: whoever held the lock is not here."""
        self._lock = threading.Lock()

    @property
    def room(self) -> int:
        """Bytes that blocks may take now."""
        return self.space()[1]

    def space(self) -> tuple[int, int]:
        """(bytes that are left of ``room``, ``room``): asked at every lookup that reads."""
        room = max(self.budget - self.reserved, self.budget // _LEAST_SHARE)
        return room - self._clock.used, room

    @property
    def used(self) -> int:
        """Bytes that blocks take."""
        return self._clock.used

    @property
    def evictions(self) -> int:
        return self._clock.evictions

    def add(self, run: lsm.Run, numbers: Sequence[int], blocks: list[lsm.Block]) -> None:
        """Keep ``blocks`` as blocks ``numbers`` of ``run``."""
        with self._lock:
            self._clock.add(run, numbers, blocks, self.room)

    def forget(self, run: lsm.Run) -> None:
        """Drop every block of a run that is no longer part of a store."""
        with self._lock:
            self._clock.forget(run)


SHARED: Final = BlockCache(256 << 20)
"""The cache of every store that is not given its own."""


def set_memory_budget(size: int) -> None:
    """Bytes that cached blocks and memtables of all stores in this process may take together."""
    SHARED.budget = size
    SHARED.reserve(0, 0)
