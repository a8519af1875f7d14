"""CRC-32C, twice as fast as one instruction after the other where the processor can.

With AVX-512 and carry-less products of whole vectors, 256 bytes at a time are folded onto the next
256 (Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ", Intel, 2009);
elsewhere the ``crc32c`` package does it.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <stddef.h>
    #include <string.h>
    #if defined(__x86_64__) && defined(__GNUC__)
    #include <immintrin.h>
    #define MAINSTEM_FOLDS 1
    #define MAINSTEM_TARGET __attribute__((target("avx512f,avx512vl,vpclmulqdq,pclmul,sse4.2")))
    /* Low and high factor to move 128 bits by a distance: x^(distance + 32) and x^(distance - 32)
       modulo the polynomial, reflected, times two. */
    #define MAINSTEM_FACTORS(low, high) _mm512_set_epi64(high, low, high, low, high, low, high, low)
    MAINSTEM_TARGET static inline __m512i mainstem_fold(__m512i x, __m512i by, __m512i next) {
        return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(x, by, 0x00),
                                         _mm512_clmulepi64_epi128(x, by, 0x11), next, 0x96);
    }
    MAINSTEM_TARGET static inline __m128i mainstem_fold128(__m128i x, __m128i by, __m128i next) {
        return _mm_xor_si128(next, _mm_xor_si128(_mm_clmulepi64_si128(x, by, 0x00),
                                                 _mm_clmulepi64_si128(x, by, 0x11)));
    }
    MAINSTEM_TARGET static uint32_t mainstem_crc(const uint8_t* p, size_t size, uint32_t crc) {
        uint64_t state = (uint32_t)~crc, word;
        if (size >= 512) {
            const __m512i by2048 = MAINSTEM_FACTORS(0xdcb17aa4, 0xb9e02b86);
            const __m512i by512 = MAINSTEM_FACTORS(0x740eef02, 0x9e4addf8);
            const __m128i by128 = _mm_set_epi64x(0x14cd00bd6, 0xf20c0dfe);
            __m512i a = _mm512_loadu_si512(p), b = _mm512_loadu_si512(p + 64);
            __m512i c = _mm512_loadu_si512(p + 128), d = _mm512_loadu_si512(p + 192);
            __m128i x;
            a = _mm512_xor_si512(a, _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)state)));
            for (p += 256, size -= 256; size >= 256; p += 256, size -= 256) {
                a = mainstem_fold(a, by2048, _mm512_loadu_si512(p));
                b = mainstem_fold(b, by2048, _mm512_loadu_si512(p + 64));
                c = mainstem_fold(c, by2048, _mm512_loadu_si512(p + 128));
                d = mainstem_fold(d, by2048, _mm512_loadu_si512(p + 192));
            }
            d = mainstem_fold(mainstem_fold(mainstem_fold(a, by512, b), by512, c), by512, d);
            x = mainstem_fold128(_mm512_extracti32x4_epi32(d, 0), by128, _mm512_extracti32x4_epi32(d, 1));
            x = mainstem_fold128(x, by128, _mm512_extracti32x4_epi32(d, 2));
            x = mainstem_fold128(x, by128, _mm512_extracti32x4_epi32(d, 3));
            state = _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(x));
            state = _mm_crc32_u64(state, (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(x, x)));
        }
        for (; size >= 8; p += 8, size -= 8) {
            memcpy(&word, p, 8);
            state = _mm_crc32_u64(state, word);
        }
        for (; size; p++, size--) state = _mm_crc32_u8((uint32_t)state, *p);
        return ~(uint32_t)state;
    }
    static int mainstem_can_fold(void) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
            && __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("pclmul")
            && __builtin_cpu_supports("sse4.2");
    }
    #else
    static uint32_t mainstem_crc(const uint8_t* p, size_t size, uint32_t crc) { return 0; }
    static int mainstem_can_fold(void) { return 0; }
    #endif
    """
    uint32_t mainstem_crc(const uint8_t*, size_t, uint32_t) noexcept nogil
    int mainstem_can_fold() noexcept

cdef bint _folds = mainstem_can_fold()
_package = None


cdef uint32_t _by_package(const uint8_t* data, Py_ssize_t size, uint32_t value) except? 1:
    global _package
    if _package is None:  # importing it reads its package's metadata: tens of milliseconds
        from crc32c import crc32c as _package
    return <uint32_t>_package(<const uint8_t[:size]>data, value)



cdef uint32_t crc_of(const uint8_t* data, Py_ssize_t size, uint32_t value) except? 1:
    """CRC-32C of ``size`` bytes that follow what has the CRC ``value``; 0 for none."""
    if size == 0:
        return value
    if not _folds:
        return _by_package(data, size, value)
    if size < 1 << 16:  # a microsecond: less than it may take to get the GIL back
        return mainstem_crc(data, size, value)
    with nogil:
        value = mainstem_crc(data, size, value)
    return value


cdef uint32_t crc_without_gil(const uint8_t* data, Py_ssize_t size, uint32_t value) noexcept nogil:
    """The same for who has let the GIL go; the package, where it has to do it, takes it back."""
    if size and _folds:
        return mainstem_crc(data, size, value)
    with gil:
        return crc_of(data, size, value)


cdef uint32_t _times(uint32_t a, uint32_t b) noexcept nogil:
    """The product of two polynomials, reflected, modulo that of CRC-32C."""
    cdef uint32_t product = 0, bit = 1u << 31
    while bit:
        if a & bit:
            product ^= b
        bit >>= 1
        b = (b >> 1) ^ 0x82F63B78u if b & 1 else b >> 1
    return product


cdef uint32_t crc_after(uint32_t difference, uint64_t size) noexcept nogil:
    """What a difference (xor) of two CRCs becomes when the same ``size`` bytes follow both.

    A CRC is linear, so that is x to the power of 8 * size times the difference, whatever the bytes
    are (``crc32_combine`` of zlib): a microsecond, where the bytes themselves take their time.
    """
    cdef uint32_t power = 1u << 23  # x ** 8, reflected
    while size:
        if size & 1:
            difference = _times(power, difference)
        power = _times(power, power)
        size >>= 1
    return difference


def crc32c(const uint8_t[::1] data not None, uint32_t value=0):
    """CRC-32C of ``data`` that follows what has the CRC ``value``."""
    return crc_of(&data[0], data.shape[0], value) if data.shape[0] else value


def folds(wanted=None):
    """Whether this processor folds; ``False`` leaves it to the package from now on, for tests."""
    global _folds
    if wanted is not None:
        _folds = wanted and mainstem_can_fold()
    return bool(_folds)
