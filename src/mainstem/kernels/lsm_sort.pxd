"""Sorting rows by key (C side; see lsm_sort.pyx)."""

from libc.stdint cimport uint32_t, uint64_t

from mainstem.kernels.lsm_core cimport Row

cdef struct Entry:
    uint64_t prefix
    uint32_t row


cdef int sort_rows(
    const Row* rows, Entry* entries, Entry* spare, Py_ssize_t count
) noexcept nogil
