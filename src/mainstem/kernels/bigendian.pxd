"""Big-endian integers at a pointer; the caller has checked that the bytes are there."""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t


cdef inline int16_t get_i16(const uint8_t* p) noexcept nogil:
    return <int16_t>((<uint32_t>p[0] << 8) | p[1])


cdef inline int32_t get_i32(const uint8_t* p) noexcept nogil:
    return <int32_t>(
        (<uint32_t>p[0] << 24) | (<uint32_t>p[1] << 16) | (<uint32_t>p[2] << 8) | p[3]
    )


cdef inline int64_t get_i64(const uint8_t* p) noexcept nogil:
    return <int64_t>((<uint64_t><uint32_t>get_i32(p) << 32) | <uint32_t>get_i32(p + 4))


cdef inline void put_i16(uint8_t* p, int16_t value) noexcept nogil:
    p[0] = <uint8_t>(<uint32_t>value >> 8)
    p[1] = <uint8_t>value


cdef inline void put_i32(uint8_t* p, int32_t value) noexcept nogil:
    cdef uint32_t bits = <uint32_t>value
    p[0] = <uint8_t>(bits >> 24)
    p[1] = <uint8_t>(bits >> 16)
    p[2] = <uint8_t>(bits >> 8)
    p[3] = <uint8_t>bits


cdef inline void put_i64(uint8_t* p, int64_t value) noexcept nogil:
    put_i32(p, <int32_t>(<uint64_t>value >> 32))
    put_i32(p + 4, <int32_t>value)
