"""Programs for the decoding kernel, compiled from kio's schemas.

kio has a native reader of its own, but it allocates what an array's length field claims before
it looks at the bytes, and aborts the process when that fails: 40 bytes from the network would
end a broker (docs/decisions). It also refuses unknown tagged fields. So the schemas are kio's
and the reading is ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

from mainstem.kernels import message_decoder as kernel
from mainstem.wire import schema
from mainstem.wire.message import Message
from mainstem.wire.shapes import (
    default_of,
    fields_of,
    is_array,
    is_nullable,
    nested_class,
    wire_type,
)

_CODES = {
    "int8": (kernel.INT8_CODE, 1),
    "int16": (kernel.INT16_CODE, 2),
    "int32": (kernel.INT32_CODE, 4),
    "int64": (kernel.INT64_CODE, 8),
    "uint16": (kernel.UINT16_CODE, 2),
    "uint32": (kernel.UINT32_CODE, 4),
    "float64": (kernel.FLOAT64_CODE, 8),
    "bool": (kernel.BOOL_CODE, 1),
    "string": (kernel.STRING_CODE, 1),
    "bytes": (kernel.BYTES_CODE, 1),
    "records": (kernel.BYTES_CODE, 1),
    "uuid": (kernel.UUID_CODE, 16),
    "error_code": (kernel.ERROR_CODE, 2),
    "timedelta_i32": (kernel.INT32_CODE, 4),
    "timedelta_i64": (kernel.INT64_CODE, 8),
    "datetime_i64": (kernel.INT64_CODE, 8),
}
_FETCH = ".fetch."  # in the names of its modules: its records may be many megabytes
_ERRORS: dict[int, Any] = {int(code): code for code in schema.ErrorCode}


@cache
def program(api_key: int, version: int, kind: schema.Kind) -> kernel.Program:
    """The program that decodes one message of one version into the newest version's fields."""
    return _compile(schema.load(api_key, version, kind), schema.newest(api_key, kind))[0]


@cache
def _compile(entity_class: Any, newest_class: Any) -> tuple[kernel.Program, int]:
    own, newer = fields_of(entity_class), fields_of(newest_class)
    flexible = bool(entity_class.__flexible__)
    fields: list[kernel.Field] = []
    tagged: dict[int, kernel.Field] = {}
    least_size = 1 if flexible else 0
    optional: dict[str, dataclasses.Field[Any]] = {
        name: field for name, field in newer.items() if name not in own
    }
    for name, field in own.items():
        compiled, size = _field(name, field, newer, shared=_FETCH in entity_class.__module__)
        tag = field.metadata.get("tag")
        if tag is None:
            fields.append(compiled)
            least_size += size
        else:
            tagged[int(tag)] = compiled
            optional[name] = field
    defaults = _defaults(optional)
    return (
        kernel.Program(Message, fields, tagged, flexible, defaults, least_size, _ERRORS),
        max(1, least_size),
    )


def _field(
    name: str,
    field: dataclasses.Field[Any],
    newer: dict[str, dataclasses.Field[Any]],
    *,
    shared: bool,
) -> tuple[kernel.Field, int]:
    """The compiled field and the fewest bytes it can take.

    Records that are ``shared`` become a ``memoryview`` of the message's memory.
    """
    array = is_array(field)
    nested = nested_class(field)
    inner: kernel.Program | None = None
    if nested is None:
        kind = wire_type(field)
        code, size = _CODES[kind]
        if shared and kind == "records":
            code = kernel.VIEW_CODE
    else:
        twin = nested_class(newer[name]) if name in newer else None
        inner, size = _compile(nested, twin or nested)
        code = kernel.STRUCT_CODE
    nullable = is_nullable(field) and field.metadata.get("tag") is None
    least = 1 if array or (nullable and nested is not None) else size
    return kernel.Field(name, code, array, nullable, inner), least


def _defaults(optional: dict[str, dataclasses.Field[Any]]) -> Callable[[], dict[str, Any]]:
    """A fresh dictionary of defaults; what may be changed later is made anew each time."""
    values = {name: default_of(field) for name, field in optional.items()}
    mutable = [(n, value) for n, value in values.items() if isinstance(value, list | Message)]
    if not mutable:
        return values.copy
    return lambda: {**values, **{name: _fresh(value) for name, value in mutable}}


def _fresh(default: Any) -> Any:
    if isinstance(default, Message):
        return Message(**{name: _fresh(value) for name, value in default.__dict__.items()})
    return [] if isinstance(default, list) else default
