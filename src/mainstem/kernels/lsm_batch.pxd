"""An operation of a batch, as it lies in the log and in memtables (C side; see lsm_batch.pyx)."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from mainstem.kernels.lsm_rows cimport Column

cdef enum:
    OP_HEADER = 64
    OP_RANGE = 3

cdef struct OpView:
    int kind
    int family
    Py_ssize_t rows
    Py_ssize_t end              # position behind the operation
    int64_t stamp
    uint32_t key_width
    uint32_t value_width
    const uint8_t* kinds        # or NULL: all of `kind`
    const uint32_t* key_offsets
    const uint8_t* keys
    const uint32_t* value_offsets
    const uint8_t* values

cdef class _Shape:
    cdef Py_ssize_t width, data_bytes, nulls
    cdef Py_ssize_t size(self, Py_ssize_t rows)


cdef class Operation:
    cdef readonly int kind, family
    cdef readonly Py_ssize_t rows, size
    cdef readonly int64_t stamp
    cdef Column keys, values
    cdef _Shape key_shape, value_shape
    cdef void write(self, uint8_t* out) noexcept nogil


cdef bint parse_op(
    const uint8_t* data, Py_ssize_t size, Py_ssize_t position, OpView* op
) noexcept nogil
