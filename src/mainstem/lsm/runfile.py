"""One file of a sorted run, read with every byte checked; and its end, when nobody reads it more.

Layout (docs/formats-lsm.md): a 64-byte head, blocks, index, filter, a 192-byte footer; every part
begins at a multiple of 64, and checksums cover the padding, too.
"""

from __future__ import annotations

from mainstem.errors import Corrupt, MainstemError, Unavailable
from mainstem.filesystem import File, FileSystem
from mainstem.kernels import crc32c, lsm
from mainstem.lsm.cache import BlockCache
from mainstem.lsm.codecs import decompress
from mainstem.lsm.footer import ALIGN, FOOTER, HEAD, Footer, file_name, padded, read_footer
from mainstem.lsm.graves import Graves
from mainstem.lsm.manifest import FileRecord


class RunFile:
    """The file, open as long as somebody reads it. Safe to use from any thread.

    Whoever unlinks it sets ``grave``, which takes the open file when its last reader is gone.
    """

    grave: Graves | None = None  # of the class, for one that was interrupted as it began

    def __init__(
        self, filesystem: FileSystem, directory: str, record: FileRecord, cache: BlockCache
    ) -> None:
        self.record = record
        self.cache = cache
        self.path = f"{directory}/{file_name(record.id)}"
        try:
            self.file: File = filesystem.open(self.path)
        except FileNotFoundError as error:
            raise Corrupt(f"{self.path} is missing: restore it from a checkpoint") from error
        self.footer = self._footer()

    def __del__(self) -> None:
        if self.grave is not None:
            self.grave.take(self.file)

    def _footer(self) -> Footer:
        size = self.file.size()
        data = self.file.pread(max(0, size - FOOTER.size), FOOTER.size)
        footer = read_footer(data, size, self.path)
        if (footer.crc, size, footer.rows) != (self.record.crc, self.record.size, self.record.rows):
            raise Corrupt(f"{self.path} is not the file its manifest knows: restore it")
        return footer

    def section(self, offset: int, size: int, crc: int, what: str) -> bytes:
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
