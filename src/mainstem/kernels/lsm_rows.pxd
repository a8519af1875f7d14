"""Lists of rows and columns of keys, as the state-store kernels see them (C side)."""

from cpython.buffer cimport Py_buffer
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from mainstem.kernels.lsm_core cimport Row

cdef class Column:
    cdef Py_buffer offsets_buffer
    cdef Py_buffer data_buffer
    cdef Py_buffer validity_buffer
    cdef const uint8_t* offsets
    cdef const uint8_t* data
    cdef const uint8_t* validity
    cdef Py_ssize_t first
    cdef readonly Py_ssize_t length
    cdef readonly Py_ssize_t width  # of an entry in bytes; -1: int32 offsets, -2: int64 offsets
    cdef bint _sound(self) noexcept
    cdef int _fill(
        self, object offsets, object data, object validity, Py_ssize_t first,
        Py_ssize_t length, Py_ssize_t width) except -1


# Memory that is given out in pieces, and back all at once. Begins as zeros.
cdef struct Scratch:
    uint8_t* at
    Py_ssize_t left
    void* chunks


cdef uint8_t* take(Scratch* space, Py_ssize_t size) noexcept nogil
cdef void give_back(Scratch* space) noexcept nogil
cdef void move(Scratch* space, Scratch* into) noexcept nogil


cdef class RowList:
    cdef Row* rows
    cdef readonly Py_ssize_t count
    cdef Py_ssize_t capacity
    cdef list keep
    cdef Scratch space  # lives as long as the list
    cdef int reserve(self, Py_ssize_t capacity) except -1
    cdef Py_ssize_t _bound(self, const uint8_t* key, Py_ssize_t size) noexcept


cdef tuple gather(const Row* rows, Py_ssize_t count, bint keys)
cdef int64_t span_of(Column column, const uint8_t** start) noexcept nogil


cdef inline int64_t entry_of(
    Column column, Py_ssize_t row, const uint8_t** start
) noexcept nogil:
    """Where entry ``row`` starts; returns its size, -1 for null."""
    cdef Py_ssize_t index = column.first + row
    cdef int64_t begin
    if column.validity != NULL and not (column.validity[index >> 3] >> (index & 7)) & 1:
        return -1
    if column.width >= 0:
        start[0] = column.data + index * column.width
        return column.width
    if column.width == -1:
        begin = (<const int32_t*>column.offsets)[index]
        start[0] = column.data + begin
        return (<const int32_t*>column.offsets)[index + 1] - begin
    begin = (<const int64_t*>column.offsets)[index]
    start[0] = column.data + begin
    return (<const int64_t*>column.offsets)[index + 1] - begin
