"""Ranges of deleted keys (C side; see lsm_ranges.pyx)."""

from libc.stdint cimport uint8_t, uint32_t


cdef struct Range:
    const uint8_t* low
    const uint8_t* high
    uint32_t low_size
    uint32_t high_size
    bint is_open


cdef class Ranges:
    cdef Range* items
    cdef readonly Py_ssize_t count
    cdef readonly tuple pairs


cdef bint covers(
    const Range* items, Py_ssize_t count, const uint8_t* key, uint32_t size
) noexcept nogil
