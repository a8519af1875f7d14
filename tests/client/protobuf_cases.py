"""Random .proto files and messages, with Google's own package as the one who knows."""

from __future__ import annotations

import random
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor

from mainstem.client.protobuf_schema import file_from, message_at

SCALARS = [
    "double", "float", "int64", "uint64", "int32", "fixed64", "fixed32", "bool", "string", "bytes",
    "uint32", "sfixed32", "sfixed64", "sint32", "sint64",
]  # fmt: skip
KEYS = ["int32", "sint64", "uint64", "bool", "string", "fixed32"]
KNOWN = ["Timestamp", "Duration", "StringValue", "Int64Value", "BoolValue", "Empty", "Struct"]
IMPORTS = "".join(
    f'import "google/protobuf/{name}.proto";'
    for name in ("timestamp", "duration", "wrappers", "empty", "struct")
)


class Files:
    """Draws .proto texts from one source of randomness."""

    def __init__(self, source: random.Random) -> None:
        self.random = source
        self.proto3 = source.random() < 0.75

    def text(self) -> str:
        syntax = "proto3" if self.proto3 else "proto2"
        return (
            f'syntax = "{syntax}"; package p.q; {IMPORTS} '
            "enum Color { RED = 0; GREEN = 1; BLUE = 5; MINUS = -3; }" + self.message("M", 3)
        )

    def message(self, name: str, depth: int) -> str:
        inside, fields = [], []
        inner = [f"{name}{at}" for at in range(self.random.randint(0, 2))] if depth else []
        inside += [self.message(each, depth - 1) for each in inner]
        numbers = self.random.sample(
            [*range(1, 40), 2000, (1 << 29) - 1], self.random.randint(1, 8)
        )
        for at, number in enumerate(numbers):
            fields.append(self.field(f"f{at}", number, [*inner, *([name] if at == 0 else [])]))
        if self.random.random() < 0.5:
            members = "".join(
                f"{self.kind(inner)} o{number} = {number};" for number in range(100, 104)
            )
            fields.append(f"oneof one {{ {members} }}")
        return f"message {name} {{ {' '.join(inside)} {' '.join(fields)} }}"

    def kind(self, inner: list[str]) -> str:
        draw = self.random.random()
        if draw < 0.6 or (draw < 0.75 and not inner):
            return self.random.choice(SCALARS)
        if draw < 0.75:
            return self.random.choice(inner)
        if draw < 0.85:
            return self.random.choice(["Color", "p.q.Color", ".p.q.Color"])
        return "google.protobuf." + self.random.choice(KNOWN)

    def field(self, name: str, number: int, inner: list[str]) -> str:
        draw = self.random.random()
        kind = self.kind(inner)
        if draw < 0.15:
            return f"map<{self.random.choice(KEYS)}, {kind}> {name} = {number};"
        if draw < 0.35:
            packable = kind in SCALARS and kind not in {"string", "bytes"}
            option = self.random.choice(["", " [packed = true]", " [packed=false]"])
            return f"repeated {kind} {name} = {number}{option if packable else ''};"
        if draw < 0.55 or not self.proto3:
            return f"optional {kind} {name} = {number};"
        return f"{kind} {name} = {number};"


def message_class(text: str) -> Any:
    """Google's class for the first message of a text."""
    return message_factory.GetMessageClass(message_at(file_from(text, "t.proto", {}), [0]))


def fill(source: random.Random, message: Any, depth: int = 0) -> Any:
    """Random values in about two of three fields; ``message`` itself."""
    for field in message.DESCRIPTOR.fields:
        if source.random() < 0.35 or depth > 4:
            continue
        if field.is_repeated:
            for _ in range(source.choice([1, 2, 3, 20])):
                _fill_one(source, message, field, depth)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            part = getattr(message, field.name)
            part.SetInParent()
            _fill_message(source, part, depth)
        else:
            setattr(message, field.name, value(source, field))
    return message


def _fill_one(source: random.Random, message: Any, field: Any, depth: int) -> None:
    holder = getattr(message, field.name)
    if field.type != FieldDescriptor.TYPE_MESSAGE:
        holder.append(value(source, field))
    elif not field.message_type.GetOptions().map_entry:
        _fill_message(source, holder.add(), depth)
    else:
        parts = field.message_type.fields_by_name
        key = value(source, parts["key"])
        if parts["value"].type == FieldDescriptor.TYPE_MESSAGE:
            _fill_message(source, holder[key], depth)
        else:
            holder[key] = value(source, parts["value"])


def _fill_message(source: random.Random, message: Any, depth: int) -> None:
    name = message.DESCRIPTOR.full_name
    if name == "google.protobuf.Timestamp":
        message.seconds = source.randint(-9_000_000_000, 9_000_000_000)
        message.nanos = source.choice([0, 1, 999_999_999])
    elif name == "google.protobuf.Duration":
        sign = source.choice([-1, 1])
        message.seconds = sign * source.randint(0, 9_000_000_000)
        message.nanos = sign * source.choice([0, 1, 999_999_999])
    else:
        fill(source, message, depth + 1)


def value(source: random.Random, field: Any) -> Any:
    """A value of a field that is no message, the extremes among them."""
    kind = field.cpp_type
    if kind in {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64}:
        bits = 31 if kind == FieldDescriptor.CPPTYPE_INT32 else 63
        return source.choice([0, 1, -1, (1 << bits) - 1, -(1 << bits), source.randint(-999, 999)])
    if kind in {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}:
        bits = 32 if kind == FieldDescriptor.CPPTYPE_UINT32 else 64
        return source.choice([0, 1, (1 << bits) - 1, source.randint(0, 999)])
    if kind in {FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE}:
        return source.choice([0.0, -0.0, 1.5, float("inf"), -2.25])
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return source.random() < 0.5
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return source.choice([0, 1, 5, -3])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return source.randbytes(source.choice([0, 3, 300]))
    return source.choice(["", "x", "é𝄞" * 9, "word" * 50])


def plain(message: Any, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """A message as our columns show it."""
    above = (*above, message.DESCRIPTOR.full_name)
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        held = getattr(message, field.name)
        if not field.is_repeated:
            absent = field.has_presence and not message.HasField(field.name)
            found[field.name] = None if absent else _plain_value(field, held, above)
        elif field.type == 11 and field.message_type.GetOptions().map_entry:
            part = field.message_type.fields_by_name["value"]
            found[field.name] = {key: _plain_value(part, held[key], above) for key in held}
        else:
            found[field.name] = [_plain_value(field, item, above) for item in held]
    return found


def _plain_value(field: Any, held: Any, above: tuple[str, ...]) -> Any:
    if field.type == FieldDescriptor.TYPE_ENUM:
        found = field.enum_type.values_by_number.get(held)
        return str(held) if found is None else found.name
    if field.type != FieldDescriptor.TYPE_MESSAGE:
        return held
    name = field.message_type.full_name
    if name in {"google.protobuf.Timestamp", "google.protobuf.Duration"}:
        return held.seconds * 1_000_000_000 + held.nanos
    if name == "google.protobuf.Struct" or name in above:
        return held.SerializeToString()
    if name.startswith("google.protobuf.") and name.endswith("Value"):
        return held.value
    return plain(held, above)


def simple(schema_type: Any, found: Any) -> Any:
    """What ``to_pylist`` gave, with maps as dicts and times as numbers."""
    import pyarrow as pa

    if found is None:
        return None
    if pa.types.is_struct(schema_type):
        return {member.name: simple(member.type, found[member.name]) for member in schema_type}
    if pa.types.is_map(schema_type):
        return {key: simple(schema_type.item_type, item) for key, item in found}
    if pa.types.is_list(schema_type):
        return [simple(schema_type.value_type, item) for item in found]
    return found
