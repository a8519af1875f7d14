"""Defaults in Avro schemas, as values of the columns that take them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa

from mainstem.client.avro_schema import Node
from mainstem.errors import Invalid

_UNFIT = (pa.ArrowException, TypeError, ValueError, KeyError, AttributeError)


def optional(node: Node) -> tuple[bool, Node]:
    """Whether a schema allows null, and what it is otherwise; a union of several stays one."""
    if node.kind != "union":
        return node.kind == "null", node
    others = [part for part in node.parts if part.kind != "null"]
    nullable = len(others) < len(node.parts)
    if nullable and len(node.parts) == 2:
        return True, others[0]
    return nullable, node


def default_scalar(node: Node, value: Any, kind: Any, path: str) -> Any:
    """A default of the schema's JSON as an Arrow scalar. Raises ``Invalid`` if it does not fit."""
    try:
        return pa.scalar(_default(node, value, kind), kind)
    except _UNFIT as error:
        raise Invalid(f"field {path!r} cannot have the default {value!r}: {error}") from error


def _default(node: Node, value: Any, kind: Any) -> Any:
    if node.kind == "union":
        return _union_default(node, value, kind)
    if node.kind == "null":
        if value is not None:
            raise ValueError("it is not null")
        return None
    if value is None:
        raise ValueError("its type allows no null")
    if node.kind == "record":
        return {
            field.name: _default(field.type, value.get(field.name, field.default), member.type)
            for field, member in zip(node.fields, kind, strict=True)
        }
    if node.kind == "array":
        return [_default(node.parts[0], item, kind.value_type) for item in value]
    if node.kind == "map":
        return [(name, _default(node.parts[0], v, kind.item_type)) for name, v in value.items()]
    return _plain_default(node, value, kind)


def _plain_default(node: Node, value: Any, kind: Any) -> Any:
    if node.kind in {"bytes", "fixed"}:  # one character a byte
        data = value.encode("latin-1")
        if node.logical == "decimal":
            return Decimal(int.from_bytes(data, "big", signed=True)).scaleb(-node.scale)
        return data
    if node.kind == "enum" and value not in node.symbols:
        raise ValueError("its enum has no such symbol")
    if (node.kind == "boolean") != isinstance(value, bool):
        raise ValueError(f"it is not {node.kind}")
    if node.logical and node.logical != "uuid":
        number = pa.int32() if node.kind == "int" else pa.int64()
        return pa.scalar(value, number).cast(kind).as_py()
    return float(value) if node.kind in {"float", "double"} else value


def _union_default(node: Node, value: Any, kind: Any) -> Any:
    nullable, inner = optional(node)
    if value is None:
        if not nullable:
            raise ValueError("its union has no null")
        return None
    if inner.kind != "union":
        return _default(inner, value, kind)
    branches = [part for part in node.parts if part.kind != "null"]
    for at, branch in enumerate(branches):
        try:
            found = _default(branch, value, kind[at].type)
            pa.scalar(found, kind[at].type)
        except _UNFIT:
            continue
        return {member.name: found if at == place else None for place, member in enumerate(kind)}
    raise ValueError("no branch of its union takes it")
