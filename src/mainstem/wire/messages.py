"""Requests and responses ⇄ ``Message``: version differences end here.

A decoded message has every field of the newest version (older ones get the schema's defaults),
so a handler sees one shape. A message to encode may hold fields that its version lacks; they
are left out. Where old versions are *shaped* differently, ``legacy`` translates.
"""

from __future__ import annotations

import dataclasses
import datetime
import io
import types
import typing
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

from mainstem.errors import Invalid
from mainstem.wire import legacy, schema
from mainstem.wire.message import Message

Convert = Callable[[Any], Any]
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MILLISECOND = datetime.timedelta(milliseconds=1)
_ALWAYS_OPTIONAL = frozenset({"throttle_time_ms"})


def decode_request(api_key: int, version: int, data: Any, offset: int = 0) -> Message:
    """The body of a request; ``offset`` is where it starts in ``data``, header excluded.

    Raises ``Invalid`` (code 42) when the bytes are not such a request.
    """
    return _decode(api_key, version, "request", data, offset)


def decode_response(api_key: int, version: int, data: Any, offset: int = 0) -> Message:
    """The body of a response; raises ``Invalid`` as ``decode_request`` does."""
    return _decode(api_key, version, "response", data, offset)


def encode_request(api_key: int, version: int, message: Message) -> bytes:
    """The body of a request. Raises ``TypeError`` for a field missing or unknown."""
    return _encode(api_key, version, "request", message)


def encode_response(api_key: int, version: int, message: Message) -> bytes:
    """The body of a response. Raises ``TypeError`` for a field missing or unknown."""
    return _encode(api_key, version, "response", message)


def is_flexible(api_key: int, version: int) -> bool:
    """Whether this version uses compact strings and tagged fields (KIP-482)."""
    return bool(schema.load(api_key, version, "request").__flexible__)


def _decode(
    api_key: int, version: int, kind: Literal["request", "response"], data: Any, offset: int
) -> Message:
    try:
        entity, _size = schema.reader(api_key, version, kind)(data, offset)
    except (schema.SerialError, ValueError, OverflowError) as error:
        raise Invalid(
            f"{schema.api_name(api_key)} v{version} {kind} cannot be read: {error}", code=42
        ) from error
    message: Message = _from_entity(type(entity), schema.newest(api_key, kind))(entity)
    return legacy.upgrade(api_key, version, kind, message)


def _encode(
    api_key: int, version: int, kind: Literal["request", "response"], message: Message
) -> bytes:
    message = legacy.downgrade(api_key, version, kind, message)
    entity_class = schema.load(api_key, version, kind)
    entity = _to_entity(entity_class, schema.newest(api_key, kind), api_key)(message)
    out = io.BytesIO()
    schema.writer(api_key, version, kind)(out, entity)
    return out.getvalue()


# --- one field -------------------------------------------------------------------------------


def _wire_type(field: dataclasses.Field[Any]) -> str:
    return str(field.metadata.get("kafka_type", ""))


def _public_name(field: dataclasses.Field[Any]) -> str:
    """kio drops the ``_ms`` that Kafka's schema gives to durations and times."""
    timed = _wire_type(field).startswith(("timedelta", "datetime"))
    return f"{field.name}_ms" if timed else field.name


def _nested_class(field: dataclasses.Field[Any]) -> tuple[type[Any] | None, bool]:
    """The message class inside a field, if any, and whether the field is an array of it."""
    hint: Any = field.type
    is_array = False
    while not isinstance(hint, type) or typing.get_origin(hint) is not None:
        arguments = [a for a in typing.get_args(hint) if a not in (types.NoneType, ...)]
        is_array = is_array or typing.get_origin(hint) is tuple
        hint = arguments[0]
    return (hint if dataclasses.is_dataclass(hint) else None), is_array


def _fields(entity_class: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    return {_public_name(field): field for field in dataclasses.fields(entity_class)}


def _to_milliseconds(value: Any) -> Any:
    if isinstance(value, datetime.timedelta):
        return value // _MILLISECOND
    if isinstance(value, datetime.datetime):
        return (value - _EPOCH) // _MILLISECOND
    return -1 if value is None else value


def _default(field: dataclasses.Field[Any]) -> Any:
    """What a version without this field means: the schema's default, else zero or empty."""
    nested, is_array = _nested_class(field)
    if is_array or typing.get_origin(field.type) is tuple:
        return None if field.default is None else []
    if nested is not None:
        if field.default is None:
            return None
        return Message(**{name: _default(inner) for name, inner in _fields(nested).items()})
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif types.NoneType in typing.get_args(field.type):
        value = None
    else:
        kind = _wire_type(field)
        value = {"string": "", "bytes": b"", "bool": False, "records": None}.get(kind, 0)
    return _to_milliseconds(value) if _public_name(field) != field.name else value


# --- kio entity -> Message -------------------------------------------------------------------


@cache
def _from_entity(entity_class: Any, newest_class: Any) -> Convert:
    own, newer = _fields(entity_class), _fields(newest_class)
    plan: list[tuple[str, str, Convert | None]] = []
    for name, field in own.items():
        nested, is_array = _nested_class(field)
        convert: Convert | None = None
        if nested is not None:
            twin = _nested_class(newer[name])[0] if name in newer else None
            inner = _from_entity(nested, twin or nested)
            convert = _each(inner) if is_array else _optional(inner)
        elif typing.get_origin(field.type) is tuple or is_array:
            convert = _to_list
        elif name != field.name:
            convert = _to_milliseconds
        plan.append((name, field.name, convert))
    missing = [(name, field) for name, field in newer.items() if name not in own]

    def convert_entity(entity: Any) -> Message:
        message = Message(**{name: _default(field) for name, field in missing})
        target = message.__dict__
        for name, attribute, convert in plan:
            value = getattr(entity, attribute)
            target[name] = value if convert is None else convert(value)
        return message

    return convert_entity


def _each(inner: Convert) -> Convert:
    return lambda values: None if values is None else [inner(value) for value in values]


def _optional(inner: Convert) -> Convert:
    return lambda value: None if value is None else inner(value)


def _to_list(values: Any) -> Any:
    return None if values is None else list(values)


# --- Message -> kio entity -------------------------------------------------------------------


@cache
def _to_entity(entity_class: Any, newest_class: Any, api_key: int) -> Convert:
    own, newer = _fields(entity_class), _fields(newest_class)
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
    return lambda: _default(field)


def _writer_for(
    name: str, field: dataclasses.Field[Any], newer: dict[str, Any], api_key: int
) -> Convert | None:
    nested, is_array = _nested_class(field)
    if nested is not None:
        twin = _nested_class(newer[name])[0] if name in newer else None
        inner = _to_entity(nested, twin or nested, api_key)
        return _each_to_tuple(inner) if is_array else _optional(inner)
    if is_array or typing.get_origin(field.type) is tuple:
        return lambda values: None if values is None else tuple(values)
    match _wire_type(field):
        case "error_code":
            return schema.ErrorCode
        case kind if kind.startswith("timedelta"):
            return lambda value: datetime.timedelta(milliseconds=value)
        case kind if kind.startswith("datetime"):
            return lambda value: (
                None if value is None or value < 0 else _EPOCH + value * _MILLISECOND
            )
    return None


def _each_to_tuple(inner: Convert) -> Convert:
    return lambda values: None if values is None else tuple([inner(value) for value in values])
