"""Which fetched batches belong to aborted transactions: what ``read_committed`` leaves out.

The broker names each aborted transaction that touches an answer by producer id and first
offset; it ends at the producer's next abort marker. Source: Java's CompletedFetch, KIP-98.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mainstem.kernels import BatchError, BatchHeader, decode_records, read_batches

if TYPE_CHECKING:
    from typing_extensions import Buffer

_ABORT = 0
_MARKER = struct.Struct(">hh")

#: Producer id and first offset of an aborted transaction.
Aborted = tuple[int, int]


def drop_aborted(data: Buffer, end: int | None, aborted: Iterable[Aborted]) -> frozenset[int]:
    """Byte positions of the batches to leave out; ``data`` is a whole answer, up to ``end``.

    Checksums are the decoder's to check. Raises ``BatchError`` for broken batches or markers.
    """
    headers = read_batches(data, 0, -1 if end is None else end, False, whole=False, dense=False)
    coming = sorted(aborted, key=lambda found: found[1], reverse=True)
    open_ids: set[int] = set()
    dropped: set[int] = set()
    for header in headers:
        if header.producer_id < 0:
            continue
        while coming and coming[-1][1] <= header.last_offset:
            open_ids.add(coming.pop()[0])
        if header.control:
            if header.producer_id in open_ids and _marker(data, header) == _ABORT:
                open_ids.discard(header.producer_id)
        elif header.transactional and header.producer_id in open_ids:
            dropped.add(header.position)
    return frozenset(dropped)


def _marker(data: Any, header: BatchHeader) -> int:
    """The type of a control batch: 0 abort, 1 commit; its key is version and type, int16 each."""
    try:
        keys = decode_records(data, [header], [None], 0)
        return int(_MARKER.unpack_from(memoryview(keys.keys).cast("B"), 0)[1])
    except struct.error as error:
        message = f"control batch at offset {header.base_offset} has no type: {error}"
        raise BatchError(message, "record", header.position) from error
