"""Memory for what memtables hold (C side; see lsm_arena.pyx)."""

from libc.stdint cimport uint8_t


cdef class Slab:
    cdef uint8_t* data
    cdef Py_ssize_t size


cdef class Piece:
    cdef Slab slab
    cdef uint8_t* data
    cdef Py_ssize_t size
    cdef public Py_ssize_t inserted


cdef class Arena:
    cdef Slab slab
    cdef Py_ssize_t used
    cdef Py_ssize_t least
    cdef Piece take(self, Py_ssize_t size)
    cdef int _next(self, Py_ssize_t room) except -1
