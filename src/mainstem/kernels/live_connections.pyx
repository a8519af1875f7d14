"""The sender's connections: who is there, what is told about them, what time it is.

One 64-byte struct each, by slot; a slot's generation makes ids that are never used twice. What
was sent without the GIL and belongs to Python is garbage until `_collect` gives it back.
"""

from cpython.exc cimport PyErr_SetFromErrno
from cpython.ref cimport Py_DECREF
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from mainstem.kernels.live_ring cimport PHASES, release_ring
from mainstem.kernels.live_sockets cimport *


cdef inline int64_t _deciseconds() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 10 + now.tv_nsec // 100_000_000


cdef class Connections:
    """The table. What is sent on them is `live_pump`'s, what they are for the sender's."""

    def __cinit__(self):
        self.epoll = -1
        self.free_slot = -1
        self.started = _deciseconds() - 1
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll < 0:
            PyErr_SetFromErrno(OSError)
        if not self._reserve():
            raise MemoryError()

    def __dealloc__(self):
        cdef int32_t slot
        for slot in range(self.capacity):
            if self.table[slot].fd >= 0:
                self._drop(slot)
        self._collect()
        if self.epoll >= 0:
            c_close(self.epoll)
        free(self.table)
        free(self.reports)
        free(self.garbage)

    cdef bint _reserve(self) noexcept nogil:
        cdef int32_t grown = 64 if self.capacity == 0 else self.capacity * 2
        cdef int32_t slot
        cdef Connection* table = <Connection*>realloc(self.table, grown * sizeof(Connection))
        if table == NULL:
            return False
        self.table = table
        memset(&table[self.capacity], 0, (grown - self.capacity) * sizeof(Connection))
        for slot in range(grown - 1, self.capacity - 1, -1):
            table[slot].fd = -1
            table[slot].following = self.free_slot
            self.free_slot = slot
        self.capacity = grown
        return True

    cdef void _report(self, int32_t slot, int32_t kind) noexcept nogil:
        cdef Py_ssize_t grown
        cdef Report* reports
        if self.report_count == self.report_capacity:
            grown = 64 if self.report_capacity == 0 else self.report_capacity * 2
            reports = <Report*>realloc(self.reports, grown * sizeof(Report))
            if reports == NULL:
                self.out_of_memory = True
                return
            self.reports = reports
            self.report_capacity = grown
        self.reports[self.report_count].id = id_of(self, slot)
        self.reports[self.report_count].kind = kind
        self.report_count += 1

    cdef void _free_chunk(self, Chunk* chunk) noexcept nogil:
        cdef Py_ssize_t grown
        cdef PyObject** garbage
        if chunk.owner != NULL:
            if self.garbage_count == self.garbage_capacity:
                grown = 64 if self.garbage_capacity == 0 else self.garbage_capacity * 2
                garbage = <PyObject**>realloc(self.garbage, grown * sizeof(PyObject*))
                if garbage == NULL:  # leak one reference rather than touch it without the GIL
                    free(chunk)
                    self.out_of_memory = True
                    return
                self.garbage = garbage
                self.garbage_capacity = grown
            self.garbage[self.garbage_count] = chunk.owner
            self.garbage_count += 1
        free(chunk)

    cdef void _collect(self):
        """Give back what was sent without the GIL."""
        while self.garbage_count > 0:
            self.garbage_count -= 1
            Py_DECREF(<object>self.garbage[self.garbage_count])

    cdef void _unlink(self, Connection* connection, int32_t slot) noexcept nogil:
        cdef RingCore* ring = connection.ring
        if ring == NULL:
            return
        if connection.previous >= 0:
            self.table[connection.previous].following = connection.following
        else:
            ring.heads[connection.phase] = connection.following
        if connection.following >= 0:
            self.table[connection.following].previous = connection.previous
        connection.ring = NULL
        ring.viewers -= 1
        release_ring(ring)

    cdef void _drop(self, int32_t slot) noexcept nogil:
        """Close and free the slot; its id is dead from here on."""
        cdef Connection* connection = &self.table[slot]
        cdef Chunk* chunk = connection.chunks
        cdef Chunk* following
        self._unlink(connection, slot)
        while chunk != NULL:
            following = chunk.following
            self._free_chunk(chunk)
            chunk = following
        c_close(connection.fd)
        connection.fd = -1
        connection.generation += 1
        connection.chunks = connection.last_chunk = NULL
        connection.following = self.free_slot
        self.free_slot = slot
        self.connections -= 1

    cdef void _lost(self, int32_t slot, int32_t kind) noexcept nogil:
        self._report(slot, kind)
        self._drop(slot)

    cdef bint _watch(self, int32_t slot) noexcept nogil:
        cdef Connection* connection = &self.table[slot]
        cdef epoll_event event
        event.events = <uint32_t>EPOLLOUT | <uint32_t>EPOLLRDHUP | EPOLLET
        if connection.flags & (READING | LINGERING):
            event.events |= <uint32_t>EPOLLIN
        event.data.u64 = id_of(self, slot)
        return epoll_ctl(self.epoll, EPOLL_CTL_MOD, connection.fd, &event) == 0

    cdef void _tell_time(self) noexcept nogil:
        self.now_us = clock_us(CLOCK_REALTIME)
        self.now = <uint32_t>(_deciseconds() - self.started)

    # What Python calls ----------------------------------------------------------------

    def fileno(self):
        """The epoll descriptor: readable when ``poll`` has something to do."""
        return self.epoll

    def add(self, int fd):
        """Take over a connected non-blocking socket; returns its id. Reading is on."""
        cdef int32_t slot
        cdef epoll_event event
        if fd < 0:
            raise ValueError(f"descriptor {fd}")
        if self.free_slot < 0 and not self._reserve():
            raise MemoryError()
        slot = self.free_slot
        event.events = <uint32_t>EPOLLIN | <uint32_t>EPOLLOUT | <uint32_t>EPOLLRDHUP | EPOLLET
        event.data.u64 = id_of(self, slot)
        if epoll_ctl(self.epoll, EPOLL_CTL_ADD, fd, &event) < 0:
            PyErr_SetFromErrno(OSError)
        cdef Connection* connection = &self.table[slot]
        self.free_slot = connection.following
        connection.fd = fd
        connection.previous = connection.following = -1
        connection.number = 0
        connection.ring = NULL
        connection.chunks = connection.last_chunk = NULL
        connection.queued = 0
        connection.flags = READING
        connection.deadline = connection.blocked_at = 0
        connection.phase = self.next_phase
        self.next_phase = (self.next_phase + 1) % PHASES
        self.connections += 1
        return id_of(self, slot)

    def position(self, uint64_t id):
        """(next frame wanted or ``None``, private bytes queued); ``None`` when it is gone."""
        cdef int32_t slot = slot_of(self, id)
        if slot < 0:
            return None
        if self.table[slot].ring == NULL:
            return None, self.table[slot].queued
        return self.table[slot].number, self.table[slot].queued

    def set_reading(self, uint64_t id, bint wanted):
        """Whether what the other side sends is reported; if not, its end closes at once."""
        cdef int32_t slot = slot_of(self, id)
        if slot < 0:
            return
        if wanted:
            self.table[slot].flags |= READING
        else:
            self.table[slot].flags &= ~READING
        if not self._watch(slot):
            PyErr_SetFromErrno(OSError)

    def set_deadline(self, uint64_t id, double seconds):
        """``DEADLINE`` is reported by the first ``sweep`` after that time; 0: none. 0.1 s fine."""
        cdef int32_t slot = slot_of(self, id)
        if slot < 0 or self.table[slot].flags & LINGERING:
            return
        if seconds <= 0:
            self.table[slot].deadline = 0
            return
        if seconds > 10_000_000:
            seconds = 10_000_000
        self._tell_time()
        self.table[slot].deadline = self.now + <uint32_t>(seconds * 10) + 1

    def close(self, uint64_t id):
        """Close at once; not reported."""
        cdef int32_t slot = slot_of(self, id)
        if slot >= 0:
            self._drop(slot)
            self._collect()

    def take(self):
        """The reports since the last call: a list of (id, kind), in order."""
        cdef Py_ssize_t i
        cdef list out
        if self.out_of_memory:
            self.out_of_memory = False
            raise MemoryError()
        if self.report_count == 0:
            return []
        out = [(self.reports[i].id, self.reports[i].kind) for i in range(self.report_count)]
        self.report_count = 0
        return out
