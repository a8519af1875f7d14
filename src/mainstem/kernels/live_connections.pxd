"""The table of a sender's connections (C side; see live_connections.pyx)."""

from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from mainstem.kernels.live_ring cimport RingCore

cdef enum:
    # What is told to Python
    READABLE_ = 1
    CLOSED_ = 2
    LAPPED_ = 3
    DRAINED_ = 4
    DEADLINE_ = 5
    STALLED_ = 6
    # Flags of a connection
    READING = 1
    BLOCKED = 2
    BEHIND = 4      # lapped and told; waits for a decision
    FINISHING = 8   # closes when its private bytes are sent
    LINGERING = 16  # all sent and half-closed; waits for the other side's end
    NOTIFY = 32     # tell when the private bytes are sent

cdef struct Chunk:
    Chunk* following
    const char* data
    uint32_t size
    uint32_t sent
    PyObject* owner     # NULL: the bytes lie right behind this struct

cdef struct Connection:
    int32_t fd              # -1: a free slot
    uint32_t generation
    int32_t previous        # readers of the same ring and phase; `following` also links free slots
    int32_t following
    uint64_t number         # the next frame it wants; lingering: bytes thrown away so far
    RingCore* ring
    Chunk* chunks
    Chunk* last_chunk
    uint32_t queued         # private bytes not sent yet
    uint16_t flags
    uint8_t phase
    uint8_t unused
    uint32_t deadline       # deciseconds on the sender's clock; 0: none
    uint32_t blocked_at

cdef struct Report:
    uint64_t id
    int32_t kind


cdef class Connections:
    cdef Connection* table
    cdef int32_t capacity
    cdef int32_t free_slot
    cdef int epoll
    cdef Report* reports
    cdef Py_ssize_t report_count, report_capacity
    cdef PyObject** garbage
    cdef Py_ssize_t garbage_count, garbage_capacity
    cdef int64_t started
    cdef int64_t now_us         # Unix microseconds
    cdef uint32_t now           # deciseconds since `started`
    cdef bint out_of_memory
    cdef readonly int32_t connections
    cdef uint8_t next_phase
    cdef bint _reserve(self) noexcept nogil
    cdef void _report(self, int32_t slot, int32_t kind) noexcept nogil
    cdef void _free_chunk(self, Chunk* chunk) noexcept nogil
    cdef void _collect(self)
    cdef void _unlink(self, Connection* connection, int32_t slot) noexcept nogil
    cdef void _drop(self, int32_t slot) noexcept nogil
    cdef void _lost(self, int32_t slot, int32_t kind) noexcept nogil
    cdef bint _watch(self, int32_t slot) noexcept nogil
    cdef void _tell_time(self) noexcept nogil


cdef inline uint64_t id_of(Connections self, int32_t slot) noexcept nogil:
    return (<uint64_t>self.table[slot].generation << 32) | <uint32_t>slot


cdef inline int32_t slot_of(Connections self, uint64_t id) noexcept nogil:
    """The slot of a living connection, or -1."""
    cdef uint64_t slot = <uint32_t>id
    if slot >= <uint64_t>self.capacity or self.table[slot].fd < 0:
        return -1
    if self.table[slot].generation != <uint32_t>(id >> 32):
        return -1
    return <int32_t>slot
