"""Users' Arrow columns as the record encoder takes them: bytes, milliseconds, header lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from mainstem.errors import Invalid
from mainstem.kernels import BinaryColumn, HeaderColumn

if TYPE_CHECKING:
    from typing_extensions import Buffer

HEADERS_TYPE: Final = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
_MILLISECONDS: Final = pa.timestamp("ms")


@dataclass(frozen=True, slots=True)
class RecordSource:
    """Columns of equal length, ready for ``kernels.encode_records``."""

    rows: int
    values: BinaryColumn
    keys: BinaryColumn | None
    headers: HeaderColumn | None
    timestamps: Buffer | None
    now_ms: int


def record_source(value: Any, key: Any, timestamp: Any, headers: Any, now_ms: int) -> RecordSource:
    """Check and normalise the columns of ``encode_batch``. Raises ``Invalid``."""
    values = _array("value", value)
    columns = {"value": values}
    for name, column in (("key", key), ("timestamp", timestamp), ("headers", headers)):
        if column is not None:
            columns[name] = _array(name, column)
            if len(columns[name]) != len(values):
                raise Invalid(
                    f"column {name} has {len(columns[name])} rows but value has {len(values)}"
                )
    return RecordSource(
        rows=len(values),
        values=_binary("value", values),
        keys=_binary("key", columns["key"]) if "key" in columns else None,
        headers=_headers(columns["headers"]) if "headers" in columns else None,
        timestamps=_milliseconds(columns["timestamp"], now_ms) if "timestamp" in columns else None,
        now_ms=now_ms,
    )


def _array(name: str, column: Any) -> Any:
    """One contiguous Arrow array without extension types."""
    if not isinstance(column, pa.Array | pa.ChunkedArray):
        try:
            column = pa.array(column)
        except (TypeError, ValueError, pa.ArrowException) as error:
            raise Invalid(f"column {name} is not an Arrow array: {error}") from error
    if isinstance(column, pa.ChunkedArray):
        column = _combine(column)
    if isinstance(column.type, pa.ExtensionType | pa.BaseExtensionType):
        column = column.storage
    return column


def _combine(column: Any) -> Any:
    if column.num_chunks == 1:
        return column.chunk(0)
    if pa.types.is_binary(column.type) or pa.types.is_string(column.type):
        column = column.cast(pa.large_binary())  # together they may pass 2 GiB
    combined = column.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):
        raise Invalid(f"{len(column)} rows of {column.type} are too large together; append less")
    return combined


def _is_binary_like(kind: Any) -> bool:
    types = pa.types
    if types.is_dictionary(kind):
        return _is_binary_like(kind.value_type)
    return any(
        check(kind)
        for check in (
            types.is_binary,
            types.is_large_binary,
            types.is_string,
            types.is_large_string,
            types.is_binary_view,
            types.is_string_view,
            types.is_fixed_size_binary,
            types.is_null,
        )
    )


def _binary(name: str, array: Any) -> BinaryColumn:
    kind = array.type
    types = pa.types
    if not _is_binary_like(kind):
        raise Invalid(
            f"column {name} is {kind}; records hold binary or string (convert it, or use a format)"
        )
    wide = types.is_large_binary(kind) or types.is_large_string(kind)
    if not wide and not types.is_binary(kind) and not types.is_string(kind):
        array = _cast(name, array, pa.large_binary())
        wide = True
    validity, offsets, data = array.buffers()
    return BinaryColumn(offsets, data, validity, array.offset, len(array), wide)


def _milliseconds(array: Any, now_ms: int) -> Buffer | None:
    """int64 milliseconds from row 0 on, nulls filled; None when there are no rows."""
    kind = array.type
    types = pa.types
    if types.is_timestamp(kind) or types.is_date(kind):
        if kind.equals(_MILLISECONDS):
            array = array.view(pa.int64())
        else:
            array = _cast("timestamp", array, _MILLISECONDS).view(pa.int64())
    elif types.is_integer(kind) or types.is_null(kind):
        array = _cast("timestamp", array, pa.int64())
    else:
        raise Invalid(f"column timestamp is {kind}; it must be a timestamp, a date or an integer")
    if array.null_count:
        array = array.fill_null(now_ms)
    if len(array) == 0:
        return None
    buffer: Buffer = array.buffers()[1].slice(array.offset * 8)
    return buffer


def _headers(array: Any) -> HeaderColumn:
    kind = array.type
    if not kind.equals(HEADERS_TYPE):
        if not (pa.types.is_nested(kind) or pa.types.is_null(kind)):
            raise Invalid(f"column headers is {kind}; it must be list<struct<key, value>> or map")
        array = _cast("headers", array, HEADERS_TYPE)
    keys, values = array.values.flatten()
    validity, offsets = array.buffers()[:2]
    return HeaderColumn(
        offsets,
        validity,
        array.offset,
        len(array),
        _binary("headers.key", keys),
        _binary("headers.value", values),
    )


def _cast(name: str, array: Any, kind: Any) -> Any:
    """Timestamps finer than a millisecond lose the rest; everything else must fit."""
    finer = pa.types.is_timestamp(array.type) and array.type.unit in ("us", "ns")
    try:
        return array.cast(kind, safe=not finer)
    except pa.ArrowException as error:
        raise Invalid(
            f"column {name} of type {array.type} cannot become {kind}: {error}"
        ) from error
