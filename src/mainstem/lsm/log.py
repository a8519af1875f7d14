"""The write-ahead log: one record per commit, one file per generation of memtables.

Layout (docs/formats-lsm.md), little-endian. File head, 64 bytes: magic "MSLSMLG1", version u32,
crc32c u32 of the rest, store u64, segment u64, first sequence u64, zeros. Record: magic u32,
crc32c u32 of the rest, size u64, sequence u64, synced u64, operations u32, position bytes u32,
24 zeros; operations; position JSON padded to 8; ``sequence ^ trailer`` u64. ``synced`` is how
much of the file was on disk when the record was written: what is bad before that was lost.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from mainstem.errors import Corrupt
from mainstem.filesystem import File, FileSystem, SpaceAhead, write_all
from mainstem.kernels import crc32c, lsm

_FILE_HEAD: Final = struct.Struct("<8sIIQQQ24s")
_FILE_MAGIC: Final = b"MSLSMLG1"
_RECORD: Final = struct.Struct("<IIQQQII24s")
_MAGIC: Final = 0x31434552  # "REC1"
_MAGIC_BYTES: Final = struct.pack("<I", _MAGIC)
_TRAILER: Final = 0x5AFE_C0DE_D00D_BEA7
_VERSION: Final = 1
_TAIL: Final = struct.Struct("<Q")


def segment_name(segment: int) -> str:
    return f"{segment:012d}.log"


def encode_commit(
    arena: lsm.Arena, operations: list[lsm.Operation], position: dict[str, int] | None
) -> lsm.Piece:
    """A record; its number and checksum come when :meth:`LogWriter.append` writes it."""
    text = b"" if position is None else msgspec.json.encode(position)
    return lsm.encode_record(arena, operations, text)


FIRST_OPERATION: Final = _RECORD.size
SEGMENT_HEAD: Final = _FILE_HEAD.size


#: A busy log that is not synced writes zeros so far ahead: the page cache takes one large write
#: and small ones over it in half the time of small ones at the end, as long as the processor's
#: own cache still has them (docs/decisions/0204).
_AHEAD: Final = 256 << 10

#: Larger records are written in pieces. Of a larger write Linux makes pages of 2 MiB, for which
#: a virtual machine that gives memory back has to ask its host first: ten times the price.
_AT_ONCE: Final = 1 << 20
_ZEROS: Final = memoryview(bytes(2 * _AHEAD))


class LogWriter:
    """Appends commits to one segment. One thread at a time, except :meth:`sync`.

    ``limit`` is about what the segment will hold, in bytes: more disk space is not reserved.
    """

    def __init__(
        self,
        filesystem: FileSystem,
        directory: str,
        store: int,
        segment: int,
        sequence: int,
        *,
        ahead: bool,
        limit: int,
    ) -> None:
        self.segment = segment
        self.size = _FILE_HEAD.size
        self.synced = 0
        self._ahead = ahead
        self._zeroed = 0  # the file's end, where that is behind what was appended
        self._space = SpaceAhead()
        self._limit = limit
        self._file: File = filesystem.open(f"{directory}/{segment_name(segment)}", create=True)
        head = bytearray(
            _FILE_HEAD.pack(_FILE_MAGIC, _VERSION, 0, store, segment, sequence, bytes(24))
        )
        struct.pack_into("<I", head, 12, crc32c(bytes(head[16:]), crc32c(bytes(head[:12]))))
        write_all(self._file, head, 0)

    def append(self, record: lsm.Piece, sequence: int) -> None:
        """Write ``record`` as commit number ``sequence``."""
        lsm.number_record(record, sequence, self.synced)
        size = len(record)
        end = self.size + size
        if end > self._zeroed:
            if self._ahead and self.size > _AHEAD and 2 * size <= _AHEAD:
                self._zero_to((end + _AHEAD) & -_AHEAD)
            else:
                self._space.cover(self._file, self.size, end, self._limit)
        if size > _AT_ONCE or self._file.pwrite(record, self.size) != size:
            view = memoryview(record)
            for at in range(0, size, _AT_ONCE):
                write_all(self._file, view[at : at + _AT_ONCE], self.size + at)
        self.size = end

    def _zero_to(self, end: int) -> None:
        start = max(self._zeroed, self.size)
        self._space.cover(self._file, start, end, self._limit)
        try:
            write_all(self._file, _ZEROS[: end - start], start)
        except OSError:
            self._ahead = False  # the record itself may still fit
        self._zeroed = end

    def finish(self) -> None:
        """No more records come: nothing may follow the last one, nor be reserved behind it."""
        if self._zeroed > self.size:
            self._file.truncate(self.size)
            self._zeroed = 0
        else:
            self._space.release(lambda: self._file, self.size)

    def seal(self) -> None:
        """The next records come in another segment, whose first number says that none is missing.

        So zeros may stay behind the last one until the file goes: to cut them takes the file
        system's journal, and for that a busy disk makes a writer wait (docs/decisions/0208).
        """
        if self._zeroed <= self.size:
            self.finish()

    def withdraw(self) -> None:
        """A record was begun, not appended: what there is of it must not stay behind the end."""
        self._file.truncate(self.size)
        self._zeroed = 0

    def sync(self, size: int | None = None) -> None:
        """Have all that was appended, at least the first ``size`` bytes, on disk."""
        size = self.size if size is None else size
        if size > self.synced:
            self._file.fdatasync()
            self.synced = max(self.synced, size)


_MAGIC_CRC: Final = crc32c(_MAGIC_BYTES)


class Commit(NamedTuple):
    """A record as read: ``data[start:end]`` holds its operations."""

    sequence: int
    start: int
    end: int
    operations: int
    position: dict[str, int] | None
    synced: int


class SegmentReader:
    """Reads one segment: iterate, then see ``good`` (bytes of whole records) and ``torn``.

    ``next_sequence`` is the number that the record behind these would have.
    """

    def __init__(self, data: bytes, path: str, store: int, segment: int) -> None:
        self.data = data
        self.path = path
        self.good = 0
        self.first_sequence = self.next_sequence = -1
        self.torn = True
        if len(data) < _FILE_HEAD.size:
            return
        magic, version, crc, of_store, number, first, zeros = _FILE_HEAD.unpack_from(data)
        if crc32c(data[16 : _FILE_HEAD.size], crc32c(data[:12])) != crc or magic != _FILE_MAGIC:
            return
        if version != _VERSION:
            raise Corrupt(f"{path} has version {version}, this release knows {_VERSION}: upgrade")
        if (of_store, number) != (store, segment) or any(zeros):
            raise Corrupt(f"{path} belongs to another store or place: put the right file back")
        self.good = _FILE_HEAD.size
        self.first_sequence = self.next_sequence = first
        self.torn = False

    def __iter__(self) -> Iterator[Commit]:
        if self.torn:
            return
        while self.good < len(self.data):
            commit = self._record(self.good, self.next_sequence)
            if commit is None:
                self.torn = True
                return
            yield commit
            self.good += _size_at(self.data, self.good)
            self.next_sequence += 1

    def ends_before(self, following: SegmentReader) -> bool:
        """Whether nothing but zeros is behind the records, and ``following`` goes on from them.

        Then this segment was sealed so, and is whole although it seems torn.
        """
        return (
            self.good > 0
            and following.first_sequence == self.next_sequence
            and not self.data[self.good :].strip(b"\0")
        )

    def _record(self, at: int, sequence: int | None) -> Commit | None:
        data = self.data
        if at + _RECORD.size + _TAIL.size > len(data):
            return None
        magic, crc, size, number, synced, operations, text, zeros = _RECORD.unpack_from(data, at)
        room = (text + 7) & -8
        if (
            magic != _MAGIC
            or size & 7
            or not (_RECORD.size + room + _TAIL.size <= size <= len(data) - at)
        ):
            return None
        if crc32c(memoryview(data)[at + 8 : at + size], _MAGIC_CRC) != crc:
            return None
        end = at + size - _TAIL.size
        if _TAIL.unpack_from(data, end)[0] != number ^ _TRAILER or any(zeros):
            return None
        if sequence is not None and number != sequence:
            raise Corrupt(f"{self.path} goes from commit {sequence - 1} to {number}: restore it")
        position = None
        if text:
            try:
                position = msgspec.json.decode(
                    data[end - room : end - room + text], type=dict[str, int]
                )
            except msgspec.MsgspecError as error:
                raise Corrupt(f"the position at byte {at} of {self.path}: {error}") from error
        if synced > at:
            raise Corrupt(f"the record at byte {at} of {self.path} says that {synced} were synced")
        return Commit(number, at + _RECORD.size, end - room, operations, position, synced)

    def promised(self) -> int:
        """How many bytes whole records behind the bad one say were on disk before them."""
        best, at = 0, self.good
        while (at := self.data.find(_MAGIC_BYTES, at)) >= 0:
            if at & 7 == 0:
                try:
                    whole = self._record(at, None) is not None
                except Corrupt:
                    whole = False
                if whole:
                    best = max(best, struct.unpack_from("<Q", self.data, at + 24)[0])
            at += 1
        return best


def _size_at(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<Q", data, at + 8)[0])
