"""Records that a format could not read, handed to the user beside the good ones."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import pyarrow as pa

from mainstem.client.formats import Payload, Rejected, Side

#: The headers that tell where a rejected record came from and what was wrong with it.
ERROR_HEADER: Final = "mainstem.error"


def payload_of(columns: dict[str, Any], bad: dict[int, str], side: Side | None) -> Payload:
    """The columns, with what is to be set aside: bad rows and why."""
    found = Payload(columns)
    if side is not None and bad:
        rows = sorted(bad)
        found.rejected = Rejected(rows, [bad[row] for row in rows], side)
    return found


def set_aside(batch: Any, values: Any, rejected: Rejected, where: Callable[[int], str]) -> Any:
    """``batch`` without the rejected rows; those go to their side output first, as raw records.

    What the side output raises ends the reading.
    """
    rows = pa.array(rejected.rows, pa.int64())
    reasons = [
        f"{where(row)}: {reason}"
        for row, reason in zip(rejected.rows, rejected.reasons, strict=True)
    ]
    names = ("_topic", "_offset", "_timestamp", "_key", "_headers")
    columns = {name: batch.column(name).take(rows) for name in names}
    columns["_headers"] = _with_reason(columns["_headers"], reasons)
    columns["value"] = values.take(rows)
    columns["_error"] = pa.array(reasons, pa.string())
    rejected.side(pa.RecordBatch.from_arrays(list(columns.values()), list(columns)))
    # Slices, because not every type can be filtered (pyarrow 26: views cannot).
    edges = pairwise([-1, *rejected.rows, batch.num_rows])
    return pa.concat_batches([batch.slice(before + 1, row - before - 1) for before, row in edges])


def _with_reason(headers: Any, reasons: list[str]) -> Any:
    """Few rows, so a Python list each is cheap enough."""
    new = [
        [*(found or ()), {"key": ERROR_HEADER, "value": reason.encode()}]
        for found, reason in zip(headers.to_pylist(), reasons, strict=True)
    ]
    return pa.array(new, headers.type)
