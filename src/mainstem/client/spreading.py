"""Records that hold many rows: each row gets its record's bookkeeping columns."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mainstem.errors import Corrupt

#: A key or headers repeated for every row; more than this is not what anybody meant.
_MOST_BYTES: Final = 1 << 30


def spread(heads: Any, rows: Any, payload: dict[str, Any]) -> Any:
    """``heads`` taken by ``rows``, and the payload's columns beside them.

    Raises ``Corrupt`` where keys and headers would take more than 1 GiB.
    """
    keys = heads.column("_key")
    size = pc.sum(pc.fill_null(pc.binary_length(keys).cast(pa.int64()), 0).take(rows)).as_py() or 0
    headers = heads.column("_headers")
    some = pc.greater(pc.fill_null(pc.list_value_length(headers), 0), 0)
    with_headers = pc.sum(some.take(rows).cast(pa.int64())).as_py() or 0
    size += with_headers * headers.filter(some).nbytes
    if size > _MOST_BYTES:
        raise Corrupt(
            f"keys and headers of {len(rows)} rows take {size >> 20} MiB: read fewer records at "
            "once, with batch_rows=…"
        )
    columns = [*(column.take(rows) for column in heads.columns), *payload.values()]
    return pa.RecordBatch.from_arrays(columns, [*heads.schema.names, *payload])
