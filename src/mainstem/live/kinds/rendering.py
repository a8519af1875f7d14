"""A record's value as JSON on one line, whatever bytes a producer wrote."""

from __future__ import annotations

import base64

import msgspec

_encode = msgspec.json.encode
_decode = msgspec.json.decode


def data_of(value: bytes | None, largest: int) -> bytes:
    """JSON value as it is, other text as a string, other bytes as ``{"base64": …}``.

    ``null`` for a tombstone. What would be longer than ``largest`` becomes
    ``{"oversized": bytes}``: one record must not fill a ring. There is no line break in it.
    """
    if value is None:
        return b"null"
    if len(value) > largest:
        return oversized(value)
    data = _json(value)
    return data if len(data) <= largest else oversized(value)


def oversized(value: bytes) -> bytes:
    """What stands for a value that is too long."""
    return b'{"oversized":%d}' % len(value)


def _json(value: bytes) -> bytes:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return b'{"base64":"%s"}' % base64.b64encode(value)
    try:
        parsed = _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return _encode(text)
    if b"\n" in value or b"\r" in value:
        return _encode(parsed)
    return value


def name_json(channel: str) -> bytes:
    """A channel's name as a JSON string."""
    return _encode(channel)
