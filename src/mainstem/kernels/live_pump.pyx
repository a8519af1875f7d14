"""The sending loop: private bytes first, then the ring, until there is no more or no room.

A frame cut by a full socket is finished from a private copy, so a reader always stands between
two frames. Nothing here touches Python; what a reader got is counted per tag, with its latency.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport malloc
from libc.string cimport memcpy, memset

from mainstem.kernels.live_connections cimport *
from mainstem.kernels.live_ring cimport Frame, frame_start
from mainstem.kernels.live_sockets cimport *

cdef enum:
    _LINGER_DECISECONDS = 20
    _LONGEST_SEND = 1048576


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


cdef class Pump(Connections):
    """Connections that are sent to."""

    def __cinit__(self):
        memset(self.latency, 0, sizeof(self.latency))
        memset(self.represented_by, 0, sizeof(self.represented_by))

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
        if size > _LONGEST_SEND:
            size = _LONGEST_SEND
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
        connection.deadline = self.now + _LINGER_DECISECONDS
        if not self._watch(slot):
            self._lost(slot, CLOSED_)

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

    def counts(self, int tag):
        """(latency counts per bucket, records represented) of one tag, since the start.

        The first bucket holds frames without a time; the others match ``latency_bounds()``.
        """
        cdef int i
        if tag < 0 or tag >= TAGS:
            raise ValueError(f"tag {tag} of {TAGS}")
        return [self.latency[tag][i] for i in range(BUCKETS)], self.represented_by[tag]
