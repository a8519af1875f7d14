"""An Avro schema as what its kernel runs: operations, and the Arrow columns that they fill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from mainstem.client.arrow_shapes import Columns
from mainstem.client.avro_schema import Node
from mainstem.errors import Invalid
from mainstem.kernels import AvroPlan

# Operations, as in kernels/avro_plan.pxd.
_OPS: Final = {
    "null": 0, "boolean": 1, "int": 2, "long": 3, "float": 4, "double": 5, "bytes": 6,
    "string": 7, "fixed": 8, "enum": 9, "record": 10, "array": 11, "map": 12,
}  # fmt: skip
_OPTION, _UNION, _DECIMAL_BYTES, _DECIMAL_FIXED = 13, 14, 15, 16
_MOST_OPS: Final = 20_000
_UTC: Final = "UTC"
_TYPES: Final[dict[str, Any]] = {
    "null": pa.null(), "boolean": pa.bool_(), "int": pa.int32(), "long": pa.int64(),
    "float": pa.float32(), "double": pa.float64(), "bytes": pa.binary(), "string": pa.string(),
}  # fmt: skip
_LOGICAL: Final[dict[str, Any]] = {
    "date": pa.date32(), "time-millis": pa.time32("ms"), "time-micros": pa.time64("us"),
    "timestamp-millis": pa.timestamp("ms", _UTC), "timestamp-micros": pa.timestamp("us", _UTC),
    "timestamp-nanos": pa.timestamp("ns", _UTC), "local-timestamp-millis": pa.timestamp("ms"),
    "local-timestamp-micros": pa.timestamp("us"), "local-timestamp-nanos": pa.timestamp("ns"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Compiled:
    """A schema ready to run. ``schema`` is what it reads as, ``places`` name its operations."""

    root: Node
    plan: AvroPlan
    columns: Columns
    schema: Any
    places: list[str]


def compile_schema(root: Node) -> Compiled:
    """The plan for a schema. One that is no record reads as a single column ``value``."""
    compiler = _Compiler()
    if root.kind == "record":
        members = compiler.reserve("record", "")
        parts = [compiler.value(part.type, part.name) for part in root.fields]
        compiler.ops[members] = (_OPS["record"], -1, 0, 0, [op for op, _ in parts])
        names = [part.name for part in root.fields]
    else:
        parts = [compiler.value(root, "value")]
        names = ["value"]
    roots = [column for _, column in parts]
    fields = [
        pa.field(name, compiler.columns.types[at]) for name, at in zip(names, roots, strict=True)
    ]
    columns = compiler.columns
    columns.roots = roots
    plan = AvroPlan(compiler.ops, columns.shapes)
    return Compiled(root, plan, columns, pa.schema(fields), compiler.places)


def branch_names(node: Node) -> list[str]:
    """The members that a union's branches become: short names where they tell them apart."""
    names = [part.name for part in node.parts if part.kind != "null"]
    short = [name.rpartition(".")[2] for name in names]
    return short if len(set(short)) == len(short) else names


class _Compiler:
    def __init__(self) -> None:
        self.ops: list[Any] = []
        self.places: list[str] = []
        self.columns = Columns()

    def reserve(self, kind: str, path: str) -> int:
        if len(self.ops) >= _MOST_OPS:
            raise Invalid(f"the Avro schema has more than {_MOST_OPS} parts: read it with Raw()")
        self.ops.append(kind)
        self.places.append(path)
        return len(self.ops) - 1

    def value(self, node: Node, path: str) -> tuple[int, int]:
        """The operation that reads a schema, and its column."""
        if node.kind == "union":
            return self._union(node, path)
        op = self.reserve(node.kind, path)
        if node.kind == "record":
            return op, self._record(op, node, path)
        if node.kind == "array":
            return op, self._array(op, node, path)
        if node.kind == "map":
            return op, self._map(op, node, path)
        if node.logical == "decimal":
            return op, self._decimal(op, node)
        extra = 0
        if node.kind == "fixed":
            kind, extra = pa.binary(node.size), node.size
            column = self.columns.fixed(kind, node.size)
        elif node.kind == "enum":
            extra = len(node.symbols)
            column = self.columns.symbols(node.symbols)
        else:
            kind = _LOGICAL.get(node.logical or "", _TYPES[node.kind])
            column = self.columns.plain(kind)
        self.ops[op] = (_OPS[node.kind], column, extra, 0, [])
        return op, column

    def _record(self, op: int, node: Node, path: str) -> int:
        column = self.columns.reserve()
        parts = [self.value(part.type, f"{path}.{part.name}") for part in node.fields]
        names = [part.name for part in node.fields]
        self.columns.struct(column, names, [at for _, at in parts])
        self.ops[op] = (_OPS["record"], column, 0, 0, [child for child, _ in parts])
        return column

    def _array(self, op: int, node: Node, path: str) -> int:
        column = self.columns.reserve()
        item, child = self.value(node.parts[0], f"{path}[]")
        self.columns.list_of(column, child)
        self.ops[op] = (_OPS["array"], column, min(1 << 30, _least(node.parts[0])), 0, [item])
        return column

    def _map(self, op: int, node: Node, path: str) -> int:
        column, entries = self.columns.reserve(), self.columns.reserve()
        keys = self.columns.plain(pa.string())
        item, child = self.value(node.parts[0], f"{path}{{}}")
        self.columns.map_of(column, entries, keys, child)
        self.ops[op] = (_OPS["map"], column, entries, keys, [item])
        return column

    def _decimal(self, op: int, node: Node) -> int:
        wide = node.precision > 38
        maker = pa.decimal256 if wide else pa.decimal128
        column = self.columns.fixed(maker(node.precision, node.scale), 32 if wide else 16)
        kind = _DECIMAL_BYTES if node.kind == "bytes" else _DECIMAL_FIXED
        self.ops[op] = (kind, column, node.precision, node.size, [])
        return column

    def _union(self, node: Node, path: str) -> tuple[int, int]:
        nulls = [at for at, part in enumerate(node.parts) if part.kind == "null"]
        null = nulls[0] if nulls else -1
        if len(node.parts) == 2 and nulls:
            op = self.reserve("option", path)
            child, column = self.value(node.parts[1 - null], path)
            self.ops[op] = (_OPTION, column, null, 0, [child])
            return op, column
        op = self.reserve("union", path)
        column = self.columns.reserve()
        ops, columns = [], []
        for at, part in enumerate(node.parts):
            if at == null:
                child = self.reserve("null", path)
                self.ops[child] = (_OPS["null"], -1, 0, 0, [])
            else:
                child, place = self.value(part, f"{path}.{part.name}")
                columns.append(place)
            ops.append(child)
        self.columns.struct(column, branch_names(node), columns)
        self.ops[op] = (_UNION, column, null, 0, ops)
        return op, column


def _least(node: Node) -> int:
    """Bytes that a value takes at least: what bounds the items a block can hold."""
    if node.kind == "null":
        return 0
    if node.kind == "fixed":
        return node.size
    if node.kind == "record":
        return sum(_least(part.type) for part in node.fields)
    return {"float": 4, "double": 8}.get(node.kind, 1)
