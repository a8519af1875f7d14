"""Writing sorted runs: rows in, files of bounded size out."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from crc32c import crc32c

from mainstem.errors import Corrupt
from mainstem.filesystem import FileSystem, write_all
from mainstem.kernels import Memory, lsm
from mainstem.lsm.codecs import CODEC_NAMES, compress
from mainstem.lsm.manifest import FileRecord
from mainstem.lsm.options import FamilyOptions
from mainstem.lsm.runs import (
    FOOTER,
    FOOTER_MAGIC,
    HEAD,
    HEAD_MAGIC,
    VERSION,
    Footer,
    file_name,
    padded,
)

_BLOCKS_AT_ONCE: Final = 64
_ENTRY: Final = struct.Struct("<QIIII")


def file_head(store: int) -> bytes:
    """The first 64 bytes of a run."""
    head = HEAD.pack(HEAD_MAGIC, VERSION, 0, store, bytes(36), 0)
    return head[:-4] + struct.pack("<I", crc32c(head[:-4]))


class RunWriter:
    """One file of a run. ``add`` rows in key order, then ``finish``; or ``abandon``.

    ``position`` is the size so far in bytes. Raises ``OSError`` as the disk does.
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
        self._entries: list[bytes] = []
        self._keys: list[bytes] = []
        self._hashes: list[Memory] = []
        self._stamps = (0, 0)
        self._counts = [0, 0, 0, 0]  # deletes, merges, key bytes, value bytes
        write_all(self._file, file_head(store), 0)

    def path_of(self, directory: str, _number: int) -> str:
        return f"{directory}/{file_name(_number)}"

    @property
    def last_key(self) -> bytes | None:
        return self._keys[-1] if self._keys else None

    def add(self, rows: lsm.RowList, start: int = 0, end: int | None = None) -> None:
        """Append rows ``start`` to ``end``. Raises ``Corrupt`` when keys do not ascend."""
        end = len(rows) if end is None else end
        if start >= end:
            return
        first = rows.key(start)
        if not self._keys:
            self._keys.append(first)
        elif first <= self._keys[-1]:
            raise Corrupt(f"keys of {self._path} would not ascend: a source of it is damaged")
        low, high, *counts = lsm.measure(rows, start, end)
        self._counts = [a + b for a, b in zip(self._counts, counts, strict=True)]
        self._stamps = (
            (min(self._stamps[0], low), max(self._stamps[1], high)) if self.rows else (low, high)
        )
        self.rows += end - start
        while start < end:
            try:
                data, blocks, hashes, start = lsm.encode_blocks(
                    rows, start, end, _BLOCKS_AT_ONCE, self._options.block_bytes, self._seed
                )
            except ValueError as error:
                raise Corrupt(f"{self._path} cannot be written: {error}") from error
            self._hashes.append(hashes)
            self._write(memoryview(data), blocks)

    def _write(self, data: memoryview, blocks: list[tuple[int, int, int, bytes]]) -> None:
        parts: list[bytes] = []
        at = self.position
        for offset, size, rows, last_key in blocks:
            content = data[offset : offset + size]
            packed = compress(self._codec, content) if self._codec else None
            stored = size if packed is None else len(packed)
            if packed is not None:
                content = memoryview(packed + bytes(padded(stored) - stored))
            if self._codec:
                parts.append(bytes(content))
            self._entries.append(_ENTRY.pack(at, stored, size, rows, crc32c(content)))
            self._keys.append(last_key)
            at += padded(stored)
        write_all(self._file, b"".join(parts) if self._codec else data, self.position)
        self.position = at

    def finish(self) -> FileRecord:
        """Write index, filter and footer, and sync. The directory is the caller's to sync."""
        key_sizes = [0]
        for key in self._keys:
            key_sizes.append(key_sizes[-1] + len(key))
        index = b"".join(
            (
                struct.pack("<II", len(self._entries), key_sizes[-1]),
                *self._entries,
                struct.pack(f"<{len(key_sizes)}I", *key_sizes),
                *self._keys,
            )
        )
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
        self._file.fdatasync()
        return FileRecord(
            self.number,
            size,
            self.rows,
            self._keys[0],
            self._keys[-1],
            crc,
            self._counts[0],
            self._stamps[1],
        )

    def abandon(self) -> None:
        """Remove the file as far as the disk lets us; the next open would, too."""
        try:
            self._filesystem.unlink(self._path)
        except OSError:
            return


class RunSet:
    """Writes one sorted run as files of bounded size, cut at windows where the family has them.

    ``next_number`` gives file numbers. ``records`` are the files finished so far.
    """

    def __init__(
        self,
        filesystem: FileSystem,
        directory: str,
        options: FamilyOptions,
        next_number: Callable[[], int],
        *,
        seed: int,
        store: int,
        last_level: bool,
        file_bytes: int,
    ) -> None:
        self.records: list[FileRecord] = []
        self._filesystem = filesystem
        self._directory = directory
        self._options = options
        self._next_number = next_number
        self._seed = seed
        self._store = store
        self._last_level = last_level
        self._file_bytes = file_bytes
        self._writer: RunWriter | None = None
        self._window: int | None = None

    def add(self, rows: lsm.RowList) -> None:
        """Append ``rows``, in order."""
        start = 0
        while start < len(rows):
            end = len(rows)
            if self._options.window_ms:
                window = window_of(rows.key(start), self._options.window_ms)
                if window != self._window:
                    self._close()
                self._window = window
                after = window_start(window + 1, self._options.window_ms)
                end = min(rows.rows_in(after, None)[0], end) if after is not None else end
                end = max(end, start + 1)
            if self._writer is not None and self._writer.position >= self._file_bytes:
                self._close()
            if self._writer is None:
                self._writer = RunWriter(
                    self._filesystem,
                    self._directory,
                    self._next_number(),
                    self._options,
                    seed=self._seed,
                    store=self._store,
                    last_level=self._last_level,
                )
            self._writer.add(rows, start, end)
            start = end

    def finish(self) -> tuple[FileRecord, ...]:
        """All files, synced, and their names, too."""
        self._close()
        if self.records:
            self._filesystem.fsync_directory(self._directory)
        return tuple(self.records)

    def abandon(self) -> None:
        """Remove what was written."""
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None
        for record in self.records:
            try:
                self._filesystem.unlink(f"{self._directory}/{file_name(record.id)}")
            except OSError:
                continue

    def _close(self) -> None:
        if self._writer is not None:
            self.records.append(self._writer.finish())
            self._writer = None


_SIGN: Final = 1 << 63


def window_of(key: bytes, window_ms: int) -> int:
    """The number of the window whose time the key begins with (keys shorter than that: first)."""
    time = int.from_bytes(key[:8].ljust(8, b"\0"), "big") - _SIGN
    return time // window_ms


def window_start(window: int, window_ms: int) -> bytes | None:
    """The least key of ``window``, or ``None`` beyond the last."""
    time = window * window_ms + _SIGN
    return time.to_bytes(8, "big") if 0 <= time < 1 << 64 else None
