"""How a record's payload is read and written: ``Raw`` bytes here, ``Json`` next door."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import pyarrow as pa

from mainstem.errors import Invalid

#: Turns ``value`` (binary) into payload columns; ``where(row)`` names a row in an error.
Decode = Callable[[Any, Callable[[int], str]], dict[str, Any]]


class Format(Protocol):
    """A payload format. Immutable, so one may be shared by threads and topics."""

    def encode(self, payload: Any, *, used: frozenset[str]) -> Any:
        """A ``pa.RecordBatch`` of payload columns as one binary array of the same length.

        ``used`` are columns that already serve as key or timestamp. Raises ``Invalid``.
        """
        ...

    def decoder(self) -> Decode:
        """A function for one reader: it may remember the columns it has seen."""
        ...


class Raw:
    """The payload is the column ``value``, bytes as they are (text becomes UTF-8)."""

    def encode(self, payload: Any, *, used: frozenset[str]) -> Any:
        """See ``Format``."""
        names = payload.schema.names
        if "value" not in names:
            raise Invalid(
                f"raw records need a column 'value', there are {', '.join(map(repr, names))}: "
                "rename it, or choose format=Json()"
            )
        extra = sorted(set(names) - used - {"value"})
        if extra:
            raise Invalid(
                f"column {extra[0]!r} has no place in a raw record: drop it, or choose "
                "format=Json()"
            )
        column = payload.column(names.index("value"))
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        return column

    def decoder(self) -> Decode:
        """See ``Format``."""
        return lambda values, _where: {"value": values}

    def __repr__(self) -> str:
        return "Raw()"
