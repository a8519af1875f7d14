"""Which row goes to which partition: by number, by key (Kafka's murmur2), or in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mainstem.client.columns import Columns
from mainstem.errors import Invalid
from mainstem.kernels import BinaryColumn, partitions_of

_UNKNOWN_PARTITION = 3


@dataclass(slots=True)
class Turn:
    """Where rows without a key go: to one partition per call, each partition in turn.

    Kafka calls it sticky (KIP-480): batches stay large and partitions even.
    """

    next: int = 0

    def take(self, partitions: int) -> int:
        """The partition whose turn it is."""
        chosen = self.next % partitions
        self.next = chosen + 1
        return chosen


def split(
    columns: Columns, partitions: int, turn: Turn, topic: str
) -> Iterator[tuple[int, Columns]]:
    """The rows of each partition, in their order. Raises ``Invalid`` for a partition number."""
    ids = columns.partition
    if ids is not None:
        bounds = pc.min_max(ids).as_py()
        if bounds["max"] >= partitions or bounds["min"] < -1:
            wrong = bounds["max"] if bounds["max"] >= partitions else bounds["min"]
            raise Invalid(
                f"topic {topic!r} has no partition {wrong}: it has {partitions}, from 0 to "
                f"{partitions - 1}",
                code=_UNKNOWN_PARTITION,
            )
        if bounds["min"] == bounds["max"] and bounds["min"] >= 0 and not ids.null_count:
            yield bounds["min"], columns
            return
        if bounds["min"] < 0:  # no number given for some rows: their keys decide
            ids = pc.if_else(pc.less(ids, 0), _by_key(columns, partitions, turn), ids)
    elif columns.key is not None and partitions > 1:
        ids = _by_key(columns, partitions, turn)
    if ids is None:
        yield turn.take(partitions), columns
        return
    yield from _group(columns, ids)


def _by_key(columns: Columns, partitions: int, turn: Turn) -> Any:
    keys = columns.key
    if keys is None:
        return pa.repeat(pa.scalar(turn.take(partitions), pa.int32()), columns.rows)
    validity, offsets, data = keys.buffers()
    wide = pa.types.is_large_binary(keys.type)
    column = BinaryColumn(offsets, data, validity, keys.offset, len(keys), wide)
    chosen = pa.py_buffer(partitions_of(column, partitions))
    ids = pa.Array.from_buffers(pa.int32(), len(keys), [None, chosen])
    if keys.null_count:
        ids = pc.if_else(pc.less(ids, 0), pa.scalar(turn.take(partitions), pa.int32()), ids)
    return ids


def _group(columns: Columns, ids: Any) -> Iterator[tuple[int, Columns]]:
    counts = {int(entry["values"]): entry["counts"] for entry in pc.value_counts(ids).to_pylist()}
    if len(counts) == 1:
        yield next(iter(counts)), columns
        return
    order = pc.sort_indices(ids)  # stable: rows of a partition keep their order
    start = 0
    for partition in sorted(counts):
        yield partition, columns.take(order.slice(start, counts[partition]))
        start += counts[partition]
