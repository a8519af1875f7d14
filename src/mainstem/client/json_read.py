"""JSON objects as typed columns: by a schema, or by what the data turns out to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import pyarrow as pa

from mainstem.client.arrow_shapes import binary_column
from mainstem.client.formats import Side
from mainstem.client.json_plan import CompiledJson, compile_json, schema_of
from mainstem.client.payloads import FAULTS, INVALID_RECORD, check_policy, payload_columns
from mainstem.client.side_output import payload_of
from mainstem.errors import Corrupt, Invalid
from mainstem.kernels import JsonShape, decode_json, widen_json

Missing = Literal["null", "error", "side"]
Extra = Literal["drop", "error", "side"]
Clash = Literal["null", "error", "side"]
Malformed = Literal["null", "error", "side"]
_NULL_MISSING, _DROP_EXTRA, _NULL_CLASH = 1, 2, 4
_MALFORMED, _MISMATCH, _ABSENT, _EXTRA, _REPEATED = 14, 15, 16, 17, 18
_SNIPPET: Final = 60


@dataclass(frozen=True, slots=True)
class JsonRules:
    """What becomes of records that are not what the schema says. See ``Json``."""

    missing: Missing = "null"
    extra: Extra = "drop"
    clash: Clash = "error"
    malformed: Malformed = "error"
    side: Side | None = None

    def __post_init__(self) -> None:
        allowed: Mapping[str, tuple[str, ...]] = {
            "missing": ("null", "error", "side"),
            "extra": ("drop", "error", "side"),
            "clash": ("null", "error", "side"),
            "malformed": ("null", "error", "side"),
        }
        for name, words in allowed.items():
            if getattr(self, name) not in words:
                raise Invalid(f"{name}={getattr(self, name)!r} is not valid: use one of {words}")
        wanted = "side" in (self.missing, self.extra, self.clash, self.malformed)
        check_policy("side" if wanted else "error", self.side)

    @property
    def options(self) -> int:
        """For the kernel."""
        return (
            _NULL_MISSING * (self.missing == "null")
            | _DROP_EXTRA * (self.extra == "drop")
            | _NULL_CLASH * (self.clash == "null")
        )

    def of(self, fault: int) -> str:
        """What to do about a bad record."""
        return {_MISMATCH: self.clash, _ABSENT: self.missing, _EXTRA: self.extra}.get(
            fault, self.malformed
        )

    @property
    def strict(self) -> bool:
        """Whether the first bad record ends the reading."""
        return "side" not in (self.missing, self.extra, self.clash, self.malformed) and (
            self.malformed == "error"
        )


class JsonDecoder:
    """For one reader. Without a schema it remembers what it met, so that types hold still."""

    def __init__(self, schema: Any, rules: JsonRules) -> None:
        self._rules = rules
        self._shape = JsonShape() if schema is None else None
        self._compiled = compile_json(pa.schema([]) if schema is None else schema)
        #: See ``Format.decoder``. What goes to a side output keeps its order.
        self.forgetful = schema is not None and rules.side is None

    def __call__(self, values: Any, where: Callable[[int], str]) -> dict[str, Any]:
        finished, faults = self._read(binary_column(values))
        compiled = self._compiled
        rejected = {}
        for row, fault, op, byte in faults:
            if self._shape is not None and fault in {_MISMATCH, _ABSENT, _EXTRA}:
                fault, byte = _MALFORMED, 0  # noqa: PLW2901 - others fit, their shape was taken
            reason = _reason(compiled, fault, op, byte, values[row])
            action = self._rules.of(fault)
            if action == "error":
                raise _corrupt(where(row), values[row].as_py(), reason)
            if action == "side":
                rejected[row] = reason
        arrays = compiled.columns.arrays(finished)
        found = payload_columns(compiled.schema.names, arrays)
        return payload_of(found, rejected, self._rules.side)

    def _read(self, column: Any) -> tuple[list[Any], list[tuple[int, int, int, int]]]:
        rules = self._rules
        if self._shape is None:
            return decode_json(self._compiled.plan, column, rules.options, rules.strict)
        # Most batches are like those before them; only what is new makes us look again.
        found = decode_json(self._compiled.plan, column, _NULL_MISSING, True)
        if not found[1]:
            return found
        try:
            widen_json(self._shape, column)
        except ValueError as error:
            raise Corrupt(f"no columns fit these records: {error}: give a schema") from error
        self._compiled = compile_json(schema_of(self._shape))
        # Malformed records did not widen it: their members are passed over to where they end.
        options = _NULL_MISSING | _DROP_EXTRA
        return decode_json(self._compiled.plan, column, options, rules.strict)


def _reason(compiled: CompiledJson, fault: int, op: int, byte: int, value: Any) -> str:
    text = FAULTS[fault]
    if fault == _MALFORMED:
        return f"{text}: it is not JSON from byte {byte} on" if byte else text
    if fault == _EXTRA:
        name = value.as_py()[:byte].rpartition(b":")[0].rpartition(b'"')[0].rpartition(b'"')[2]
        place = f"{compiled.places[op]}." if compiled.places[op] else ""
        return f"{place}{name.decode('utf-8', 'replace')}: {text}"
    kind = ""
    if fault == _MISMATCH:
        kind = f" ({compiled.kinds[op]})"
    return f"{compiled.places[op]}: {text}{kind}"


def _corrupt(place: str, value: bytes, reason: str) -> Corrupt:
    text = value[:_SNIPPET].decode("utf-8", "replace")
    more = "…" if len(value) > _SNIPPET else ""
    return Corrupt(f"{place}: {reason} ({text!r}{more})", code=INVALID_RECORD)
