"""Bytes as text and back: RFC 4648 section 4, with padding."""

from libc.stdint cimport int64_t, uint8_t, uint32_t


cdef inline uint32_t _digit(uint8_t letter) noexcept nogil:
    """Its six bits; 255 for what is none."""
    if 65 <= letter <= 90:
        return letter - 65
    if 97 <= letter <= 122:
        return letter - 71
    if 48 <= letter <= 57:
        return letter + 4
    if letter == 43:
        return 62
    return 63 if letter == 47 else 255


cdef inline int64_t decode_base64(const uint8_t* text, int64_t size, uint8_t* target) noexcept nogil:
    """The number of bytes, or -1 where it is not base64. ``target`` may be ``text``."""
    cdef int64_t at = 0, used = 0
    cdef uint32_t word
    cdef int pad = 0, part
    cdef uint32_t digit
    if size % 4:
        return -1
    while at < size:
        word = 0
        for part in range(4):
            if text[at + part] == 61 and at + 4 == size and part >= 2:
                pad += 1
                word <<= 6
                continue
            digit = _digit(text[at + part])
            if digit == 255 or pad:
                return -1
            word = word << 6 | digit
        if (pad == 1 and word & 0xFF) or (pad == 2 and word & 0xFFFF):
            return -1
        at += 4
        target[used] = <uint8_t>(word >> 16)
        target[used + 1] = <uint8_t>(word >> 8)
        target[used + 2] = <uint8_t>word
        used += 3
    return used - pad


cdef inline uint8_t* encode_base64(
    uint8_t* target, const uint8_t* start, int64_t size
) noexcept nogil:
    """Writes ``(size + 2) / 3 * 4`` letters; where they end."""
    cdef const uint8_t* letters = (
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
    cdef int64_t at = 0
    cdef uint32_t word
    while at < size:
        word = <uint32_t>start[at] << 16
        if at + 1 < size:
            word |= <uint32_t>start[at + 1] << 8
        if at + 2 < size:
            word |= start[at + 2]
        target[0] = letters[word >> 18]
        target[1] = letters[word >> 12 & 63]
        target[2] = letters[word >> 6 & 63] if at + 1 < size else 61
        target[3] = letters[word & 63] if at + 2 < size else 61
        target += 4
        at += 3
    return target
