"""The few file operations that rooms use, behind an interface that tests can crash.

Ground that every room stands on, like ``errors`` and ``clock``: it imports nothing of ours and
nothing heavy. Durability rules every implementation shares with POSIX: written bytes survive a
crash only after ``File.fdatasync``; created, renamed and unlinked names only after
``fsync_directory`` of the directory that holds them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol, runtime_checkable

from typing_extensions import Buffer


class File(Protocol):
    """An open file. Closed when the last reference goes; safe to use from any thread."""

    def fileno(self) -> int:
        """The descriptor, for ``os.sendfile``; not to be closed or kept by the caller."""
        ...

    def pread(self, position: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``position``; fewer only at the end of the file."""
        ...

    def pwrite(self, data: Buffer, position: int) -> int:
        """Write at ``position``; returns how many bytes were taken, which may be fewer."""
        ...

    def size(self) -> int: ...

    def truncate(self, size: int) -> None: ...

    def fdatasync(self) -> None: ...

    def drop_cache(self) -> None:
        """Let what is not waiting to be written be read from the disk again."""
        ...


class FileSystem(Protocol):
    """Paths are plain strings. Every failure is an ``OSError`` with its ``errno``."""

    def open(self, path: str, *, create: bool = False) -> File:
        """Open for reading and writing; with ``create`` make it, or empty it if it is there."""
        ...

    def exists(self, path: str) -> bool: ...

    def size(self, path: str) -> int: ...

    def listdir(self, path: str) -> list[str]: ...

    def mkdir(self, path: str) -> None:
        """Make one directory; it may exist already."""
        ...

    def rmdir(self, path: str) -> None: ...

    def rename(self, source: str, target: str) -> None:
        """Atomic; replaces ``target``."""
        ...

    def unlink(self, path: str) -> None: ...

    def fsync_directory(self, path: str) -> None: ...


@runtime_checkable
class LinkingFileSystem(Protocol):
    """A file system that can give a file a second name; without it, copies are made."""

    def link(self, source: str, target: str) -> None: ...


class RealFile:
    """A descriptor with positioned reads and writes."""

    __slots__ = ("_descriptor",)

    def __init__(self, path: str, flags: int) -> None:
        self._descriptor = -1
        self._descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)

    def fileno(self) -> int:
        return self._descriptor

    def pread(self, position: int, size: int) -> bytes:
        data = os.pread(self._descriptor, size, position)
        if len(data) == size or not data:
            return data
        parts = [data]  # the kernel may return less at 2 GiB or on a signal
        got = len(data)
        while got < size and (more := os.pread(self._descriptor, size - got, position + got)):
            parts.append(more)
            got += len(more)
        return b"".join(parts)

    def pwrite(self, data: Buffer, position: int) -> int:
        return os.pwrite(self._descriptor, data, position)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)

    def fdatasync(self) -> None:
        os.fdatasync(self._descriptor)

    def drop_cache(self) -> None:
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def __del__(self) -> None:
        # Readers may hold a file that its room has closed or deleted: the descriptor, and with it
        # the data, goes with its last reader.
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class RealFileSystem:
    """The operating system's files."""

    def open(self, path: str, *, create: bool = False) -> File:
        return RealFile(path, os.O_RDWR | (os.O_CREAT | os.O_TRUNC if create else 0))

    def exists(self, path: str) -> bool:
        return Path(path).exists()

    def size(self, path: str) -> int:
        return Path(path).stat().st_size

    def listdir(self, path: str) -> list[str]:
        return sorted(entry.name for entry in Path(path).iterdir())

    def mkdir(self, path: str) -> None:
        Path(path).mkdir(exist_ok=True)

    def rmdir(self, path: str) -> None:
        Path(path).rmdir()

    def rename(self, source: str, target: str) -> None:
        Path(source).replace(target)

    def unlink(self, path: str) -> None:
        Path(path).unlink()

    def link(self, source: str, target: str) -> None:
        os.link(source, target)

    def fsync_directory(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_all(file: File, data: Buffer, position: int) -> None:
    """Write every byte at ``position`` or raise ``OSError``."""
    view = memoryview(data).cast("B")
    while view:
        taken = file.pwrite(view, position)
        if taken <= 0:
            raise OSError(5, f"a write at byte {position} took nothing")
        view = view[taken:]
        position += taken


def replace_file(filesystem: FileSystem, directory: str, name: str, data: bytes) -> None:
    """Put ``data`` in ``directory/name`` so that a crash leaves the old or the new, durably."""
    temporary = f"{directory}/{name}.tmp"
    file = filesystem.open(temporary, create=True)
    write_all(file, data, 0)
    file.fdatasync()
    del file
    filesystem.rename(temporary, f"{directory}/{name}")
    filesystem.fsync_directory(directory)


def read_file(filesystem: FileSystem, path: str) -> bytes:
    """The whole of a small file."""
    file = filesystem.open(path)
    return file.pread(0, file.size())
