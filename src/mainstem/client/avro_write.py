"""Rows of a table to Avro records of one schema."""

from __future__ import annotations

import difflib
from typing import Any

import pyarrow as pa

from mainstem.client.arrow_shapes import binary_array
from mainstem.client.avro_defaults import default_scalar, optional
from mainstem.client.avro_plan import Compiled
from mainstem.client.avro_schema import NO_DEFAULT, Field
from mainstem.client.payloads import explain, payload_name
from mainstem.errors import Invalid
from mainstem.kernels import encode_avro


class AvroWriter:
    """Writes one schema, each record behind ``head``. Immutable, so threads may share it."""

    def __init__(self, compiled: Compiled, head: bytes) -> None:
        self._compiled = compiled
        self._head = head
        self._fields = compiled.root.fields or [Field("value", compiled.root)]
        if compiled.root.kind == "record" and not compiled.root.fields:
            self._fields = []

    def encode(self, payload: Any, used: frozenset[str]) -> Any:
        """A binary array. Raises ``Invalid`` naming a column, or a row, that does not fit."""
        names = [field.name for field in self._fields]
        columns = [self._column(payload, field, kind) for field, kind in self._pairs()]
        wanted = {payload_name(name) for name in names}
        for extra in sorted(set(payload.schema.names) - wanted - used):
            near = difflib.get_close_matches(extra, names, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]!r}?" if near else "drop the column"
            raise Invalid(f"the Avro schema has no field {extra!r}: {hint}")
        sources = self._compiled.columns.sources(columns, names)
        rows = payload.num_rows
        try:
            offsets, data = encode_avro(self._compiled.plan, sources, rows, self._head)
        except ValueError as error:
            if len(error.args) != 3:
                raise Invalid(f"the rows cannot become Avro: {error}") from error
            row, fault, op = error.args
            reason = explain(fault, self._compiled.places[op])
            raise Invalid(f"row {row} cannot become Avro: field {reason}") from None
        return binary_array(offsets, data, rows)

    def columns(self) -> Any:
        """A ``pa.Schema`` of the columns that rows may have."""
        return pa.schema([(payload_name(field.name), kind) for field, kind in self._pairs()])

    def _pairs(self) -> list[tuple[Field, Any]]:
        return list(zip(self._fields, self._compiled.schema.types, strict=True))

    def _column(self, payload: Any, field: Field, kind: Any) -> Any:
        name = payload_name(field.name)
        if name in payload.schema.names:
            return payload.column(name)
        if field.default is not NO_DEFAULT:
            value = default_scalar(field.type, field.default, kind, field.name)
            if value.is_valid:
                return pa.repeat(value, payload.num_rows)
        elif not optional(field.type)[0]:
            raise Invalid(
                f"the Avro schema needs a column {name!r}, there are "
                f"{', '.join(map(repr, payload.schema.names))}"
            )
        return pa.nulls(payload.num_rows, kind)
