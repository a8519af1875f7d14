"""What every state-store kernel shares: a row, the key hash, comparing and copying (C side)."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "runs are little-endian and read in place: this host is not supported"
    #endif
    /* A row points into memory that somebody else keeps alive. */
    typedef struct {
        const uint8_t* key;
        const uint8_t* value;
        int64_t stamp;      /* milliseconds since 1970, 0 where the family has no TTL */
        uint32_t key_size, value_size;
        uint32_t previous;  /* in a memtable: 1 + the row this one supersedes, else 0 */
        uint32_t kind;
    } lsm_row;

    static inline uint64_t lsm_load64(const uint8_t* p) {
        uint64_t v; memcpy(&v, p, 8); return v;
    }
    static inline uint64_t lsm_load32(const uint8_t* p) {
        uint32_t v; memcpy(&v, p, 4); return v;
    }
    static inline uint64_t lsm_mix(uint64_t a, uint64_t b) {
        __uint128_t r = (__uint128_t)a * b;
        return (uint64_t)r ^ (uint64_t)(r >> 64);
    }
    #define LSM_K0 0xa0761d6478bd642fULL
    #define LSM_K1 0xe7037ed1a0b428dbULL
    /* 64-bit hash of a key; part of the run format, see docs/formats-lsm.md. */
    static inline uint64_t lsm_hash(const uint8_t* p, uint64_t size, uint64_t seed) {
        uint64_t a, b, left = size;
        seed ^= LSM_K0;
        while (left > 16) {
            seed = lsm_mix(lsm_load64(p) ^ LSM_K1, lsm_load64(p + 8) ^ seed);
            p += 16; left -= 16;
        }
        if (left >= 8) { a = lsm_load64(p); b = lsm_load64(p + left - 8); }
        else if (left >= 4) { a = lsm_load32(p); b = lsm_load32(p + left - 4); }
        else if (left) { a = ((uint64_t)p[0] << 16) | ((uint64_t)p[left >> 1] << 8) | p[left - 1]; b = 0; }
        else { a = 0; b = 0; }
        return lsm_mix(LSM_K1 ^ size, lsm_mix(a ^ LSM_K1, b ^ seed));
    }
    /* Bytes [at, at + 8) of a key as a number that sorts as they do; zeros behind its end. */
    static inline uint64_t lsm_prefix(const uint8_t* key, uint64_t size, uint64_t at) {
        uint64_t v = 0, left;
        if (at + 8 <= size) return __builtin_bswap64(lsm_load64(key + at));
        left = at < size ? size - at : 0;
        if (left >= 4) {
            v = (uint64_t)__builtin_bswap32((uint32_t)lsm_load32(key + at)) << 32;
            at += 4; left -= 4;
            for (uint64_t i = 0; i < left; i++) v |= (uint64_t)key[at + i] << (24 - 8 * i);
            return v;
        }
        for (uint64_t i = 0; i < left; i++) v |= (uint64_t)key[at + i] << (56 - 8 * i);
        return v;
    }
    static inline int lsm_compare(const uint8_t* a, uint64_t a_size, const uint8_t* b,
                                  uint64_t b_size) {
        uint64_t both = a_size < b_size ? a_size : b_size;
        if (both >= 8) {
            uint64_t x = lsm_load64(a), y = lsm_load64(b);
            if (x != y) return __builtin_bswap64(x) < __builtin_bswap64(y) ? -1 : 1;
        }
        int order = both ? memcmp(a, b, both) : 0;
        return order ? order : (a_size > b_size) - (a_size < b_size);
    }
    static inline int lsm_equal(const uint8_t* a, uint64_t a_size, const uint8_t* b,
                                uint64_t b_size) {
        if (a_size != b_size) return 0;
        if (a_size == 16)
            return lsm_load64(a) == lsm_load64(b) && lsm_load64(a + 8) == lsm_load64(b + 8);
        if (a_size == 8) return lsm_load64(a) == lsm_load64(b);
        return a_size == 0 || memcmp(a, b, a_size) == 0;
    }
    /* Copy exactly `size` bytes: small ones in overlapping steps, cheaper than a call. */
    static inline void lsm_copy(uint8_t* target, const uint8_t* source, uint64_t size) {
        if (size >= 16 && size <= 256) {
            uint64_t done = 0;
            for (; done + 16 <= size; done += 16) memcpy(target + done, source + done, 16);
            memcpy(target + size - 16, source + size - 16, 16);
        } else if (size > 256) memcpy(target, source, size);
        else if (size >= 8) {
            uint64_t a = lsm_load64(source), b = lsm_load64(source + size - 8);
            memcpy(target, &a, 8); memcpy(target + size - 8, &b, 8);
        } else for (uint64_t i = 0; i < size; i++) target[i] = source[i];
    }
    static inline uint64_t lsm_acquire(const uint64_t* p) {
        return __atomic_load_n(p, __ATOMIC_ACQUIRE);
    }
    static inline void lsm_release(uint64_t* p, uint64_t v) {
        __atomic_store_n(p, v, __ATOMIC_RELEASE);
    }
    static inline void* lsm_acquire_pointer(void** p) {
        return __atomic_load_n(p, __ATOMIC_ACQUIRE);
    }
    static inline void lsm_release_pointer(void** p, void* v) {
        __atomic_store_n(p, v, __ATOMIC_RELEASE);
    }
    static inline void lsm_prefetch(const void* p) { __builtin_prefetch(p, 0, 3); }
    static inline uint64_t lsm_align(uint64_t v, uint64_t to) { return (v + to - 1) & ~(to - 1); }
    """
    ctypedef struct Row "lsm_row":
        const uint8_t* key
        const uint8_t* value
        int64_t stamp
        uint32_t key_size
        uint32_t value_size
        uint32_t previous
        uint32_t kind

    uint64_t hash_key "lsm_hash"(const uint8_t*, uint64_t, uint64_t) noexcept nogil
    uint64_t prefix_of "lsm_prefix"(const uint8_t*, uint64_t, uint64_t) noexcept nogil
    uint64_t load64 "lsm_load64"(const uint8_t*) noexcept nogil
    int compare "lsm_compare"(const uint8_t*, uint64_t, const uint8_t*, uint64_t) noexcept nogil
    int equal "lsm_equal"(const uint8_t*, uint64_t, const uint8_t*, uint64_t) noexcept nogil
    void copy "lsm_copy"(uint8_t*, const uint8_t*, uint64_t) noexcept nogil
    uint64_t acquire "lsm_acquire"(const uint64_t*) noexcept nogil
    void release "lsm_release"(uint64_t*, uint64_t) noexcept nogil
    void* acquire_pointer "lsm_acquire_pointer"(void**) noexcept nogil
    void release_pointer "lsm_release_pointer"(void**, void*) noexcept nogil
    void prefetch "lsm_prefetch"(const void*) noexcept nogil
    uint64_t align "lsm_align"(uint64_t, uint64_t) noexcept nogil

cdef enum:
    PUT = 0
    DELETE = 1
    MERGE = 2
    ABSENT = 255
    VARIABLE = 0xFFFFFFFF  # as a width: entries have offsets


cdef inline bint expired(int64_t stamp, int64_t expire_before) noexcept nogil:
    """Rows stamped before ``expire_before`` are gone; 0 means that nothing expires."""
    return expire_before != 0 and stamp < expire_before


cdef inline void fold(
    const uint8_t* spec, Py_ssize_t fields, const uint8_t* older, const uint8_t* newer,
    uint8_t* out,
) noexcept nogil:
    """Combine two states of ``fields`` 8-byte fields, field by field; ``out`` may be either."""
    cdef Py_ssize_t i
    cdef uint8_t operation
    cdef int64_t a, b
    cdef double x, y
    for i in range(fields):
        operation = spec[i]
        if operation == 6:
            (<uint64_t*>(out + 8 * i))[0] = load64(newer + 8 * i)
        elif operation & 1:
            x = (<const double*>(older + 8 * i))[0]
            y = (<const double*>(newer + 8 * i))[0]
            if operation == 1:
                y = x + y
            elif operation == 3:
                y = x if x < y else y
            else:
                y = x if x > y else y
            (<double*>(out + 8 * i))[0] = y
        else:
            a = (<const int64_t*>(older + 8 * i))[0]
            b = (<const int64_t*>(newer + 8 * i))[0]
            if operation == 0:
                b = <int64_t>(<uint64_t>a + <uint64_t>b)
            elif operation == 2:
                b = a if a < b else b
            else:
                b = a if a > b else b
            (<int64_t*>(out + 8 * i))[0] = b
