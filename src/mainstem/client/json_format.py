"""JSON payloads: one object per record, as typed columns. Vectorised both ways."""

from __future__ import annotations

from typing import Any, get_args

import pyarrow as pa

from mainstem.client.formats import Decode, Side
from mainstem.client.json_read import (
    Clash,
    Extra,
    JsonDecoder,
    JsonRules,
    Malformed,
    Missing,
)
from mainstem.client.json_write import JsonWriter, Nan
from mainstem.errors import Invalid


class Json:
    """Each record's value is a JSON object; its members are columns.

    With ``schema`` (a ``pyarrow.Schema``) reading gives exactly those columns. Without it, names
    and types follow the data and may widen from one batch to the next: integers become double
    only if none changes by it, what has no common type is text (values that are no strings as
    their JSON). Text stays text: times need a schema.

    What becomes of records that are not as the schema says, members of members too:

    * ``missing``: a member is not there: ``"null"``, ``"error"`` or ``"side"``,
    * ``extra``: the schema does not have it: ``"drop"``, ``"error"`` or ``"side"``,
    * ``clash``: a value does not fit its type, exactly: ``"error"``, ``"null"`` or ``"side"``,
    * ``malformed``: it is no JSON object, or has a member twice: ``"error"``, ``"null"`` (all
      columns) or ``"side"``.

    ``"side"`` takes the record out of the batch and hands it to ``side``, a function that takes
    raw records (``rejected.append`` of a list, or of a topic). It is called when records are
    read ahead, in a thread. A record without a value reads as all null.

    A map keeps all its entries, also those of one name.

    Writing takes all columns but the bookkeeping ones: times become ISO 8601 in UTC, binary
    becomes base64. NaN and infinities, which JSON lacks, become null, or with ``nan="error"``
    raise ``Invalid``, as does a column of a type that JSON has no form for.
    """

    def __init__(
        self,
        schema: Any = None,
        *,
        missing: Missing = "null",
        extra: Extra = "drop",
        clash: Clash = "error",
        malformed: Malformed = "error",
        side: Side | None = None,
        nan: Nan = "null",
    ) -> None:
        if schema is not None and not isinstance(schema, pa.Schema):
            raise Invalid(f"Json(schema=…) takes a pyarrow.Schema, not a {type(schema).__name__}")
        self.schema = schema
        #: A side output may block, so it must not run on an event loop.
        self.quick = side is None
        self._rules = JsonRules(missing, extra, clash, malformed, side)
        if schema is None and (missing, extra, clash) != ("null", "drop", "error"):
            raise Invalid("missing, extra and clash are about a schema: give one")
        if nan not in get_args(Nan):
            raise Invalid(f"nan={nan!r} is not valid: use one of {get_args(Nan)}")
        self._writer = JsonWriter(nan)
        JsonDecoder(schema, self._rules)  # a type that JSON lacks is refused here

    def __repr__(self) -> str:
        return "Json()" if self.schema is None else f"Json({self.schema.names})"

    def encode(self, payload: Any, *, used: frozenset[str]) -> Any:  # noqa: ARG002
        """See ``Format``."""
        try:
            return self._writer.objects(payload.columns, payload.schema.names, payload.num_rows)
        except (ValueError, pa.ArrowException) as error:
            raise Invalid(f"the rows cannot become JSON: {error}") from error

    def decoder(self) -> Decode:
        """See ``Format``."""
        return JsonDecoder(self.schema, self._rules)
