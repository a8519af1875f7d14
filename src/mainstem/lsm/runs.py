"""Sorted runs as the store knows them: index and filter at first use, blocks through the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mainstem.errors import Corrupt
from mainstem.filesystem import FileSystem, RealFile
from mainstem.kernels import lsm
from mainstem.lsm.cache import BlockCache
from mainstem.lsm.manifest import FileRecord
from mainstem.lsm.runfile import RunFile

READ_AHEAD: Final = 1 << 18


class LoadedRun(lsm.Run):
    """Index, filter and cached blocks of a run's file, with the means to read more."""

    def __init__(self, stored: RunFile, *_: bytes) -> None:
        self.stored = stored

    def __new__(cls, stored: RunFile, index: bytes, bits: bytes) -> LoadedRun:
        return lsm.Run.__new__(cls, index, bits, stored.footer.probes, stored.footer.seed)

    def keep(self, numbers: list[int], blocks: list[lsm.Block], read: int) -> None:
        """A kernel read ``read`` blocks itself and has these for the cache."""
        cache = self.stored.cache
        cache.misses += read
        if blocks:
            cache.add(self, numbers, blocks)

    def room(self) -> tuple[int, int]:
        """(bytes that the cache has left, bytes of the largest block it would take)."""
        return self.stored.cache.space()

    def load(self, blocks: Sequence[int], *, keep: bool = True) -> list[lsm.Block]:
        """Read ``blocks`` (ascending) from the file; ``keep`` puts them in the cache."""
        stored, cache = self.stored, self.stored.cache
        cache.misses += len(blocks)
        found: list[lsm.Block] = []
        at = 0
        while at < len(blocks):
            end = at + 1
            while end < len(blocks) and blocks[end] == blocks[end - 1] + 1 and end - at < 64:
                end += 1
            found += stored.read_blocks(self, blocks[at], blocks[end - 1] + 1, copy=keep)
            at = end
        if keep:
            cache.add(self, blocks, found)
        return found


def load_run(body: RunFile) -> LoadedRun:
    """Index and filter of ``body``, checked. Raises ``Corrupt``, or ``Unavailable``."""
    footer = body.footer
    index = body.section(footer.index_offset, footer.index_size, footer.index_crc, "index")
    bits = body.section(footer.filter_offset, footer.filter_size, footer.filter_crc, "filter")
    try:
        run = LoadedRun(body, index, bits)
    except ValueError as error:
        raise Corrupt(f"the index of {body.path} is damaged: {error}") from error
    if (run.min_key, run.max_key) != (body.record.min_key, body.record.max_key):
        raise Corrupt(f"{body.path} does not hold the keys its manifest says: restore it")
    # Of other files, such as those that tests break, every read goes through the file.
    if footer.codec == 0 and isinstance(body.file, RealFile):
        run.read_from(body.file.fileno(), footer.index_offset)
    return run


class StoredRun:
    """One file of a layer. Safe to use from any thread.

    ``body`` is what readers hold while they read: it knows nothing of this object, so that the
    file goes with its last reader and not when Python next looks for cycles, in whichever thread.
    """

    def __init__(
        self, filesystem: FileSystem, directory: str, record: FileRecord, cache: BlockCache
    ) -> None:
        self.body = RunFile(filesystem, directory, record, cache)
        self.record = record
        self.footer = self.body.footer
        self._run: LoadedRun | None = None

    @property
    def run(self) -> LoadedRun:
        """Index and filter, read at first use. Raises ``Corrupt``, or ``Unavailable``."""
        if self._run is None:
            self._run = load_run(self.body)
        return self._run

    def loaded(self) -> LoadedRun | None:
        """Index and filter if they are in memory."""
        return self._run

    def blocks(
        self, low: bytes | None, high: bytes | None, *, reverse: bool = False, fill: bool = False
    ) -> Iterator[lsm.Block]:
        """Blocks that may hold keys from ``low`` to below ``high``, from the cache or the file.

        ``fill`` caches what is read. Reads ahead 256 KiB at a time.
        """
        run = self.run
        first = 0 if low is None else run.block_at(low)
        end = run.block_count if high is None else min(run.block_at(high) + 1, run.block_count)
        ahead = 1
        while first < end:
            number = end - 1 if reverse else first
            cached = run.get(number)
            if cached is not None:
                run.stored.cache.hits += 1
                yield cached
                taken = 1
            else:
                taken = self._stretch(run, number, first, end, ahead, reverse)
                start = number - taken + 1 if reverse else number
                found = run.load(range(start, start + taken), keep=fill)
                yield from reversed(found) if reverse else found
                ahead = min(ahead * 4, 64)
            if reverse:
                end -= taken
            else:
                first += taken

    @staticmethod
    def _stretch(
        run: LoadedRun, number: int, first: int, end: int, ahead: int, reverse: bool
    ) -> int:
        """How many blocks from ``number`` on to read at once."""
        step, taken, size = (-1 if reverse else 1), 0, 0
        while first <= number < end and taken < ahead and size < READ_AHEAD:
            if run.get(number) is not None:
                break
            size += run.entry(number)[1]
            taken += 1
            number += step
        return max(1, taken)
