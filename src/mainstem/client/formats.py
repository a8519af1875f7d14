"""How a record's payload is read and written: ``Raw`` bytes here, ``Json`` next door."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from mainstem.client.arrow_lists import decoded
from mainstem.errors import Invalid

#: Takes the records a format set aside, as a ``pa.RecordBatch`` that can be appended raw: the
#: usual columns but ``_partition``, the reason in ``_error`` and in a header.
Side = Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Rejected:
    """Rows of a batch to be set aside, in order, and why."""

    rows: list[int]
    reasons: list[str]
    side: Side


class Payload(dict[str, Any]):
    """Payload columns of all rows, and which rows are to leave the batch for a side output.

    With ``rows``, an int64 array, there are more or fewer rows than records: each row's record.
    Rejected records have none.
    """

    rejected: Rejected | None = None
    rows: Any = None


#: Turns ``value`` (binary) into payload columns; ``where(row)`` names a row in an error.
Decode = Callable[[Any, Callable[[int], str]], dict[str, Any]]


class Format(Protocol):
    """A payload format. Immutable, so one may be shared by threads and topics.

    One that only computes has an attribute ``quick`` that is true, and is called on the event loop
    where there is little to do; others, which may wait for a schema registry, never are.
    """

    def encode(self, payload: Any, *, used: frozenset[str]) -> Any:
        """A ``pa.RecordBatch`` of payload columns as one binary array of the same length.

        ``used`` are columns that already serve as key or timestamp. Raises ``Invalid``.
        """
        ...

    def decoder(self) -> Decode:
        """A function for one reader: it may remember the columns it has seen.

        One that does not, and has an attribute ``forgetful`` that is true, is called for several
        batches at the same time, from threads.
        """
        ...


def check_format(found: Format) -> Format:
    """``found`` itself. Raises ``Invalid`` where it is none, such as a name or a class."""
    if isinstance(found, type) or not (hasattr(found, "encode") and hasattr(found, "decoder")):
        raise Invalid(f"format={found!r} is not a format: use Raw() or Json()")
    return found


def is_quick(found: Format) -> bool:
    """Whether it says that it only computes."""
    return bool(getattr(found, "quick", False))


class Raw:
    """The payload is the column ``value``, bytes as they are (text becomes UTF-8)."""

    quick = True

    def encode(self, payload: Any, *, used: frozenset[str]) -> Any:
        """See ``Format``."""
        names = payload.schema.names
        if "value" not in names:
            raise Invalid(
                f"raw records need a column 'value', there are "
                f"{', '.join(map(repr, names)) or 'none'}: rename it, or choose format=Json()"
            )
        extra = sorted(set(names) - used - {"value"})
        if extra:
            raise Invalid(
                f"column {extra[0]!r} has no place in a raw record: drop it, or choose "
                "format=Json()"
            )
        column = payload.column(names.index("value"))
        if pa.types.is_dictionary(column.type):
            column = decoded(column)
        if pa.types.is_string_view(column.type) or pa.types.is_binary_view(column.type):
            return column.cast(pa.large_binary())  # Polars' text; views cannot be taken by rows
        return column

    def decoder(self) -> Decode:
        """See ``Format``."""
        return lambda values, _where: {"value": values}

    def __repr__(self) -> str:
        return "Raw()"
