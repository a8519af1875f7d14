"""What users append, as columns: anything Arrow, or plain lists, in slices of bounded size."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mainstem.client.arrow_lists import decoded, plain_list
from mainstem.client.formats import Format
from mainstem.errors import Invalid

KEY: Final = "_key"
TIMESTAMP: Final = "_timestamp"
HEADERS: Final = "_headers"
PARTITION: Final = "_partition"
#: Where a record is says nothing about where its copy goes.
_IGNORED: Final = frozenset({"_topic", "_offset", "_error"})
BOOKKEEPING: Final = frozenset({KEY, TIMESTAMP, HEADERS, PARTITION}) | _IGNORED
_SLICE_BYTES: Final = 8 << 20
_SLICE_ROWS: Final = 128 * 1024
_FIRST_PART: Final = 8  # of a slice is the first one: nothing else is done beside it
_VALUE: Final = pa.schema([("value", pa.binary())])


@dataclass(frozen=True, slots=True)
class Columns:
    """Arrow arrays of equal length; ``None`` where a record part was not given."""

    rows: int
    value: Any
    key: Any = None
    timestamp: Any = None
    headers: Any = None
    partition: Any = None
    numbers: Any = None  # of the rows before ``take``; ``None`` where they are 0, 1, 2 …

    def take(self, indices: Any) -> Columns:
        """These rows, in this order."""
        parts = (self.value, self.key, self.timestamp, self.headers)
        value, key, timestamp, headers = (None if p is None else p.take(indices) for p in parts)
        return Columns(len(indices), value, key, timestamp, headers, numbers=indices)

    def number(self, row: int) -> int:
        """Which row it was."""
        return row if self.numbers is None else int(self.numbers[row].as_py())

    def slice(self, start: int, rows: int) -> Columns:
        """``rows`` rows from ``start``, sharing memory."""
        parts = (self.value, self.key, self.timestamp, self.headers)
        return Columns(rows, *(None if p is None else p.slice(start, rows) for p in parts))


def slices(data: Any) -> Iterator[Any]:
    """``data`` as ``pa.RecordBatch`` of a few MiB each.

    Takes what speaks the Arrow C data or stream interface (pyarrow, Polars, DuckDB, pandas ≥ 2.2
    …), a dict of columns, a list of dicts, or a list of ``bytes`` or ``str``. A stream is read
    as it is asked for. Raises ``Invalid`` for anything else.
    """
    begun = False
    for batch in _batches(data):
        if batch.num_rows == 0:
            continue
        # The size of whole buffers is quickly known, that of what a slice shows is not.
        if batch.num_rows <= _SLICE_ROWS and batch.get_total_buffer_size() <= _SLICE_BYTES:
            yield batch
            begun = True
            continue
        fit = int(_SLICE_BYTES * batch.num_rows / max(1, batch.nbytes))
        step = max(1, min(_SLICE_ROWS, fit))
        start = 0 if begun else max(1, step // _FIRST_PART)
        if start:
            yield batch.slice(0, start)
        for at in range(start, batch.num_rows, step):
            yield batch.slice(at, step)
        begun = True


def row_count(data: Any) -> int | None:
    """How many rows ``data`` has, where that costs nothing to know."""
    if isinstance(data, pa.RecordBatch | pa.Table):
        return int(data.num_rows)
    if isinstance(data, dict):
        data = next(iter(data.values()), ())
    return len(data) if isinstance(data, list | tuple | pa.Array | pa.ChunkedArray) else None


def _batches(data: Any) -> Any:
    try:
        if isinstance(data, pa.RecordBatch):
            return [data]
        if isinstance(data, pa.Table):
            return data.to_batches()
        if isinstance(data, pa.RecordBatchReader):
            return data
        if isinstance(data, pa.Array | pa.ChunkedArray):
            return _from_column(data)
        if hasattr(data, "__arrow_c_stream__"):
            return _from_stream(data)
        if hasattr(data, "__arrow_c_array__"):
            return _from_column(pa.array(data))
        if isinstance(data, dict):
            return _table(data)
        if isinstance(data, list | tuple):
            return _from_rows(data)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise Invalid(f"the rows cannot become Arrow columns: {error}") from error
    raise Invalid(
        f"a {type(data).__name__} cannot be appended: give an Arrow table or anything with the "
        "Arrow C interface, a list of dicts, or a list of bytes"
    )


def _from_stream(data: Any) -> Any:
    try:
        return pa.RecordBatchReader.from_stream(data)
    except pa.ArrowInvalid as error:
        try:  # one column, as a Series is
            column = pa.chunked_array(data)
        except Exception:
            raise error from None
        return _from_column(column)


def _from_column(column: Any) -> Any:
    """Rows of a struct's members, or of the one column ``value``."""
    if not pa.types.is_struct(column.type):
        return pa.table({"value": column}).to_batches()
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return [pa.RecordBatch.from_struct_array(chunk) for chunk in chunks]


def _table(columns: Mapping[Any, Any]) -> Any:
    """One column after the other, so that an error can name the one."""
    found = {}
    for name, values in columns.items():
        try:
            found[name] = pa.table({name: values}).column(0)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise Invalid(f"the rows cannot become Arrow columns: {name!r}: {error}") from error
    return pa.table(found).to_batches()


def _from_rows(rows: list[Any] | tuple[Any, ...]) -> Any:
    if all(isinstance(row, bytes | str | None) for row in rows):
        plain = [row.encode() if isinstance(row, str) else row for row in rows]
        return [pa.RecordBatch.from_arrays([pa.array(plain, pa.binary())], schema=_VALUE)]
    if not all(isinstance(row, dict) for row in rows):
        strange = next(row for row in rows if not isinstance(row, dict))
        raise Invalid(
            f"a list of rows holds a {type(strange).__name__}: give dicts only, or bytes only"
        )
    names = dict.fromkeys(name for row in rows for name in row)
    return _table({name: [row.get(name) for row in rows] for name in names})


def record_columns(
    batch: Any,
    payload_format: Format,
    *,
    key: str | None,
    timestamp: str | None,
    partition: int | None,
) -> Columns:
    """The parts of each record. Raises ``Invalid`` naming a column that is missing or mistyped.

    ``key`` and ``timestamp`` name columns; those stay in the payload, too, where the format has
    a place for them.
    """
    names = batch.schema.names
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise Invalid(f"column {min(repeated)!r} occurs more than once: rename one")
    key_column = _named(batch, names, key, KEY)
    timestamp_column = _named(batch, names, timestamp, TIMESTAMP)
    wanted = [name for name in names if name not in BOOKKEEPING]
    payload = batch if len(wanted) == len(names) else batch.select(wanted)
    target = None
    if partition is not None:
        target = pa.repeat(pa.scalar(partition, pa.int32()), batch.num_rows)
    elif PARTITION in names:
        target = _partition_ids(batch.column(PARTITION))
    used = frozenset(filter(None, (key, timestamp)))
    parts = [
        None if key_column is None else _key(key_column, key or KEY),
        timestamp_column,
        _headers(_named(batch, names, None, HEADERS)),
        target,
    ]
    pack = getattr(payload_format, "pack", None)
    if pack is None:
        value = payload_format.encode(payload, used=used)
        return Columns(batch.num_rows, value, *parts)
    # A format that puts rows together: those of one record agree in the record's other parts.
    starts, value = pack(payload, parts, used=used)
    parts = [None if part is None else part.take(starts) for part in parts]
    return Columns(len(starts), value, *parts)


def _named(batch: Any, names: list[str], name: str | None, default: str) -> Any:
    if name is None:
        return batch.column(default) if default in names else None
    if name not in names:
        raise unknown_column(name, names)
    return batch.column(name)


def _headers(column: Any) -> Any:
    """Lists as the kernel knows them. Of views, as Polars has them, rows cannot be taken."""
    kind = None if column is None else getattr(column.type, "value_type", None)
    if kind is None or not pa.types.is_struct(kind):
        return column
    views = [pa.types.is_string_view(f.type) or pa.types.is_binary_view(f.type) for f in kind]
    plain = pa.types.is_list(column.type)
    if plain and not any(views):
        return column
    lists = plain_list(column)
    if not any(views):
        return lists
    entries = lists.values
    parts = [
        part.cast(pa.binary() if pa.types.is_binary_view(part.type) else pa.string())
        if view
        else part
        for part, view in zip(entries.flatten(), views, strict=True)
    ]
    members = pa.StructArray.from_arrays(
        parts, [field.name for field in kind], mask=entries.is_null()
    )
    buffers = lists.buffers()[:2]
    made = pa.list_(members.type)
    return pa.Array.from_buffers(made, len(lists), buffers, lists.null_count, children=[members])


def unknown_column(name: str, names: list[str]) -> Invalid:
    """There is no such column: the error, with the nearest name."""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(map(repr, names))}"
    return Invalid(f"there is no column {name!r}: {hint}")


def _key(column: Any, name: str) -> Any:
    """Bytes as they are, text as UTF-8, numbers and times as their text."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = decoded(column)
        kind = column.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return column
    if pa.types.is_fixed_size_binary(kind) or pa.types.is_binary_view(kind):
        return column.cast(pa.large_binary())
    if pa.types.is_nested(kind):
        raise Invalid(f"column {name!r} is {kind} and cannot be a key: choose a plain column")
    try:
        text = column if pa.types.is_large_string(kind) else column.cast(pa.string())
    except pa.ArrowException as error:
        raise Invalid(f"column {name!r} is {kind} and cannot be a key: {error}") from error
    return text.cast(pa.large_binary() if pa.types.is_large_string(text.type) else pa.binary())


def _partition_ids(column: Any) -> Any:
    try:
        return pc.fill_null(column.cast(pa.int32()), -1)
    except pa.ArrowException as error:
        raise Invalid(
            f"column '_partition' is {column.type}, it must hold partition numbers: {error}"
        ) from error
