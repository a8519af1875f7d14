"""The few file operations that rooms use, behind an interface that tests can crash.

Ground that every room stands on, like ``errors`` and ``clock``: it imports nothing of ours and
nothing heavy. Durability rules every implementation shares with POSIX: written bytes survive a
crash only after ``File.fdatasync``; created, renamed and unlinked names only after
``fsync_directory`` of the directory that holds them.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
from collections.abc import Callable
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

    def truncate(self, size: int) -> None:
        """Cut or extend to ``size``; space reserved behind it is given back."""
        ...

    def reserve(self, position: int, size: int) -> bool:
        """Ask for disk space without moving the file's end; ``False`` where it is not to be had."""
        ...

    def fdatasync(self) -> None: ...

    def write_out(self, position: int, size: int, *, wait: bool) -> None:
        """Have what was written there go to the disk now; with ``wait`` until it went.

        Promises nothing, that is what ``fdatasync`` is for; it only shortens it. But a failure
        told here need not be told again there.
        """
        ...

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


_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE, linux/falloc.h


@functools.cache
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    """fallocate(2), which ``os`` does not have: ``posix_fallocate`` moves the file's end."""
    import ctypes  # not at start-up: it takes milliseconds, and few files ever grow that large

    try:
        function = ctypes.CDLL(None).fallocate
    except (AttributeError, OSError):  # not Linux
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    function.restype = ctypes.c_int
    return function


_START_WRITING = 2  # SYNC_FILE_RANGE_WRITE, linux/fs.h
_WAIT_WRITTEN = 7  # and those that wait before and after


@functools.cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    """sync_file_range(2): 0 or an errno; ``None`` where there is none."""
    import ctypes  # as above

    try:
        function = ctypes.CDLL(None, use_errno=True).sync_file_range
    except (AttributeError, OSError):  # not Linux
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    function.restype = ctypes.c_int
    return lambda *how: ctypes.get_errno() if function(*how) else 0


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

    def reserve(self, position: int, size: int) -> bool:
        fallocate = _fallocate()
        return (
            fallocate is not None and fallocate(self._descriptor, _KEEP_SIZE, position, size) == 0
        )

    def fdatasync(self) -> None:
        os.fdatasync(self._descriptor)

    def write_out(self, position: int, size: int, *, wait: bool) -> None:
        write_out = _sync_file_range()
        if write_out is None:
            return
        how = _WAIT_WRITTEN if wait else _START_WRITING
        error = write_out(self._descriptor, position, size, how)
        if error not in (0, errno.ENOSYS, errno.EINVAL, errno.ESPIPE):
            raise OSError(error, os.strerror(error))

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


class SpaceAhead:
    """Disk space reserved ahead of a growing file's end (docs/decisions/0013).

    An append finds its blocks instead of looking for them: a third less time for a large one on
    ext4. It is never needed: where a file system has no such thing, or no room, all goes on
    without. What is left is given back by ``release``; whoever was killed leaves that to the
    next opening. Not thread-safe.
    """

    __slots__ = ("_end",)

    #: Smaller files are left alone; a larger one grows by a quarter, from so little to so much.
    FROM = 1 << 20
    LEAST = 1 << 20
    MOST = 64 << 20

    def __init__(self) -> None:
        self._end = 0  # of what was reserved; -1: no more of it

    def cover(self, file: File, position: int, end: int, limit: int) -> None:
        """Before a write of ``[position, end)`` to a file that will not outgrow ``limit``."""
        if not 0 <= self._end < end or end < self.FROM:
            return
        start = max(self._end, position)
        ahead = max(self.LEAST, min(end // 4, self.MOST))
        wanted = min(end + ahead, max(limit, end))
        try:
            self._end = wanted if file.reserve(start, wanted - start) else -1
        except OSError:
            self._end = -1

    def release(self, opened: Callable[[], File], size: int) -> None:
        """Give back what lies behind ``size``, where the file ends; ask no more."""
        if self._end == 0:
            return
        self._end = -1
        with contextlib.suppress(OSError):  # the next opening does it
            opened().truncate(size)


class WriteBehind:
    """Has the disk write a growing file while it grows, so that its last sync is short.

    A sync of all of a large file at its end keeps the disk busy for as long as it takes to write
    it, and others wait behind it, in the file system's journal too. Not thread-safe.
    """

    __slots__ = ("_started", "_waited")

    STEP = 4 << 20
    LAG = 8 << 20  #: so much may be on its way before whoever writes more has to wait

    def __init__(self) -> None:
        self._started = 0
        self._waited = 0

    def grown(self, file: File, end: int) -> None:
        """The file has grown to ``end``. Raises ``OSError`` where earlier writes failed."""
        if end - self._started < self.STEP:
            return
        file.write_out(self._started, end - self._started, wait=False)
        self._started = end
        until = end - self.LAG
        if until > self._waited:
            file.write_out(self._waited, until - self._waited, wait=True)
            self._waited = until


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
