"""A Protocol Buffers message as what its kernel runs: fields, and the columns they fill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mainstem.client.arrow_shapes import ENUM, Columns, Hooks, convert, unknown_symbol
from mainstem.errors import Invalid
from mainstem.kernels import ProtobufPlan

# Kinds and modes as in kernels/protobuf_plan.pxd.
_GROUP, _MESSAGE, _ENUM, _RAW, _INSTANT, _DURATION = 10, 11, 14, 19, 20, 21
_OPTIONAL, _IMPLICIT, _REPEATED, _PACKED, _MAP, _REQUIRED = range(6)
_TYPES: Final[dict[int, Any]] = {
    1: pa.float64(), 2: pa.float32(), 3: pa.int64(), 4: pa.uint64(), 5: pa.int32(),
    6: pa.uint64(), 7: pa.uint32(), 8: pa.bool_(), 9: pa.string(), 12: pa.binary(),
    13: pa.uint32(), 15: pa.int32(), 16: pa.int64(), 17: pa.int32(), 18: pa.int64(),
    _RAW: pa.binary(), _INSTANT: pa.timestamp("ns", "UTC"), _DURATION: pa.duration("ns"),
}  # fmt: skip
_KNOWN: Final = {
    "google.protobuf.Timestamp": _INSTANT,
    "google.protobuf.Duration": _DURATION,
    # These contain themselves.
    "google.protobuf.Struct": _RAW,
    "google.protobuf.Value": _RAW,
    "google.protobuf.ListValue": _RAW,
}
_WRAPPERS: Final = frozenset(
    f"google.protobuf.{word}Value"
    for word in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
_MOST_FIELDS: Final = 20_000


@dataclass(frozen=True, slots=True)
class CompiledMessage:
    """A message type ready to run. ``places`` name the plan's fields, in its order."""

    descriptor: Any
    plan: ProtobufPlan
    columns: Columns
    schema: Any
    places: list[str]


def compile_message(descriptor: Any) -> CompiledMessage:
    """The plan for a ``google.protobuf`` message descriptor.

    Raises ``Invalid`` for what has no columns: groups, or more than 20,000 fields.
    """
    compiler = _Compiler()
    compiler.table(descriptor, "", (descriptor.full_name,))
    columns = compiler.columns
    by_number = {entry[0]: entry[3] for entry in compiler.tables[0]}
    ordered = list(descriptor.fields)  # users see them as they were declared
    columns.roots = [by_number[field.number] for field in ordered]
    fields = [
        pa.field(field.name, columns.types[at])
        for field, at in zip(ordered, columns.roots, strict=True)
    ]
    places = [place for table in compiler.places for place in table]
    plan = ProtobufPlan(compiler.tables, columns.shapes)
    return CompiledMessage(descriptor, plan, columns, pa.schema(fields), places)


class _Compiler:
    def __init__(self) -> None:
        self.tables: list[Any] = []
        self.places: list[list[str]] = []
        self.columns = Columns()
        self._count = 0

    def table(self, descriptor: Any, path: str, above: tuple[str, ...]) -> int:
        """The fields of a message used at ``path``, inside the messages ``above``."""
        number = len(self.tables)
        entries: list[Any] = []
        self.tables.append(entries)
        self.places.append([])
        fields = sorted(descriptor.fields, key=lambda field: field.number)
        self._count += len(fields)
        if self._count > _MOST_FIELDS:
            raise Invalid(
                f"{descriptor.full_name} spreads to more than {_MOST_FIELDS} fields: read it with "
                "Raw()"
            )
        oneofs: dict[str, int] = {}
        for at, field in enumerate(fields):
            place = f"{path}{field.name}"
            oneof = -1
            if field.containing_oneof is not None and len(field.containing_oneof.fields) > 1:
                oneof = oneofs.setdefault(field.containing_oneof.name, at)
            entries.append((*self._field(field, place, above), oneof))
            self.places[number].append(place)
        return number

    def _field(self, field: Any, place: str, above: tuple[str, ...]) -> tuple[int, ...]:
        if field.type == _GROUP:
            raise Invalid(f"field {place!r} is a group, which has no columns: read it with Raw()")
        if not field.is_repeated:
            column = self.columns.reserve()
            kind, table = self._value(column, field, place, above)
            mode = _REQUIRED if field.is_required else _OPTIONAL
            in_map = field.containing_type.GetOptions().map_entry
            if in_map or not field.has_presence:
                mode = _IMPLICIT
            return field.number, kind, mode, column, -1, table
        many, inner = self.columns.reserve(), self.columns.reserve()
        if field.type == _MESSAGE and field.message_type.GetOptions().map_entry:
            table = self._map(many, inner, field, place, above)
            return field.number, _MESSAGE, _MAP, many, inner, table
        kind, table = self._value(inner, field, f"{place}[]", above)
        self.columns.list_of(many, inner)
        return field.number, kind, _PACKED if field.is_packed else _REPEATED, many, inner, table

    def _map(self, many: int, entries: int, field: Any, place: str, above: tuple[str, ...]) -> int:
        table = self.table(field.message_type, f"{place}{{}}.", above)
        keys, values = (entry[3] for entry in self.tables[table])
        self.columns.map_of(many, entries, keys, values)
        return table

    def _value(
        self, column: int, field: Any, place: str, above: tuple[str, ...]
    ) -> tuple[int, int]:
        """Describe the column of one value; its kind, and its table where it is a message."""
        if field.type == _ENUM:
            self.columns.describe(column, pa.int32())
            self.columns.hook(column, ENUM, _enum_hooks(field.enum_type))
            return _ENUM, -1
        if field.type != _MESSAGE:
            self.columns.describe(column, _TYPES[field.type])
            return field.type, -1
        message = field.message_type
        kind = _RAW if message.full_name in above else _KNOWN.get(message.full_name, _MESSAGE)
        if kind != _MESSAGE:
            self.columns.describe(column, _TYPES[kind])
            return kind, -1
        table = self.table(message, f"{place}.", (*above, message.full_name))
        by_number = {entry[0]: entry[3] for entry in self.tables[table]}
        children = [by_number[part.number] for part in message.fields]
        names = [part.name for part in message.fields]
        self.columns.struct(column, names, children)
        if message.full_name in _WRAPPERS:
            self.columns.hook(column, self.columns.types[children[0]], _WRAPPER)
        return _MESSAGE, table


def _unwrap(array: Any) -> Any:
    return array.flatten()[0]


def _wrap(array: Any, name: str) -> Any:
    del name
    mask = array.is_null() if array.null_count else None
    return pa.StructArray.from_arrays([array], ["value"], mask=mask)


_WRAPPER: Final = Hooks(_unwrap, _wrap)


def _enum_hooks(enum: Any) -> Hooks:
    """Numbers as names; one without a name, which proto3 allows, as its digits."""
    names, numbers, by_name = [], [], {}
    for value in enum.values:
        by_name[value.name] = value.number
        if value.number not in numbers:  # the first of several names for one number
            names.append(value.name)
            numbers.append(value.number)
    known = pa.array(numbers, pa.int32())
    symbols = pa.array(names, pa.string())
    all_names = pa.array(list(by_name), pa.string())
    all_numbers = pa.array(list(by_name.values()), pa.int32())

    def after(array: Any) -> Any:
        places = pc.index_in(array, known)
        words = symbols
        if places.null_count > array.null_count:
            strange = pc.unique(array.filter(pc.and_(places.is_null(), array.is_valid())))
            places = pc.index_in(array, pa.concat_arrays([known, strange]))
            words = pa.concat_arrays([symbols, strange.cast(pa.string())])
        return pa.DictionaryArray.from_arrays(places, words, safe=False)

    def before(array: Any, name: str) -> Any:
        if pa.types.is_integer(array.type):
            return convert(array, pa.int32(), name)
        text = convert(array, pa.string(), name)
        found = all_numbers.take(pc.index_in(text, all_names))
        if found.null_count > text.null_count:
            digits = pc.match_substring_regex(text, r"^-?\d{1,10}$")
            rest = pc.if_else(pc.and_(found.is_null(), digits), text, pa.scalar(None, pa.string()))
            found = pc.coalesce(found, rest.cast(pa.int32()))
        if found.null_count > text.null_count:
            raise unknown_symbol(text, found, symbols, name)
        return found

    return Hooks(after, before)
