"""Records of watched channels as plain lists: few, after a filter that saw them as columns."""

from __future__ import annotations

from typing import Any, NamedTuple

import pyarrow as pa


class Rows(NamedTuple):
    """Parallel lists, in log order; ``times`` are milliseconds, ``values`` null for tombstones."""

    offsets: list[int]
    times: list[int]
    keys: list[bytes]
    values: list[bytes | None]


def rows_of(records: Any) -> Rows:
    """The rows of a ``pa.RecordBatch`` as the client decodes it."""
    return Rows(
        records.column("_offset").to_pylist(),
        records.column("_timestamp").cast(pa.int64()).to_pylist(),
        records.column("_key").to_pylist(),
        records.column("value").to_pylist(),
    )
