"""Dates, times and moments from text: ISO 8601, the profile of RFC 3339 and a little around it.

Nothing is rounded: digits that the column's unit has no room for are refused, as are days that
no calendar has.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

cdef extern from *:
    """
    static int json_moment(int64_t seconds, int64_t unit, int64_t part, int64_t* found) {
        __int128 exact = (__int128)seconds * unit + part;
        *found = (int64_t)exact;
        return *found == exact;
    }
    """
    bint json_moment(int64_t seconds, int64_t unit, int64_t part, int64_t* found) nogil

cdef int64_t[10] _UNITS


cdef void _fill_units():
    cdef int at
    _UNITS[0] = 1
    for at in range(1, 10):
        _UNITS[at] = _UNITS[at - 1] * 10


_fill_units()


cdef inline bint _pair(const uint8_t* p, const uint8_t* end, int64_t* value) noexcept nogil:
    if end - p < 2 or not 48 <= p[0] <= 57 or not 48 <= p[1] <= 57:
        return False
    value[0] = (p[0] - 48) * 10 + (p[1] - 48)
    return True


cdef bint read_date(const uint8_t** text, const uint8_t* end, int64_t* days) noexcept nogil:
    """``YYYY-MM-DD`` as days since 1970; the text is then behind it."""
    cdef const uint8_t* p = text[0]
    cdef int64_t century = 0, year = 0, month = 0, day = 0, era, length
    if end - p < 10 or p[4] != 45 or p[7] != 45:
        return False
    if not (_pair(p, end, &century) and _pair(p + 2, end, &year)):
        return False
    if not (_pair(p + 5, end, &month) and _pair(p + 8, end, &day)):
        return False
    year += century * 100
    if not 1 <= month <= 12:
        return False
    length = 30 + ((month + (month >> 3)) & 1)
    if month == 2:
        length = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    if not 1 <= day <= length:
        return False
    # Days from civil, years beginning in March (H. Hinnant, chrono-compatible algorithms).
    if month <= 2:
        year -= 1
        month += 12
    era = (year if year >= 0 else year - 399) // 400
    year -= era * 400
    days[0] = (
        era * 146097 + year * 365 + year // 4 - year // 100
        + (153 * (month - 3) + 2) // 5 + day - 1 - 719468
    )
    text[0] = p + 10
    return True


cdef bint read_clock(
    const uint8_t** text, const uint8_t* end, int32_t unit, int64_t* value
) noexcept nogil:
    """``HH:MM[:SS[.fraction]]`` in units of 10^-unit seconds; the text is then behind it."""
    cdef const uint8_t* p = text[0]
    cdef int64_t hour = 0, minute = 0, second = 0, part = 0
    cdef int32_t digits = 0
    if not _pair(p, end, &hour) or hour > 23 or end - p < 5 or p[2] != 58:
        return False
    if not _pair(p + 3, end, &minute) or minute > 59:
        return False
    p += 5
    if p < end and p[0] == 58:
        if not _pair(p + 1, end, &second) or second > 59:
            return False
        p += 3
        if p < end and (p[0] == 46 or p[0] == 44):
            p += 1
            if p >= end or not 48 <= p[0] <= 57:
                return False
            while p < end and 48 <= p[0] <= 57:
                if digits < unit:
                    part = part * 10 + (p[0] - 48)
                    digits += 1
                elif p[0] != 48:  # more exact than the type
                    return False
                p += 1
    part *= _UNITS[unit - digits]
    value[0] = (hour * 3600 + minute * 60 + second) * _UNITS[unit] + part
    text[0] = p
    return True


cdef bint read_moment(
    const uint8_t* p, const uint8_t* end, int32_t unit, bint zoned, int64_t* value
) noexcept nogil:
    """ISO 8601 / RFC 3339, with an offset exactly where the type has a zone."""
    cdef int64_t days = 0, clock = 0, hours = 0, minutes = 0, offset = 0
    cdef bint minus
    if not read_date(&p, end, &days):
        return False
    if p < end and (p[0] == 84 or p[0] == 116 or p[0] == 32):
        p += 1
        if not read_clock(&p, end, unit, &clock):
            return False
    elif zoned:
        return False
    if p < end and (p[0] == 90 or p[0] == 122):
        p += 1
        if not zoned:
            return False
    elif p < end and (p[0] == 43 or p[0] == 45):
        minus = p[0] == 45
        p += 1
        if not zoned or not _pair(p, end, &hours) or hours > 23:
            return False
        p += 2
        if p < end:
            p += p[0] == 58
            if not _pair(p, end, &minutes) or minutes > 59:
                return False
            p += 2
        offset = hours * 3600 + minutes * 60
        offset = -offset if minus else offset
    elif zoned:
        return False
    if p != end:
        return False
    return json_moment(days * 86400 - offset, _UNITS[unit], clock, value)
