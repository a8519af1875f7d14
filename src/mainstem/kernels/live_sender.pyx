"""Thousands of sockets and the rings they read: one 64-byte struct each, no Python per send.

A connection is first private (bytes queued for it alone: answers, snapshots, a replay), then a
reader of a ring: the number of the next frame it wants. ``flush`` walks the readers of rings
with news and sends with the GIL released; a socket that is full waits for its edge in the
sender's own epoll, whose descriptor an event loop watches. A frame cut by a full socket is
finished from a private copy, so a reader always stands between two frames.

Connections are named by an id that is never used twice while the process lives (slot and
generation); every call with the id of a connection that is gone is ignored. Not thread-safe.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, EMFILE, ENFILE, EPROTO, errno
from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memset

from mainstem.kernels.live_connections cimport *
from mainstem.kernels.live_pump cimport TAGS, Pump
from mainstem.kernels.live_ring cimport PHASES, Ring, RingCore, release_ring
from mainstem.kernels.live_sockets cimport *

cdef enum:
    _POLLED = 256           # events handled per call of poll
    _LINGER_BYTES = 1048576


cdef class Sender(Pump):
    """See the module. ``READABLE`` … ``STALLED`` are the kinds of report ``take`` returns."""

    READABLE = READABLE_    # there is input, or its end: `read`
    CLOSED = CLOSED_        # it is gone; so is its id
    LAPPED = LAPPED_        # its ring forgot the frame it wants: `attach` it anew, or close
    DRAINED = DRAINED_      # the private bytes asked about are in the socket
    DEADLINE = DEADLINE_    # the time set by `set_deadline` has come
    STALLED = STALLED_      # as CLOSED, by `sweep`: its socket stayed full
    PHASE_COUNT = PHASES
    TAG_COUNT = TAGS
    CONNECTION_BYTES = sizeof(Connection)

    cdef RingCore** dirty
    cdef Py_ssize_t dirty_count, dirty_capacity
    cdef readonly bint exhausted

    def __dealloc__(self):
        while self.dirty_count > 0:
            self.dirty_count -= 1
            release_ring(self.dirty[self.dirty_count])
        free(self.dirty)

    cdef void _discard(self, int32_t slot) noexcept nogil:
        """A lingering connection: read and forget, until the other side's end."""
        cdef Connection* connection = &self.table[slot]
        cdef ssize_t got
        while connection.number <= _LINGER_BYTES:
            got = c_recv(connection.fd, NULL, _LINGER_BYTES + 1, MSG_DONTWAIT | MSG_TRUNC)
            if got == 0 or (got < 0 and errno != EAGAIN and errno != EINTR):
                self._lost(slot, CLOSED_)
                return
            if got < 0:
                return
            connection.number += <uint64_t>got
        self._lost(slot, CLOSED_)  # still talking after so much: cut

    cdef void _event(self, int32_t slot, uint32_t events) noexcept nogil:
        cdef Connection* connection = &self.table[slot]
        if events & (<uint32_t>EPOLLERR | <uint32_t>EPOLLHUP):
            self._lost(slot, CLOSED_)
            return
        if connection.flags & LINGERING:
            if events & (<uint32_t>EPOLLIN | <uint32_t>EPOLLRDHUP):
                self._discard(slot)
            return
        if events & (<uint32_t>EPOLLIN | <uint32_t>EPOLLRDHUP):
            if connection.flags & READING:
                self._report(slot, READABLE_)
            elif events & <uint32_t>EPOLLRDHUP:
                self._lost(slot, CLOSED_)
                return
        if events & <uint32_t>EPOLLOUT and connection.flags & BLOCKED:
            connection.flags &= ~BLOCKED
            self._pump(slot)

    # What Python calls ----------------------------------------------------------------

    def accept(self, int listener, int limit=64):
        """Accept up to ``limit`` connections: a list of (id, address as text).

        ``exhausted`` is set when the process is out of descriptors: pause before the next call.
        """
        cdef sockaddr_storage address
        cdef unsigned int size
        cdef char[64] text
        cdef int fd
        cdef list accepted = []
        self.exhausted = False
        while len(accepted) < limit:
            size = sizeof(address)
            memset(&address, 0, sizeof(address))
            fd = c_accept4(listener, <sockaddr*>&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd < 0:
                if errno == EMFILE or errno == ENFILE:
                    self.exhausted = True
                    break
                if errno == EAGAIN:
                    break
                if errno == EINTR or errno == ECONNABORTED or errno == EPROTO:
                    continue
                PyErr_SetFromErrno(OSError)
            text[0] = 0
            if address.ss_family == AF_INET:
                inet_ntop(AF_INET, &(<sockaddr_in*>&address).sin_addr, text, sizeof(text))
            elif address.ss_family == AF_INET6:
                inet_ntop(AF_INET6, &(<sockaddr_in6*>&address).sin6_addr, text, sizeof(text))
            try:
                accepted.append((self.add(fd), (<bytes>text).decode("ascii")))
            except OSError:
                c_close(fd)
        return accepted

    def read(self, uint64_t id, Py_ssize_t limit=65536):
        """Bytes from the socket; ``b""`` at its end; ``None`` when there is nothing now."""
        cdef int32_t slot = slot_of(self, id)
        cdef char[16384] small
        cdef ssize_t got
        if limit < 1:
            raise ValueError(f"a read of {limit} bytes: at least 1")
        if slot < 0:
            return b""
        if limit > 16384:
            limit = 16384
        while True:
            got = c_recv(self.table[slot].fd, small, limit, MSG_DONTWAIT)
            if got >= 0:
                return PyBytes_FromStringAndSize(small, got)
            if errno == EINTR:
                continue
            return None if errno == EAGAIN else b""

    def write(self, uint64_t id, bytes data not None, bint finish=False, bint notify=False):
        """Queue private bytes, ahead of the ring's next frame, and send what fits now.

        ``finish``: close once they are sent. ``notify``: report ``DRAINED`` then. Returns the
        private bytes still queued; -1 when the connection is gone.
        """
        cdef int32_t slot = slot_of(self, id)
        cdef Connection* connection
        cdef Chunk* chunk
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        if slot < 0:
            return -1
        connection = &self.table[slot]
        if connection.flags & (FINISHING | LINGERING):
            return connection.queued
        if size > 1 << 30 or connection.queued + size > 1 << 30:
            raise ValueError(f"{size} private bytes on top of {connection.queued}")
        if size > 0:
            chunk = <Chunk*>malloc(sizeof(Chunk))
            if chunk == NULL:
                raise MemoryError()
            chunk.data = PyBytes_AS_STRING(data)
            chunk.size = <uint32_t>size
            chunk.sent = 0
            chunk.following = NULL
            chunk.owner = <PyObject*>data
            Py_INCREF(data)
            if connection.last_chunk == NULL:
                connection.chunks = chunk
            else:
                connection.last_chunk.following = chunk
            connection.last_chunk = chunk
            connection.queued += <uint32_t>size
        if finish:
            connection.flags |= FINISHING
        if notify:
            if connection.chunks == NULL:
                self._report(slot, DRAINED_)
            else:
                connection.flags |= NOTIFY
        self._tell_time()
        if not connection.flags & BLOCKED:
            self._pump(slot)
        self._collect()
        slot = slot_of(self, id)
        return -1 if slot < 0 else self.table[slot].queued

    def attach(self, uint64_t id, Ring ring not None, uint64_t number):
        """Let the connection read ``ring`` from frame ``number`` on, after its private bytes.

        False when the ring no longer holds that frame, or the connection is gone.
        """
        cdef int32_t slot = slot_of(self, id)
        cdef Connection* connection
        cdef RingCore* core = ring.core
        if number < core.first or number > core.next or slot < 0:
            return False
        connection = &self.table[slot]
        if connection.flags & (FINISHING | LINGERING):
            return False
        self._unlink(connection, slot)
        connection.ring = core
        connection.number = number
        connection.flags &= ~BEHIND
        connection.previous = -1
        connection.following = core.heads[connection.phase]
        if connection.following >= 0:
            self.table[connection.following].previous = slot
        core.heads[connection.phase] = slot
        core.viewers += 1
        core.references += 1
        self._tell_time()
        if not connection.flags & BLOCKED:
            self._pump(slot)
        self._collect()
        return True

    def detach(self, uint64_t id):
        """Take the connection off its ring; returns the number of the next frame it wants.

        What was cut in the middle is finished from its private copy. ``None``: it had no ring.
        """
        cdef int32_t slot = slot_of(self, id)
        cdef uint64_t number
        if slot < 0 or self.table[slot].ring == NULL:
            return None
        number = self.table[slot].number
        self._unlink(&self.table[slot], slot)
        self.table[slot].flags &= ~BEHIND
        return number

    def mark(self, Ring ring not None):
        """The ring has news: the next flush of each phase visits its readers.

        True when a phase has not been flushed for half the ring: ``flush_ring`` it now, or
        readers who are not slow at all will be lapped.
        """
        cdef RingCore* core = ring.core
        cdef Py_ssize_t grown
        cdef RingCore** dirty
        cdef int phase
        if core.unflushed == 0:
            if self.dirty_count == self.dirty_capacity:
                grown = 64 if self.dirty_capacity == 0 else self.dirty_capacity * 2
                dirty = <RingCore**>realloc(self.dirty, grown * sizeof(RingCore*))
                if dirty == NULL:
                    raise MemoryError()
                self.dirty = dirty
                self.dirty_capacity = grown
            self.dirty[self.dirty_count] = core
            self.dirty_count += 1
            core.references += 1
        core.unflushed = (1 << PHASES) - 1
        for phase in range(PHASES):
            if core.head - core.flushed[phase] > core.capacity // 2:
                return True
        return False

    def flush_ring(self, Ring ring not None):
        """Send to all readers of one ring at once."""
        cdef RingCore* core = ring.core
        cdef int phase
        with nogil:
            self._tell_time()
            for phase in range(PHASES):
                self._flush_phase(core, phase)
        self._collect()

    def flush(self, int phase):
        """Send to the readers of one phase of all marked rings; True while any is marked."""
        cdef Py_ssize_t i, kept = 0
        cdef RingCore* ring
        if phase < 0 or phase >= PHASES:
            raise ValueError(f"phase {phase} of {PHASES}")
        with nogil:
            self._tell_time()
            for i in range(self.dirty_count):
                ring = self.dirty[i]
                if ring.unflushed & (1 << phase):
                    self._flush_phase(ring, phase)
                    ring.unflushed &= ~(1 << phase)
                if ring.unflushed != 0:
                    self.dirty[kept] = ring
                    kept += 1
                else:
                    release_ring(ring)
            self.dirty_count = kept
        self._collect()
        return kept > 0

    def poll(self):
        """Handle what epoll has for us, without waiting; True if there may be more."""
        cdef epoll_event[256] events
        cdef int count, i
        cdef int32_t slot
        with nogil:
            self._tell_time()
            count = epoll_wait(self.epoll, events, _POLLED, 0)
            for i in range(count):
                slot = slot_of(self, events[i].data.u64)
                if slot >= 0:
                    self._event(slot, events[i].events)
        self._collect()
        return count == _POLLED

    def sweep(self, double stalled_seconds):
        """Look at every connection's clock: deadlines, and sockets full for too long."""
        cdef int32_t slot
        cdef uint32_t patience = <uint32_t>(stalled_seconds * 10)
        cdef Connection* connection
        with nogil:
            self._tell_time()
            for slot in range(self.capacity):
                connection = &self.table[slot]
                if connection.fd < 0:
                    continue
                if connection.deadline != 0 and connection.deadline <= self.now:
                    connection.deadline = 0
                    if connection.flags & LINGERING:
                        self._lost(slot, CLOSED_)
                        continue
                    self._report(slot, DEADLINE_)
                if connection.flags & BLOCKED and self.now - connection.blocked_at >= patience:
                    self._lost(slot, STALLED_)
        self._collect()
