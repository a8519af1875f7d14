"""The text of JSON (RFC 8259): what every JSON kernel walks over (see json_scan.pyx)."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp

from mainstem.kernels.columns cimport BinaryColumn
from mainstem.kernels.json_text cimport plain_end
from mainstem.kernels.payload_columns cimport is_utf8

cdef enum:
    DEEPEST = 200  # values within values; below that text is refused

cdef struct Cursor:
    const uint8_t* p
    const uint8_t* end
    const uint8_t* readable  # behind the last byte that may be read, of all records
    uint8_t* scratch       # a string without its escapes; as long as the longest record
    int64_t scratch_used
    int options            # what the reader does about members missing and the like
    uint8_t* seen          # by operation: whether an object had this member

cdef int64_t longest_entry(BinaryColumn values) except -1
cdef bint escaped_string(
    Cursor* c, const uint8_t* start, const uint8_t* p, const uint8_t** text, int64_t* size
) noexcept nogil
cdef bint skip_value(Cursor* c, int depth) noexcept nogil


cdef inline void skip_space(Cursor* c) noexcept nogil:
    while c.p < c.end and (c.p[0] == 32 or c.p[0] == 10 or c.p[0] == 13 or c.p[0] == 9):
        c.p += 1


cdef inline bint read_word(Cursor* c, const char* word, int size) noexcept nogil:
    if c.end - c.p < size or memcmp(c.p, word, size) != 0:
        return False
    c.p += size
    return True


cdef inline bint read_string(Cursor* c, const uint8_t** text, int64_t* size) noexcept nogil:
    """The string at the cursor, behind which it then is; False where it is not one."""
    cdef const uint8_t* start = c.p + 1
    cdef bint high = False
    cdef const uint8_t* p = plain_end(start, c.end, c.end, &high)
    if p >= c.end:
        return False
    if p[0] != 34:
        return p[0] == 92 and escaped_string(c, start, p, text, size)
    if high and not is_utf8(start, p - start):
        return False
    text[0] = start
    size[0] = p - start
    c.p = p + 1
    return True


cdef inline bint short_integer(Cursor* c, uint64_t* value, bint* negative) noexcept nogil:
    """An integer of up to 18 digits at the cursor, behind which it then is; False for what
    ``number_end`` should look at, which is also what is not a number."""
    cdef const uint8_t* p = c.p
    cdef const uint8_t* digits
    cdef uint64_t found = 0
    cdef uint8_t digit
    negative[0] = p < c.end and p[0] == 45
    p += negative[0]
    digits = p
    while p < c.end:
        digit = p[0] - 48
        if digit > 9:
            if p[0] == 46 or p[0] | 32 == 101:
                return False
            break
        found = found * 10 + digit
        p += 1
    if p == digits or p - digits > 18 or (digits[0] == 48 and p - digits > 1):
        return False
    value[0] = found
    c.p = p
    return True


cdef inline bint number_end(Cursor* c, const uint8_t** behind, bint* whole) noexcept nogil:
    """Where the number at the cursor ends, and whether it is an integer; False for no number."""
    cdef const uint8_t* p = c.p
    cdef const uint8_t* digits
    whole[0] = True
    if p < c.end and p[0] == 45:
        p += 1
    digits = p
    while p < c.end and 48 <= p[0] <= 57:
        p += 1
    if p == digits or (digits[0] == 48 and p - digits > 1):
        return False
    if p < c.end and p[0] == 46:
        whole[0] = False
        p += 1
        digits = p
        while p < c.end and 48 <= p[0] <= 57:
            p += 1
        if p == digits:
            return False
    if p < c.end and p[0] | 32 == 101:
        whole[0] = False
        p += 1
        if p < c.end and (p[0] == 43 or p[0] == 45):
            p += 1
        digits = p
        while p < c.end and 48 <= p[0] <= 57:
            p += 1
        if p == digits:
            return False
    behind[0] = p
    return True
