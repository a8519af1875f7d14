"""JSON payloads: one object per record, as typed columns. Vectorised both ways."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mainstem.client.columns import BOOKKEEPING
from mainstem.client.formats import Decode
from mainstem.errors import Corrupt, Invalid
from mainstem.kernels import BinaryColumn, JsonColumn, json_rows

_BLOCK: Final = 1 << 20
_SNIPPET: Final = 60
_INVALID_RECORD: Final = 87


class Json:
    """Each record's value is a JSON object; its members are columns.

    With ``schema`` (a ``pyarrow.Schema``) reading gives exactly those columns: missing members
    are null, others are left out. Without it, names and types follow the data and may widen
    from one batch to the next (int64 to double, anything to string).

    Writing takes all columns but the bookkeeping ones: times become ISO 8601 in UTC, binary
    becomes base64, NaN and infinities null. A record without a value reads as all null.
    """

    def __init__(self, schema: Any = None) -> None:
        if schema is not None and not isinstance(schema, pa.Schema):
            raise Invalid(f"Json(schema=…) takes a pyarrow.Schema, not a {type(schema).__name__}")
        self.schema = schema

    def __repr__(self) -> str:
        return "Json()" if self.schema is None else f"Json({self.schema.names})"

    def encode(self, payload: Any, *, used: frozenset[str]) -> Any:  # noqa: ARG002
        """See ``Format``."""
        columns = []
        for index, name in enumerate(payload.schema.names):
            prefix = ("{" if index == 0 else ",") + json.dumps(name, ensure_ascii=False) + ":"
            columns.append(_column(prefix.encode(), payload.column(index), name))
        try:
            offsets, data = json_rows(columns, payload.num_rows)
        except ValueError as error:
            raise Invalid(f"the rows cannot become JSON: {error}") from error
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
        return pa.Array.from_buffers(pa.binary(), payload.num_rows, buffers, 0)

    def decoder(self) -> Decode:
        """See ``Format``."""
        return _Decoder(self.schema)


# --- writing -----------------------------------------------------------------------------------


def _column(prefix: bytes, column: Any, name: str) -> JsonColumn:
    types = pa.types
    kind = column.type
    if types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if types.is_integer(kind) and not types.is_uint64(kind):
        column = column.cast(pa.int64())
        validity, values = column.buffers()
        return JsonColumn.integer(prefix, values, validity, column.offset, len(column))
    if types.is_string(kind) or types.is_large_string(kind):
        return JsonColumn.text(prefix, _binary(column))
    if types.is_floating(kind):
        return JsonColumn.decimal(prefix, _binary(column.cast(pa.string())))
    if types.is_boolean(kind) or types.is_uint64(kind) or types.is_decimal(kind):
        return JsonColumn.literal(prefix, _binary(column.cast(pa.string())))
    if types.is_timestamp(kind):
        return JsonColumn.text(prefix, _binary(_iso(column)))
    if types.is_date(kind) or types.is_time(kind) or types.is_string_view(kind):
        return JsonColumn.text(prefix, _binary(column.cast(pa.string())))
    return JsonColumn.literal(prefix, _binary(_one_by_one(column, name)))


def _binary(column: Any) -> BinaryColumn:
    validity, offsets, data = column.buffers()
    wide = pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type)
    return BinaryColumn(offsets, data, validity, column.offset, len(column), wide)


def _iso(column: Any) -> Any:
    kind = column.type
    if kind.tz is not None and kind.tz != "UTC":
        column = column.cast(pa.timestamp(kind.unit, "UTC"))  # the same instant
    return pc.replace_substring(column.cast(pa.string()), " ", "T", max_replacements=1)


def _one_by_one(column: Any, name: str) -> Any:
    """Lists, structs, maps and bytes: a Python object per value, the slow way."""
    import msgspec

    encode = msgspec.json.Encoder().encode
    try:
        return pa.array([encode(value) for value in column.to_pylist()], pa.binary())
    except (TypeError, ValueError, OverflowError, pa.ArrowException) as error:
        raise Invalid(f"column {name!r} of type {column.type} has no JSON form: {error}") from error


# --- reading -----------------------------------------------------------------------------------


class _Decoder:
    """For one reader; without a schema it remembers the columns seen, so that types hold still."""

    def __init__(self, schema: Any) -> None:
        self._fixed = schema is not None
        self._schema = schema if schema is not None else pa.schema([])

    def __call__(self, values: Any, where: Callable[[int], str]) -> dict[str, Any]:
        rows = len(values)
        if values.null_count < rows:
            table = self._parse(values, where)
            if not self._fixed:
                self._schema = table.schema
            columns = [column.combine_chunks() for column in table.columns]
        else:
            columns = [pa.nulls(rows, kind) for kind in self._schema.types]
        return {
            f"payload.{name}" if name in BOOKKEEPING else name: column
            for name, column in zip(self._schema.names, columns, strict=True)
        }

    def _parse(self, values: Any, where: Callable[[int], str]) -> Any:
        values = values.fill_null(b"{}") if values.null_count else values
        _check_objects(values, where)
        text = pc.binary_join_element_wise(values, b"", b"\n")
        block = max(_BLOCK, 2 * (pc.max(pc.binary_length(text)).as_py() + 1))
        try:
            table = self._read(text, block, self._schema)
        except pa.ArrowInvalid as error:
            if self._fixed:
                raise self._misfit(text, block, values, where, str(error)) from error
            table = self._widened(text, block, values, where)
        if table.num_rows != len(values):
            raise _bad_row(values, where, "a value holds more than one object")
        return table

    def _read(self, text: Any, block: int, schema: Any) -> Any:
        from pyarrow import json as arrow_json

        _, offsets, data = text.buffers()
        first, end = (
            int.from_bytes(offsets[at * 4 : at * 4 + 4], "little")
            for at in (text.offset, text.offset + len(text))
        )
        behaviour = "ignore" if self._fixed else "infer"
        return arrow_json.read_json(
            pa.BufferReader(data.slice(first, end - first)),
            arrow_json.ReadOptions(block_size=block),
            arrow_json.ParseOptions(
                explicit_schema=schema if schema.names else None,
                newlines_in_values=True,
                unexpected_field_behavior=behaviour,
            ),
        )

    def _misfit(
        self, text: Any, block: int, values: Any, where: Callable[[int], str], reason: str
    ) -> Corrupt:
        """The first row that is no object, or does not fit the schema: found by halving."""
        found = _bad_row(values, where, reason)
        if found.code is not None:
            return found
        good, bad = 0, len(text)
        while bad - good > 1:
            middle = (good + bad) // 2
            try:
                self._read(text.slice(0, middle), block, self._schema)
                good = middle
            except pa.ArrowInvalid as error:
                bad, reason = middle, str(error)
        return _corrupt(where(good), values[good].as_py(), reason)

    def _widened(self, text: Any, block: int, values: Any, where: Callable[[int], str]) -> Any:
        """The data no longer fits the types seen so far: infer afresh and take the wider."""
        try:
            fresh = self._read(text, block, pa.schema([]))
            return self._read(text, block, _wider(self._schema, fresh.schema))
        except pa.ArrowInvalid as error:
            raise _bad_row(values, where, str(error)) from error


def _wider(known: Any, fresh: Any) -> Any:
    names = dict.fromkeys((*known.names, *fresh.names))
    return pa.schema([(name, _wider_type(known, fresh, name)) for name in names])


def _wider_type(known: Any, fresh: Any, name: str) -> Any:
    if name not in known.names:
        return fresh.field(name).type
    if name not in fresh.names:
        return known.field(name).type
    old, new = known.field(name).type, fresh.field(name).type
    fields = [pa.schema([("x", old)]), pa.schema([("x", new)])]
    try:
        return pa.unify_schemas(fields, promote_options="permissive").field("x").type
    except pa.ArrowException:
        return pa.string()


def _check_objects(values: Any, where: Callable[[int], str]) -> None:
    """Every value starts with ``{`` and ends with ``}``.

    Two values can then not be parsed as one: ``}`` and ``{`` with only a line break between
    them are next to each other at the top level or nowhere, so that as many objects as values
    means one each.
    """
    text = values.cast(pa.binary())
    sizes = pc.binary_length(text)
    if pc.min(sizes).as_py() >= 2:
        first = pc.equal(pc.binary_slice(text, 0, 1), pa.scalar(b"{", pa.binary()))
        last = pc.equal(pc.binary_slice(text, -1), pa.scalar(b"}", pa.binary()))
        if pc.all(first).as_py() and pc.all(last).as_py():
            return
    for row, value in enumerate(values.to_pylist()):
        trimmed = value.strip(b" \t\r\n")
        if not (trimmed.startswith(b"{") and trimmed.endswith(b"}")):
            raise _corrupt(where(row), value, "it is not a JSON object")


def _bad_row(values: Any, where: Callable[[int], str], reason: str) -> Corrupt:
    import msgspec

    for row, value in enumerate(values.to_pylist()):
        try:
            msgspec.json.decode(value, type=dict)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return _corrupt(where(row), value, str(error))
    return Corrupt(f"{where(0)} and the {len(values) - 1} records read with it: {reason}")


def _corrupt(place: str, value: bytes, reason: str) -> Corrupt:
    text = value[:_SNIPPET].decode("utf-8", "replace")
    more = "…" if len(value) > _SNIPPET else ""
    return Corrupt(
        f"{place}: {reason} ({text!r}{more})",
        code=_INVALID_RECORD,
    )
