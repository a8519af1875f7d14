"""Requests and responses ⇄ ``Message``: version differences end here.

A decoded message has every field of the newest version (older ones get the schema's defaults),
so a handler sees one shape. A message to encode may hold fields that its version lacks; they
are left out. Where old versions are *shaped* differently, ``legacy`` translates.
"""

from __future__ import annotations

import io
from functools import cache
from typing import Any

from mainstem.errors import Invalid
from mainstem.kernels import MessageError
from mainstem.wire import legacy, schema
from mainstem.wire.message import Message
from mainstem.wire.message_decoding import program
from mainstem.wire.message_encoding import to_entity

#: What one request's arrays may hold together: 200,000 elements are about 100 MB of objects.
_MAX_REQUEST_ELEMENTS = 200_000
_MAX_RESPONSE_ELEMENTS = 5_000_000


def decode_request(
    api_key: int, version: int, data: Any, offset: int = 0, end: int | None = None
) -> Message:
    """The body of a request in ``data[offset:end]``, header excluded.

    Raises ``Invalid`` (code 42) when the bytes are not such a request.
    """
    return _decode(api_key, version, "request", data, offset, end, _MAX_REQUEST_ELEMENTS)


def decode_response(
    api_key: int, version: int, data: Any, offset: int = 0, end: int | None = None
) -> Message:
    """The body of a response; raises ``Invalid`` as ``decode_request`` does."""
    return _decode(api_key, version, "response", data, offset, end, _MAX_RESPONSE_ELEMENTS)


def encode_request(api_key: int, version: int, message: Message) -> bytes:
    """The body of a request. Raises ``TypeError`` for a field missing or unknown."""
    return _encode(api_key, version, "request", message)


def encode_response(api_key: int, version: int, message: Message) -> bytes:
    """The body of a response. Raises ``TypeError`` for a field missing or unknown."""
    return _encode(api_key, version, "response", message)


@cache
def is_flexible(api_key: int, version: int) -> bool:
    """Whether this version uses compact strings and tagged fields (KIP-482)."""
    return bool(schema.load(api_key, version, "request").__flexible__)


def _decode(
    api_key: int,
    version: int,
    kind: schema.Kind,
    data: Any,
    offset: int,
    end: int | None,
    max_elements: int,
) -> Message:
    message: Message
    try:
        message, _end = program(api_key, version, kind).decode(
            data, offset, len(data) if end is None else end, max_elements
        )
    except MessageError as error:
        raise Invalid(
            f"{schema.api_name(api_key)} v{version} {kind} cannot be read: {error}", code=42
        ) from error
    return legacy.upgrade(api_key, version, kind, message)


def _encode(api_key: int, version: int, kind: schema.Kind, message: Message) -> bytes:
    message = legacy.downgrade(api_key, version, kind, message)
    out = io.BytesIO()
    schema.writer(api_key, version, kind)(out, to_entity(api_key, version, kind, message))
    return out.getvalue()
