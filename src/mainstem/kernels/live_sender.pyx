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
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, EMFILE, ENFILE, EPROTO, errno
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset

from mainstem.kernels.live_ring cimport PHASES, Frame, Ring, RingCore, frame_start, release_ring
from mainstem.kernels.live_sockets cimport *

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
    POLLED = 256    # events handled per call of poll
    TAGS = 64
    BUCKETS = 66    # 0: time not known; 1 … 65: quarter octaves from 256 us
    LINGER_DECISECONDS = 20
    LINGER_BYTES = 1048576
    LONGEST_SEND = 1048576

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


def latency_bounds():
    """Upper bounds, in seconds, of the latency buckets; the last is infinity."""
    bounds = [(1 << (8 + i // 4)) * (1.25 + (i % 4) * 0.25) * 1e-6 for i in range(63)]
    return [256e-6, *bounds, float("inf")]


cdef inline int _bucket(int64_t us) noexcept nogil:
    cdef int octave = 0
    cdef int64_t rest
    if us < 256:
        return 1
    rest = us >> 8
    while rest > 1:
        rest >>= 1
        octave += 1
    if octave > 15:
        return BUCKETS - 1
    return 2 + octave * 4 + <int>((us >> (6 + octave)) & 3)


cdef inline int64_t _deciseconds() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 10 + now.tv_nsec // 100_000_000


cdef class Sender:
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

    cdef Connection* table
    cdef int32_t capacity
    cdef int32_t free_slot
    cdef int epoll
    cdef Report* reports
    cdef Py_ssize_t report_count, report_capacity
    cdef PyObject** garbage
    cdef Py_ssize_t garbage_count, garbage_capacity
    cdef RingCore** dirty
    cdef Py_ssize_t dirty_count, dirty_capacity
    cdef uint64_t[64][66] latency
    cdef uint64_t[64] represented_by
    cdef int64_t started
    cdef int64_t now_us
    cdef uint32_t now
    cdef bint out_of_memory
    cdef readonly int32_t connections
    cdef readonly uint64_t sends, bytes_sent, delivered, blocks, lapses
    cdef readonly bint exhausted
    cdef uint8_t next_phase

    def __cinit__(self):
        self.epoll = -1
        self.free_slot = -1
        self.started = _deciseconds() - 1
        memset(self.latency, 0, sizeof(self.latency))
        memset(self.represented_by, 0, sizeof(self.represented_by))
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
        while self.dirty_count > 0:
            self.dirty_count -= 1
            release_ring(self.dirty[self.dirty_count])
        if self.epoll >= 0:
            c_close(self.epoll)
        free(self.table)
        free(self.reports)
        free(self.garbage)
        free(self.dirty)

    # Bookkeeping ----------------------------------------------------------------------

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

    cdef inline uint64_t _id(self, int32_t slot) noexcept nogil:
        return (<uint64_t>self.table[slot].generation << 32) | <uint32_t>slot

    cdef inline int32_t _slot(self, uint64_t id) noexcept nogil:
        """The slot of a living connection, or -1."""
        cdef uint64_t slot = <uint32_t>id
        if slot >= <uint64_t>self.capacity or self.table[slot].fd < 0:
            return -1
        if self.table[slot].generation != <uint32_t>(id >> 32):
            return -1
        return <int32_t>slot

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
        self.reports[self.report_count].id = self._id(slot)
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

    # Sending --------------------------------------------------------------------------

    cdef void _count(self, RingCore* ring, uint64_t start, uint64_t end) noexcept nogil:
        cdef uint64_t mask = ring.frame_capacity - 1
        cdef uint64_t number
        cdef Frame* frame
        for number in range(start, end):
            frame = &ring.frames[number & mask]
            self.latency[frame.tag & (TAGS - 1)][
                _bucket(self.now_us - frame.stamp_us) if frame.stamp_us > 0 else 0
            ] += 1
            self.represented_by[frame.tag & (TAGS - 1)] += frame.represented
        ring.delivered += end - start
        self.delivered += end - start

    cdef bint _append_rest(self, Connection* connection, RingCore* ring, uint64_t start, uint64_t size) noexcept nogil:
        """Keep ``size`` bytes of the ring privately: the ring may forget them."""
        cdef Chunk* chunk = <Chunk*>malloc(sizeof(Chunk) + size)
        cdef char* out
        cdef uint64_t at = start & (ring.capacity - 1)
        cdef uint64_t before_wrap = ring.capacity - at
        if chunk == NULL:
            return False
        out = <char*>chunk + sizeof(Chunk)
        if size <= before_wrap:
            memcpy(out, ring.data + at, size)
        else:
            memcpy(out, ring.data + at, before_wrap)
            memcpy(out + before_wrap, ring.data, size - before_wrap)
        chunk.data = out
        chunk.size = <uint32_t>size
        chunk.sent = 0
        chunk.owner = NULL
        chunk.following = NULL
        connection.chunks = connection.last_chunk = chunk
        connection.queued = <uint32_t>size
        return True

    cdef ssize_t _send_ring(self, Connection* connection, RingCore* ring) noexcept nogil:
        """One send of all the connection has not had; -1 with errno as send(2)."""
        cdef uint64_t start = frame_start(ring, connection.number)
        cdef uint64_t size = ring.head - start
        cdef uint64_t at = start & (ring.capacity - 1)
        cdef uint64_t before_wrap = ring.capacity - at
        cdef msghdr message
        cdef iovec[2] parts
        if size > LONGEST_SEND:
            size = LONGEST_SEND
        if size <= before_wrap:
            return c_send(connection.fd, ring.data + at, size, MSG_DONTWAIT | MSG_NOSIGNAL)
        memset(&message, 0, sizeof(message))
        parts[0].iov_base = ring.data + at
        parts[0].iov_len = before_wrap
        parts[1].iov_base = ring.data
        parts[1].iov_len = size - before_wrap
        message.msg_iov = parts
        message.msg_iovlen = 2
        return c_sendmsg(connection.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)

    cdef bint _took(self, Connection* connection, RingCore* ring, uint64_t sent) noexcept nogil:
        """Account for ``sent`` bytes of the ring; False: no memory for the cut frame's rest."""
        cdef uint64_t end = frame_start(ring, connection.number) + sent
        cdef uint64_t low = connection.number
        cdef uint64_t high = ring.next
        cdef uint64_t middle
        if end == ring.head:
            low = ring.next
        else:
            while high - low > 1:  # the frame that holds the byte at `end`
                middle = (low + high) // 2
                if frame_start(ring, middle) <= end:
                    low = middle
                else:
                    high = middle
        self._count(ring, connection.number, low)
        connection.number = low
        if low < ring.next and frame_start(ring, low) < end:
            connection.number = low + 1
            if not self._append_rest(connection, ring, end, frame_start(ring, low + 1) - end):
                return False
            self._count(ring, low, low + 1)
        return True

    cdef bint _send_chunk(self, int32_t slot) noexcept nogil:
        """True: go on; False: stop here (blocked, lost)."""
        cdef Connection* connection = &self.table[slot]
        cdef Chunk* chunk = connection.chunks
        cdef ssize_t sent = c_send(
            connection.fd, chunk.data + chunk.sent, chunk.size - chunk.sent, MSG_DONTWAIT | MSG_NOSIGNAL
        )
        if sent < 0:
            return self._refused(slot)
        self.sends += 1
        self.bytes_sent += sent
        chunk.sent += <uint32_t>sent
        connection.queued -= <uint32_t>sent
        if chunk.sent < chunk.size:
            return True
        connection.chunks = chunk.following
        self._free_chunk(chunk)
        if connection.chunks == NULL:
            connection.last_chunk = NULL
            if connection.flags & NOTIFY:
                connection.flags &= ~NOTIFY
                self._report(slot, DRAINED_)
        return True

    cdef bint _refused(self, int32_t slot) noexcept nogil:
        """After a failed send: True to try again."""
        if errno == EINTR:
            return True
        if errno == EAGAIN:
            self.table[slot].flags |= BLOCKED
            self.table[slot].blocked_at = self.now
            self.blocks += 1
            return False
        self._lost(slot, CLOSED_)
        return False

    cdef void _pump(self, int32_t slot) noexcept nogil:
        """Send what there is for this connection until there is no more, or no room."""
        cdef Connection* connection = &self.table[slot]
        cdef RingCore* ring
        cdef ssize_t sent
        while True:
            if connection.chunks != NULL:
                if not self._send_chunk(slot):
                    return
                continue
            if connection.flags & FINISHING:
                self._half_close(slot)
                return
            ring = connection.ring
            if ring == NULL or connection.number == ring.next or connection.flags & BEHIND:
                return
            if connection.number < ring.first:
                connection.flags |= BEHIND
                self.lapses += 1
                self._report(slot, LAPPED_)
                return
            sent = self._send_ring(connection, ring)
            if sent < 0:
                if not self._refused(slot):
                    return
                continue
            self.sends += 1
            ring.sends += 1
            self.bytes_sent += sent
            if not self._took(connection, ring, sent):
                self._lost(slot, CLOSED_)
                return

    cdef void _half_close(self, int32_t slot) noexcept nogil:
        # Closing with unread input would send RST and could take the last bytes with it.
        cdef Connection* connection = &self.table[slot]
        self._unlink(connection, slot)
        if c_shutdown(connection.fd, SHUT_WR) < 0:
            self._lost(slot, CLOSED_)
            return
        connection.flags = LINGERING
        connection.number = 0
        connection.deadline = self.now + LINGER_DECISECONDS
        if not self._watch(slot):
            self._lost(slot, CLOSED_)

    cdef bint _watch(self, int32_t slot) noexcept nogil:
        cdef Connection* connection = &self.table[slot]
        cdef epoll_event event
        event.events = <uint32_t>EPOLLOUT | <uint32_t>EPOLLRDHUP | EPOLLET
        if connection.flags & (READING | LINGERING):
            event.events |= <uint32_t>EPOLLIN
        event.data.u64 = self._id(slot)
        return epoll_ctl(self.epoll, EPOLL_CTL_MOD, connection.fd, &event) == 0

    cdef void _discard(self, int32_t slot) noexcept nogil:
        """A lingering connection: read and forget, until the other side's end."""
        cdef Connection* connection = &self.table[slot]
        cdef ssize_t got
        while connection.number <= LINGER_BYTES:
            got = c_recv(connection.fd, NULL, LINGER_BYTES + 1, MSG_DONTWAIT | MSG_TRUNC)
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

    cdef inline void _tell_time(self) noexcept nogil:
        self.now_us = clock_us(CLOCK_REALTIME)
        self.now = <uint32_t>(_deciseconds() - self.started)

    cdef void _flush_phase(self, RingCore* ring, int phase) noexcept nogil:
        cdef int32_t slot = ring.heads[phase]
        cdef int32_t following
        cdef int count = 0
        ring.flushed[phase] = ring.head
        while slot >= 0:
            following = self.table[slot].following
            if not self.table[slot].flags & BLOCKED:
                self._pump(slot)
                count += 1
                if count & 63 == 0:
                    self.now_us = clock_us(CLOCK_REALTIME)
            slot = following

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
        event.data.u64 = self._id(slot)
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
        return self._id(slot)

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
        cdef int32_t slot = self._slot(id)
        cdef char[16384] small
        cdef ssize_t got
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
        cdef int32_t slot = self._slot(id)
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
        slot = self._slot(id)
        return -1 if slot < 0 else self.table[slot].queued

    def attach(self, uint64_t id, Ring ring not None, uint64_t number):
        """Let the connection read ``ring`` from frame ``number`` on, after its private bytes.

        False when the ring no longer holds that frame, or the connection is gone.
        """
        cdef int32_t slot = self._slot(id)
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
        cdef int32_t slot = self._slot(id)
        cdef uint64_t number
        if slot < 0 or self.table[slot].ring == NULL:
            return None
        number = self.table[slot].number
        self._unlink(&self.table[slot], slot)
        self.table[slot].flags &= ~BEHIND
        return number

    def position(self, uint64_t id):
        """(next frame wanted or ``None``, private bytes queued); ``None`` when it is gone."""
        cdef int32_t slot = self._slot(id)
        if slot < 0:
            return None
        if self.table[slot].ring == NULL:
            return None, self.table[slot].queued
        return self.table[slot].number, self.table[slot].queued

    def set_reading(self, uint64_t id, bint wanted):
        """Whether what the other side sends is reported; if not, its end closes at once."""
        cdef int32_t slot = self._slot(id)
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
        cdef int32_t slot = self._slot(id)
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
        cdef int32_t slot = self._slot(id)
        if slot >= 0:
            self._drop(slot)
            self._collect()

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
            count = epoll_wait(self.epoll, events, POLLED, 0)
            for i in range(count):
                slot = self._slot(events[i].data.u64)
                if slot >= 0:
                    self._event(slot, events[i].events)
        self._collect()
        return count == POLLED

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

    def counts(self, int tag):
        """(latency counts per bucket, records represented) of one tag, since the start.

        The first bucket holds frames without a time; the others match ``latency_bounds()``.
        """
        cdef int i
        if tag < 0 or tag >= TAGS:
            raise ValueError(f"tag {tag} of {TAGS}")
        return [self.latency[tag][i] for i in range(BUCKETS)], self.represented_by[tag]
