"""Kafka's framing: a 4-byte size, a header, a body. Bytes in, bytes out; no I/O.

Source: https://kafka.apache.org/protocol, RequestHeader and ResponseHeader.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from mainstem.errors import Invalid
from mainstem.wire.messages import is_flexible

API_VERSIONS = 18
_FIXED = struct.Struct(">hhih")
_RESPONSE = struct.Struct(">ii")
_MAX_TAGS = 1_000


class RequestHeader(NamedTuple):
    """What comes before a request's body; ``body`` is where the body starts in the buffer."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None
    body: int


def read_prefix(data: Any, start: int, end: int) -> RequestHeader:
    """API key, version, correlation id and client id of the request in ``data[start:end]``.

    ``body`` is where the header's tagged fields (flexible versions) or the body begin. Works for
    unknown APIs and versions too. Raises ``Invalid`` when the bytes are too few.
    """
    if end - start < _FIXED.size:
        raise Invalid(f"a request of {end - start} bytes has no room for its header", code=42)
    api_key, version, correlation_id, length = _FIXED.unpack_from(data, start)
    position = start + _FIXED.size
    if length < 0:
        return RequestHeader(api_key, version, correlation_id, None, position)
    if length > end - position:
        raise Invalid(f"a client id of {length} bytes does not fit its request", code=42)
    client_id = bytes(data[position : position + length]).decode("utf-8", "replace")
    return RequestHeader(api_key, version, correlation_id, client_id, position + length)


def skip_tags(data: Any, position: int, end: int) -> int:
    """Where the tagged fields at ``position`` end (KIP-482). Raises ``Invalid``."""
    count, position = _read_varint(data, position, end)
    if count > _MAX_TAGS:
        raise Invalid(f"{count} tagged fields in one header; the limit is {_MAX_TAGS}", code=42)
    for _ in range(count):
        _tag, position = _read_varint(data, position, end)
        size, position = _read_varint(data, position, end)
        position += size
        if position > end:
            raise Invalid("a tagged field is longer than its request", code=42)
    return position


def _read_varint(data: Any, position: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 35, 7):
        if position >= end:
            raise Invalid("a request ends inside its header", code=42)
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise Invalid("a variable-length integer runs past five bytes", code=42)


def body_start(header: RequestHeader, data: Any, end: int) -> int:
    """Where the body starts, behind the tagged fields of flexible versions."""
    if is_flexible(header.api_key, header.api_version):
        return skip_tags(data, header.body, end)
    return header.body


def response_frame(api_key: int, version: int, correlation_id: int, body: bytes) -> bytes:
    """A whole response, ready to send. ApiVersions keeps header v0 for ever (KIP-511)."""
    tags = b"\0" if api_key != API_VERSIONS and is_flexible(api_key, version) else b""
    size = 4 + len(tags) + len(body)
    return b"".join((_RESPONSE.pack(size, correlation_id), tags, body))


def response_body_start(api_key: int, version: int, data: Any, start: int, end: int) -> int:
    """For clients: where the body starts in a response whose header begins at ``start``."""
    position = start + 4
    if api_key != API_VERSIONS and is_flexible(api_key, version):
        return skip_tags(data, position, end)
    return position


def request_frame(
    api_key: int, version: int, correlation_id: int, client_id: str | None, body: bytes
) -> bytes:
    """A whole request, ready to send."""
    name = b"" if client_id is None else client_id.encode()
    tags = b"\0" if is_flexible(api_key, version) else b""
    size = _FIXED.size + len(name) + len(tags) + len(body)
    head = _FIXED.pack(api_key, version, correlation_id, -1 if client_id is None else len(name))
    return b"".join((size.to_bytes(4, "big"), head, name, tags, body))
