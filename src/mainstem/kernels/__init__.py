"""Cython where bytes are touched: primitive arguments, bounds-checked, GIL released.

A missing or stale compiled kernel is a loud error; there is no slow path.
"""

from __future__ import annotations

try:
    from mainstem.kernels.batches import (
        HEADER_SIZE,
        BatchError,
        BatchHeader,
        read_batches,
        read_header,
        stamp,
        stamp_append_time,
    )
    from mainstem.kernels.produce import (
        MessageError,
        read_produce_request,
        write_produce_response,
    )
except ModuleNotFoundError as error:  # pragma: no cover - exercised in a subprocess by the tests
    raise ImportError(
        f"Mainstem's compiled kernels are missing ({error.name}): install a wheel, or build them "
        "with `pip install .` on a machine with a C compiler"
    ) from error

__all__ = [
    "HEADER_SIZE",
    "BatchError",
    "BatchHeader",
    "MessageError",
    "read_batches",
    "read_header",
    "read_produce_request",
    "stamp",
    "stamp_append_time",
    "write_produce_response",
]
