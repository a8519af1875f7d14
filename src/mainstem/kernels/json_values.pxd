"""Values as JSON text: each function writes at ``target``, where there is room, and returns the end.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from mainstem.kernels.columns cimport copy_bytes
from mainstem.kernels.json_text cimport plain_end

cdef extern from *:
    """
    /* What a byte is written as behind a backslash; 0 for as it is, u for u00XX. */
    static const unsigned char mainstem_escapes[256] = {
        'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'b', 't', 'n', 'u', 'f', 'r', 'u', 'u',
        'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u',
        ['"'] = '"', ['\\\\'] = '\\\\',
    };
    static const char mainstem_hex[] = "0123456789abcdef";
    static const char mainstem_pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
        "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
        "8081828384858687888990919293949596979899";
    static const unsigned long long mainstem_tens[20] = {
        0, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000,
        10000000000, 100000000000, 1000000000000, 10000000000000, 100000000000000,
        1000000000000000, 10000000000000000, 100000000000000000, 1000000000000000000,
        10000000000000000000u,
    };
    #define mainstem_bits(value) (64 - __builtin_clzll((value) | 1))
    """
    const uint8_t* mainstem_escapes
    const char* mainstem_hex
    const char* mainstem_pairs
    const uint64_t* mainstem_tens
    int mainstem_bits(uint64_t value) nogil

cdef enum:
    LONGEST_INTEGER = 20


cdef inline uint8_t* put_null(uint8_t* target) noexcept nogil:
    memcpy(target, b"null", 4)
    return target + 4


cdef inline uint8_t* put_text(
    uint8_t* target, const uint8_t* start, int64_t size, int64_t readable
) noexcept nogil:
    cdef bint high = False
    cdef int64_t plain = plain_end(start, start + size, start + readable, &high) - start
    target[0] = 34
    target += 1
    copy_bytes(target, start, plain, readable)
    return _escaped(target + plain, start, plain, size)


cdef inline uint8_t* _escaped(
    uint8_t* target, const uint8_t* start, int64_t position, int64_t size
) noexcept nogil:
    """The bytes from ``position`` on one by one, and the quote that ends them."""
    cdef uint8_t code, escape
    while position < size:
        code = start[position]
        position += 1
        escape = mainstem_escapes[code]
        if escape == 0:
            target[0] = code
            target += 1
            continue
        target[0] = 92
        target[1] = escape
        target += 2
        if escape == 117:
            target[0] = target[1] = 48
            target[2] = mainstem_hex[code >> 4]
            target[3] = mainstem_hex[code & 15]
            target += 4
    target[0] = 34
    return target + 1


cdef inline uint8_t* put_integer(uint8_t* target, int64_t value) noexcept nogil:
    """Digits from the last to the first, where they belong: their number is known before."""
    cdef uint64_t rest = <uint64_t>value
    cdef int about
    cdef uint8_t* at
    cdef uint8_t* end
    if value < 0:
        target[0] = 45
        target += 1
        rest = 0 - rest
    about = mainstem_bits(rest) * 1233 >> 12  # log10(2) is 1233 / 4096, nearly
    end = at = target + about + (rest >= mainstem_tens[about])
    while rest >= 100:
        at -= 2
        memcpy(at, mainstem_pairs + 2 * (rest % 100), 2)
        rest = rest // 100
    if rest >= 10:
        memcpy(at - 2, mainstem_pairs + 2 * rest, 2)
    else:
        (at - 1)[0] = 48 + <uint8_t>rest
    return end


cdef inline uint8_t* put_decimal(uint8_t* target, const uint8_t* start, int64_t size) noexcept nogil:
    cdef int64_t position
    cdef bint marked = False
    for position in range(size):
        if start[position] == 110:  # "n" of nan and inf
            return put_null(target)
        if start[position] == 46 or start[position] == 101 or start[position] == 69:
            marked = True
        target[position] = start[position]
    target += size
    if not marked:
        target[0] = 46
        target[1] = 48
        target += 2
    return target
