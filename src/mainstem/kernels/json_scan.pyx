"""JSON text: strings with escapes, and values that are passed over but checked all the same."""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

from mainstem.kernels.columns cimport BinaryColumn, column_entry
from mainstem.kernels.payload_columns cimport is_utf8


cdef int64_t longest_entry(BinaryColumn values) except -1:
    cdef Py_ssize_t row
    cdef const uint8_t* start = NULL
    cdef int64_t size = 0, longest = 0
    for row in range(values.length):
        if not column_entry(values, row, &start, &size):
            raise ValueError(f"entry {row} points outside its array's data")
        longest = max(longest, size)
    return longest


cdef bint escaped_string(
    Cursor* c, const uint8_t* start, const uint8_t* p, const uint8_t** text, int64_t* size
) noexcept nogil:
    """The rest of a string whose first escape is at ``p``; its text is in the scratch."""
    cdef uint8_t* target = c.scratch + c.scratch_used
    cdef uint8_t* begin = target
    cdef uint32_t code, other
    if not is_utf8(start, p - start):
        return False
    memcpy(target, start, p - start)
    target += p - start
    while p < c.end:
        if p[0] == 34:
            if not is_utf8(begin, target - begin):
                return False
            text[0] = begin
            size[0] = target - begin
            c.scratch_used += target - begin
            c.p = p + 1
            return True
        if p[0] < 32:
            return False
        if p[0] != 92:
            target[0] = p[0]
            target += 1
            p += 1
            continue
        if c.end - p < 2:
            return False
        code = p[1]
        p += 2
        if code == 117:
            if not _hex(p, c.end, &code):
                return False
            p += 4
            if 0xDC00 <= code <= 0xDFFF:
                return False
            if 0xD800 <= code <= 0xDBFF:  # the first of a pair
                if c.end - p < 6 or p[0] != 92 or p[1] != 117 or not _hex(p + 2, c.end, &other):
                    return False
                if not 0xDC00 <= other <= 0xDFFF:
                    return False
                code = 0x10000 + ((code - 0xD800) << 10) + (other - 0xDC00)
                p += 6
            target = _put_utf8(target, code)
            continue
        if code == 98:
            code = 8
        elif code == 102:
            code = 12
        elif code == 110:
            code = 10
        elif code == 114:
            code = 13
        elif code == 116:
            code = 9
        elif code != 34 and code != 92 and code != 47:
            return False
        target[0] = <uint8_t>code
        target += 1
    return False


cdef inline bint _hex(const uint8_t* p, const uint8_t* end, uint32_t* code) noexcept nogil:
    cdef int at
    cdef uint32_t digit
    if end - p < 4:
        return False
    code[0] = 0
    for at in range(4):
        digit = p[at]
        if 48 <= digit <= 57:
            digit -= 48
        elif 97 <= digit | 32 <= 102:
            digit = (digit | 32) - 87
        else:
            return False
        code[0] = code[0] << 4 | digit
    return True


cdef inline uint8_t* _put_utf8(uint8_t* target, uint32_t code) noexcept nogil:
    """At most as many bytes as the escape had."""
    if code < 0x80:
        target[0] = <uint8_t>code
        return target + 1
    if code < 0x800:
        target[0] = <uint8_t>(0xC0 | code >> 6)
        target[1] = <uint8_t>(0x80 | code & 0x3F)
        return target + 2
    if code < 0x10000:
        target[0] = <uint8_t>(0xE0 | code >> 12)
        target[1] = <uint8_t>(0x80 | code >> 6 & 0x3F)
        target[2] = <uint8_t>(0x80 | code & 0x3F)
        return target + 3
    target[0] = <uint8_t>(0xF0 | code >> 18)
    target[1] = <uint8_t>(0x80 | code >> 12 & 0x3F)
    target[2] = <uint8_t>(0x80 | code >> 6 & 0x3F)
    target[3] = <uint8_t>(0x80 | code & 0x3F)
    return target + 4


cdef bint skip_value(Cursor* c, int depth) noexcept nogil:
    """To behind the value at the cursor; False where it is not well-formed."""
    cdef const uint8_t* text = NULL
    cdef int64_t size = 0, mark = c.scratch_used
    cdef uint8_t first, close
    cdef bint whole = False
    if c.p >= c.end or depth > DEEPEST:
        return False
    first = c.p[0]
    if first == 34:
        if not read_string(c, &text, &size):
            return False
        c.scratch_used = mark
        return True
    if first == 116:
        return read_word(c, b"true", 4)
    if first == 102:
        return read_word(c, b"false", 5)
    if first == 110:
        return read_word(c, b"null", 4)
    if first != 123 and first != 91:
        if not number_end(c, &text, &whole):
            return False
        c.p = text
        return True
    close = first + 2
    c.p += 1
    skip_space(c)
    if c.p < c.end and c.p[0] == close:
        c.p += 1
        return True
    while True:
        if first == 123:
            if c.p >= c.end or c.p[0] != 34 or not read_string(c, &text, &size):
                return False
            c.scratch_used = mark
            skip_space(c)
            if c.p >= c.end or c.p[0] != 58:
                return False
            c.p += 1
            skip_space(c)
        if not skip_value(c, depth + 1):
            return False
        skip_space(c)
        if c.p >= c.end:
            return False
        if c.p[0] == close:
            c.p += 1
            return True
        if c.p[0] != 44:
            return False
        c.p += 1
        skip_space(c)
