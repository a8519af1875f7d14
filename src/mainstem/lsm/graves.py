"""Files that were unlinked and that nobody reads any more: they go a piece at a time.

When the last descriptor of an unlinked file closes, the system lets go of all its pages at once:
0.4 s for a gigabyte, and whoever happened to hold the last reference waits for it, be it a writer
that replaces an old view or a reader that drops a snapshot. So descriptors come here instead, and
the background cuts files down, some megabytes with each of its slices.
"""

from __future__ import annotations

import fcntl
import os
from collections import deque
from typing import Final

from mainstem.filesystem import File, RealFile

_PIECE: Final = 8 << 20


class Graves:
    """A queue of files to let go of. ``take`` may be called from any thread, by ``__del__`` too."""

    def __init__(self) -> None:
        self._files: deque[File] = deque()

    def __len__(self) -> int:
        return len(self._files)

    def take(self, file: File) -> None:
        """Let go of ``file`` some time later; nobody else has it any more."""
        self._files.append(file)

    def dig(self) -> bool:
        """Let go of a piece, at most; false when nothing is left. One thread at a time."""
        if not self._files:
            return False
        file = self._files[0]
        try:
            left = _unnamed_bytes(file)
            if left > _PIECE:
                file.truncate(left - _PIECE)
                return True
        except OSError:
            pass  # closing it is all that can be done
        self._files.popleft()
        return bool(self._files)

    def clear(self) -> None:
        """Let go of all, now."""
        self._files.clear()


def _unnamed_bytes(file: File) -> int:
    """The size of a file that has no name and that nobody else has open; 0 for any other.

    Readers of this store hold a run's own descriptor, and it comes here after them. But a
    checkpoint shares its files with the store it is of, so somebody else may read one that neither
    names any more. A write lease (fcntl(2), F_SETLEASE) is given only for a file that is open once.
    """
    if not isinstance(file, RealFile):
        return 0
    found = os.fstat(file.fileno())
    return 0 if found.st_nlink or not _open_once(file.fileno()) else found.st_size


def _open_once(descriptor: int) -> bool:
    """Whether nobody but ``descriptor``, which is open for writing, has its file open."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError:
        return False
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return True
