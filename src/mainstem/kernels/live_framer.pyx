"""Frames with cursors, straight into a ring: what each event costs each subscription set.

The cursor's layout is ``live.cursor``'s: a MAC (SipHash-2-4, a keyed function made for short
messages: Aumasson and Bernstein, 2012), then the payload, all as base64url without padding.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcpy

from mainstem.kernels.live_ring cimport Frame, Ring, RingCore, commit_frame, make_room, put_bytes

cdef const char* ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
cdef enum:
    MAC = 8
    LONGEST_VARINT = 10


cdef inline uint64_t _rotate(uint64_t value, int bits) noexcept nogil:
    return (value << bits) | (value >> (64 - bits))


cdef inline void _round(uint64_t* v) noexcept nogil:
    v[0] += v[1]
    v[1] = _rotate(v[1], 13) ^ v[0]
    v[0] = _rotate(v[0], 32)
    v[2] += v[3]
    v[3] = _rotate(v[3], 16) ^ v[2]
    v[0] += v[3]
    v[3] = _rotate(v[3], 21) ^ v[0]
    v[2] += v[1]
    v[1] = _rotate(v[1], 17) ^ v[2]
    v[2] = _rotate(v[2], 32)


cdef inline uint64_t _little(const unsigned char* data, size_t count) noexcept nogil:
    cdef uint64_t value = 0
    cdef size_t i
    for i in range(count):
        value |= <uint64_t>data[i] << (8 * i)
    return value


cdef uint64_t _siphash(const unsigned char* data, size_t size, uint64_t k0, uint64_t k1) noexcept nogil:
    cdef uint64_t[4] v
    cdef uint64_t word
    cdef size_t place = 0
    cdef int i
    v[0] = k0 ^ <uint64_t>0x736F6D6570736575
    v[1] = k1 ^ <uint64_t>0x646F72616E646F6D
    v[2] = k0 ^ <uint64_t>0x6C7967656E657261
    v[3] = k1 ^ <uint64_t>0x7465646279746573
    while place + 8 <= size:
        word = _little(data + place, 8)
        v[3] ^= word
        _round(v)
        _round(v)
        v[0] ^= word
        place += 8
    word = (<uint64_t>size << 56) | _little(data + place, size - place)
    v[3] ^= word
    _round(v)
    _round(v)
    v[0] ^= word
    v[2] ^= 0xFF
    for i in range(4):
        _round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


cdef size_t _base64(const unsigned char* data, size_t size, char* out) noexcept nogil:
    cdef size_t place = 0
    cdef size_t written = 0
    cdef uint32_t word
    cdef size_t left
    while place < size:
        left = size - place
        word = <uint32_t>data[place] << 16
        if left > 1:
            word |= <uint32_t>data[place + 1] << 8
        if left > 2:
            word |= data[place + 2]
        out[written] = ALPHABET[word >> 18]
        out[written + 1] = ALPHABET[(word >> 12) & 63]
        written += 2
        if left > 1:
            out[written] = ALPHABET[(word >> 6) & 63]
            written += 1
        if left > 2:
            out[written] = ALPHABET[word & 63]
            written += 1
        place += 3
    return written


cdef inline size_t _varint(uint64_t value, unsigned char* out) noexcept nogil:
    cdef size_t size = 0
    while value > 0x7F:
        out[size] = <unsigned char>(value & 0x7F | 0x80)
        value >>= 7
        size += 1
    out[size] = <unsigned char>value
    return size + 1


def siphash(bytes key not None, bytes data not None):
    """SipHash-2-4 of ``data``, 8 bytes, little-endian. ``key``: 16 bytes."""
    cdef const unsigned char* k
    cdef uint64_t value
    if PyBytes_GET_SIZE(key) != 16:
        raise ValueError(f"a SipHash key of {len(key)} bytes: 16")
    k = <const unsigned char*>PyBytes_AS_STRING(key)
    value = _siphash(
        <const unsigned char*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), _little(k, 8), _little(k + 8, 8)
    )
    return value.to_bytes(8, "little")


cdef class Framer:
    """Writes into ``ring``; knows the vector at its head. Not thread-safe.

    ``prefixes``: per stream, what stands before its offset in the payload; ``alone``: the
    payload where there is no stream. ``websocket``: text frames with the id in the JSON object,
    else server-sent events.
    """

    cdef readonly Ring ring
    cdef int64_t* offsets
    cdef int32_t streams
    cdef list prefixes
    cdef bytes alone
    cdef uint64_t k0, k1
    cdef bint websocket
    cdef unsigned char* raw
    cdef char* text
    cdef size_t text_size

    def __cinit__(self, Ring ring not None, list prefixes not None, bytes alone not None,
                  list vector not None, bytes key not None, bint websocket):
        cdef size_t longest = MAC + PyBytes_GET_SIZE(alone)
        cdef const unsigned char* k
        cdef int32_t i
        if len(prefixes) != len(vector) or len(vector) != ring.core.streams:
            raise ValueError(f"{len(prefixes)} prefixes, {len(vector)} offsets, {ring.core.streams} streams")
        if PyBytes_GET_SIZE(key) != 16:
            raise ValueError(f"a key of {len(key)} bytes: 16")
        prefixes, vector = prefixes[:], vector[:]  # int() below may run Python code
        for prefix in prefixes:
            longest += len(<bytes?>prefix) + LONGEST_VARINT
        k = <const unsigned char*>PyBytes_AS_STRING(key)
        self.k0 = _little(k, 8)
        self.k1 = _little(k + 8, 8)
        self.ring = ring
        self.streams = ring.core.streams
        self.prefixes = prefixes
        self.alone = alone
        self.websocket = websocket
        self.offsets = <int64_t*>malloc((self.streams + 1) * sizeof(int64_t))
        self.raw = <unsigned char*>malloc(longest)
        self.text = <char*>malloc(longest * 4 // 3 + 8)
        if self.offsets == NULL or self.raw == NULL or self.text == NULL:
            raise MemoryError()
        for i in range(self.streams):
            self.offsets[i] = vector[i]
            if self.offsets[i] < 0:
                raise ValueError(f"offset {vector[i]}")

    def __dealloc__(self):
        free(self.offsets)
        free(self.raw)
        free(self.text)

    cdef void _sign(self):
        cdef size_t size = MAC
        cdef uint64_t mac
        cdef int32_t i
        cdef bytes prefix
        if self.text_size > 0:
            return
        if self.streams == 0:
            memcpy(self.raw + MAC, PyBytes_AS_STRING(self.alone), PyBytes_GET_SIZE(self.alone))
            size += PyBytes_GET_SIZE(self.alone)
        for i in range(self.streams):
            prefix = <bytes>self.prefixes[i]
            memcpy(self.raw + size, PyBytes_AS_STRING(prefix), PyBytes_GET_SIZE(prefix))
            size += PyBytes_GET_SIZE(prefix)
            size += _varint(<uint64_t>self.offsets[i], self.raw + size)
        mac = _siphash(self.raw + MAC, size - MAC, self.k0, self.k1)
        for i in range(MAC):
            self.raw[i] = <unsigned char>(mac >> (8 * i))
        self.text_size = _base64(self.raw, size, self.text)

    @property
    def vector(self):
        """The next offset per stream, at the ring's head."""
        return [self.offsets[i] for i in range(self.streams)]

    def cursor(self):
        """The cursor at the ring's head."""
        self._sign()
        return PyBytes_FromStringAndSize(self.text, <Py_ssize_t>self.text_size)

    def move(self, int32_t place, int64_t next_offset):
        """Progress of one stream over what holds nothing for this set."""
        if place < 0 or place >= self.streams:
            raise IndexError(f"stream {place} of {self.streams}")
        if next_offset > self.offsets[place]:
            self.offsets[place] = next_offset
            self.text_size = 0

    def event(self, int32_t place, int64_t offset, bytes body not None, int64_t now_us,
              int64_t stamp_us=0, uint8_t tag=0):
        """Frame one record; False when the set had it before. ``body``: a JSON object."""
        if place < 0 or place >= self.streams:
            raise IndexError(f"stream {place} of {self.streams}")
        if offset < self.offsets[place]:
            return False
        self.offsets[place] = offset + 1
        self.text_size = 0
        self._frame(body, place, offset, now_us, stamp_us, 1, tag)
        return True

    def state(self, bytes body not None, int64_t now_us, int64_t stamp_us, uint32_t represented, uint8_t tag):
        """Frame what is no record of a stream, with the cursor as it is."""
        self._frame(body, -1, 0, now_us, stamp_us, represented, tag)

    cdef _frame(self, bytes body, int32_t stream, int64_t offset, int64_t now_us, int64_t stamp_us,
                uint32_t represented, uint8_t tag):
        cdef RingCore* ring = self.ring.core
        cdef const unsigned char* data = <const unsigned char*>PyBytes_AS_STRING(body)
        cdef uint64_t size = <uint64_t>PyBytes_GET_SIZE(body)
        cdef Frame described
        cdef unsigned char[24] opening
        cdef uint64_t opened, between, closing, total, at
        cdef const unsigned char* middle
        if size < 2 or data[0] != c"{":
            raise ValueError("the body of a frame is a JSON object")
        self._sign()
        if memchr(data, c"\n", size) != NULL or memchr(data, c"\r", size) != NULL:
            # A line break would end the field; between tokens a blank means the same.
            body = body.replace(b"\r", b" ").replace(b"\n", b" ")
            data = <const unsigned char*>PyBytes_AS_STRING(body)
        if self.websocket:
            data += 1
            size -= 1
            opened = _open_text(opening, 9 + self.text_size + size)
            memcpy(opening + opened, b'{"id":"', 7)
            opened += 7
            middle = <const unsigned char*>b'",'
            between, closing = 2, 0
        else:
            memcpy(opening, b"id: ", 4)
            opened = 4
            middle = <const unsigned char*>b"\ndata: "
            between, closing = 7, 2
        total = opened + self.text_size + between + size + closing
        if total > ring.limit:
            raise ValueError(f"a frame of {total} bytes: this ring takes 1 to {ring.limit}")
        if not make_room(ring, total, now_us):
            raise MemoryError()
        at = ring.head
        put_bytes(ring, at, opened, opening)
        put_bytes(ring, at + opened, self.text_size, <const unsigned char*>self.text)
        at += opened + self.text_size
        put_bytes(ring, at, between, middle)
        put_bytes(ring, at + between, size, data)
        if closing:
            put_bytes(ring, at + between + size, closing, <const unsigned char*>b"\n\n")
        described.stamp_us = stamp_us
        described.appended_us = now_us
        described.offset = offset
        described.stream = stream
        described.represented = represented
        described.tag = tag
        commit_frame(ring, total, &described)


cdef uint64_t _open_text(unsigned char* out, uint64_t size) noexcept nogil:
    """RFC 6455, section 5.2: FIN, opcode 1, no mask, and the length."""
    cdef int i
    out[0] = 0x81
    if size < 126:
        out[1] = <unsigned char>size
        return 2
    if size < 65536:
        out[1] = 126
        out[2] = <unsigned char>(size >> 8)
        out[3] = <unsigned char>(size & 0xFF)
        return 4
    out[1] = 127
    for i in range(8):
        out[2 + i] = <unsigned char>(size >> (56 - 8 * i))
    return 10
