"""Kafka's protocol without I/O: frames, messages, the hot pair, record batches.

The record-batch functions need pyarrow, which a broker must not load; they are imported when
first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mainstem.wire.fetch import FetchedPartition, write_fetch_response
from mainstem.wire.frames import (
    RequestHeader,
    body_start,
    read_prefix,
    request_frame,
    response_body_start,
    response_frame,
)
from mainstem.wire.message import Message
from mainstem.wire.messages import (
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from mainstem.wire.schema import ErrorCode, api_name, api_versions

if TYPE_CHECKING:
    from mainstem.wire.compression import compress, decompress
    from mainstem.wire.records import decode_batches, encode_batch, encode_batches

_LAZY = {
    "compress": "compression",
    "decompress": "compression",
    "decode_batches": "records",
    "encode_batch": "records",
    "encode_batches": "records",
}

__all__ = [
    "ErrorCode",
    "FetchedPartition",
    "Message",
    "RequestHeader",
    "api_name",
    "api_versions",
    "body_start",
    "compress",
    "decode_batches",
    "decode_request",
    "decode_response",
    "decompress",
    "encode_batch",
    "encode_batches",
    "encode_request",
    "encode_response",
    "read_prefix",
    "request_frame",
    "response_body_start",
    "response_frame",
    "write_fetch_response",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
