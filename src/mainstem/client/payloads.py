"""What the payload formats share: faults in words, policies for bad records, schema headers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc

from mainstem.client.arrow_lists import cast_lists
from mainstem.client.arrow_shapes import binary_column
from mainstem.client.columns import BOOKKEEPING
from mainstem.client.formats import Side
from mainstem.client.side_output import payload_of
from mainstem.errors import Corrupt, Invalid
from mainstem.kernels import split_frames

OnError = Literal["error", "null", "side"]
SubjectName = Literal["topic", "record", "topic-record"] | Callable[[str, str], str]
INVALID_RECORD: Final = 87
_SNIPPET: Final = 40
_NO_HEAD: Final = "it does not begin with a schema id, as records written with a registry do"

#: By number, as in kernels/payload_columns.pxd.
FAULTS: Final = {
    1: "the record ends too early",
    2: "bytes are left when the schema is read",
    3: "a variable-length number is too large for its type, or ends too early",
    4: "a length is negative, or beyond the record",
    5: "text is not UTF-8",
    6: "a boolean is neither 0 nor 1",
    7: "the enum has no such symbol",
    8: "a union has no such branch, or not exactly one branch is set",
    9: "a decimal has more digits than its type",
    10: "it is null, which the schema does not allow",
    11: "a field has another wire type than its schema says, or no valid tag",
    12: "groups are nested too deep",
    14: "it is not a JSON object",
    15: "the value does not fit its type",
    16: "the member is missing",
    17: "the schema has no such member",
    18: "the member occurs twice",
}


def explain(fault: int, place: str) -> str:
    """A fault and where in the schema it came up."""
    return f"{place}: {FAULTS[fault]}" if place else FAULTS[fault]


def check_policy(on_error: str, side: Side | None) -> None:
    """Raise ``Invalid`` for a policy there is not, or a side output that is missing."""
    if on_error not in get_args(OnError):
        raise Invalid(f'on_error={on_error!r} is not valid: use "error", "null" or "side"')
    if (on_error == "side") != (side is not None):
        raise Invalid(
            'on_error="side" and side=… belong together: give a function for the rejected'
        )


def payload_name(name: str) -> str:
    """The column of a payload's member; those named like bookkeeping columns are prefixed."""
    return f"payload.{name}" if name in BOOKKEEPING else name


def payload_columns(names: Sequence[str], columns: Sequence[Any]) -> dict[str, Any]:
    """A payload's members as columns."""
    found = dict(zip(map(payload_name, names), columns, strict=True))
    if len(found) < len(names):
        raise Corrupt(f"two members would be one column, of {', '.join(map(repr, names))}")
    return found


class Faults:
    """Bad rows of one batch and why, in terms of the batch's rows."""

    def __init__(self, on_error: str) -> None:
        self.rows: dict[int, str] = {}
        self._on_error = on_error

    def add(self, row: int, reason: str) -> None:
        """Note a bad row."""
        self.rows.setdefault(row, reason)

    def settle(self, values: Any, where: Callable[[int], str]) -> None:
        """Raise ``Corrupt`` for the first bad row where the policy is ``"error"``."""
        if self._on_error != "error" or not self.rows:
            return
        row = min(self.rows)
        value = values[row].as_py()
        shown = value[:_SNIPPET].hex(" ")
        more = " …" if len(value) > _SNIPPET else ""
        text = f"{where(row)}: {self.rows[row]} (bytes {shown}{more})"
        raise Corrupt(text, code=INVALID_RECORD)


#: Decodes what has one header: header, rows' values, whether to stop at the first bad one ->
#: a ``pa.RecordBatch`` of the good rows and (row, reason) of the bad ones.
DecodeGroup = Callable[[bytes, Any, bool], tuple[Any, list[tuple[int, str]]]]


class RegistryDecoder:
    """Splits records by the schema they were written with, and joins what comes of it.

    For one reader: without a fixed schema it remembers the columns seen, so types hold still.
    """

    def __init__(
        self,
        decode: DecodeGroup,
        *,
        header: Literal["none", "id", "id and path"],
        schema: Any,
        on_error: str,
        side: Side | None,
    ) -> None:
        self._decode = decode
        self._header = header
        self._fixed = schema is not None
        self._schema = schema if schema is not None else pa.schema([])
        self._on_error = on_error
        self._side = side

    def __call__(self, values: Any, where: Callable[[int], str]) -> dict[str, Any]:
        faults = Faults(self._on_error)
        parts = self._parts(values, faults)
        faults.settle(values, where)
        if not self._fixed:
            self._widen([batch.schema for batch, _ in parts])
        columns = self._join(parts, len(values))
        found = payload_columns(self._schema.names, columns)
        return payload_of(found, faults.rows, self._side)

    def _parts(self, values: Any, faults: Faults) -> list[tuple[Any, Any]]:
        """Decoded batches, each with its rows' numbers in ``values``; ``None`` for all rows."""
        stop = self._on_error == "error"
        groups, heads, whole = self._groups(values, faults)
        parts = []
        for number, head in enumerate(heads):
            rows = None if whole else _where(pc.equal(groups, number))
            chosen = values if rows is None else values.take(rows)
            batch, bad = self._decode(head, chosen, stop)
            for row, reason in bad:
                faults.add(row if rows is None else rows[row].as_py(), reason)
            if bad and stop:
                continue
            if bad:
                good = _without([row for row, _ in bad], len(chosen))
                rows = good if rows is None else rows.take(good)
            parts.append((batch, rows))
        return parts

    def _groups(self, values: Any, faults: Faults) -> tuple[Any, list[bytes], bool]:
        if self._header == "none":
            empty = values.null_count > 0
            groups = values.is_null().cast(pa.int8()) if empty else None
            return groups, [b""], not empty
        found, heads, counts = split_frames(binary_column(values), self._header == "id and path")
        groups = pa.Array.from_buffers(pa.int32(), len(values), [None, pa.py_buffer(found)])
        known = sum(counts)
        if known + values.null_count < len(values):
            for row in _where(pc.equal(groups, -2)).to_pylist():
                faults.add(row, _NO_HEAD)
        return groups, heads, len(heads) == 1 and known == len(values)

    def _widen(self, schemas: Sequence[Any]) -> None:
        try:
            self._schema = pa.unify_schemas(
                [self._schema, *schemas], promote_options="permissive"
            ).remove_metadata()
        except pa.ArrowException as error:
            raise Corrupt(
                f"the records were written with schemas whose columns do not go together: {error}: "
                "give the schema to read them as"
            ) from error

    def _join(self, parts: list[tuple[Any, Any]], rows: int) -> list[Any]:
        kinds = list(zip(self._schema.names, self._schema.types, strict=True))
        if not parts:
            return [pa.nulls(rows, kind) for _, kind in kinds]
        batches = [[fit_column(batch, name, kind) for name, kind in kinds] for batch, _ in parts]
        if len(parts) == 1 and parts[0][1] is None:
            return batches[0]
        places = _places([numbers for _, numbers in parts], rows)
        return [pa.concat_arrays(columns).take(places) for columns in zip(*batches, strict=True)]


def fit_column(batch: Any, name: str, kind: Any) -> Any:
    """A column as this type, null where there is none. Raises ``Corrupt`` for what does not fit."""
    if name not in batch.schema.names:
        return pa.nulls(batch.num_rows, kind)
    column = batch.column(name)
    if column.type == kind:
        return column
    try:
        return cast_lists(column, kind)
    except (pa.ArrowException, Corrupt) as error:
        raise Corrupt(
            f"column {name!r} was {column.type} and is {kind} in other records: {error}: give the "
            "schema to read them as"
        ) from error


def _where(mask: Any) -> Any:
    return pc.indices_nonzero(mask).cast(pa.int64())


def _without(bad: list[int], rows: int) -> Any:
    """The numbers below ``rows`` but for the bad ones."""
    numbers = _numbers(rows)
    return numbers.filter(pc.invert(pc.is_in(numbers, pa.array(bad, pa.int64()))))


def without_rows(batch: Any, bad: list[int]) -> Any:
    """A batch but for these rows."""
    return batch.take(_without(bad, batch.num_rows))


def _numbers(rows: int) -> Any:
    return pc.indices_nonzero(pa.repeat(True, rows)).cast(pa.int64())


def _places(numbers: list[Any], rows: int) -> Any:
    """For every row its place among the parts one after the other; null where it has none."""
    return pc.index_in(_numbers(rows), pa.concat_arrays(numbers))
