"""One segment: a ``.log`` file in Kafka's format and its two sparse indexes."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from mainstem.errors import Corrupt
from mainstem.filesystem import (
    File,
    FileSystem,
    SpaceAhead,
    read_file,
    replace_file,
    write_all,
)
from mainstem.kernels import HEADER_SIZE
from mainstem.log.handles import HandleCache
from mainstem.log.indexes import NO_TIMESTAMP, IndexFileError, OffsetIndex, TimeIndex

_SCAN = struct.Struct(">qi11xi8xq")  # base offset, length, last offset delta, max timestamp
_PREFIX = 12
_WINDOW = 8192
_FIND_WINDOW = 4096
_REPAIR_INTERVAL = 4096
_Found = TypeVar("_Found")
MAX_OFFSET = 2**63 - 1


class Placed(NamedTuple):
    """Where a batch lies in its segment; ``size`` in bytes, header included."""

    position: int
    size: int
    base_offset: int
    last_offset: int
    max_timestamp: int


def segment_name(base_offset: int) -> str:
    return f"{base_offset:020d}"


def walk(file: File, position: int, end: int, path: str) -> Iterator[Placed]:
    """Headers of the batches in ``[position, end)``, which begins and ends at a boundary.

    Raises ``Corrupt`` when the bytes there cannot be a batch.
    """
    chunk, origin = b"", position
    while position < end:
        relative = position - origin
        if relative + _SCAN.size > len(chunk):
            chunk, origin, relative = (
                file.pread(position, min(_WINDOW, end - position)),
                position,
                0,
            )
        if len(chunk) < _SCAN.size:
            raise Corrupt(f"{path}: batch header at byte {position} is cut short")
        base_offset, length, delta, max_timestamp = _SCAN.unpack_from(chunk, relative)
        size = length + _PREFIX
        if size < HEADER_SIZE or delta < 0 or position + size > end:
            raise Corrupt(
                f"{path}: no record batch at byte {position} (length {length}, last offset "
                f"delta {delta}); run `mainstem doctor`"
            )
        yield Placed(position, size, base_offset, base_offset + delta, max_timestamp)
        position += size


def _find(file: File, position: int, end: int, offset: int, limit: int, path: str) -> Placed | None:
    """The first batch that reaches ``offset`` or passes the byte ``limit``; ``None`` at the end.

    :func:`walk` in one tight loop, for the path of every Fetch.
    """
    unpack, least = _SCAN.unpack_from, HEADER_SIZE - _PREFIX
    while position < end:
        chunk = file.pread(position, min(_FIND_WINDOW, end - position))
        relative, last = 0, len(chunk) - _SCAN.size
        if last < 0:
            break
        while relative <= last:
            base_offset, length, delta, max_timestamp = unpack(chunk, relative)
            size = length + _PREFIX
            begins = position + relative
            if length < least or delta < 0 or begins + size > end:
                raise Corrupt(f"{path}: no record batch at byte {begins}; run `mainstem doctor`")
            if base_offset + delta >= offset or begins + size > limit:
                return Placed(begins, size, base_offset, base_offset + delta, max_timestamp)
            relative += size
        position += relative
    if position != end:
        raise Corrupt(f"{path}: batch header at byte {position} is cut short")
    return None


class Segment:
    """A run of batches from ``base_offset``. Not thread safe: its partition's lock guards it.

    ``size`` is the bytes of whole batches; the file may be longer only after a failed write.
    ``largest_timestamp`` is -1 while nothing carries one. The indexes of the active segment
    live in memory only, until :meth:`seal` or :meth:`save_indexes`.
    """

    __slots__ = (
        "_filesystem",
        "_handles",
        "_largest",
        "_space",
        "base_offset",
        "created_ms",
        "deleted",
        "first_timestamp",
        "handle",
        "index",
        "pinned",
        "size",
        "stem",
        "times",
        "unindexed",
        "unsynced",
        "used",
    )

    def __init__(
        self, directory: str, base_offset: int, filesystem: FileSystem, handles: HandleCache
    ) -> None:
        self.base_offset = base_offset
        self.stem = f"{directory}/{segment_name(base_offset)}"
        self.size = 0
        self.created_ms = 0
        self.first_timestamp: int | None = None
        self.handle: File | None = None
        self.index: OffsetIndex | None = None
        self.times: TimeIndex | None = None
        self.pinned = False  # active: its indexes are in memory only and must stay there
        self.unindexed = 0
        self.used = False
        self.unsynced = False
        self.deleted = False
        self._largest: tuple[int, int] | None = None
        self._space = SpaceAhead()
        self._filesystem = filesystem
        self._handles = handles

    @property
    def path(self) -> str:
        return self.stem + ".log"

    def file(self) -> File:
        self.used = True
        return self.handle or self._handles.open(self)

    def create(self, now_ms: int) -> None:
        """Make the empty file; its name is durable after a directory fsync."""
        self._handles.adopt(self, self._filesystem.open(self.path, create=True))
        self.created_ms = now_ms
        self.activate()

    def activate(self) -> None:
        """Begin indexing from nothing, in memory."""
        self.index, self.times = OffsetIndex(), TimeIndex()
        self._largest = (NO_TIMESTAMP, self.base_offset)
        self.pinned = True
        self.size = self.unindexed = 0

    def note(self, size: int, last_offset: int, max_timestamp: int, interval: int) -> None:
        """Account for a batch just written at the end (Kafka's LogSegment.append)."""
        index, times = self.index, self.times
        if index is None or times is None:  # not while active
            raise RuntimeError(f"{self.path} is not open for appending")
        largest = self._largest or self.largest_timestamp()
        if max_timestamp > largest[0]:
            self._largest = largest = (max_timestamp, last_offset)
        if self.first_timestamp is None:
            self.first_timestamp = max_timestamp
        if self.unindexed > interval:
            index.append(last_offset - self.base_offset, self.size)
            times.append(largest[0], largest[1] - self.base_offset)
            self.unindexed = 0
        self.size += size
        self.unindexed += size

    def make_room(self, file: File, size: int, limit: int) -> None:
        """Before ``size`` bytes are appended to ``file`` (its own), which may grow to ``limit``."""
        self._space.cover(file, self.size, self.size + size, limit)

    def give_room_back(self) -> None:
        """No more appends for now: nothing may be reserved behind the last batch."""
        self._space.release(self.file, self.size)

    def entries(self) -> int:
        """How many the offset index has."""
        return len(self._loaded()[0].offsets)

    def largest_timestamp(self) -> tuple[int, int]:
        """The largest timestamp (-1 for none) and the last offset of the batch that has it."""
        if self._largest is None:
            last = self._loaded()[1].last()
            self._largest = (
                (last[0], last[1] + self.base_offset) if last else (NO_TIMESTAMP, self.base_offset)
            )
        return self._largest

    def age_from(self) -> int:
        """The time its age counts from, in ms (without timestamps, when it was made)."""
        largest = self.largest_timestamp()[0]
        return largest if largest >= 0 else self.created_ms

    def locate(self, offset: int) -> Placed:
        """The first batch whose last offset is at least ``offset``."""
        return self._healing(self._locate, offset)

    def boundary(self, start: int, limit: int) -> tuple[int, int | None]:
        """The last batch boundary in ``[start, limit]`` and the offset there.

        ``start`` must be a boundary. The offset is ``None`` at the end of the segment.
        """
        return self._healing(self._boundary, start, limit)

    def _healing(self, search: Callable[..., _Found], *args: int) -> _Found:
        """Search; if the index led astray, index again and search once more."""
        try:
            return search(*args)
        except Corrupt:
            if self.pinned:
                raise
            self._repair_indexes()
            return search(*args)

    def _locate(self, offset: int) -> Placed:
        start = self._loaded()[0].floor(offset - self.base_offset)
        placed = _find(self.file(), start, self.size, offset, self.size, self.path)
        if placed is None or (start and placed.position == start and placed.base_offset > offset):
            raise Corrupt(f"{self.path}: offset {offset} is not where the index says; run doctor")
        return placed

    def _boundary(self, start: int, limit: int) -> tuple[int, int | None]:
        position = max(start, self._loaded()[0].floor_position(limit))
        placed = _find(self.file(), position, self.size, MAX_OFFSET, limit, self.path)
        return (placed.position, placed.base_offset) if placed else (self.size, None)

    def batches(self, position: int = 0) -> Iterator[Placed]:
        """Every batch from the boundary ``position`` to what is the end now."""
        return walk(self.file(), position, self.size, self.path)

    def time_floor(self, timestamp: int) -> int:
        """A position before which everything is older than ``timestamp``."""
        index, times = self._loaded()
        relative = times.floor(timestamp)
        return 0 if relative is None else index.floor(relative)

    def save_indexes(self) -> None:
        """Write both index files. They are durable only after :meth:`sync_indexes`."""
        for suffix, data in self._index_files():
            write_all(self._filesystem.open(self.stem + suffix, create=True), data, 0)

    def _index_files(self) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
        index, times = self._loaded()
        largest = self.largest_timestamp()
        times.append(largest[0], largest[1] - self.base_offset)
        return (".index", index.to_bytes()), (".timeindex", times.to_bytes())

    def sync_indexes(self) -> None:
        for suffix in (".index", ".timeindex"):
            self._filesystem.open(self.stem + suffix).fdatasync()

    def seal(self) -> None:
        """No more appends: write the indexes and let them leave memory."""
        self.save_indexes()
        self.pinned = False

    def drop_indexes(self) -> None:
        if not self.pinned:
            self.index = self.times = None

    def load_indexes(self) -> tuple[OffsetIndex, TimeIndex]:
        """Read both index files; raises ``IndexFileError`` or ``OSError`` if they are unfit."""
        read = self._filesystem
        index = OffsetIndex.from_bytes(read_file(read, self.stem + ".index"), self.size)
        times = TimeIndex.from_bytes(read_file(read, self.stem + ".timeindex"))
        self.index, self.times = index, times
        return index, times

    def rebuild_indexes(self, interval: int) -> None:
        """Index again from the batches' headers; leaves them pinned."""
        size, batches = self.size, self.batches()
        self.activate()
        try:
            for placed in batches:
                self.note(placed.size, placed.last_offset, placed.max_timestamp, interval)
        except Corrupt:
            self.size, self.index, self.times, self._largest = size, None, None, None
            raise

    def _repair_indexes(self) -> tuple[OffsetIndex, TimeIndex]:
        """Rebuild a sealed segment's index files."""
        try:
            self.rebuild_indexes(_REPAIR_INTERVAL)
            with contextlib.suppress(OSError):  # they serve from memory; the next load retries
                directory, _, name = self.stem.rpartition("/")
                for suffix, data in self._index_files():
                    replace_file(self._filesystem, directory, name + suffix, data)
            return self._loaded()
        finally:
            self.pinned = False

    def _loaded(self) -> tuple[OffsetIndex, TimeIndex]:
        index, times = self.index, self.times
        if index is None or times is None:  # another thread may drop them again at any moment
            try:
                index, times = self.load_indexes()
            except (IndexFileError, FileNotFoundError):
                index, times = self._repair_indexes()
            if self.handle is None:
                self._handles.open(self)  # the cache lets go of indexes with the handle
        return index, times
