"""``Message`` to kio's entity of one version, which kio then writes."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable
from functools import cache
from typing import Any

from mainstem.wire import legacy, schema
from mainstem.wire.message import Message
from mainstem.wire.shapes import (
    EPOCH,
    MILLISECOND,
    default_of,
    fields_of,
    is_array,
    nested_class,
    wire_type,
)

Convert = Callable[[Any], Any]
_ALWAYS_OPTIONAL = frozenset({"throttle_time_ms"})


def to_entity(api_key: int, version: int, kind: schema.Kind, message: Message) -> Any:
    """kio's entity for a message. Raises ``TypeError`` for a field missing or unknown."""
    newest = schema.newest(api_key, kind)
    return _to_entity(schema.load(api_key, version, kind), newest, api_key)(message)


def _optional(inner: Convert) -> Convert:
    return lambda value: None if value is None else inner(value)


@cache
def _to_entity(entity_class: Any, newest_class: Any, api_key: int) -> Convert:
    own, newer = fields_of(entity_class), fields_of(newest_class)
    known = own.keys() | newer.keys() | legacy.OLD_NAMES.get(api_key, frozenset())
    plan = [
        (name, field.name, _writer_for(name, field, newer, api_key), _fallback(name, field))
        for name, field in own.items()
    ]

    def convert_message(message: Any) -> Any:
        given = message.__dict__
        if not given.keys() <= known:
            raise TypeError(f"{entity_class.__name__} has no field {sorted(given.keys() - known)}")
        values = {}
        for name, attribute, convert, fallback in plan:
            value = given.get(name, dataclasses.MISSING)
            if value is not dataclasses.MISSING:
                values[attribute] = value if convert is None else convert(value)
            elif fallback is None:
                raise TypeError(f"{entity_class.__name__} needs the field {name!r}")
            elif convert is None:
                values[attribute] = fallback()
            else:
                values[attribute] = convert(fallback())
        return entity_class(**values)

    return convert_message


def _fallback(name: str, field: dataclasses.Field[Any]) -> Callable[[], Any] | None:
    if field.default is dataclasses.MISSING and name not in _ALWAYS_OPTIONAL:
        return None
    return lambda: default_of(field)


def _writer_for(
    name: str, field: dataclasses.Field[Any], newer: dict[str, Any], api_key: int
) -> Convert | None:
    nested = nested_class(field)
    if nested is not None:
        twin = nested_class(newer[name]) if name in newer else None
        inner = _to_entity(nested, twin or nested, api_key)
        return _each_to_tuple(inner) if is_array(field) else _optional(inner)
    if is_array(field):
        return lambda values: None if values is None else tuple(values)
    match wire_type(field):
        case "error_code":
            return schema.ErrorCode
        case kind if kind.startswith("timedelta"):
            return lambda value: datetime.timedelta(milliseconds=value)
        case kind if kind.startswith("datetime"):
            return lambda value: None if value is None or value < 0 else EPOCH + value * MILLISECOND
    return None


def _each_to_tuple(inner: Convert) -> Convert:
    return lambda values: None if values is None else tuple([inner(value) for value in values])
