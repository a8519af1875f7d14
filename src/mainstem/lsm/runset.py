"""Writing sorted runs: rows in, files of bounded size out, cut at windows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Final

from mainstem.filesystem import FileSystem
from mainstem.kernels import lsm
from mainstem.lsm.footer import file_name
from mainstem.lsm.manifest import FileRecord
from mainstem.lsm.options import FamilyOptions
from mainstem.lsm.writer import RunWriter


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
                    limit=self._file_bytes,
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
        remove_runs(self._filesystem, self._directory, self.records)

    def _close(self) -> None:
        if self._writer is not None:
            self.records.append(self._writer.finish())
            self._writer = None


def remove_runs(filesystem: FileSystem, directory: str, records: Iterable[FileRecord]) -> None:
    """Unlink runs that no manifest names; what the disk refuses, the next open removes."""
    for record in records:
        with contextlib.suppress(OSError):
            filesystem.unlink(f"{directory}/{file_name(record.id)}")


_SIGN: Final = 1 << 63


def window_of(key: bytes, window_ms: int) -> int:
    """The number of the window whose time the key begins with (keys shorter than that: first)."""
    time = int.from_bytes(key[:8].ljust(8, b"\0"), "big") - _SIGN
    return time // window_ms


def window_start(window: int, window_ms: int) -> bytes | None:
    """The least key of ``window``, or ``None`` beyond the last."""
    time = window * window_ms + _SIGN
    return time.to_bytes(8, "big") if 0 <= time < 1 << 64 else None
