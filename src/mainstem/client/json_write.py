"""Arrow columns as JSON text, nested ones too: a kernel call a level, none a value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from mainstem.client.arrow_lists import decoded, plain_list
from mainstem.client.arrow_shapes import binary_array, binary_column
from mainstem.errors import Invalid
from mainstem.kernels import JsonColumn, json_lists, json_rows

Nan = Literal["null", "error"]
#: The years that ISO 8601 writes with four digits, in days since 1970.
_FIRST_DAY: Final = -719_528
_LAST_DAY: Final = 2_932_896
_DAY: Final = {"s": 86_400, "ms": 86_400 * 10**3, "us": 86_400 * 10**6, "ns": 86_400 * 10**9}


class JsonWriter:
    """Rows as JSON objects. Raises ``Invalid`` naming the column that has no JSON form."""

    def __init__(self, nan: Nan) -> None:
        self._nan = nan

    def objects(
        self, arrays: Sequence[Any], names: Sequence[str], rows: int, place: str = ""
    ) -> Any:
        """One object per row, as a ``binary`` array."""
        if len(set(names)) < len(names):
            raise Invalid(f"two members of {place or 'a row'!r} have one name: rename one")
        if not arrays:
            return pa.repeat(pa.scalar(b"{}"), rows)
        columns: list[JsonColumn] = []
        for array, name in zip(arrays, names, strict=True):
            prefix = ("," if columns else "{") + json.dumps(name, ensure_ascii=False) + ":"
            columns.append(
                self._column(prefix.encode(), array, f"{place}.{name}" if place else name)
            )
        return binary_array(*json_rows(columns, rows), rows)

    def _column(self, prefix: bytes, column: Any, place: str) -> JsonColumn:
        column = _plain(column)
        kind, types = column.type, pa.types
        if types.is_integer(kind) and not types.is_uint64(kind):
            column = column.cast(pa.int64())
            validity, values = column.buffers()
            return JsonColumn.integer(prefix, values, validity, column.offset, len(column))
        if types.is_string(kind) or types.is_large_string(kind):
            return JsonColumn.text(prefix, binary_column(column))
        if types.is_floating(kind):
            return JsonColumn.decimal(prefix, binary_column(self._numbers(column, place)))
        if types.is_boolean(kind) or types.is_uint64(kind) or types.is_decimal(kind):
            return JsonColumn.literal(prefix, binary_column(column.cast(pa.string())))
        if types.is_binary(kind) or types.is_large_binary(kind):
            return JsonColumn.base64(prefix, binary_column(column))
        if types.is_timestamp(kind) or types.is_date(kind) or types.is_time(kind):
            return JsonColumn.text(prefix, binary_column(_iso(column, place)))
        if types.is_null(kind):
            return JsonColumn.literal(prefix, binary_column(column.cast(pa.binary())))
        if types.is_struct(kind):
            names = [field.name for field in kind]
            texts = self.objects(column.flatten(), names, len(column), place)
        elif types.is_map(kind) or types.is_list(kind) or types.is_large_list(kind):
            texts = self._lists(column, place)
        else:
            raise Invalid(f"column {place!r} of type {kind} has no JSON form: cast it first")
        if column.null_count:
            texts = pc.if_else(column.is_valid(), texts, None)
        return JsonColumn.literal(prefix, binary_column(texts))

    def _numbers(self, column: Any, place: str) -> Any:
        if pa.types.is_float16(column.type):
            column = column.cast(pa.float32())
        if self._nan == "error" and pc.all(pc.is_finite(column)).as_py() is False:
            raise Invalid(f"column {place!r} holds NaN or infinity, which JSON lacks: clean it")
        return column.cast(pa.string())

    def _lists(self, column: Any, place: str) -> Any:
        """Of the entries, only those that the rows have: the column may be a slice."""
        offsets = column.offsets.cast(pa.int64())
        first, last = offsets[0].as_py(), offsets[-1].as_py()
        if pa.types.is_map(column.type):
            keys = _plain(column.keys.slice(first, last - first))
            if not pa.types.is_string(keys.type) and not pa.types.is_large_string(keys.type):
                raise Invalid(f"column {place!r} is {column.type}: JSON has text for keys only")
            items = column.items.slice(first, last - first)
            entries = [
                JsonColumn.text(b"", binary_column(keys)),
                self._column(b":", items, f"{place}{{}}"),
            ]
            brackets = b"{", b"}"
        else:
            items = column.values.slice(first, last - first)
            entries = [self._column(b"", items, f"{place}[]")]
            brackets = b"[", b"]"
        texts = binary_array(*json_rows(entries, len(items), b""), len(items))
        starts = pc.subtract(offsets, first)
        found = json_lists(
            starts.buffers()[1], starts.offset, len(column), binary_column(texts), *brackets
        )
        return binary_array(*found, len(column))


def _plain(column: Any) -> Any:
    """The same values in one of the types that ``JsonWriter`` knows."""
    types = pa.types
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if types.is_dictionary(column.type):
        column = decoded(column)
    if types.is_run_end_encoded(column.type):
        column = pc.run_end_decode(column)
    kind = column.type
    if types.is_string_view(kind):
        return column.cast(pa.string())
    if types.is_fixed_size_binary(kind) or types.is_binary_view(kind):
        return column.cast(pa.binary())
    if types.is_fixed_size_list(kind) or types.is_list_view(kind) or types.is_large_list_view(kind):
        return plain_list(column)
    return column


def _iso(column: Any, place: str) -> Any:
    """ISO 8601, in UTC where there is a zone."""
    kind, types = column.type, pa.types
    if types.is_time(kind):
        return column.cast(pa.string())
    day = _DAY[kind.unit] if types.is_timestamp(kind) else 1
    if types.is_date64(kind):
        column = column.cast(pa.date32())
    numbers = column.cast(pa.int64() if types.is_timestamp(kind) else pa.int32())
    edges = pc.min_max(numbers)
    low, high = edges["min"].as_py(), edges["max"].as_py()
    if low is not None and (low < _FIRST_DAY * day or high >= (_LAST_DAY + 1) * day):
        raise Invalid(f"column {place!r} of type {kind} holds years that ISO 8601 does not write")
    if types.is_date(kind):
        return column.cast(pa.string())
    if kind.tz is not None and kind.tz != "UTC":
        column = column.cast(pa.timestamp(kind.unit, "UTC"))  # the same instant
    return pc.replace_substring(column.cast(pa.string()), " ", "T", max_replacements=1)
