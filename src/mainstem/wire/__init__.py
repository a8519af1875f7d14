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
    from mainstem.wire.aborted import drop_aborted
    from mainstem.wire.compression import compress, decompress
    from mainstem.wire.records import (
        DecodedRuns,
        Run,
        RunRows,
        Squeeze,
        decode_batches,
        decode_runs,
        encode_batch,
        encode_batches,
    )

_LAZY = {
    "DecodedRuns": "records",
    "Run": "records",
    "RunRows": "records",
    "Squeeze": "records",
    "compress": "compression",
    "decompress": "compression",
    "decode_batches": "records",
    "decode_runs": "records",
    "drop_aborted": "aborted",
    "encode_batch": "records",
    "encode_batches": "records",
}

__all__ = [
    "DecodedRuns",
    "ErrorCode",
    "FetchedPartition",
    "Message",
    "RequestHeader",
    "Run",
    "RunRows",
    "Squeeze",
    "api_name",
    "api_versions",
    "body_start",
    "compress",
    "decode_batches",
    "decode_request",
    "decode_response",
    "decode_runs",
    "decompress",
    "drop_aborted",
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
