"""The state store's kernels, together: ``from mainstem.kernels import lsm``.

Apart from the others so that a broker, which keeps no state here, does not load them.
"""

from __future__ import annotations

from typing import TypeAlias

try:
    from mainstem.kernels.checksum import crc32c
    from mainstem.kernels.columns import Memory
    from mainstem.kernels.lsm_arena import Arena, Piece, kept_bytes, lend, trim
    from mainstem.kernels.lsm_batch import (
        OPERATION_HEADER,
        Operation,
        read_operation,
        read_ranges,
    )
    from mainstem.kernels.lsm_block_writer import encode_blocks, measure, offsets_of
    from mainstem.kernels.lsm_blocks import Block
    from mainstem.kernels.lsm_cache import Clock
    from mainstem.kernels.lsm_commit import bytes_held, insert_rows, marks_of, show
    from mainstem.kernels.lsm_crew import joins, set_helpers
    from mainstem.kernels.lsm_disk import blocks_of
    from mainstem.kernels.lsm_fields import (
        all_of_size,
        decode_key,
        encode_keys,
        interleave,
        split,
    )
    from mainstem.kernels.lsm_lookup import Lookup
    from mainstem.kernels.lsm_memtable import Memtable
    from mainstem.kernels.lsm_merge import Merger
    from mainstem.kernels.lsm_ranges import Ranges
    from mainstem.kernels.lsm_record import encode_batch, encode_record, number_record
    from mainstem.kernels.lsm_rows import Column, RowList, arrow_buffers, column_of, describe
    from mainstem.kernels.lsm_run import Run, build_filter, retired_blocks
    from mainstem.kernels.lsm_sort import rows_of as sorted_rows_of
except ModuleNotFoundError as error:
    raise ImportError(
        f"Mainstem's compiled kernels are missing ({error.name}): install a wheel, or build them "
        "with `pip install .` on a machine with a C compiler"
    ) from error

ArrowBuffers: TypeAlias = tuple[Memory, Memory, Memory | None, int]
"""int32 offsets, data, validity or ``None``, null count."""

PUT, DELETE, MERGE, RANGE_DELETE = 0, 1, 2, 3

__all__ = [
    "DELETE",
    "MERGE",
    "OPERATION_HEADER",
    "PUT",
    "RANGE_DELETE",
    "Arena",
    "ArrowBuffers",
    "Block",
    "Clock",
    "Column",
    "Lookup",
    "Memtable",
    "Merger",
    "Operation",
    "Piece",
    "Ranges",
    "RowList",
    "Run",
    "all_of_size",
    "arrow_buffers",
    "blocks_of",
    "build_filter",
    "bytes_held",
    "column_of",
    "crc32c",
    "decode_key",
    "describe",
    "encode_batch",
    "encode_blocks",
    "encode_keys",
    "encode_record",
    "insert_rows",
    "interleave",
    "joins",
    "kept_bytes",
    "lend",
    "marks_of",
    "measure",
    "number_record",
    "offsets_of",
    "read_operation",
    "read_ranges",
    "retired_blocks",
    "set_helpers",
    "show",
    "sorted_rows_of",
    "split",
    "trim",
]
