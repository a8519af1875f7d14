"""A load generator for streams of events: thousands of viewers in one epoll loop, GIL released.

A viewer connects, sends its request and reads for ever. Every event of the load carries, in its
payload, the marker ``"sent":MICROSECONDS,"seq":NUMBER``: the generator finds it whatever the
server wraps around it (server-sent events, chunks, WebSocket frames, JSON envelopes), so that all
servers are counted in the same way. From it come the number of events, the latency from send to
receipt, and an audit: in the stream of one viewer ``seq`` has to rise by one.

With ``resuming`` the lines of server-sent events are read as well: a viewer that lost its
connection comes back with ``Last-Event-ID``, and ``event: reset`` allows one jump.

Not thread-safe: one thread drives a ``Load``; several processes share a big load.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EAGAIN, EINPROGRESS, EINTR, errno
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memchr, memcmp, memcpy, memset

from mainstem.kernels.live_sockets cimport *

cdef extern from "string.h" nogil:
    void* memmem(const void* text, size_t size, const void* wanted, size_t wanted_size)

cdef enum:
    IDLE = 0
    CONNECTING = 1
    HEAD = 2
    FOUND = 3           # the status is good, the head goes on
    STREAMING = 4
    CARRY = 96          # bytes of a cut marker kept for the next read
    ID = 160            # longest id of an event that is remembered
    CHUNK = 65536
    EVENTS = 512
    NAP_NS = 500000
    BUCKETS = 1024      # 16 per octave of microseconds
    BIND_ADDRESS_NO_PORT = 24

cdef struct Viewer:
    int32_t fd
    uint8_t state
    uint8_t may_jump        # an explicit reset was told
    uint8_t carried
    uint8_t id_size
    int64_t seq             # of the last event; -1: none yet
    int64_t events
    char carry[CARRY]

cdef struct Totals:
    int64_t connected, refused, closed, events, bytes, reads, gaps, doubles, resets, resumed
    int64_t malformed


cdef inline int _bucket(int64_t us) noexcept nogil:
    cdef int octave = 0
    if us < 16:
        return <int> us if us > 0 else 0
    while us >= 32:
        us >>= 1
        octave += 1
    return 16 * octave + <int> us       # us is 16 … 31 here


def bucket_bound(int bucket):
    """Upper bound of a bucket of the latency histogram, in microseconds."""
    if bucket < 32:
        return bucket + 1
    return (bucket % 16 + 17) << (bucket // 16 - 1)


cdef class Load:
    """Viewers of one server. ``request`` holds everything up to, not with, the last empty line.

    :param greeting: bytes to send once the head of the answer is there: a WebSocket's first frame.
    :param source: the local address to connect from; about 28,000 ports each.
    :param receive_buffer: SO_RCVBUF of each socket in bytes; 0 leaves the system's.
    :raises OSError: where the system refuses a socket.
    """

    cdef Viewer* viewers
    cdef char* ids              # ID bytes a viewer, with ``resuming`` only
    cdef char* buffer
    cdef int32_t count, opened
    cdef int epoll
    cdef bint has_epoll
    cdef sockaddr_in server, source
    cdef bytes request, greeting
    cdef const char* asked      # the request's bytes
    cdef Py_ssize_t asked_size
    cdef const char* greeted
    cdef Py_ssize_t greeted_size
    cdef int receive_buffer
    cdef bint resuming, audited, reconnecting
    cdef Totals totals
    cdef int64_t histogram[BUCKETS]

    def __cinit__(
        self, str host not None, int port, int count, bytes request not None, *,
        str source not None="127.0.0.1", bytes greeting not None=b"", bint resuming=False,
        bint audited=True, int receive_buffer=0,
    ):
        if count < 1:
            raise ValueError(f"count is {count}: at least one viewer")
        self.count = count
        self.opened = 0
        if len(request) > 3500:
            raise ValueError(f"the request has {len(request)} bytes: at most 3,500")
        self.request = request
        self.asked = PyBytes_AS_STRING(request)
        self.asked_size = PyBytes_GET_SIZE(request)
        self.greeting = greeting
        self.greeted = PyBytes_AS_STRING(greeting)
        self.greeted_size = PyBytes_GET_SIZE(greeting)
        self.resuming = resuming
        self.reconnecting = resuming
        self.audited = audited
        self.receive_buffer = receive_buffer
        self._address(&self.server, host, port)
        self._address(&self.source, source, 0)
        self.viewers = <Viewer*> calloc(count, sizeof(Viewer))
        if self.viewers == NULL:
            raise MemoryError
        cdef int each
        for each in range(count):       # first of all: what is not -1 is closed in the end
            self.viewers[each].fd = -1
            self.viewers[each].seq = -1
        self.buffer = <char*> malloc(CHUNK + CARRY)
        self.ids = <char*> calloc(count, ID) if resuming else NULL
        if self.buffer == NULL or (resuming and self.ids == NULL):
            raise MemoryError
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll < 0:
            PyErr_SetFromErrno(OSError)
        self.has_epoll = True

    cdef int _address(self, sockaddr_in* out, str host, int port) except -1:
        memset(out, 0, sizeof(sockaddr_in))
        out.sin_family = AF_INET
        out.sin_port = htons(port)
        if inet_pton(AF_INET, host.encode(), &out.sin_addr) != 1:
            raise ValueError(f"{host!r} is no IPv4 address")
        return 0

    def __dealloc__(self):
        cdef int each
        if self.viewers != NULL:
            for each in range(self.count):
                if self.viewers[each].fd >= 0:
                    c_close(self.viewers[each].fd)
        if self.has_epoll:      # not so where an argument was refused: 0 would be standard input
            c_close(self.epoll)
        free(self.viewers)
        free(self.buffer)
        free(self.ids)

    # -- connecting --------------------------------------------------------------------------

    def connect(self, int wanted):
        """Open up to ``wanted`` of the viewers that are not connected; says how many it began.

        Call ``run`` in between, so that the server's backlog is not outrun.
        """
        cdef int begun = 0, looked = 0
        while begun < wanted and looked < self.count:
            if self.viewers[self.opened].state == IDLE:
                if self._open(self.opened) < 0:
                    PyErr_SetFromErrno(OSError)
                begun += 1
            self.opened = (self.opened + 1) % self.count
            looked += 1
        return begun

    cdef int _open(self, int each) noexcept nogil:
        cdef Viewer* viewer = &self.viewers[each]
        cdef epoll_event event
        cdef int one = 1
        cdef int fd = c_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
        if fd < 0:
            return -1
        setsockopt(fd, IPPROTO_IP, BIND_ADDRESS_NO_PORT, &one, sizeof(one))
        if self.receive_buffer:
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &self.receive_buffer, sizeof(int))
        if c_bind(fd, <sockaddr*> &self.source, sizeof(sockaddr_in)) < 0 or (
            c_connect(fd, <sockaddr*> &self.server, sizeof(sockaddr_in)) < 0
            and errno != EINPROGRESS
        ):
            c_close(fd)
            return -1
        event.events = EPOLLOUT
        event.data.u64 = each
        epoll_ctl(self.epoll, EPOLL_CTL_ADD, fd, &event)
        viewer.fd = fd
        viewer.state = CONNECTING
        viewer.carried = 0
        return 0

    cdef void _drop(self, int each) noexcept nogil:
        cdef Viewer* viewer = &self.viewers[each]
        c_close(viewer.fd)      # closing takes it out of the epoll set
        viewer.fd = -1
        viewer.state = IDLE

    cdef void _ask(self, int each) noexcept nogil:
        cdef Viewer* viewer = &self.viewers[each]
        cdef epoll_event event
        cdef int failure = 0
        cdef unsigned int size = sizeof(failure)
        cdef char request[4096]
        cdef Py_ssize_t length = self.asked_size
        getsockopt(viewer.fd, SOL_SOCKET, SO_ERROR, &failure, &size)
        if failure:
            self.totals.refused += 1
            self._drop(each)
            return
        memcpy(request, self.asked, length)
        if self.resuming and viewer.id_size:
            memcpy(request + length, b"Last-Event-ID: ", 15)
            length += 15
            memcpy(request + length, self.ids + <size_t> each * ID, viewer.id_size)
            length += viewer.id_size
            memcpy(request + length, b"\r\n", 2)
            length += 2
        memcpy(request + length, b"\r\n", 2)
        length += 2
        if c_send(viewer.fd, request, length, MSG_NOSIGNAL) != length:
            self.totals.refused += 1
            self._drop(each)
            return
        viewer.state = HEAD
        event.events = <uint32_t> (EPOLLIN | EPOLLRDHUP) | EPOLLET
        event.data.u64 = each
        epoll_ctl(self.epoll, EPOLL_CTL_MOD, viewer.fd, &event)

    # -- reading -----------------------------------------------------------------------------

    def run(self, double seconds, int64_t until_events=0, bint until_connected=False):
        """Read until the time is over, or that many events came, or every viewer has its head.

        Between two looks at the sockets it naps for NAP_NS: were it asleep in epoll_wait, every
        send of a server on the same machine would pay for waking it.
        """
        cdef epoll_event events[EVENTS]
        cdef timespec nap
        nap.tv_sec, nap.tv_nsec = 0, NAP_NS
        cdef int64_t now = clock_us(CLOCK_MONOTONIC)
        cdef int64_t end = now + <int64_t> (seconds * 1e6)
        cdef int got, each, wait
        with nogil:
            while now < end:
                wait = <int> ((end - now) // 1000) + 1
                got = epoll_wait(self.epoll, events, EVENTS, wait if wait < 100 else 100)
                for each in range(got):
                    self._serve(<int> events[each].data.u64, events[each].events)
                if until_events and self.totals.events >= until_events:
                    break
                if until_connected and self._streaming() == self.count:
                    break
                if 0 < got < EVENTS:
                    nanosleep(&nap, NULL)
                now = clock_us(CLOCK_MONOTONIC)

    cdef int _streaming(self) noexcept nogil:
        cdef int found = 0, each
        for each in range(self.count):
            found += self.viewers[each].state == STREAMING
        return found

    cdef void _serve(self, int each, uint32_t happened) noexcept nogil:
        if self.viewers[each].fd < 0:
            return
        if self.viewers[each].state == CONNECTING:
            self._ask(each)
            return
        # A short read has emptied the socket, but behind it the end of the stream may wait.
        cdef bint ended = happened & <uint32_t> (EPOLLERR | EPOLLHUP | EPOLLRDHUP) != 0
        cdef int left = 1
        while left > 0 or (left == 0 and ended):
            left = self._read(each)

    cdef int _read(self, int each) noexcept nogil:
        """One read: 1 when there may be more, 0 when not, -1 when this connection is over."""
        cdef Viewer* viewer = &self.viewers[each]
        cdef char* start = self.buffer + CARRY - viewer.carried
        cdef ssize_t got
        memcpy(start, viewer.carry, viewer.carried)
        got = c_recv(viewer.fd, self.buffer + CARRY, CHUNK, 0)
        if got < 0 and (errno == EAGAIN or errno == EINTR):
            return errno == EINTR
        if got <= 0:
            if viewer.state == STREAMING:
                self.totals.closed += 1
            else:
                self.totals.refused += 1
            self._drop(each)
            if self.reconnecting:
                self._open(each)
            return -1
        self.totals.bytes += got
        self.totals.reads += 1
        self._take(each, start, got + viewer.carried)
        return -1 if viewer.fd < 0 else got == CHUNK

    cdef void _take(self, int each, char* data, Py_ssize_t size) noexcept nogil:
        cdef Viewer* viewer = &self.viewers[each]
        cdef Py_ssize_t used = 0
        cdef char* found
        if viewer.state == HEAD and size >= 12:
            # 200 for a stream, 101 for a WebSocket
            if memcmp(data, b"HTTP/1.1 200", 12) != 0 and memcmp(data, b"HTTP/1.1 101", 12) != 0:
                self.totals.refused += 1
                self._drop(each)
                return
            viewer.state = FOUND
        if viewer.state != STREAMING:
            found = <char*> memmem(data, size, b"\r\n\r\n", 4)
            if found == NULL or viewer.state == HEAD:
                self._keep(viewer, data, size)
                return
            viewer.state = STREAMING
            self.totals.connected += 1
            if self.greeted_size:
                c_send(viewer.fd, self.greeted, self.greeted_size, MSG_NOSIGNAL)
            used = found + 4 - data
        if self.resuming:
            used += self._lines(each, data + used, size - used)
        else:
            used += self._markers(viewer, data + used, size - used)
        self._keep(viewer, data + used, size - used)

    cdef void _keep(self, Viewer* viewer, char* rest, Py_ssize_t size) noexcept nogil:
        if size > CARRY:
            # The end of a head or line longer than this is all that matters
            rest += size - CARRY
            size = CARRY
        memcpy(viewer.carry, rest, size)
        viewer.carried = <uint8_t> size

    cdef Py_ssize_t _markers(self, Viewer* viewer, char* data, Py_ssize_t size) noexcept nogil:
        """Counts the markers; answers how many bytes are done with."""
        cdef int64_t now = clock_us(CLOCK_REALTIME)
        cdef char* at = data
        cdef char* end = data + size
        cdef char* found
        cdef char* place
        cdef int64_t sent, seq
        while True:
            found = <char*> memmem(at, end - at, b'"sent":', 7)
            if found == NULL:
                return max(at - data, size - 6)
            place = found + 7
            sent = _digits(&place, end)
            if end - place >= 7 and memcmp(place, b',"seq":', 7) == 0:
                place += 7
                seq = _digits(&place, end)
            elif end - found < 60:
                return found - data         # cut: wait for the rest
            else:
                self.totals.malformed += 1
                at = place
                continue
            if place == end:
                return found - data
            self._event(viewer, sent, seq, now)
            at = place

    cdef inline void _event(self, Viewer* viewer, int64_t sent, int64_t seq, int64_t now) noexcept nogil:
        self.totals.events += 1
        viewer.events += 1
        self.histogram[min(_bucket(now - sent), BUCKETS - 1)] += 1
        if self.audited and viewer.seq >= 0 and seq != viewer.seq + 1 and not viewer.may_jump:
            if seq <= viewer.seq:
                self.totals.doubles += 1
            else:
                self.totals.gaps += 1
        viewer.may_jump = 0
        viewer.seq = seq

    cdef Py_ssize_t _lines(self, int each, char* data, Py_ssize_t size) noexcept nogil:
        """Reads whole lines of server-sent events; an unfinished one waits, if it is short."""
        cdef Viewer* viewer = &self.viewers[each]
        cdef char* at = data
        cdef char* end = data + size
        cdef char* stop
        cdef Py_ssize_t length
        while at < end:
            stop = <char*> memchr(at, c'\n', end - at)
            if stop == NULL:
                if end - at > CARRY:        # a long line: its marker comes first or not at all
                    return (at - data) + self._markers(viewer, at, end - at)
                return at - data
            length = stop - at
            if length >= 4 and memcmp(at, b"id: ", 4) == 0 and length - 4 < ID:
                memcpy(self.ids + <size_t> each * ID, at + 4, length - 4)
                viewer.id_size = <uint8_t> (length - 4)
            elif length == 12 and memcmp(at, b"event: reset", 12) == 0:
                self.totals.resets += 1
                viewer.may_jump = 1
            elif length == 14 and memcmp(at, b"event: resumed", 14) == 0:
                self.totals.resumed += 1
            else:
                self._markers(viewer, at, length + 1)
            at = stop + 1
        return size

    # -- from outside ------------------------------------------------------------------------

    def drop(self, list which):
        """Close these viewers at once, as a phone in a tunnel does; they come back with ``connect``."""
        cdef int each
        for each in which:
            if not 0 <= each < self.count:
                raise IndexError(f"viewer {each} of {self.count}")
            if self.viewers[each].fd >= 0:
                self._drop(each)

    def set_reconnecting(self, bint wanted):
        """Whether a viewer whose connection ended comes back by itself (needs ``resuming``)."""
        self.reconnecting = wanted and self.resuming

    def clear(self):
        """Forget what was counted; the places of the audit stay."""
        memset(&self.totals, 0, sizeof(Totals))
        memset(self.histogram, 0, sizeof(self.histogram))

    @property
    def streaming(self):
        """How many viewers have received the head of their stream."""
        return self._streaming()

    @property
    def counted(self):
        """What was counted since the last ``clear``, by name."""
        return dict(self.totals)

    @property
    def latency(self):
        """Counts by bucket: see ``bucket_bound``."""
        return [self.histogram[each] for each in range(BUCKETS)]

    @property
    def sequence(self):
        """The last ``seq`` of each viewer; -1 where none came."""
        return [self.viewers[each].seq for each in range(self.count)]


cdef inline int64_t _digits(char** place, char* end) noexcept nogil:
    cdef int64_t value = 0
    cdef char* at = place[0]
    while at < end and c'0' <= at[0] <= c'9':
        value = value * 10 + (at[0] - c'0')
        at += 1
    place[0] = at
    return value
