from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    PHASES = 16

cdef struct Frame:
    uint64_t start          # absolute position of its first byte
    int64_t stamp_us        # when the log took it, Unix microseconds; 0: not known
    int64_t appended_us     # when the ring took it
    int64_t offset          # of its record; meaningless where stream < 0
    int32_t stream          # index in the set's streams; -1: no record of an `events` channel
    uint32_t represented    # how many records it stands for
    uint8_t tag             # namespace, for the counts

cdef struct RingCore:
    unsigned char* data
    uint64_t capacity       # bytes, a power of two
    uint64_t limit          # the capacity it may grow to, likewise
    uint64_t head           # absolute position one past the newest byte
    Frame* frames
    uint64_t frame_capacity # a power of two
    uint64_t first          # number of the oldest frame held
    uint64_t next           # number the next frame will get
    int64_t keep_us         # a frame younger than this makes the ring grow, not forget
    int64_t* tails          # per stream: every record from here on that came is still held
    int32_t streams
    int32_t references      # the Ring, each connection, and the sender's list of dirty rings
    int32_t viewers
    int32_t heads[PHASES]   # first connection of each phase, -1: none
    int32_t unflushed       # a bit per phase still to be flushed since it was marked
    uint64_t flushed[PHASES] # the head when each phase was flushed last
    uint64_t sends
    uint64_t delivered

cdef inline uint64_t frame_start(RingCore* ring, uint64_t number) noexcept nogil:
    if number == ring.next:
        return ring.head
    return ring.frames[number & (ring.frame_capacity - 1)].start

cdef void release_ring(RingCore* ring) noexcept nogil

# Room for a frame of `size` bytes at the ring's head; false: no memory. Then `put_bytes` it
# piece by piece and `commit_frame` it.
cdef bint make_room(RingCore* ring, uint64_t size, int64_t now_us) noexcept nogil
cdef void put_bytes(RingCore* ring, uint64_t at, uint64_t size, const unsigned char* source) noexcept nogil
cdef void commit_frame(RingCore* ring, uint64_t size, Frame* described) noexcept nogil

cdef class Ring:
    cdef RingCore* core
