"""Writing one file of a sorted run: rows in, blocks, index, filter and footer out."""

from __future__ import annotations

import struct
from typing import Final

from typing_extensions import Buffer

from mainstem.errors import Corrupt
from mainstem.filesystem import FileSystem, SpaceAhead, WriteBehind, write_all
from mainstem.kernels import Memory, crc32c, lsm
from mainstem.lsm.codecs import CODEC_NAMES, compress
from mainstem.lsm.footer import (
    FOOTER,
    FOOTER_MAGIC,
    HEAD,
    HEAD_MAGIC,
    VERSION,
    Footer,
    file_name,
    padded,
)
from mainstem.lsm.manifest import FileRecord
from mainstem.lsm.options import FamilyOptions

_BLOCKS_AT_ONCE: Final = 256
_ENTRY: Final = struct.Struct("<QIIII")


def file_head(store: int) -> bytes:
    """The first 64 bytes of a run."""
    head = HEAD.pack(HEAD_MAGIC, VERSION, 0, store, bytes(36), 0)
    return head[:-4] + struct.pack("<I", crc32c(head[:-4]))


class RunWriter:
    """One file of a run. ``add`` rows in key order, then ``finish``; or ``abandon``.

    ``position`` is the size so far in bytes; disk space is reserved up to ``limit``. Raises
    ``OSError`` as the disk does.
    """

    def __init__(
        self,
        filesystem: FileSystem,
        directory: str,
        number: int,
        options: FamilyOptions,
        *,
        seed: int,
        store: int,
        last_level: bool,
        limit: int = 1 << 62,
    ) -> None:
        self.number = number
        self.position = HEAD.size
        self.rows = 0
        self._filesystem = filesystem
        self._path = self.path_of(directory, number)
        self._options = options
        self._seed = seed
        self._codec = CODEC_NAMES.index(options.codec if last_level else options.upper_codec)
        self._file = filesystem.open(self._path, create=True)
        self._space = SpaceAhead()
        self._behind = WriteBehind()
        self._limit = limit
        self._first_key: bytes | None = None
        self._last_key: bytes | None = None
        self._entries: list[bytes] = []  # of the index, joined as they came, as are the next two
        self._keys: list[bytes] = []
        self._key_sizes: list[bytes] = []
        self._hashes: list[Memory] = []
        self._stamps = (0, 0)
        self._counts = [0, 0, 0, 0]  # deletes, merges, key bytes, value bytes
        write_all(self._file, file_head(store), 0)

    def path_of(self, directory: str, _number: int) -> str:
        return f"{directory}/{file_name(_number)}"

    def add(self, rows: lsm.RowList, start: int = 0, end: int | None = None) -> None:
        """Append rows ``start`` to ``end``. Raises ``Corrupt`` when keys do not ascend."""
        end = len(rows) if end is None else end
        if start >= end:
            return
        first = rows.key(start)
        if self._first_key is None or self._last_key is None:
            self._first_key = first
        elif first <= self._last_key:
            raise Corrupt(f"keys of {self._path} would not ascend: a source of it is damaged")
        low, high, *counts = lsm.measure(rows, start, end)
        self._counts = [a + b for a, b in zip(self._counts, counts, strict=True)]
        self._stamps = (
            (min(self._stamps[0], low), max(self._stamps[1], high)) if self.rows else (low, high)
        )
        self.rows += end - start
        self._last_key = rows.key(end - 1)
        block_bytes, seed = self._options.block_bytes, self._seed
        while start < end:
            try:
                data, entries, keys, key_sizes, hashes, start = lsm.encode_blocks(
                    rows, start, end, _BLOCKS_AT_ONCE, block_bytes, seed, self.position
                )
            except ValueError as error:
                raise Corrupt(f"{self._path} cannot be written: {error}") from error
            self._hashes.append(hashes)
            self._keys.append(keys)
            self._key_sizes.append(key_sizes)
            if self._codec:
                self._write(*self._packed(memoryview(data), entries))
            else:
                self._write(data, entries)

    def _packed(self, data: memoryview, entries: bytes) -> tuple[bytes, bytes]:
        """Blocks compressed where that makes them smaller, and what the index says of them."""
        parts: list[bytes] = []
        index: list[bytes] = []
        at, start = self.position, 0
        for _, _, size, rows, crc in _ENTRY.iter_unpack(entries):
            content = data[start : start + size]
            packed = compress(self._codec, content)
            if packed is None:
                parts.append(bytes(content))
                index.append(_ENTRY.pack(at, size, size, rows, crc))
            else:
                parts.append(packed + bytes(padded(len(packed)) - len(packed)))
                index.append(_ENTRY.pack(at, len(packed), size, rows, crc32c(parts[-1])))
            at += len(parts[-1])
            start += size
        return b"".join(parts), b"".join(index)

    def _write(self, data: Buffer, entries: bytes) -> None:
        end = self.position + len(memoryview(data))
        self._space.cover(self._file, self.position, end, self._limit)
        write_all(self._file, data, self.position)
        self._behind.grown(self._file, end)
        self._entries.append(entries)
        self.position = end

    def finish(self) -> FileRecord:
        """Write index, filter and footer, and sync. The directory is the caller's to sync."""
        index = self._index()
        bits, probes = lsm.build_filter(self._hashes, self._options.filter_bits)
        index_end = self.position + padded(len(index))
        size = index_end + padded(len(bits)) + FOOTER.size
        index_padded = index + bytes(padded(len(index)) - len(index))
        footer = Footer(
            FOOTER_MAGIC,
            VERSION,
            self._codec,
            self._seed,
            self.rows,
            size,
            self.position,
            len(index),
            crc32c(index_padded),
            index_end,
            len(bits),
            crc32c(bits),
            self._counts[0],
            self._counts[1],
            *self._stamps,
            self._counts[2],
            self._counts[3],
            HEAD.size,
            bytes(56),
            probes,
            0,
        )
        packed = FOOTER.pack(*footer)
        crc = crc32c(packed[:-4])
        tail = index_padded + bits + packed[:-4] + struct.pack("<I", crc)
        write_all(self._file, tail, self.position)
        self._space.release(lambda: self._file, self.position + len(tail))
        self._file.fdatasync()
        return FileRecord(
            self.number,
            size,
            self.rows,
            self._first_key or b"",
            self._last_key or b"",
            crc,
            self._counts[0],
            self._stamps[1],
        )

    def _index(self) -> bytes:
        first = self._first_key or b""
        offsets = lsm.offsets_of(b"".join(self._key_sizes), len(first))
        entries = b"".join(self._entries)
        head = struct.pack("<I", len(entries) // _ENTRY.size)
        return b"".join((head, offsets[-4:], entries, offsets, first, *self._keys))

    def abandon(self) -> None:
        """Remove the file as far as the disk lets us; the next open would, too."""
        try:
            self._filesystem.unlink(self._path)
        except OSError:
            return
