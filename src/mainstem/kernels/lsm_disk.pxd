"""Blocks read by kernels themselves, straight from a run's file (C side; see lsm_disk.pyx)."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from mainstem.kernels.lsm_blocks cimport BlockView
from mainstem.kernels.lsm_run cimport Run


cdef enum:
    ROOM = 1 << 17  # bytes read at once: they stay in the processor's cache


cdef struct Kept:
    uint32_t block
    uint32_t size
    uint8_t* data


cdef class Keeper:
    cdef Kept* items
    cdef Py_ssize_t count
    cdef Py_ssize_t bytes
    cdef Py_ssize_t free_bytes  # that the cache has left
    cdef Py_ssize_t most        # bytes of the largest block that the cache would take
    cdef uint64_t state
    cdef bint full(self) noexcept nogil
    cdef void offer(self, uint32_t block, const uint8_t* data, uint32_t size) noexcept nogil
    cdef int hand_over(self, Run run, Py_ssize_t read) except -1


cdef Py_ssize_t read_stretch(
    Run run, const uint32_t* blocks, Py_ssize_t count, uint8_t* room, Py_ssize_t size
) noexcept nogil
cdef bint sound(
    Run run, uint32_t block, const uint8_t* data, uint32_t size, BlockView* view
) noexcept nogil
cdef uint8_t* take_room() except NULL
cdef void leave_room(uint8_t* room) noexcept
cdef uint32_t stored_size(Run run, uint32_t block) noexcept nogil
