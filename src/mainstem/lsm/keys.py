"""Keys made of several values, whose byte order is the order of the values.

Integers and times are 8 bytes, floats too, text and bytes end with a mark of their own, so tuples
compare part by part (docs/formats-lsm.md). Types are not stored: decode with those of encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from mainstem.errors import Invalid
from mainstem.kernels import lsm
from mainstem.lsm import arrow

Part = int | float | str | bytes | datetime
PartType = Literal["int", "float", "str", "bytes", "timestamp"]

_KINDS: Final = {"int": 0, "timestamp": 0, "float": 1, "str": 2, "bytes": 2}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def encode_key(*parts: Part) -> bytes:
    """One key of ``parts``; a ``datetime`` (with a zone) counts in milliseconds.

    Raises ``Invalid`` for a part that has no place in a key.
    """
    kinds: list[int] = []
    values: list[Any] = []
    for part in parts:
        if isinstance(part, datetime):
            if part.tzinfo is None:
                raise Invalid(f"the time {part} has no zone: say which it is")
            kinds.append(0)
            values.append(struct.pack("<q", (part - _EPOCH) // _MILLISECOND))
        elif isinstance(part, bool) or not isinstance(part, int | float | str | bytes):
            raise Invalid(f"a {type(part).__name__} cannot be part of a key: {part!r}")
        elif isinstance(part, int):
            if not -(1 << 63) <= part < 1 << 63:
                raise Invalid(f"{part} does not fit in 64 bits")
            kinds.append(0)
            values.append(struct.pack("<q", part))
        elif isinstance(part, float):
            kinds.append(1)
            values.append(struct.pack("<d", part))
        else:
            kinds.append(2)
            values.append(arrow.single(part.encode() if isinstance(part, str) else part))
    return bytes(lsm.encode_keys(kinds, values, 1)[1])


def decode_key(key: bytes, types: Sequence[PartType]) -> tuple[Part, ...]:
    """The parts of ``key``, which was encoded from ``types``. Raises ``Invalid`` if not."""
    try:
        parts = lsm.decode_key(key, [_KINDS[each] for each in types])
        return tuple(_part(part, each) for part, each in zip(parts, types, strict=True))
    except (KeyError, ValueError, OverflowError) as error:
        raise Invalid(f"{key!r} is no key of {list(types)}: {error}") from error


def _part(value: Any, kind: PartType) -> Part:
    if kind == "str":
        return str(value, "utf-8")
    result: Part = _EPOCH + value * _MILLISECOND if kind == "timestamp" else value
    return result


def encode_keys(*columns: Any) -> Any:
    """Keys of whole columns, row by row: a ``pa.BinaryArray``.

    Columns are Arrow arrays (or what becomes one) of integers, floats, times, text or bytes;
    timestamps count in milliseconds. Raises ``Invalid`` for nulls and other types.
    """
    import pyarrow as pa

    if not columns:
        raise Invalid("a key needs at least one column")
    kinds: list[int] = []
    parts: list[Any] = []
    rows = len(columns[0])
    for at, data in enumerate(columns):
        array = data.combine_chunks() if isinstance(data, pa.ChunkedArray) else data
        array = array if isinstance(array, pa.Array) else pa.array(array)
        what = f"key column {at}"
        if pa.types.is_timestamp(array.type):
            array = array.cast(pa.timestamp("ms", array.type.tz), safe=False).cast(pa.int64())
        if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
            buffer, kind = arrow.numbers(array, rows, what)
            kinds.append(0 if kind == "int64" else 1)
            parts.append(buffer)
        else:
            kinds.append(2)
            parts.append(arrow.column(array, what))
    try:
        offsets, data = lsm.encode_keys(kinds, parts, rows)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"the columns make no keys: {error}") from error
    return arrow.binary_array((offsets, data, None, 0))
