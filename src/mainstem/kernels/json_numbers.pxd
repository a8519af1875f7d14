"""Numbers written as text (see json_numbers.pyx)."""

from libc.stdint cimport int32_t, uint8_t, uint64_t

from mainstem.kernels.json_scan cimport Cursor
from mainstem.kernels.payload_columns cimport wide_int

cdef bint read_floating(
    Cursor* c, const uint8_t* p, const uint8_t* end, bint whole, bint narrow, double* wide,
    float* short,
) noexcept nogil
cdef bint read_decimal(
    const uint8_t* p, const uint8_t* end, int32_t precision, int32_t scale, wide_int* value
) noexcept nogil


cdef inline bint read_digits(const uint8_t* p, const uint8_t* end, uint64_t* value) noexcept nogil:
    """Decimal digits as a number; False where it passes 64 bits."""
    cdef uint64_t found = 0, digit
    if end - p <= 19:  # any number of so many digits fits
        while p < end:
            found = found * 10 + (p[0] - 48)
            p += 1
        value[0] = found
        return True
    while p < end:
        digit = p[0] - 48
        if found > (<uint64_t>-1 - digit) // 10:
            return False
        found = found * 10 + digit
        p += 1
    value[0] = found
    return True
