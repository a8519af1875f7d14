"""Rows that follow each other and agree, so that they may share a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mainstem.client.arrow_lists import decoded


def run_edges(parts: Sequence[Any], rows: int) -> list[int]:
    """Where runs of rows begin, and at the end ``rows``.

    Two rows agree where all ``parts`` have the same value or both null; lists (headers) agree
    only where both are empty.
    """
    if rows == 0:
        return [0]
    differ = pa.repeat(False, rows - 1)
    for part in parts:
        if part is not None and rows > 1:
            differ = pc.or_(differ, _differ(part))
    starts = pc.add(pc.indices_nonzero(differ).cast(pa.int64()), 1)
    return [0, *starts.to_pylist(), rows]


def _differ(part: Any) -> Any:
    """Whether each row but the first is another than the one before it."""
    if pa.types.is_dictionary(part.type):
        part = decoded(part)
    before, after = part.slice(0, len(part) - 1), part.slice(1)
    try:
        if pa.types.is_nested(part.type):
            some = pc.greater(pc.fill_null(pc.list_value_length(part), 0), 0)
            return pc.or_(some.slice(0, len(part) - 1), some.slice(1))
        unequal = pc.fill_null(pc.not_equal(before, after), False)
    except pa.ArrowNotImplementedError:  # a type that cannot be compared
        return pa.repeat(True, len(part) - 1)
    return pc.or_(unequal, pc.xor(before.is_null(), after.is_null()))
