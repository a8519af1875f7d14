"""Arrow payloads: many rows a record, as they are in memory."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import ipc

from mainstem.client.arrow_lists import decoded
from mainstem.client.arrow_messages import read_rows
from mainstem.client.arrow_runs import run_edges
from mainstem.client.formats import Decode, Payload, Side
from mainstem.client.payloads import INVALID_RECORD, check_policy, fit_column, payload_columns
from mainstem.client.side_output import payload_of
from mainstem.errors import Corrupt, Invalid

_SMALLEST: Final = 1024


class Arrow:
    """Each record's value is an Arrow IPC message that holds many rows.

    Rows that follow each other, of one key, timestamp and partition and without headers, share a
    record of about ``record_bytes``; so offsets count records, and reading gives each row its
    record's ``_offset`` and other bookkeeping columns. Best for tables without keys: rows with a
    key of their own become records of their own.

    A value is an IPC stream of its schema and one batch, so that nothing is read as what it is
    not, by anything that knows Arrow. With ``schema`` (a ``pyarrow.Schema``) the rows are written
    as it says, and read so: a column that a value lacks is null, others are dropped, what does
    not fit its type is an error. Without it, columns follow what was written, those of several
    schemas put together.

    Values are checked in full before they are used, and compressed ones refused: compress the
    topic. What cannot be read is an error; with ``on_error="side"`` it goes to ``side``, a
    function that takes raw records. A record without a value reads as one row of nulls.
    """

    def __init__(
        self,
        schema: Any = None,
        *,
        record_bytes: int = 512 << 10,
        on_error: Literal["error", "side"] = "error",
        side: Side | None = None,
    ) -> None:
        if schema is not None and not isinstance(schema, pa.Schema):
            raise Invalid(f"Arrow(schema=…) takes a pyarrow.Schema, not a {type(schema).__name__}")
        if schema is not None:
            _check_schema(schema)
        if record_bytes < _SMALLEST:
            raise Invalid(f"record_bytes={record_bytes} is too small: use at least {_SMALLEST}")
        if on_error not in {"error", "side"}:
            raise Invalid(f'on_error={on_error!r} is not valid: use "error" or "side"')
        check_policy(on_error, side)
        self.schema = schema
        self.record_bytes = record_bytes
        #: A side output may block, so it must not run on an event loop.
        self.quick = side is None
        self._side = side

    def __repr__(self) -> str:
        return "Arrow()" if self.schema is None else f"Arrow({self.schema.names})"

    def encode(self, payload: Any, *, used: frozenset[str]) -> Any:
        """See ``Format``: one row a value. ``pack`` is what appending uses."""
        return self.pack(payload, [], used=used)[1]

    def pack(self, payload: Any, parts: list[Any], *, used: frozenset[str]) -> tuple[Any, Any]:
        """The first row of each record, and the records' values.

        ``parts`` are the arrays that rows of one record must agree in; ``encode`` has none, and
        its rows share nothing.
        """
        del used  # all columns stay in the payload
        if self.schema is not None:
            payload = _as_schema(payload, self.schema)
        try:
            payload.validate(full=True)  # what is not could not be read
        except pa.ArrowException as error:
            raise Invalid(f"the rows are not valid Arrow: {error}") from error
        starts: list[int] = []
        values: list[Any] = []
        edges = run_edges(parts, payload.num_rows) if parts else range(payload.num_rows + 1)
        for first, last in pairwise(edges):
            self._split(payload.slice(first, last - first), first, starts, values)
        return pa.array(starts, pa.int64()), pa.array(values, pa.binary())

    def _split(self, rows: Any, first: int, starts: list[int], values: list[Any]) -> None:
        """Halves until a record is not larger than asked, and has a byte for each row."""
        if rows.num_rows > 1 and rows.nbytes > self.record_bytes:
            data = None
        else:
            data = self._message(rows)
        if data is not None and (
            rows.num_rows == 1 or rows.num_rows <= len(data) <= self.record_bytes
        ):
            starts.append(first)
            values.append(data)
            return
        rows = _compact(rows)
        half = rows.num_rows // 2
        self._split(rows.slice(0, half), first, starts, values)
        self._split(rows.slice(half), first + half, starts, values)

    def _message(self, rows: Any) -> Any:
        try:
            sink = pa.BufferOutputStream()
            with ipc.new_stream(sink, rows.schema) as stream:
                stream.write_batch(rows)
            return sink.getvalue().to_pybytes()
        except pa.ArrowException as error:
            raise Invalid(f"the rows cannot become an Arrow message: {error}") from error

    def decoder(self) -> Decode:
        """See ``Format``."""
        return _Decoder(self.schema, self._side)


class _Decoder:
    """For one reader: without a schema it remembers the columns seen, so types hold still."""

    def __init__(self, schema: Any, side: Side | None) -> None:
        self._fixed = schema
        self._schema = pa.schema([]) if schema is None else schema
        self._side = side

    def __call__(self, values: Any, where: Callable[[int], str]) -> Payload:
        batches, bad = self._batches(values, where)
        if self._fixed is None:
            self._widen(batches, where)
        counts = [0 if batch is None else batch.num_rows for batch in batches]
        empty = values.is_null().to_pylist()
        columns: list[list[Any]] = [[] for _ in self._schema]
        for row, batch in enumerate(batches):
            counts[row] = 1 if empty[row] else counts[row]
            if counts[row]:
                self._add(columns, batch, where, row)
        found = [
            pa.concat_arrays(parts) if parts else pa.array([], field.type)
            for parts, field in zip(columns, self._schema, strict=True)
        ]
        payload = payload_of(payload_columns(self._schema.names, found), bad, self._side)
        payload.rows = _repeat(counts)
        return payload

    def _batches(
        self, values: Any, where: Callable[[int], str]
    ) -> tuple[list[Any], dict[int, str]]:
        batches: list[Any] = []
        bad: dict[int, str] = {}
        for row, value in enumerate(values):
            batch = None
            if value.is_valid:
                try:
                    batch = read_rows(value.as_py())
                    _check_schema(batch.schema)
                except (Corrupt, Invalid) as error:
                    if self._side is None:
                        raise Corrupt(f"{where(row)}: {error}", code=INVALID_RECORD) from error
                    bad[row] = str(error)
                    batch = None
            batches.append(batch)
        return batches, bad

    def _widen(self, batches: list[Any], where: Callable[[int], str]) -> None:
        for row, batch in enumerate(batches):
            if batch is None or batch.schema.equals(self._schema):
                continue
            try:
                found = pa.unify_schemas(
                    [self._schema, batch.schema.remove_metadata()], promote_options="permissive"
                )
            except pa.ArrowException as error:
                raise Corrupt(
                    f"{where(row)}: its columns do not go with those before: {error}: give the "
                    "schema to read them as",
                    code=INVALID_RECORD,
                ) from error
            self._schema = found

    def _add(
        self, columns: list[list[Any]], batch: Any, where: Callable[[int], str], row: int
    ) -> None:
        try:
            for parts, field in zip(columns, self._schema, strict=True):
                if batch is None:
                    parts.append(pa.nulls(1, field.type))
                else:
                    parts.append(fit_column(batch, field.name, field.type))
        except Corrupt as error:
            raise Corrupt(f"{where(row)}: {error}", code=INVALID_RECORD) from error


def _compact(rows: Any) -> Any:
    """Slices of dictionaries and views are written with all that the whole one had."""
    return pa.RecordBatch.from_arrays(list(map(_compacted, rows.columns)), schema=rows.schema)


def _compacted(column: Any) -> Any:
    kind, types = column.type, pa.types
    if types.is_dictionary(kind) and len(column.dictionary) > len(column):
        return decoded(column).dictionary_encode().cast(kind)
    if types.is_string_view(kind):
        return column.cast(pa.large_string()).cast(kind)
    if types.is_binary_view(kind):
        return column.cast(pa.large_binary()).cast(kind)
    return column


def _repeat(counts: list[int]) -> Any:
    """The number of its record for every row; ``None`` where each has one."""
    if all(count == 1 for count in counts):
        return None
    ends = pc.cumulative_sum(pa.array(counts, pa.int64()))
    total = ends[-1].as_py() if len(ends) else 0
    numbers = pc.indices_nonzero(pa.repeat(True, total)).cast(pa.int64())
    # The record of a row is how many records end at or before it.
    return pc.search_sorted(ends, numbers, side="right").cast(pa.int64())


def _check_schema(schema: Any) -> None:
    names = schema.names
    if len(set(names)) < len(names):
        twice = min(name for name in names if names.count(name) > 1)
        raise Invalid(f"the schema has two columns {twice!r}")


def _as_schema(payload: Any, schema: Any) -> Any:
    """The columns of the schema, in its order, and no others."""
    extra = [name for name in payload.schema.names if name not in schema.names]
    if extra:
        raise Invalid(f"column {extra[0]!r} is not in the schema of Arrow(…): drop it, or add it")
    columns = []
    for field in schema:
        try:
            columns.append(fit_column(payload, field.name, field.type))
        except Corrupt as error:
            raise Invalid(f"the rows do not fit the schema: {error}") from error
    return pa.RecordBatch.from_arrays(columns, schema=schema)
