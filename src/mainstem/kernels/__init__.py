"""Cython where bytes are touched: primitive arguments, bounds-checked, GIL released.

A missing or stale compiled kernel is a loud error; there is no slow path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mainstem.kernels.avro_plan import AvroPlan
    from mainstem.kernels.avro_reader import decode_avro
    from mainstem.kernels.avro_writer import encode_avro
    from mainstem.kernels.json_plan import JsonPlan
    from mainstem.kernels.json_reader import decode_json
    from mainstem.kernels.json_shapes import JsonShape, widen_json
    from mainstem.kernels.live_framer import Framer, siphash
    from mainstem.kernels.live_pump import latency_bounds
    from mainstem.kernels.live_ring import Ring
    from mainstem.kernels.live_sender import Sender
    from mainstem.kernels.payload_columns import Sources
    from mainstem.kernels.protobuf_plan import ProtobufPlan
    from mainstem.kernels.protobuf_reader import decode_protobuf
    from mainstem.kernels.protobuf_writer import encode_protobuf
    from mainstem.kernels.registry_frames import split_frames

try:
    from mainstem.kernels import message_decoder
    from mainstem.kernels.batches import (
        HEADER_SIZE,
        BatchError,
        BatchHeader,
        check_crcs,
        clear_append_time,
        first_without_key,
        read_batches,
        read_header,
        stamp,
        stamp_append_time,
    )
    from mainstem.kernels.checksum import crc32c
    from mainstem.kernels.columns import BinaryColumn, Memory
    from mainstem.kernels.hashing import murmur2, partitions_of
    from mainstem.kernels.json_rows import JsonColumn, json_lists, json_rows
    from mainstem.kernels.produce import (
        MessageError,
        read_produce_request,
        write_produce_response,
    )
    from mainstem.kernels.record_reader import (
        HeaderColumns,
        RecordColumns,
        decode_records,
        decode_runs,
    )
    from mainstem.kernels.record_writer import HeaderColumn, encode_records, number, seal
    from mainstem.kernels.sending import send_file
except ModuleNotFoundError as error:  # pragma: no cover - exercised in a subprocess by the tests
    if not (error.name or "").startswith("mainstem.kernels."):
        raise  # a dependency is missing, not a kernel
    raise ImportError(
        f"Mainstem's compiled kernels are missing ({error.name}): install a wheel, or build them "
        "with `pip install .` on a machine with a C compiler"
    ) from error

# For payload formats and live's workers: a broker, which must start at once, does without.
_LAZY = {
    "AvroPlan": "avro_plan",
    "JsonPlan": "json_plan",
    "JsonShape": "json_shapes",
    "ProtobufPlan": "protobuf_plan",
    "Framer": "live_framer",
    "Ring": "live_ring",
    "Sender": "live_sender",
    "Sources": "payload_columns",
    "decode_avro": "avro_reader",
    "decode_json": "json_reader",
    "decode_protobuf": "protobuf_reader",
    "encode_avro": "avro_writer",
    "encode_protobuf": "protobuf_writer",
    "latency_bounds": "live_pump",
    "siphash": "live_framer",
    "split_frames": "registry_frames",
    "widen_json": "json_shapes",
}

__all__ = [
    "HEADER_SIZE",
    "AvroPlan",
    "BatchError",
    "BatchHeader",
    "BinaryColumn",
    "Framer",
    "HeaderColumn",
    "HeaderColumns",
    "JsonColumn",
    "JsonPlan",
    "JsonShape",
    "Memory",
    "MessageError",
    "ProtobufPlan",
    "RecordColumns",
    "Ring",
    "Sender",
    "Sources",
    "check_crcs",
    "clear_append_time",
    "crc32c",
    "decode_avro",
    "decode_json",
    "decode_protobuf",
    "decode_records",
    "decode_runs",
    "encode_avro",
    "encode_protobuf",
    "encode_records",
    "first_without_key",
    "json_lists",
    "json_rows",
    "latency_bounds",
    "message_decoder",
    "murmur2",
    "number",
    "partitions_of",
    "read_batches",
    "read_header",
    "read_produce_request",
    "seal",
    "send_file",
    "siphash",
    "split_frames",
    "stamp",
    "stamp_append_time",
    "widen_json",
    "write_produce_response",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        module = import_module(f"{__name__}.{_LAZY[name]}")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"Mainstem's compiled kernels are missing ({error.name}): install a wheel"
        ) from error
    return getattr(module, name)
