"""Memory and Arrow binary columns as the kernels see them (C side; see columns.pyx)."""

from cpython.buffer cimport Py_buffer
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcpy

cdef enum:
    SLACK = 64  # writable bytes behind every Memory, so that copies may run over in whole steps
    _STEP = 32
    _INLINE = 256


cdef class Memory:
    cdef uint8_t* data
    cdef Py_ssize_t size
    cdef Py_ssize_t capacity
    cdef int exports


cdef Memory allocate(Py_ssize_t size)


cdef class BinaryColumn:
    cdef Py_buffer offsets_buffer
    cdef Py_buffer data_buffer
    cdef Py_buffer validity_buffer
    cdef const uint8_t* offsets
    cdef const uint8_t* data
    cdef const uint8_t* validity
    cdef Py_ssize_t data_size
    cdef Py_ssize_t first
    cdef readonly Py_ssize_t length
    cdef bint wide


cdef inline bint column_entry(
    BinaryColumn column, Py_ssize_t row, const uint8_t** start, int64_t* size
) noexcept nogil:
    """Entry ``row`` (0 <= row < length) into ``start`` and ``size``, -1 for null.

    False when the offsets point outside the data: the array is damaged.
    """
    return entry_at(column.offsets, column.data, column.data_size, column.validity, column.wide,
                    column.first + row, start, size)


cdef inline bint entry_at(
    const uint8_t* offsets, const uint8_t* data, Py_ssize_t data_size, const uint8_t* validity,
    bint wide, Py_ssize_t index, const uint8_t** start, int64_t* size
) noexcept nogil:
    """As ``column_entry``, of the parts of a column; ``index`` is counted from the buffers' start."""
    cdef int64_t begin, end
    if validity != NULL and not (validity[index >> 3] >> (index & 7)) & 1:
        size[0] = -1
        return True
    if wide:
        begin = (<const int64_t*>offsets)[index]
        end = (<const int64_t*>offsets)[index + 1]
    else:
        begin = (<const int32_t*>offsets)[index]
        end = (<const int32_t*>offsets)[index + 1]
    if begin < 0 or end < begin or end > data_size:
        return False
    start[0] = data + begin
    size[0] = end - begin
    return True


cdef inline void copy_bytes(
    uint8_t* target, const uint8_t* source, Py_ssize_t size, Py_ssize_t readable
) noexcept nogil:
    """Copy ``size`` bytes; ``readable`` are there at the source, size + 31 at the target.

    Short pieces go in fixed steps that the compiler keeps in registers; calling ``memcpy`` with
    a variable size costs more than the copy itself.
    """
    cdef Py_ssize_t done = 0
    if size <= _INLINE and readable >= size + _STEP:
        while done < size:
            memcpy(target + done, source + done, _STEP)
            done += _STEP
    else:
        memcpy(target, source, size)
