"""What kio's message classes say of their fields: names, nesting, defaults."""

from __future__ import annotations

import dataclasses
import datetime
import types
import typing
from typing import Any

from mainstem.wire.message import Message

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MILLISECOND = datetime.timedelta(milliseconds=1)

_Field = dataclasses.Field[Any]


def wire_type(field: _Field) -> str:
    """Kafka's name of a primitive's type; empty for a struct."""
    return str(field.metadata.get("kafka_type", ""))


def public_name(field: _Field) -> str:
    """kio drops the ``_ms`` that Kafka's schema gives to durations and times."""
    timed = wire_type(field).startswith(("timedelta", "datetime"))
    return f"{field.name}_ms" if timed else field.name


def fields_of(entity_class: Any) -> dict[str, _Field]:
    """The fields of a class by their public names, in wire order."""
    return {public_name(field): field for field in dataclasses.fields(entity_class)}


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """The members of a union, or the type itself."""
    is_union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    return typing.get_args(hint) if is_union else (hint,)


def is_array(field: _Field) -> bool:
    """Whether the field is a list of its type."""
    return any(typing.get_origin(hint) is tuple for hint in _alternatives(field.type))


def is_nullable(field: _Field) -> bool:
    """Whether null is a value of the field."""
    return types.NoneType in _alternatives(field.type)


def nested_class(field: _Field) -> Any | None:
    """The class of the struct in the field, or in its array; ``None`` for primitives."""
    for hint in _alternatives(field.type):
        inner = typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else hint
        if dataclasses.is_dataclass(inner):
            return inner
    return None


def default_of(field: _Field) -> Any:
    """What a version without this field means: the schema's default, else zero or empty."""
    if is_array(field):
        return None if field.default is None else []
    nested = nested_class(field)
    if nested is not None:
        if field.default is None:
            return None
        return Message(**{name: default_of(inner) for name, inner in fields_of(nested).items()})
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif is_nullable(field):
        value = None
    else:
        value = {"string": "", "bytes": b"", "bool": False}.get(wire_type(field), 0)
    if isinstance(value, datetime.timedelta):
        return value // MILLISECOND
    # A point in time that is not there is -1 on the wire.
    return -1 if value is None and wire_type(field) == "datetime_i64" else value
