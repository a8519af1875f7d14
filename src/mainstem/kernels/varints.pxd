"""Zigzag variable-length integers as in Kafka's record format (Protocol Buffers' sint encoding).

Readers return the byte after the varint, or NULL when it runs past ``end`` or holds more bits
than its type: both are how a damaged record shows itself.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t


cdef inline const uint8_t* read_varint(
    const uint8_t* p, const uint8_t* end, int32_t* value
) noexcept nogil:
    cdef uint32_t bits, byte
    cdef int shift = 7
    if p >= end:
        return NULL
    bits = p[0]
    p += 1
    if bits >= 0x80:
        bits &= 0x7F
        while True:
            if p >= end:
                return NULL
            byte = p[0]
            p += 1
            if shift == 28 and byte > 0x0F:  # a sixth byte, or bits beyond the 32nd
                return NULL
            bits |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
    value[0] = <int32_t>((bits >> 1) ^ (0 - (bits & 1)))
    return p


cdef inline const uint8_t* read_varlong(
    const uint8_t* p, const uint8_t* end, int64_t* value
) noexcept nogil:
    cdef uint64_t bits, byte
    cdef int shift = 7
    if p >= end:
        return NULL
    bits = p[0]
    p += 1
    if bits >= 0x80:
        bits &= 0x7F
        while True:
            if p >= end:
                return NULL
            byte = p[0]
            p += 1
            if shift == 63 and byte > 1:  # an eleventh byte, or bits beyond the 64th
                return NULL
            bits |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
    value[0] = <int64_t>((bits >> 1) ^ (0 - (bits & 1)))
    return p


cdef inline uint32_t zigzag32(int32_t value) noexcept nogil:
    return (<uint32_t>value << 1) ^ <uint32_t>(value >> 31)


cdef inline uint64_t zigzag64(int64_t value) noexcept nogil:
    return (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)


cdef inline int varint_size(int32_t value) noexcept nogil:
    cdef uint32_t bits = zigzag32(value)
    cdef int size = 1
    while bits >= 0x80:
        bits >>= 7
        size += 1
    return size


cdef inline int varlong_size(int64_t value) noexcept nogil:
    cdef uint64_t bits = zigzag64(value)
    cdef int size = 1
    while bits >= 0x80:
        bits >>= 7
        size += 1
    return size


cdef inline uint8_t* write_varint(uint8_t* p, int32_t value) noexcept nogil:
    cdef uint32_t bits = zigzag32(value)
    while bits >= 0x80:
        p[0] = <uint8_t>(bits | 0x80)
        p += 1
        bits >>= 7
    p[0] = <uint8_t>bits
    return p + 1


cdef inline uint8_t* write_varlong(uint8_t* p, int64_t value) noexcept nogil:
    cdef uint64_t bits = zigzag64(value)
    while bits >= 0x80:
        p[0] = <uint8_t>(bits | 0x80)
        p += 1
        bits >>= 7
    p[0] = <uint8_t>bits
    return p + 1
