"""Numbers from text, exactly: floating-point ones to the nearest, decimals to the last digit."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from mainstem.kernels.json_scan cimport Cursor

cdef extern from *:
    """
    #include <locale.h>
    #include <stdlib.h>
    #ifdef __APPLE__
    #include <xlocale.h>
    #endif
    static locale_t json_locale = (locale_t)0;
    static double json_double(const char* text) {  /* with a point, whatever the locale */
        if (!json_locale) json_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        return strtod_l(text, NULL, json_locale);
    }
    static float json_float(const char* text) {
        if (!json_locale) json_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        return strtof_l(text, NULL, json_locale);
    }
    """
    double json_double(const char* text) nogil
    float json_float(const char* text) nogil

cdef double[23] _EXACT_POWERS


cdef void _fill_powers():
    cdef int at
    _EXACT_POWERS[0] = 1.0
    for at in range(1, 23):
        _EXACT_POWERS[at] = _EXACT_POWERS[at - 1] * 10.0


_fill_powers()


cdef bint read_floating(
    Cursor* c, const uint8_t* p, const uint8_t* end, bint whole, bint narrow, double* wide,
    float* short,
) noexcept nogil:
    """The nearest number; False where there is none, or an integer would not be itself."""
    cdef uint64_t digits = 0
    cdef int32_t scale = 0, exponent = 0, count = 0
    cdef bint negative = p[0] == 45, point = False, minus = False
    cdef const uint8_t* start = p
    cdef double found
    cdef char* text
    p += negative
    while p < end and p[0] | 32 != 101:
        if p[0] == 46:
            point = True
        else:
            if count < 19:
                digits = digits * 10 + (p[0] - 48)
                count += digits != 0
                scale -= point
            else:
                count = 99  # too many to be exact this way
        p += 1
    if p < end:
        p += 1
        minus = p[0] == 45
        p += p[0] == 45 or p[0] == 43
        while p < end:
            if exponent < 100000:
                exponent = exponent * 10 + (p[0] - 48)
            p += 1
        scale += -exponent if minus else exponent
    if not narrow and count < 99 and digits <= <uint64_t>1 << 53 and -22 <= scale <= 22:
        found = <double>digits  # Clinger: both are exact, so is one operation's rounding
        found = found * _EXACT_POWERS[scale] if scale >= 0 else found / _EXACT_POWERS[-scale]
        wide[0] = -found if negative else found
        return True
    text = <char*>c.scratch + c.scratch_used
    memcpy(text, start, end - start)
    text[end - start] = 0
    if narrow:
        short[0] = json_float(text)
        found = short[0]
    else:
        found = json_double(text)
        wide[0] = found
    if found - found != 0:  # infinite
        return False
    return not whole or _same_integer(start + negative, end, -found if negative else found)


cdef bint _same_integer(const uint8_t* p, const uint8_t* end, double value) noexcept nogil:
    cdef wide_int digits = 0
    if end - p > 38 or value >= 1.7e38:
        return False  # nobody writes such integers and means exactly them
    while p < end:
        digits = digits * 10 + (p[0] - 48)
        p += 1
    return <wide_int>value == digits


cdef bint read_decimal(
    const uint8_t* p, const uint8_t* end, int32_t precision, int32_t scale, wide_int* value
) noexcept nogil:
    """A decimal number exactly; False where it has other characters or too many digits."""
    cdef bint negative = p < end and p[0] == 45, point = False
    cdef wide_int found = 0, limit = 1
    cdef int32_t exponent = 0, shift
    cdef int64_t behind = 0, zeros = 0
    cdef bint digits = False
    cdef bint minus = False
    for shift in range(precision):
        limit *= 10
    p += negative
    while p < end and p[0] | 32 != 101:
        if p[0] == 46 and not point:
            point = True
        elif 48 <= p[0] <= 57:
            digits = True
            zeros += 1
            if p[0] != 48 or not point:  # zeros at the end of a fraction say nothing
                behind += zeros if point else 0
                while zeros:
                    if found >= limit // 10 and found:  # one digit more would be too many
                        return False
                    found = found * 10
                    zeros -= 1
                found += p[0] - 48
        else:
            return False
        p += 1
    if not digits:
        return False
    if p < end:
        p += 1
        if p < end and (p[0] == 45 or p[0] == 43):
            minus = p[0] == 45
            p += 1
        if p >= end:
            return False
        while p < end:
            if not 48 <= p[0] <= 57 or exponent > 1000:
                return False
            exponent = exponent * 10 + (p[0] - 48)
            p += 1
    if behind > 1000:
        return found == 0
    shift = scale - <int32_t>behind + (-exponent if minus else exponent)
    while shift > 0 and found:
        if found >= limit // 10:
            return False
        found *= 10
        shift -= 1
    while shift < 0 and found:
        if found % 10:
            return False
        found = found // 10
        shift += 1
    if found >= limit:
        return False
    value[0] = -found if negative else found
    return True
