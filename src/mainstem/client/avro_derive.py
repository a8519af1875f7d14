"""An Avro schema for Arrow columns that have none yet."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from mainstem.errors import Invalid

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INTEGERS = {"int8": "int", "int16": "int", "int32": "int", "uint8": "int", "uint16": "int",
             "uint32": "long", "int64": "long"}  # fmt: skip


def derive(schema: Any, name: str) -> dict[str, Any]:
    """A record schema for ``schema``; ``name`` may hold what Avro forbids, it is replaced.

    Nullable columns become unions with null, default null. Raises ``Invalid`` naming a column
    whose name or type Avro does not have.
    """
    fields = [_field(field, field.name) for field in schema]
    return {"type": "record", "name": legal_name(name), "fields": fields}


def legal_name(name: str) -> str:
    """``name`` with what Avro forbids in names replaced by underscores."""
    return re.sub(r"[^A-Za-z0-9_]|^(?=[0-9])", "_", name) or "_"


def _field(field: Any, path: str) -> dict[str, Any]:
    if not _NAME.fullmatch(field.name):
        raise Invalid(
            f"column {path!r} has a name that Avro does not allow (letters, digits and "
            "underscores, no digit first): rename it"
        )
    kind = _type(field.type, path)
    if not field.nullable or kind == "null":
        return {"name": field.name, "type": kind}
    return {"name": field.name, "type": ["null", kind], "default": None}


def _inner(field: Any, path: str) -> Any:
    kind = _type(field.type, path)
    return ["null", kind] if field.nullable and kind != "null" else kind


def _type(kind: Any, path: str) -> Any:
    types = pa.types
    if types.is_dictionary(kind):
        return _type(kind.value_type, path)
    if str(kind) in _INTEGERS:
        return _INTEGERS[str(kind)]
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "string"
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return "bytes"
    for word, avro in (("null", "null"), ("boolean", "boolean"), ("float16", "float"),
                       ("float32", "float"), ("float64", "double")):  # fmt: skip
        if getattr(types, f"is_{word}")(kind):
            return avro
    if types.is_fixed_size_binary(kind):
        return {"type": "fixed", "name": legal_name(f"{path}_fixed"), "size": kind.byte_width}
    if types.is_decimal(kind) or types.is_uint64(kind):
        digits = (20, 0) if types.is_uint64(kind) else (kind.precision, kind.scale)
        if digits[1] < 0:
            raise Invalid(f"column {path!r} is {kind}: Avro has no negative scale, cast it")
        return {"type": "bytes", "logicalType": "decimal", "precision": digits[0],
                "scale": digits[1]}  # fmt: skip
    return _time(kind, path) or _nested(kind, path)


def _time(kind: Any, path: str) -> Any:
    types = pa.types
    if types.is_date(kind):
        return {"type": "int", "logicalType": "date"}
    if types.is_timestamp(kind):
        unit = {"us": "micros", "ns": "nanos"}.get(kind.unit, "millis")
        local = "" if kind.tz else "local-"
        return {"type": "long", "logicalType": f"{local}timestamp-{unit}"}
    if types.is_time32(kind):
        return {"type": "int", "logicalType": "time-millis"}
    if types.is_time64(kind):
        if kind.unit == "ns":
            raise Invalid(f"column {path!r} is {kind}: Avro has times to microseconds, cast it")
        return {"type": "long", "logicalType": "time-micros"}
    return None


def _nested(kind: Any, path: str) -> Any:
    types = pa.types
    if types.is_map(kind):
        if not types.is_string(kind.key_type):
            raise Invalid(f"column {path!r} is {kind}: Avro's maps have text keys only")
        return {"type": "map", "values": _inner(kind.item_field, f"{path}_value")}
    if types.is_struct(kind):
        fields = [_field(member, f"{path}_{member.name}") for member in kind]
        return {"type": "record", "name": legal_name(f"{path}_record"), "fields": fields}
    if hasattr(kind, "value_field"):
        return {"type": "array", "items": _inner(kind.value_field, f"{path}_item")}
    raise Invalid(f"column {path!r} is {kind}, which Avro does not have: cast it, or drop it")
