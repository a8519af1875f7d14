"""An Arrow schema as what the JSON kernel runs, and a schema for what it found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from mainstem.client.arrow_lists import list_as
from mainstem.client.arrow_shapes import Columns, Hooks
from mainstem.errors import Corrupt, Invalid
from mainstem.kernels import JsonPlan, JsonShape

# Kinds as in kernels/json_plan.pxd.
_NULL, _BOOLEAN, _INTEGER, _DOUBLE, _FLOAT, _STRING, _TEXT, _BASE64 = range(8)
_MOMENT, _DATE, _TIME, _DECIMAL, _LIST, _OBJECT, _MAP = range(8, 15)
_PLAIN: Final = (
    ("null", _NULL, pa.null()), ("boolean", _BOOLEAN, pa.bool_()),
    ("float64", _DOUBLE, pa.float64()), ("floating", _FLOAT, pa.float32()),
    ("string", _STRING, pa.string()), ("large_string", _STRING, pa.string()),
    ("string_view", _STRING, pa.string()), ("date", _DATE, pa.date32()),
    ("binary", _BASE64, pa.binary()), ("large_binary", _BASE64, pa.binary()),
    ("binary_view", _BASE64, pa.binary()), ("fixed_size_binary", _BASE64, pa.binary()),
)  # fmt: skip
_UNITS: Final = {"s": 0, "ms": 3, "us": 6, "ns": 9}

# What the values of a member were.
_BOOLEANS, _SMALL, _INTEGERS, _HUGE, _DOUBLES, _STRINGS, _OBJECTS, _LISTS = (
    1 << at for at in range(1, 9)
)
#: A column of what has no one type: text, or JSON. Told from others by its metadata.
_MIXED: Final = {b"mainstem.json": b"mixed"}


@dataclass(frozen=True, slots=True)
class CompiledJson:
    """A schema ready to run. ``places`` and ``kinds`` tell the plan's operations."""

    plan: JsonPlan
    columns: Columns
    schema: Any
    places: list[str]
    kinds: list[str]


def compile_json(schema: Any) -> CompiledJson:
    """The plan for a ``pa.Schema``. Raises ``Invalid`` naming a column of a type JSON lacks."""
    names = [field.name for field in schema]
    if len(set(names)) < len(names):
        raise Invalid(f"the schema has two columns {min(n for n in names if names.count(n) > 1)!r}")
    compiler = _Compiler()
    parts = [compiler.value(field, field.name) for field in schema]
    # The root comes first, so all others move up by one.
    ops = [(_OBJECT, -1, 0, 0, [op + 1 for op, _ in parts])]
    for kind, column, first, second, children in compiler.ops:
        ops.append((kind, column, first, second, [child + 1 for child in children]))
    members = [b"", *(name.encode() for name in compiler.names)]
    columns = compiler.columns
    columns.roots = [column for _, column in parts]
    plan = JsonPlan(ops, members, columns.shapes)
    fields = [
        pa.field(field.name, columns.types[at])
        for field, at in zip(schema, columns.roots, strict=True)
    ]
    places, kinds = ["", *compiler.places], ["object", *compiler.kinds]
    return CompiledJson(plan, columns, pa.schema(fields), places, kinds)


class _Compiler:
    def __init__(self) -> None:
        self.ops: list[Any] = []
        self.names: list[str] = []
        self.places: list[str] = []
        self.kinds: list[str] = []
        self.columns = Columns()

    def value(self, field: Any, place: str) -> tuple[int, int]:
        """The operation that reads a field, and its column."""
        op = len(self.ops)
        self.ops.append(None)
        self.names.append(field.name)
        self.places.append(place)
        self.kinds.append(str(field.type))
        kind = field.type
        types = pa.types
        if types.is_struct(kind):
            column = self._struct(op, kind, place)
        elif types.is_map(kind):
            column = self._map(op, kind, place)
        elif hasattr(kind, "value_field"):
            column = self._list(op, kind, place)
        else:
            column = self._plain(op, field, place)
        return op, column

    def _struct(self, op: int, kind: Any, place: str) -> int:
        column = self.columns.reserve()
        names = [member.name for member in kind]
        if len(set(names)) < len(names):
            raise Invalid(f"column {place!r} has two members of one name: rename one")
        parts = [self.value(member, f"{place}.{member.name}") for member in kind]
        self.columns.struct(column, names, [at for _, at in parts])
        self.ops[op] = (_OBJECT, column, 0, 0, [child for child, _ in parts])
        return column

    def _map(self, op: int, kind: Any, place: str) -> int:
        if not pa.types.is_string(kind.key_type):
            raise Invalid(f"column {place!r} is {kind}: JSON has text for keys only")
        column, entries = self.columns.reserve(), self.columns.reserve()
        keys = self.columns.plain(pa.string())
        item, child = self.value(kind.item_field, f"{place}{{}}")
        self.columns.map_of(column, entries, keys, child)
        self.ops[op] = (_MAP, column, entries, keys, [item])
        return column

    def _list(self, op: int, kind: Any, place: str) -> int:
        column = self.columns.reserve()
        item, child = self.value(kind.value_field, f"{place}[]")
        self.columns.list_of(column, child)
        self._seen_as(column, kind)
        self.ops[op] = (_LIST, column, 0, 0, [item])
        return column

    def _plain(self, op: int, field: Any, place: str) -> int:
        kind = field.type
        mixed = (field.metadata or {}).get(b"mainstem.json") == b"mixed"
        found = (_TEXT, pa.string(), 0, 0) if mixed else _kind(kind)
        if found is None:
            raise Invalid(
                f"column {place!r} is {kind}, which is not read from JSON: read it as another "
                "type and cast it"
            )
        code, physical, first, second = found
        if code == _DECIMAL:
            column = self.columns.fixed(physical, 16)
        else:
            column = self.columns.plain(physical)
        self._seen_as(column, kind)
        self.ops[op] = (code, column, first, second, [])
        return column

    def _seen_as(self, column: int, kind: Any) -> None:
        """Where the type asked for is another than the kernel fills, cast at the end."""
        if self.columns.types[column] != kind:
            self.columns.hook(column, kind, _cast_to(kind))


def _cast_to(kind: Any) -> Hooks:
    def after(array: Any) -> Any:
        try:
            if pa.types.is_dictionary(kind):
                return array.dictionary_encode().cast(kind)
            return list_as(array, kind) if pa.types.is_list(array.type) else array.cast(kind)
        except pa.ArrowException as error:
            raise Corrupt(f"values do not fit {kind}: {error}") from error

    return Hooks(after, lambda array, _name: array)


def _kind(kind: Any) -> tuple[int, Any, int, int] | None:
    """The operation of a type without members, and the type it fills."""
    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_integer(kind):
        return _INTEGER, kind, kind.bit_width, int(types.is_signed_integer(kind))
    if types.is_timestamp(kind):
        return _MOMENT, kind, _UNITS[kind.unit], int(kind.tz is not None)
    if types.is_time(kind):
        return _TIME, kind, _UNITS[kind.unit], 0
    if (
        types.is_decimal(kind)
        and not types.is_decimal256(kind)
        and 0 <= kind.scale <= kind.precision
    ):
        wide = pa.decimal128(kind.precision, kind.scale)
        return _DECIMAL, wide, kind.precision, kind.scale
    for word, code, physical in _PLAIN:
        if getattr(types, f"is_{word}")(kind):
            return code, physical, 0, 0
    return None


# --- inference ---------------------------------------------------------------------------------


def schema_of(shape: JsonShape) -> Any:
    """A schema that holds exactly everything a shape has met.

    Integers are int64, with fractions among them double if all of them survive that; what has
    no common type is text, other values as their JSON.
    """
    return pa.schema([_field(name, member) for name, member in shape.members.items()])


def _field(name: bytes, shape: JsonShape) -> Any:
    kind = _type(shape)
    mixed = None if kind is not None else _MIXED
    return pa.field(name.decode(), pa.string() if kind is None else kind, metadata=mixed)


def _type(shape: JsonShape) -> Any:
    flags = shape.flags & ~1  # null goes with everything
    numbers = _SMALL | _INTEGERS | _HUGE | _DOUBLES
    if not flags:
        return pa.null()
    if flags == _BOOLEANS:
        return pa.bool_()
    if flags == _STRINGS:
        return pa.string()
    if flags == _OBJECTS:
        return pa.struct([_field(name, member) for name, member in shape.members.items()])
    if flags == _LISTS:
        assert shape.item is not None
        return pa.list_(_field(b"item", shape.item))
    if flags & ~numbers or flags & _HUGE or (flags & _DOUBLES and flags & _INTEGERS):
        return None
    return pa.float64() if flags & _DOUBLES else pa.int64()
