"""A byte ring of pre-framed messages with absolute frame numbers: what all viewers of one
subscription set are sent, kept once.

Frames are numbered 0, 1, 2 … for ever; the ring holds ``first <= n < next``. Bytes lie at
``position & (capacity - 1)``. Not thread-safe: the sender reads it without the GIL, so the
thread that flushes is the only one that may append.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy

cdef enum:
    SMALLEST = 1024
    FEWEST_FRAMES = 16


cdef void release_ring(RingCore* ring) noexcept nogil:
    ring.references -= 1
    if ring.references == 0:
        free(ring.data)
        free(ring.frames)
        free(ring.tails)
        free(ring)


cdef void _copy_out(RingCore* ring, uint64_t start, uint64_t size, unsigned char* out) noexcept nogil:
    cdef uint64_t at = start & (ring.capacity - 1)
    cdef uint64_t before_wrap = ring.capacity - at
    if size <= before_wrap:
        memcpy(out, ring.data + at, size)
    else:
        memcpy(out, ring.data + at, before_wrap)
        memcpy(out + before_wrap, ring.data, size - before_wrap)


cdef void put_bytes(RingCore* ring, uint64_t start, uint64_t size, const unsigned char* source) noexcept nogil:
    cdef uint64_t at = start & (ring.capacity - 1)
    cdef uint64_t before_wrap = ring.capacity - at
    if size <= before_wrap:
        memcpy(ring.data + at, source, size)
    else:
        memcpy(ring.data + at, source, before_wrap)
        memcpy(ring.data, source + before_wrap, size - before_wrap)


cdef bint _grow_bytes(RingCore* ring) noexcept nogil:
    cdef uint64_t start = frame_start(ring, ring.first)
    cdef uint64_t held = ring.head - start
    cdef unsigned char* grown = <unsigned char*>malloc(ring.capacity * 2)
    cdef unsigned char* flat
    cdef uint64_t at, before_wrap
    if grown == NULL:
        return False
    flat = <unsigned char*>malloc(held if held > 0 else 1)
    if flat == NULL:
        free(grown)
        return False
    _copy_out(ring, start, held, flat)
    free(ring.data)
    ring.data = grown
    ring.capacity *= 2
    put_bytes(ring, start, held, flat)
    free(flat)
    return True


cdef bint _grow_frames(RingCore* ring) noexcept nogil:
    cdef uint64_t capacity = ring.frame_capacity * 2
    cdef uint64_t number
    cdef Frame* grown = <Frame*>malloc(capacity * sizeof(Frame))
    if grown == NULL:
        return False
    for number in range(ring.first, ring.next):
        grown[number & (capacity - 1)] = ring.frames[number & (ring.frame_capacity - 1)]
    free(ring.frames)
    ring.frames = grown
    ring.frame_capacity = capacity
    return True


cdef void _forget_oldest(RingCore* ring) noexcept nogil:
    cdef Frame* oldest = &ring.frames[ring.first & (ring.frame_capacity - 1)]
    if oldest.stream >= 0 and oldest.offset + 1 > ring.tails[oldest.stream]:
        ring.tails[oldest.stream] = oldest.offset + 1
    ring.first += 1


cdef bint make_room(RingCore* ring, uint64_t size, int64_t now_us) noexcept nogil:
    """Room for a frame of ``size`` bytes, which is at most ``limit``. False: no memory."""
    cdef bint young
    while size > ring.capacity:
        if not _grow_bytes(ring):
            return False
    while ring.next > ring.first:
        young = now_us - ring.frames[ring.first & (ring.frame_capacity - 1)].appended_us < ring.keep_us
        if ring.head + size - frame_start(ring, ring.first) > ring.capacity:
            if young and ring.capacity < ring.limit and _grow_bytes(ring):
                continue
            _forget_oldest(ring)
        elif ring.next - ring.first == ring.frame_capacity:
            # 32 bytes is less than any frame of ours: the index never outgrows what it describes.
            if young and ring.frame_capacity * 32 < ring.limit and _grow_frames(ring):
                continue
            _forget_oldest(ring)
        else:
            break
    return True


cdef void commit_frame(RingCore* ring, uint64_t size, Frame* described) noexcept nogil:
    cdef Frame* slot = &ring.frames[ring.next & (ring.frame_capacity - 1)]
    slot[0] = described[0]
    slot.start = ring.head
    ring.head += size
    ring.next += 1


cdef class Ring:
    """``capacity`` and ``limit`` in bytes, powers of two: it starts small and grows while the
    frame it would forget is younger than ``keep_ms``. ``tails``: where each stream starts."""

    def __cinit__(self, tails, uint64_t capacity=4096, uint64_t limit=262_144, int64_t keep_ms=10_000):
        cdef tuple starts = tuple(tails)  # a copy: int() below may run Python code
        cdef Py_ssize_t streams = len(starts)
        cdef Py_ssize_t i
        for name, value in (("capacity", capacity), ("limit", limit)):
            if value < SMALLEST or value > 1 << 30 or value & (value - 1):
                raise ValueError(f"a ring's {name} of {value} bytes: a power of two, 1 KiB to 1 GiB")
        if capacity > limit:
            raise ValueError(f"a ring of {capacity} bytes that may grow to {limit}")
        if streams > 1 << 20:
            raise ValueError(f"{streams} streams in one ring")
        self.core = <RingCore*>calloc(1, sizeof(RingCore))
        if self.core == NULL:
            raise MemoryError()
        self.core.references = 1
        self.core.capacity = capacity
        self.core.limit = limit
        self.core.keep_us = keep_ms * 1000
        self.core.frame_capacity = FEWEST_FRAMES
        self.core.streams = <int32_t>streams
        self.core.data = <unsigned char*>malloc(capacity)
        self.core.frames = <Frame*>malloc(FEWEST_FRAMES * sizeof(Frame))
        self.core.tails = <int64_t*>malloc((streams + 1) * sizeof(int64_t))
        if self.core.data == NULL or self.core.frames == NULL or self.core.tails == NULL:
            raise MemoryError()
        for i in range(PHASES):
            self.core.heads[i] = -1
        for i in range(streams):
            self.core.tails[i] = starts[i]

    def __dealloc__(self):
        if self.core != NULL:
            release_ring(self.core)

    @property
    def first(self):
        return self.core.first

    @property
    def next(self):
        return self.core.next

    @property
    def capacity(self):
        return self.core.capacity

    @property
    def held(self):
        """Bytes of the frames held."""
        return self.core.head - frame_start(self.core, self.core.first)

    @property
    def viewers(self):
        return self.core.viewers

    @property
    def sends(self):
        return self.core.sends

    @property
    def delivered(self):
        """Frames that went whole into a socket, over all viewers."""
        return self.core.delivered

    @property
    def dirty(self):
        return self.core.unflushed != 0

    def append(self, bytes frame not None, int64_t now_us, int32_t stream=-1, int64_t offset=0,
               int64_t stamp_us=0, uint32_t represented=1, uint8_t tag=0):
        """Add one frame; returns its number. ``ValueError`` if it is longer than ``limit``.

        ``stream``/``offset`` say which record it carries (-1: none); records of one stream come
        in rising order. The oldest frames go where there is no room. Times in Unix microseconds.
        """
        cdef RingCore* ring = self.core
        cdef uint64_t size = <uint64_t>PyBytes_GET_SIZE(frame)
        cdef Frame described
        cdef bint room
        if size == 0 or size > ring.limit:
            raise ValueError(f"a frame of {size} bytes: this ring takes 1 to {ring.limit}")
        if stream < -1 or stream >= ring.streams:
            raise ValueError(f"stream {stream} of {ring.streams}")
        room = make_room(ring, size, now_us)
        if not room:
            raise MemoryError()
        described.stamp_us = stamp_us
        described.appended_us = now_us
        described.offset = offset
        described.stream = stream
        described.represented = represented
        described.tag = tag
        put_bytes(ring, ring.head, size, <const unsigned char*>PyBytes_AS_STRING(frame))
        commit_frame(ring, size, &described)
        return ring.next - 1

    def frame(self, uint64_t number):
        """The bytes of one frame held. ``IndexError`` for any other."""
        cdef RingCore* ring = self.core
        cdef uint64_t start, size
        cdef bytes out
        if number < ring.first or number >= ring.next:
            raise IndexError(f"frame {number}: the ring holds {ring.first} to {ring.next}")
        start = frame_start(ring, number)
        size = frame_start(ring, number + 1) - start
        out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
        _copy_out(ring, start, size, <unsigned char*>PyBytes_AS_STRING(out))
        return out

    def record(self, uint64_t number):
        """(stream index, offset) of one frame held; stream -1: it carries no record."""
        cdef Frame* frame
        if number < self.core.first or number >= self.core.next:
            raise IndexError(f"frame {number}: the ring holds {self.core.first} to {self.core.next}")
        frame = &self.core.frames[number & (self.core.frame_capacity - 1)]
        return frame.stream, frame.offset

    def tails(self):
        """Per stream, the offset from which on every record that came is still held."""
        return [self.core.tails[i] for i in range(self.core.streams)]

    def resume(self, list wanted not None):
        """How a viewer who wants offsets ``wanted`` (per stream) on can join from memory.

        Returns ``(apart, number)``: the frames of ``apart`` must be sent with ids of their own
        (the ring's ids would step back), then the ring from ``number`` on is right as it is.
        ``None``: the ring has forgotten some of it.
        """
        cdef RingCore* ring = self.core
        cdef int32_t streams = ring.streams
        cdef int64_t* want
        cdef int64_t* seen
        cdef int32_t behind = 0
        cdef uint64_t number
        cdef Frame* frame
        cdef list apart = []
        cdef int32_t i
        wanted = wanted[:]  # int() below may run Python code
        if len(wanted) != streams:
            raise ValueError(f"{len(wanted)} offsets for {streams} streams")
        want = <int64_t*>malloc((2 * streams + 1) * sizeof(int64_t))
        if want == NULL:
            raise MemoryError()
        try:
            for i in range(streams):
                want[i] = wanted[i]
            seen = want + streams
            for i in range(streams):
                if want[i] < ring.tails[i]:
                    return None
                seen[i] = ring.tails[i]
                behind += seen[i] < want[i]
            for number in range(ring.first, ring.next):
                frame = &ring.frames[number & (ring.frame_capacity - 1)]
                if frame.stream < 0:
                    continue
                i = frame.stream
                behind -= seen[i] < want[i] <= frame.offset + 1
                seen[i] = frame.offset + 1
                if frame.offset >= want[i]:
                    if behind == 0:
                        return apart, number
                    apart.append(number)
            return apart, ring.next
        finally:
            free(want)
