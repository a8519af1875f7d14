"""What a reader sees: memtables and sorted runs of each family, newest first, unchanging."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator
from typing import Final, NamedTuple

from mainstem.kernels import lsm
from mainstem.lsm.manifest import LayerRecord
from mainstem.lsm.runs import LoadedRun, StoredRun

LAST_LEVEL: Final = 255
NO_RANGES: Final = lsm.Ranges(())


class MemoryLayer:
    """A memtable; its ``ranges`` delete in every older layer. One writer, many readers."""

    __slots__ = ("_bounds", "_lists", "memtable", "ranges")

    def __init__(self, seed: int, expected: int, ranges: lsm.Ranges = NO_RANGES) -> None:
        self.memtable = lsm.Memtable(seed, expected)
        self.ranges = ranges
        self._bounds: tuple[int, ...] = (0,)
        self._lists: dict[tuple[int, int], lsm.RowList] = {}

    def sorted_lists(self, mark: int) -> list[lsm.RowList]:
        """The first ``mark`` rows as sorted lists, newest first.

        What is sorted is kept: a scan sorts only rows that came since the last one, and lists of
        like size are sorted into one, so each row is sorted a logarithmic number of times.
        """
        if mark == 0:
            return []
        known, lists = self._bounds, self._lists
        bounds = [bound for bound in known if bound < mark] + [mark]
        while len(bounds) > 2 and 2 * (bounds[-1] - bounds[-2]) >= bounds[-2] - bounds[-3]:
            del bounds[-2]
        found: dict[tuple[int, int], lsm.RowList] = {}
        for span in itertools.pairwise(bounds):
            found[span] = lists.get(span) or self.memtable.sorted_rows(*span)
        if mark >= known[-1]:
            self._lists, self._bounds = found, tuple(bounds)
        return list(reversed(found.values()))


class DiskLayer:
    """A sorted run: files in key order, disjoint; its ranges delete in every older layer."""

    def __init__(self, record: LayerRecord, files: tuple[StoredRun, ...]) -> None:
        self.record = record
        self.level = record.level
        self.files = files
        self.ranges = lsm.Ranges(record.ranges) if record.ranges else NO_RANGES
        self.size = sum(file.record.size for file in files)
        self.rows = sum(file.record.rows for file in files)
        self.deletes = sum(file.record.deletes for file in files)
        self.busy = False
        self._last_keys = [file.record.max_key for file in files]
        self._runs: list[lsm.Run] | None = None

    @property
    def runs(self) -> list[lsm.Run]:
        """All files' indexes, read at first use."""
        if self._runs is None:
            self._runs = [file.run for file in self.files]
        return self._runs

    def files_between(self, low: bytes | None, high: bytes | None) -> tuple[StoredRun, ...]:
        """Files that may hold keys from ``low`` to below ``high``."""
        first = 0 if low is None else bisect.bisect_left(self._last_keys, low)
        end = first
        while end < len(self.files) and (high is None or self.files[end].record.min_key < high):
            end += 1
        return self.files[first:end]

    def blocks(
        self, low: bytes | None, high: bytes | None, *, reverse: bool, fill: bool
    ) -> Iterator[lsm.Block]:
        """Blocks that may hold keys in the range, in (falling, if ``reverse``) key order."""
        files = self.files_between(low, high)
        for file in reversed(files) if reverse else files:
            yield from file.blocks(low, high, reverse=reverse, fill=fill)


class FamilyView(NamedTuple):
    """One family at one moment. Of a memtable the first ``mark`` rows count."""

    memory: tuple[tuple[MemoryLayer, int], ...] = ()
    disk: tuple[DiskLayer, ...] = ()


class Source(NamedTuple):
    """A sorted source of a merge, its least and greatest key, and what newer layers deleted."""

    feed: Iterator[lsm.Block | lsm.RowList]
    first: bytes
    last: bytes
    mask: lsm.Ranges
    group: int


def union(*ranges: lsm.Ranges) -> lsm.Ranges:
    """All of them as one."""
    some = [each for each in ranges if each.count]
    if len(some) < 2:
        return some[0] if some else NO_RANGES
    return lsm.Ranges(pair for each in some for pair in each.pairs)


def merger(
    sources: list[Source],
    *,
    low: bytes | None = None,
    high: bytes | None = None,
    reverse: bool = False,
    drop_deletes: bool,
    spec: bytes,
    expire_before: int,
) -> lsm.Merger:
    """Merge ``sources``, newest first."""
    shared = 0
    if sources:
        first = min(source.first for source in sources)
        last = max(source.last for source in sources)
        while shared < min(len(first), len(last)) and first[shared] == last[shared]:
            shared += 1
    result = lsm.Merger(len(sources), shared, low, high, reverse, drop_deletes, spec, expire_before)
    for source in sources:
        result.add(source.feed, source.mask, source.group)
    return result


def sources_of(
    view: FamilyView,
    low: bytes | None = None,
    high: bytes | None = None,
    *,
    reverse: bool = False,
    fill: bool = False,
) -> list[Source]:
    """Every layer of ``view`` that may hold keys in the range, newest first."""
    found: list[Source] = []
    mask = NO_RANGES
    for group, (layer, mark) in enumerate(view.memory):
        for rows in layer.sorted_lists(mark):
            if not len(rows):
                continue
            found.append(Source(iter((rows,)), rows.key(0), rows.key(len(rows) - 1), mask, group))
        mask = union(mask, layer.ranges)
    for group, run in enumerate(view.disk, len(view.memory)):
        files = run.files_between(low, high)
        if files:
            found.append(
                Source(
                    run.blocks(low, high, reverse=reverse, fill=fill),
                    files[0].record.min_key,
                    files[-1].record.max_key,
                    mask,
                    group,
                )
            )
        mask = union(mask, run.ranges)
    return found


def look_up(
    view: FamilyView, keys: lsm.Column, *, seed: int, spec: bytes, expire_before: int
) -> lsm.Lookup:
    """Find ``keys``; the caller takes ``values`` and closes the lookup."""
    lookup = lsm.Lookup(keys, seed, spec, expire_before)
    try:
        for memory, mark in view.memory:
            if not lookup.memtable(memory.memtable, mark):
                return lookup
            if memory.ranges.count:
                lookup.ranges(memory.ranges)
        for disk in view.disk:
            if not lookup.run(disk.runs, LoadedRun.load):
                return lookup
            if disk.ranges.count:
                lookup.ranges(disk.ranges)
    except BaseException:
        lookup.close()
        raise
    return lookup
