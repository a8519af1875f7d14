"""Bytes of JSON text in large steps: where what needs no escape ends, and whether two are equal."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef extern from *:
    """
    #if defined(__SSE2__)
    #include <emmintrin.h>
    /* A bit for each of 16 bytes that is a quote, a backslash or below 32; high: above 127. */
    static inline unsigned mainstem_special(const uint8_t* p, unsigned* high) {
        __m128i x = _mm_loadu_si128((const __m128i*)p);
        __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(31)), x);
        __m128i quote = _mm_cmpeq_epi8(x, _mm_set1_epi8(34));
        __m128i slash = _mm_cmpeq_epi8(x, _mm_set1_epi8(92));
        *high = (unsigned)_mm_movemask_epi8(x);
        return (unsigned)_mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(quote, slash)));
    }
    #define MAINSTEM_STEP 16
    #else
    /* As above, of one byte: the words below do the rest. */
    static inline unsigned mainstem_special(const uint8_t* p, unsigned* high) {
        *high = 0;
        return 0;
    }
    #define MAINSTEM_STEP 0
    #endif
    #define mainstem_first(bits) __builtin_ctzll(bits)
    """
    unsigned int mainstem_special(const uint8_t* p, unsigned int* high) nogil
    int mainstem_first(uint64_t bits) nogil
    const int MAINSTEM_STEP


cdef inline uint64_t special_bytes(uint64_t word) noexcept nogil:
    """0x80 for each of eight bytes that is a quote, a backslash or below 32; right for the lowest
    of them, which is all that is asked for (a borrow may reach those above)."""
    cdef uint64_t ones = 0x0101010101010101
    cdef uint64_t quotes = word ^ (ones * 34)
    cdef uint64_t slashes = word ^ (ones * 92)
    return (
        ((word - ones * 32) & ~word)
        | ((quotes - ones) & ~quotes)
        | ((slashes - ones) & ~slashes)
    ) & (ones << 7)


cdef inline const uint8_t* plain_end(
    const uint8_t* p, const uint8_t* end, const uint8_t* readable, bint* high
) noexcept nogil:
    """The first quote, backslash or byte below 32 from ``p`` on, or ``end``.

    Sets ``high`` where there may be bytes above 127 before it. What is before ``readable`` may be
    looked at, also behind ``end``: a whole step then, not the last bytes one by one.
    """
    cdef unsigned int special, above = 0
    cdef uint64_t word, found
    if MAINSTEM_STEP:
        while p < end and readable - p >= 16:
            special = mainstem_special(p, &above)
            if end - p < 16:
                special |= <unsigned int>1 << <int>(end - p)
            if special:
                if above & ((special & (0 - special)) - 1):
                    high[0] = True
                return p + mainstem_first(special)
            if above:
                high[0] = True
            p += 16
    while end - p >= 8:
        memcpy(&word, p, 8)
        found = special_bytes(word)
        if word & <uint64_t>0x8080808080808080:
            high[0] = True
        if found:
            return p + (mainstem_first(found) >> 3)
        p += 8
    while p < end and p[0] >= 32 and p[0] != 34 and p[0] != 92:
        if p[0] >= 128:
            high[0] = True
        p += 1
    return p


cdef inline bint same_bytes(const uint8_t* one, const uint8_t* other, int64_t size) noexcept nogil:
    """Whether ``size`` bytes are equal; what is short is compared without a call."""
    cdef uint64_t a, b, c, d
    cdef uint32_t e, f, g, h
    if size > 16:
        return memcmp(one, other, size) == 0
    if size >= 8:
        memcpy(&a, one, 8)
        memcpy(&b, other, 8)
        memcpy(&c, one + size - 8, 8)
        memcpy(&d, other + size - 8, 8)
        return a == b and c == d
    if size >= 4:
        memcpy(&e, one, 4)
        memcpy(&f, other, 4)
        memcpy(&g, one + size - 4, 4)
        memcpy(&h, other + size - 4, 4)
        return e == f and g == h
    while size:
        size -= 1
        if one[size] != other[size]:
            return False
    return True
