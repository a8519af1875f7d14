"""The memtable, as lookups see it (C side; see lsm_memtable.pyx)."""

from cpython.pythread cimport PyThread_type_lock
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from mainstem.kernels.lsm_arena cimport Arena
from mainstem.kernels.lsm_batch cimport OpView
from mainstem.kernels.lsm_core cimport Row

cdef enum:
    CHUNK_SHIFT = 14
    CHUNK_ROWS = 1 << CHUNK_SHIFT
    CHUNKS = 1 << 14

cdef struct Table:
    uint64_t mask
    Table* older
    uint64_t[1] slots


cdef class Memtable:
    cdef Row** chunks
    cdef Table* table
    cdef uint64_t slots  # that the table grows to at once
    cdef readonly Py_ssize_t rows
    cdef readonly Py_ssize_t ordered   # leading rows that came in strictly ascending order
    cdef uint64_t indexed              # leading rows that the table knows; the rest is ordered
    cdef bint unordered                # a row came that was not above all before it
    cdef PyThread_type_lock turn       # held by whoever changes the table
    cdef readonly Py_ssize_t memory
    cdef readonly uint64_t seed
    cdef list keep
    cdef list arenas
    cdef Arena slabs
    cdef uint8_t* arena
    cdef Py_ssize_t arena_left
    cdef readonly int64_t min_stamp
    cdef readonly int64_t max_stamp
    cdef Row* _room(self) noexcept nogil
    cdef int _chunk(self, uint64_t chunk) noexcept with gil
    cdef int _grow(self) noexcept nogil
    cdef int _index(self, Row* row, uint64_t hashed, uint32_t number, const uint8_t* spec, Py_ssize_t fields) noexcept nogil
    cdef int _index_to(self, uint64_t end) noexcept nogil
    cdef int _insert(self, const OpView* op, const uint8_t* spec, Py_ssize_t fields) noexcept nogil
    cdef Py_ssize_t _append(self, const OpView* op) noexcept nogil
    cdef int _combine(self, Row* row, const Row* older, const uint8_t* spec, Py_ssize_t fields) noexcept nogil
    cdef Py_ssize_t add(self, object data, const uint8_t* start, Py_ssize_t size, Py_ssize_t position, bytes spec) except -1
    cdef void index_some(self, Py_ssize_t count) noexcept


cdef inline Row* row_at(Memtable table, uint32_t index) noexcept nogil:
    return &table.chunks[index >> CHUNK_SHIFT][index & (CHUNK_ROWS - 1)]


cdef const Row* find(
    Memtable memtable, const uint8_t* key, uint32_t size, uint64_t hashed, uint32_t mark
) noexcept nogil
