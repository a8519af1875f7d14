"""Blocks of a run, checked once and then read in place (C side; see lsm_blocks.pyx)."""

from cpython.buffer cimport Py_buffer
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from mainstem.kernels.lsm_core cimport Row

cdef enum:
    BLOCK_HEADER = 64
    BLOCK_ROWS = 4096
    HASH_SHIFT = 20

cdef struct BlockView:
    uint32_t rows
    uint32_t mask
    uint32_t key_width
    uint32_t value_width
    const uint16_t* table
    const uint8_t* kinds
    const int64_t* stamps
    const uint32_t* key_offsets
    const uint8_t* keys
    const uint32_t* value_offsets
    const uint8_t* values


cdef class Block:
    cdef BlockView view
    cdef Py_buffer buffer
    cdef uint8_t* owned  # what it was given for good, or NULL: then it keeps ``buffer``
    cdef readonly Py_ssize_t size


cdef inline const uint8_t* block_key(
    const BlockView* view, Py_ssize_t row, uint32_t* size
) noexcept nogil:
    if view.key_offsets == NULL:
        size[0] = view.key_width
        return view.keys + row * <Py_ssize_t>view.key_width
    size[0] = view.key_offsets[row + 1] - view.key_offsets[row]
    return view.keys + view.key_offsets[row]


cdef inline void block_row(const BlockView* view, Py_ssize_t i, Row* row) noexcept nogil:
    row.key = block_key(view, i, &row.key_size)
    if view.value_offsets == NULL:
        row.value = view.values + i * <Py_ssize_t>view.value_width
        row.value_size = view.value_width
    else:
        row.value = view.values + view.value_offsets[i]
        row.value_size = view.value_offsets[i + 1] - view.value_offsets[i]
    row.kind = view.kinds[i] if view.kinds != NULL else 0
    row.stamp = view.stamps[i] if view.stamps != NULL else 0
    row.previous = 0


cdef const char* parse_block(const uint8_t* data, uint64_t size, BlockView* view) noexcept nogil
cdef Block adopt(uint8_t* data, Py_ssize_t size)
cdef Block share(object data, const BlockView* view, Py_ssize_t size)
cdef Py_ssize_t block_bound(
    const BlockView* view, const uint8_t* key, uint32_t size
) noexcept nogil
