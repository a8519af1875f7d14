"""Reading a segment that may be damaged, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

from mainstem.filesystem import File
from mainstem.kernels import HEADER_SIZE, BatchError, BatchHeader, crc32c, read_batches, read_header
from mainstem.log.segment import Segment

_CHUNK = 1 << 20
_CRC_START = 21  # the checksum covers everything from the attributes on


class TornLogError(ValueError):
    """No acceptable batch follows; says why. ``position`` is the byte it should begin at."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


def scan(segment: Segment, size: int, *, verify: bool, start: int = 0) -> Iterator[BatchHeader]:
    """Headers of the batches in the first ``size`` bytes from the boundary ``start``.

    With ``verify`` also CRC and record counts. They follow each other without a gap; a header's
    own ``position`` means nothing here. Memory stays at a few MiB whatever lengths the bytes
    claim. Raises ``TornLogError``.
    """
    file, position = segment.file(), start
    while position < size:
        chunk = file.pread(position, min(_CHUNK, size - position))
        used = 0
        while used < len(chunk):
            header = _header(chunk, used, position)
            if header.size > size - position - used:
                raise TornLogError(
                    f"a batch of {header.size} bytes at byte {position + used} of {size}",
                    position + used,
                )
            if header.size > len(chunk) - used:
                break
            if verify:
                _verify(chunk, used, header, position)
            yield header
            used += header.size
            if len(chunk) - used < HEADER_SIZE and position + len(chunk) < size:
                break
        if not used:
            header = _header(chunk, 0, position)
            if verify:
                _verify_large(file, header, position, chunk)
            yield header
            used = header.size
        position += used


def _header(chunk: bytes, used: int, position: int) -> BatchHeader:
    try:
        return read_header(chunk, used)
    except BatchError as error:
        raise TornLogError(str(error), position + used) from error


def _verify(chunk: bytes, used: int, header: BatchHeader, position: int) -> None:
    try:
        read_batches(chunk, used, used + header.size)
    except BatchError as error:
        raise TornLogError(str(error), position + used) from error


def _verify_large(file: File, header: BatchHeader, position: int, chunk: bytes) -> None:
    """Like ``read_batches``, for a batch longer than one chunk."""
    checksum = crc32c(chunk[_CRC_START:])
    at, end = position + len(chunk), position + header.size
    while at < end:
        more = file.pread(at, min(_CHUNK, end - at))
        if not more:
            break
        checksum = crc32c(more, checksum)
        at += len(more)
    if at != end or checksum != header.crc:
        raise TornLogError(f"record batch at byte {position} fails its CRC-32C check", position)
    if header.record_count < 1 or header.last_offset_delta != header.record_count - 1:
        raise TornLogError(f"record batch at byte {position} miscounts its records", position)
