"""Arrow in and out. pyarrow is imported when a batch needs it, not before."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, Final

from mainstem.errors import Invalid
from mainstem.kernels import Memory, lsm
from mainstem.lsm.arguments import check_bytes

#: Width of entries by class of array, as ``lsm.Column`` counts it; 0 stands for that of the type.
#: Filled when the first array comes, for pyarrow is imported by then.
_PLAIN: Final[dict[type, int]] = {}


def single(value: bytes, what: str = "a key") -> lsm.Column:
    """A column of one entry. Raises ``Invalid`` for what is not bytes."""
    if type(value) is not bytes:
        check_bytes(value, what)
    return lsm.Column(None, value, None, 0, 1, len(value))


def column(data: Any, what: str) -> lsm.Column:
    """``data`` as a binary column: Arrow arrays (also chunked, also by C interface), or bytes.

    Takes binary, large and fixed-size binary, binary view and (as UTF-8) string arrays, and
    lists of ``bytes`` or ``None``. Raises ``Invalid`` for anything else.
    """
    width = _PLAIN.get(type(data))
    if width is None and isinstance(data, lsm.Column):
        return data
    try:
        return _column(data, what) if width is None else lsm.column_of(data, width)
    except (ValueError, TypeError) as error:
        if isinstance(error, Invalid):
            raise
        raise Invalid(f"the {what} are no binary column: {error}") from error


def _column(data: Any, what: str) -> lsm.Column:
    import pyarrow as pa

    if isinstance(data, str | bytes | bytearray | Mapping | Set):
        raise Invalid(f"the {what} must be an Arrow array or a list of bytes, not {data!r:.60}")
    if isinstance(data, list | tuple):
        if any(not isinstance(each, bytes | None) for each in data):
            raise Invalid(f"{what} in a list must be bytes: encode them (see encode_keys)")
        data = pa.array(data, pa.binary())
    elif isinstance(data, pa.ChunkedArray):
        data = pa.concat_arrays(data.chunks) if data.num_chunks != 1 else data.chunk(0)
    elif not isinstance(data, pa.Array):
        data = pa.array(data)
    kind = data.type
    if pa.types.is_dictionary(kind):
        data = data.dictionary_decode()
        kind = data.type
    if pa.types.is_binary_view(kind) or pa.types.is_string_view(kind):
        data = data.cast(pa.large_binary())
        kind = data.type
    if pa.types.is_null(kind):
        data = data.cast(pa.binary())
        kind = data.type
    _PLAIN[pa.FixedSizeBinaryArray] = 0
    _PLAIN[pa.BinaryArray] = _PLAIN[pa.StringArray] = -1
    _PLAIN[pa.LargeBinaryArray] = _PLAIN[pa.LargeStringArray] = -2
    if type(data) not in _PLAIN:
        raise Invalid(
            f"{what} of type {kind} have no byte order of their own: encode them (see encode_keys)"
        )
    return lsm.column_of(data, _PLAIN[type(data)])


def named_columns(columns: Any) -> Mapping[str, Any]:
    """Columns by name, of a mapping or of anything Arrow with a schema. Raises ``Invalid``."""
    if isinstance(columns, Mapping):
        return columns
    schema = getattr(columns, "schema", None)
    if schema is None or not hasattr(columns, "columns"):
        raise Invalid(f"columns must be a dict or a pyarrow.RecordBatch, not {columns!r:.60}")
    return dict(zip(schema.names, columns.columns, strict=True))


def numbers(data: Any, rows: int, what: str) -> tuple[Any, str]:
    """An 8-byte numeric column as (buffer, type name). Raises ``Invalid``."""
    import pyarrow as pa

    try:
        array = (
            data
            if isinstance(data, pa.Array)
            else (data.combine_chunks() if isinstance(data, pa.ChunkedArray) else pa.array(data))
        )
        if isinstance(array, pa.ChunkedArray):
            array = array.chunk(0) if array.num_chunks else pa.array([], data.type)
        floating = pa.types.is_floating(array.type)
        array = array.cast(pa.float64() if floating else pa.int64())
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise Invalid(f"{what} is no column of numbers: {error}") from error
    if len(array) != rows or array.null_count:
        raise Invalid(
            f"{what} has {len(array)} values, {array.null_count} of them null; "
            f"{rows} without nulls are needed"
        )
    if not rows:
        return b"", "double" if floating else "int64"
    buffer = array.buffers()[1]
    return buffer.slice(8 * array.offset, 8 * rows), "double" if floating else "int64"


def binary_array(buffers: lsm.ArrowBuffers) -> Any:
    """The kernels' buffers as a ``pyarrow.BinaryArray``."""
    import pyarrow as pa

    offsets, data, validity, nulls = buffers
    return pa.Array.from_buffers(
        pa.binary(),
        len(offsets) // 4 - 1,
        [_buffer(validity), pa.py_buffer(offsets), pa.py_buffer(data)],
        nulls,
    )


def _buffer(memory: Memory | None) -> Any:
    import pyarrow as pa

    return None if memory is None else pa.py_buffer(memory)


def schema() -> Any:
    """What scans give: ``key`` and ``value``, binary."""
    import pyarrow as pa

    return pa.schema([pa.field("key", pa.binary(), False), pa.field("value", pa.binary(), False)])


def record_batch(rows: lsm.RowList, start: int, count: int) -> Any:
    """Rows as a ``pyarrow.RecordBatch``, copied: it stays valid whatever happens to the store."""
    import pyarrow as pa

    keys, values = lsm.arrow_buffers(rows, start, count)
    return pa.RecordBatch.from_arrays([binary_array(keys), binary_array(values)], schema=schema())


def reader(batches: Any) -> Any:
    """Record batches as a ``pyarrow.RecordBatchReader``."""
    import pyarrow as pa

    return pa.RecordBatchReader.from_batches(schema(), batches)


def state_batch(state: lsm.Column, valid: Any, fields: tuple[tuple[str, str], ...]) -> Any:
    """Merged states as a ``pyarrow.RecordBatch`` of their fields, null where there is none."""
    import pyarrow as pa

    columns = lsm.split(state, len(fields))
    validity = None if valid is None else pa.py_buffer(valid)
    arrays = [
        pa.Array.from_buffers(
            pa.int64() if kind == "int64" else pa.float64(),
            len(state),
            [validity, pa.py_buffer(part)],
        )
        for part, (_, kind) in zip(columns, fields, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, names=[name for name, _ in fields])
