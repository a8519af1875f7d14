"""Dates and times written as text (see json_times.pyx)."""

from libc.stdint cimport int32_t, int64_t, uint8_t

cdef bint read_date(const uint8_t** text, const uint8_t* end, int64_t* days) noexcept nogil
cdef bint read_clock(
    const uint8_t** text, const uint8_t* end, int32_t unit, int64_t* value
) noexcept nogil
cdef bint read_moment(
    const uint8_t* p, const uint8_t* end, int32_t unit, bint zoned, int64_t* value
) noexcept nogil
