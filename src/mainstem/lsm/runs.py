"""Files of sorted runs: reading them, block by block, every byte checked.

Layout (docs/formats-lsm.md): a 64-byte head, blocks, index, filter, a 192-byte footer; every part
begins at a multiple of 64, and checksums cover the padding, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mainstem.errors import Corrupt, MainstemError, Unavailable
from mainstem.filesystem import File, FileSystem, RealFile
from mainstem.kernels import crc32c, lsm
from mainstem.lsm.cache import BlockCache
from mainstem.lsm.codecs import decompress
from mainstem.lsm.footer import ALIGN, FOOTER, HEAD, Footer, file_name, padded, read_footer
from mainstem.lsm.manifest import FileRecord

READ_AHEAD: Final = 1 << 18


class LoadedRun(lsm.Run):
    """Index, filter and cached blocks of a run's file, with the means to read more."""

    def __init__(self, stored: StoredRun, *_: bytes) -> None:
        self.stored = stored

    def __new__(cls, stored: StoredRun, index: bytes, bits: bytes) -> LoadedRun:
        return lsm.Run.__new__(cls, index, bits, stored.footer.probes, stored.footer.seed)

    def keep(self, numbers: list[int], blocks: list[lsm.Block], read: int) -> None:
        """A kernel read ``read`` blocks itself and has these for the cache."""
        cache = self.stored.cache
        cache.misses += read
        if blocks:
            cache.add(self, numbers, blocks)

    def room(self) -> tuple[int, int]:
        """(bytes that the cache has left, bytes of the largest block it would take)."""
        cache = self.stored.cache
        room = cache.room
        return room - cache.used, room

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


class StoredRun:
    """A run's file, open as long as somebody reads it. Safe to use from any thread."""

    def __init__(
        self, filesystem: FileSystem, directory: str, record: FileRecord, cache: BlockCache
    ) -> None:
        self.record = record
        self.cache = cache
        self.path = f"{directory}/{file_name(record.id)}"
        self.busy = False
        try:
            self.file: File = filesystem.open(self.path)
        except FileNotFoundError as error:
            raise Corrupt(f"{self.path} is missing: restore it from a checkpoint") from error
        self.footer = self._footer()
        self._run: LoadedRun | None = None

    def _footer(self) -> Footer:
        size = self.file.size()
        data = self.file.pread(max(0, size - FOOTER.size), FOOTER.size)
        footer = read_footer(data, size, self.path)
        if (footer.crc, size, footer.rows) != (self.record.crc, self.record.size, self.record.rows):
            raise Corrupt(f"{self.path} is not the file its manifest knows: restore it")
        return footer

    @property
    def run(self) -> LoadedRun:
        """Index and filter, read at first use. Raises ``Corrupt``, or ``Unavailable``."""
        if self._run is None:
            footer = self.footer
            index = self._section(footer.index_offset, footer.index_size, footer.index_crc, "index")
            bits = self._section(
                footer.filter_offset, footer.filter_size, footer.filter_crc, "filter"
            )
            try:
                run = LoadedRun(self, index, bits)
            except ValueError as error:
                raise Corrupt(f"the index of {self.path} is damaged: {error}") from error
            if (run.min_key, run.max_key) != (self.record.min_key, self.record.max_key):
                raise Corrupt(f"{self.path} does not hold the keys its manifest says: restore it")
            # Of other files, such as those that tests break, every read goes through the file.
            if self.footer.codec == 0 and isinstance(self.file, RealFile):
                run.read_from(self.file.fileno(), self.footer.index_offset)
            self._run = run
        return self._run

    def loaded(self) -> LoadedRun | None:
        """Index and filter if they are in memory."""
        return self._run

    def _section(self, offset: int, size: int, crc: int, what: str) -> bytes:
        data = self.read(offset, padded(size))
        if crc32c(data) != crc:
            raise Corrupt(f"the {what} of {self.path} fails its checksum: restore the file")
        return data[:size]

    def read(self, offset: int, size: int) -> bytes:
        """Exactly ``size`` bytes. Raises ``Unavailable`` when the disk does, else ``Corrupt``."""
        try:
            data = self.file.pread(offset, size)
        except OSError as error:
            raise Unavailable(
                f"{self.path} cannot be read at byte {offset}: {error}; check the disk, retry"
            ) from error
        if len(data) != size:
            raise Corrupt(f"{self.path} ends before byte {offset + size}: restore the file")
        return data

    def read_blocks(self, run: lsm.Run, first: int, end: int, *, copy: bool) -> list[lsm.Block]:
        """Blocks ``first`` to ``end``, checked. Without ``copy`` they share one buffer."""
        entries = [run.entry(number) for number in range(first, end)]
        start = entries[0][0]
        size = sum(padded(entry[1]) for entry in entries)
        if start % ALIGN or start < HEAD.size or start + size > self.footer.index_offset:
            raise Corrupt(f"the index of {self.path} points outside its blocks: restore the file")
        data = self.read(start, size)
        if self.footer.codec == 0:
            sound = lsm.blocks_of(run, data, first, end, copy)
            if sound is not None:
                return sound  # else one by one, to say which is wrong, and how
        if len(entries) == 1:
            return [self._block(first, data, entries[0])]
        whole = memoryview(data)
        blocks: list[lsm.Block] = []
        for number, entry in enumerate(entries, first):
            at, end = entry[0] - start, entry[0] - start + padded(entry[1])
            if at < 0 or end > size:
                raise self._damaged(number, "the index has another place for it")
            part = whole[at:end]
            blocks.append(self._block(number, bytes(part) if copy else part, entry))
        return blocks

    def _block(
        self, number: int, part: bytes | memoryview, entry: tuple[int, int, int, int, int]
    ) -> lsm.Block:
        """Block ``number`` from its padded bytes, which it keeps if they are not compressed."""
        _, stored, raw, rows, crc = entry
        if crc32c(part) != crc:
            raise self._damaged(number, "it fails its checksum")
        content: bytes | memoryview = part if stored == len(part) else part[:stored]
        if stored != raw:
            content = decompress(self.footer.codec, content, raw, f"block {number} of {self.path}")
        try:
            block = lsm.Block(content)
        except ValueError as error:
            raise self._damaged(number, str(error)) from error
        if len(block) != rows:
            raise self._damaged(number, f"it has {len(block)} rows, not {rows}")
        return block

    def _damaged(self, number: int, reason: str) -> MainstemError:
        return Corrupt(f"block {number} of {self.path}: {reason}; restore the file")

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
