"""A bounded number of open files over any number of segments.

Second chance instead of strict LRU: a use only sets a flag, so the hot path pays one attribute
read. Dropping a handle only drops the cache's reference; a reader's slice keeps the file open.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mainstem.filesystem import File, FileSystem
    from mainstem.log.segment import Segment


class HandleCache:
    """Opens segments' files and closes those not used lately. Thread safe."""

    def __init__(self, filesystem: FileSystem, limit: int) -> None:
        self._filesystem = filesystem
        self._limit = max(1, limit)
        self._opened: deque[Segment] = deque()
        self._lock = threading.Lock()

    def open(self, segment: Segment) -> File:
        """The segment's file, opened now if it was not."""
        with self._lock:
            file = segment.handle
            if file is None:
                self._make_room()
                file = segment.handle = self._filesystem.open(segment.path)
                self._opened.append(segment)
            return file

    def adopt(self, segment: Segment, file: File) -> None:
        """Count a file that was just created for ``segment``."""
        with self._lock:
            self._make_room()
            segment.handle = file
            self._opened.append(segment)

    def forget(self, segment: Segment) -> None:
        """Drop the segment's handle for good."""
        with self._lock:
            segment.handle = None
            with contextlib.suppress(ValueError):
                self._opened.remove(segment)

    def open_files(self) -> int:
        return len(self._opened)

    def _make_room(self) -> None:
        chances = 2 * len(self._opened)
        while len(self._opened) >= self._limit:
            segment = self._opened.popleft()
            chances -= 1
            # A file with unsynced bytes keeps its descriptor while it can: an fdatasync that
            # fails is reported to descriptors that were open at the time.
            if chances > 0 and (segment.used or segment.unsynced):
                segment.used = False
                self._opened.append(segment)
                continue
            segment.handle = None
            segment.drop_indexes()
