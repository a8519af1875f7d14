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
except ModuleNotFoundError as error:  # pragma: no cover - exercised in a subprocess by the tests
    raise ImportError(
        f"Mainstem's compiled kernels are missing ({error.name}): install a wheel, or build them "
        "with `pip install .` on a machine with a C compiler"
    ) from error

__all__ = [
    "HEADER_SIZE",
    "BatchError",
    "BatchHeader",
    "read_batches",
    "read_header",
    "stamp",
    "stamp_append_time",
]
