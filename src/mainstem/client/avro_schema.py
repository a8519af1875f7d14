"""Avro schemas (specification 1.12) as checked trees: names resolved, logical types understood."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mainstem.errors import Invalid

PRIMITIVES: Final = frozenset(
    {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
)
_NAMED: Final = frozenset({"record", "error", "enum", "fixed"})
_LOGICAL: Final = {
    "date": "int", "time-millis": "int", "time-micros": "long", "timestamp-millis": "long",
    "timestamp-micros": "long", "timestamp-nanos": "long", "local-timestamp-millis": "long",
    "local-timestamp-micros": "long", "local-timestamp-nanos": "long",
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DEEPEST: Final = 64
_WIDEST_DECIMAL: Final = 32
NO_DEFAULT: Final = object()


@dataclass(slots=True, eq=False)
class Node:
    """A schema. ``name`` is the full name of a record, enum or fixed; else the type's word.

    ``parts`` are a record's fields, an array's item, a map's value or a union's branches.
    """

    kind: str
    name: str
    parts: list[Node] = field(default_factory=list)
    fields: list[Field] = field(default_factory=list)
    symbols: list[str] = field(default_factory=list)
    size: int = 0
    logical: str | None = None
    precision: int = 0
    scale: int = 0
    default: Any = NO_DEFAULT
    aliases: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Field:
    """A record's field."""

    name: str
    type: Node
    default: Any = NO_DEFAULT
    aliases: tuple[str, ...] = ()


def parse(
    text: str | Mapping[str, Any] | list[Any], known: Mapping[str, Any] | None = None
) -> Node:
    """A schema given as JSON text or as what that means in Python.

    ``known`` holds the parsed JSON of schemas it refers to, by full name. Raises ``Invalid``
    naming what is wrong, and where; also for a type that contains itself, which columns cannot.
    """
    source: Any = text
    if isinstance(text, str):
        try:
            source = json.loads(text)
        except ValueError:
            if text not in PRIMITIVES:
                raise Invalid(f"this is not an Avro schema: {text[:80]!r}") from None
    return _Parser(known or {}).parse(source, "", "", 0)


class _Parser:
    def __init__(self, known: Mapping[str, Any]) -> None:
        self._known = known
        self._named: dict[str, Node] = {}
        self._open: list[str] = []

    def parse(self, source: Any, space: str, path: str, depth: int) -> Node:
        if depth > _DEEPEST:
            raise Invalid(f"Avro schema, {path}: nested deeper than {_DEEPEST}")
        if isinstance(source, str):
            return self._by_name(source, space, path, depth)
        if isinstance(source, list):
            return self._union(source, space, path, depth)
        if not isinstance(source, Mapping) or "type" not in source:
            raise _wrong(path, f"{json.dumps(source, default=str)[:60]} is not a schema")
        kind = source["type"]
        if not isinstance(kind, str):
            return self.parse(kind, space, path, depth + 1)
        if kind in PRIMITIVES:
            return _logical(Node(kind, kind), source)
        if kind in _NAMED:
            return self._define(kind, source, space, path, depth)
        if kind == "array":
            item = self.parse(source.get("items"), space, f"{path}[]", depth + 1)
            return Node("array", "array", [item])
        if kind == "map":
            value = self.parse(source.get("values"), space, f"{path}{{}}", depth + 1)
            return Node("map", "map", [value])
        return self._by_name(kind, space, path, depth)

    def _by_name(self, name: str, space: str, path: str, depth: int) -> Node:
        if name in PRIMITIVES:
            return Node(name, name)
        full = _full(name, space)
        if full in self._open:
            raise _wrong(
                path, f"{full!r} contains itself, which no Arrow column can: read it with Raw()"
            )
        if full in self._named:
            return self._named[full]
        if full in self._known:
            return self.parse(self._known[full], "", path, depth + 1)
        raise _wrong(path, f"there is no type {name!r}")

    def _union(self, source: list[Any], space: str, path: str, depth: int) -> Node:
        parts = [self.parse(part, space, path, depth + 1) for part in source]
        names = [part.name for part in parts]
        if not parts or len(set(names)) < len(names):
            raise _wrong(path, f"a union of {names}: each type may occur once")
        if any(part.kind == "union" for part in parts):
            raise _wrong(path, "a union directly in a union")
        return Node("union", "union", parts)

    def _define(self, kind: str, source: Any, space: str, path: str, depth: int) -> Node:
        name = source.get("name")
        if not isinstance(name, str) or not all(map(_NAME.fullmatch, name.split("."))):
            raise _wrong(path, f"a {kind} cannot be named {name!r}")
        inner = source.get("namespace", space) if "." not in name else name.rpartition(".")[0]
        full = _full(name, inner or "")
        if full in self._named or full in self._open:
            raise _wrong(path, f"{full!r} is defined twice")
        aliases = tuple(_full(alias, inner or "") for alias in source.get("aliases", ()))
        node = Node("record" if kind == "error" else kind, full, aliases=aliases)
        if kind == "enum":
            node.symbols = _symbols(source, path)
            node.default = source.get("default", NO_DEFAULT)
        elif kind == "fixed":
            size: Any = source.get("size")
            if not isinstance(size, int) or not 0 <= size <= 1 << 20:
                raise _wrong(path, f"a fixed cannot have size {size!r}")
            node.size = size
            _logical(node, source)
        else:
            self._open.append(full)
            self._fields(node, source.get("fields"), inner or "", path, depth)
            self._open.pop()
        self._named[full] = node
        return node

    def _fields(self, node: Node, fields: Any, space: str, path: str, depth: int) -> None:
        if not isinstance(fields, list):
            raise _wrong(path, f"record {node.name!r} has no list of fields")
        seen: set[str] = set()
        for entry in fields:
            name = entry.get("name") if isinstance(entry, Mapping) else None
            if not isinstance(name, str) or not _NAME.fullmatch(name) or name in seen:
                raise _wrong(path, f"record {node.name!r} has a field named {name!r}")
            seen.add(name)
            below = f"{path}.{name}" if path else name
            kind = self.parse(entry.get("type"), space, below, depth + 1)
            default = entry.get("default", NO_DEFAULT)
            node.fields.append(Field(name, kind, default, tuple(entry.get("aliases", ()))))
            node.parts.append(kind)


def _symbols(source: Any, path: str) -> list[str]:
    symbols: Any = source.get("symbols")
    good = isinstance(symbols, list) and all(
        isinstance(symbol, str) and _NAME.fullmatch(symbol) for symbol in symbols
    )
    if not good or len(set(symbols)) < len(symbols):
        raise _wrong(path, f"an enum cannot have the symbols {symbols!r}")
    return list(symbols)


def _logical(node: Node, source: Any) -> Node:
    """A logical type that is not understood, or does not fit, is ignored: the specification."""
    name = source.get("logicalType")
    if not isinstance(name, str):
        return node
    if name == "decimal" and node.kind in {"bytes", "fixed"}:
        precision, scale = source.get("precision"), source.get("scale", 0)
        whole = isinstance(precision, int) and isinstance(scale, int)
        if whole and 0 < precision <= 76 and 0 <= scale <= precision:
            fits = node.kind == "bytes" or 0 < node.size <= _WIDEST_DECIMAL
            if fits and precision <= _digits(node):
                node.logical, node.precision, node.scale = name, precision, scale
    elif (name == "uuid" and (node.kind == "string" or node.size == 16)) or (
        name in _LOGICAL and _LOGICAL[name] == node.kind
    ):
        node.logical = name
    return node


def _digits(node: Node) -> int:
    if node.kind == "bytes":
        return 76
    return len(str((1 << (8 * node.size - 1)) - 1)) - 1


def _full(name: str, space: str) -> str:
    return name if "." in name or not space else f"{space}.{name}"


def _wrong(path: str, text: str) -> Invalid:
    return Invalid(f"Avro schema, {path or 'at the top'}: {text}")
