"""Blocks read by kernels themselves, straight from a run's file (C side; see lsm_disk.pyx)."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from mainstem.kernels.lsm_blocks cimport BlockView
from mainstem.kernels.lsm_run cimport Extent, Run


cdef enum:
    ROOM = 1 << 17  # bytes read at once: they stay in the processor's cache
    WORKERS = 8     # threads that may read for one lookup


cdef struct Kept:
    uint32_t block
    uint32_t size
    uint8_t* data


# Copies of blocks on their way into the cache. Begins as zeros.
cdef struct Keeper:
    Kept* items
    Py_ssize_t count
    Py_ssize_t bytes
    Py_ssize_t* free_bytes # that the cache has left for all workers' keepers
    Py_ssize_t most        # bytes of the largest block that the cache would take
    uint64_t state         # of the dice


cdef bint full(const Keeper* keeper) noexcept nogil
cdef void offer(
    Keeper* keeper, uint32_t block, const uint8_t* data, uint32_t size
) noexcept nogil
cdef int hand_over(Keeper* keeper, Run run, Py_ssize_t read) except -1
cdef void drop(Keeper* keeper) noexcept nogil
cdef Py_ssize_t read_stretch(
    const Extent* file, const uint32_t* blocks, Py_ssize_t count, uint8_t* room, Py_ssize_t size
) noexcept nogil
cdef bint sound(
    const Extent* file, uint32_t block, const uint8_t* data, uint32_t size, BlockView* view
) noexcept nogil
cdef uint8_t* take_room() except NULL
cdef void leave_room(uint8_t* room) noexcept
cdef uint32_t stored_size(const Extent* file, uint32_t block) noexcept nogil
