"""Columns of 8-byte numbers into rows and back, and keys whose byte order is their value order.

Ordered encodings (docs/formats-lsm.md): an integer is 8 bytes big-endian with its sign bit
flipped; a float likewise, negative ones with all bits flipped, so that -inf < … < -0.0 = 0.0 <
… < inf < NaN; text and bytes have each 0x00 written as 0x00 0xFF and end with 0x00 0x01.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from mainstem.kernels.columns cimport Memory, allocate
from mainstem.kernels.lsm_core cimport load64
from mainstem.kernels.lsm_rows cimport Column, entry_of

cdef extern from *:
    """
    static inline uint64_t lsm_swap(uint64_t v) { return __builtin_bswap64(v); }
    """
    uint64_t swap "lsm_swap"(uint64_t) noexcept nogil

cdef enum:
    _INTEGER = 0
    _FLOAT = 1
    _BYTES = 2
    _SIGN_SHIFT = 63


def interleave(list columns not None, Py_ssize_t rows):
    """Rows of the 8-byte ``columns`` (buffers), one behind the other: a ``Memory``."""
    cdef Py_ssize_t fields = len(columns)
    cdef Py_ssize_t field, row
    cdef const uint8_t[::1] view
    cdef Memory result = allocate(8 * rows * fields)
    cdef uint64_t* out = <uint64_t*>result.data
    for field in range(fields):
        view = memoryview(columns[field]).cast("B")
        if view.shape[0] < 8 * rows:
            raise ValueError(f"column {field} has {view.shape[0]} bytes, {rows} rows need {8 * rows}")
        with nogil:
            for row in range(rows):
                out[row * fields + field] = load64(&view[8 * row])
    return result


def split(Column states not None, Py_ssize_t fields):
    """The columns (``Memory``) of ``fields`` 8-byte numbers in each of ``states``; null is zeros.

    Raises ``ValueError`` for a state of another size.
    """
    cdef Py_ssize_t row, field, bad = -1
    cdef const uint8_t* start = NULL
    cdef int64_t size
    cdef Memory memory = allocate(8 * states.length * fields)
    cdef uint64_t* out = <uint64_t*>memory.data
    with nogil:
        for row in range(states.length):
            size = entry_of(states, row, &start)
            if size >= 0 and size != 8 * fields:
                bad = row
                break
            for field in range(fields):
                out[field * states.length + row] = 0 if size < 0 else load64(start + 8 * field)
    if bad >= 0:
        raise ValueError(f"row {bad} is not a state of {fields} numbers")
    whole = memoryview(memory)
    return [
        whole[8 * field * states.length:8 * (field + 1) * states.length] for field in range(fields)
    ]


cdef inline uint64_t _ordered(const uint8_t* p, int kind) noexcept nogil:
    cdef uint64_t bits = load64(p)
    cdef uint64_t sign = <uint64_t>1 << _SIGN_SHIFT
    if kind == _INTEGER:
        return bits ^ sign
    if bits == sign:
        bits = 0  # -0.0 equals 0.0
    if (bits & ~sign) > <uint64_t>0x7FF << 52:
        bits = <uint64_t>0xFFF << 51  # every NaN is one value, above infinity
        bits &= ~sign
    return ~bits if bits & sign else bits | sign


cdef inline uint64_t _unordered(uint64_t bits, int kind) noexcept nogil:
    cdef uint64_t sign = <uint64_t>1 << _SIGN_SHIFT
    if kind == _INTEGER:
        return bits ^ sign
    return bits & ~sign if bits & sign else ~bits


def encode_keys(list kinds not None, list parts not None, Py_ssize_t rows):
    """Ordered keys of ``rows`` tuples: (int32 offsets, data).

    ``kinds`` says for each part: 0 int64 buffer, 1 float64 buffer, 2 ``Column`` of bytes. Raises
    ``ValueError`` for a null and ``OverflowError`` above 2 GiB.
    """
    cdef Memory offsets = allocate(4 * (rows + 1))
    cdef int32_t* at = <int32_t*>offsets.data
    cdef Memory data, fill = allocate(4 * (rows + 1))
    cdef int32_t* filled = <int32_t*>fill.data
    cdef Py_ssize_t row, i, bad = -1
    cdef int64_t total = 0, size
    cdef const uint8_t[::1] view
    cdef Column column
    cdef const uint8_t* start = NULL
    cdef uint8_t* out
    cdef uint64_t ordered
    cdef int kind
    memset(offsets.data, 0, offsets.size)
    for kind, part in zip(kinds, parts, strict=True):
        if kind != _BYTES:
            view = memoryview(part).cast("B")
            if view.shape[0] < 8 * rows:
                raise ValueError("a key column is shorter than the others")
            for row in range(rows):
                at[row + 1] += 8
            total += 8 * rows
            continue
        column = part
        if column.length != rows:
            raise ValueError("a key column is shorter than the others")
        with nogil:
            for row in range(rows):
                size = entry_of(column, row, &start)
                if size < 0:
                    bad = row
                    break
                total += size + 2
                for i in range(size):
                    total += start[i] == 0
                    at[row + 1] += start[i] == 0
                at[row + 1] += <int32_t>size + 2
        if bad >= 0:
            raise ValueError(f"key part of row {bad} is null: keys have no order for nulls")
    if total > 0x7FFFFFFF:
        raise OverflowError("keys of more than 2 GiB at once: split them")
    for row in range(rows):
        filled[row] = at[row]
        at[row + 1] += at[row]
        filled[row] = at[row]
    data = allocate(total)
    for kind, part in zip(kinds, parts, strict=True):
        if kind != _BYTES:
            view = memoryview(part).cast("B")
            with nogil:
                for row in range(rows):
                    ordered = swap(_ordered(&view[8 * row], kind))
                    memcpy(data.data + filled[row], &ordered, 8)
                    filled[row] += 8
            continue
        column = part
        with nogil:
            for row in range(rows):
                size = entry_of(column, row, &start)
                out = data.data + filled[row]
                for i in range(size):
                    out[0] = start[i]
                    out += 1
                    if start[i] == 0:
                        out[0] = 0xFF
                        out += 1
                out[0] = 0
                out[1] = 1
                filled[row] = <int32_t>(out + 2 - data.data)
    return offsets, data


def decode_key(const uint8_t[::1] key not None, list kinds not None):
    """The parts of one key: ints, floats and bytes. Raises ``ValueError`` if it is not of
    ``kinds``."""
    cdef Py_ssize_t at = 0, end = key.shape[0]
    cdef uint64_t bits
    cdef int64_t whole
    cdef double real
    cdef int kind
    parts = []
    for kind in kinds:
        if kind != _BYTES:
            if end - at < 8:
                raise ValueError("the key ends inside a number")
            bits = _unordered(swap(load64(&key[at])), kind)
            at += 8
            if kind == _INTEGER:
                memcpy(&whole, &bits, 8)
                parts.append(whole)
            else:
                memcpy(&real, &bits, 8)
                parts.append(real)
            continue
        text = bytearray()
        while True:
            if at >= end:
                raise ValueError("the key ends inside its text")
            if key[at] != 0:
                text.append(key[at])
                at += 1
                continue
            if at + 1 >= end or key[at + 1] not in (0x01, 0xFF):
                raise ValueError("the key's text is not ended as it must be")
            at += 2
            if key[at - 1] == 0x01:
                break
            text.append(0)
        parts.append(bytes(text))
    if at != end:
        raise ValueError(f"{end - at} bytes are left behind the key's parts")
    return tuple(parts)


def all_of_size(Column column not None, int64_t wanted):
    """Whether every entry that is not null has ``wanted`` bytes."""
    cdef Py_ssize_t row
    cdef const uint8_t* start = NULL
    cdef int64_t size
    for row in range(column.length):
        size = entry_of(column, row, &start)
        if size >= 0 and size != wanted:
            return False
    return True
