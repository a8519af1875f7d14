"""The Confluent wire format: which schema each record was written with.

Magic byte 0, schema id (4 bytes, big-endian); for Protocol Buffers then the path to the message
in its file: a zigzag count and that many indexes, where a single 0 stands for the path [0].
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcmp

from mainstem.kernels.columns cimport BinaryColumn, Memory, allocate, column_entry
from mainstem.kernels.varints cimport read_varint

cdef enum:
    _HEAD = 5
    _LONGEST_PATH = 64
    _NULL = -1
    _BAD = -2


def split_frames(BinaryColumn values not None, bint with_path):
    """``(groups, heads, counts)``: an int32 per row, the distinct headers and their rows.

    A group is the number of the row's header in ``heads``, -1 for a null record, -2 for one
    that does not begin with a header. Raises ``ValueError`` for a damaged array.
    """
    cdef Py_ssize_t row, rows = values.length, last_size = 0
    cdef Memory memory = allocate(rows * 4)
    cdef int32_t* groups = <int32_t*>memory.data
    cdef const uint8_t* start = NULL
    cdef const uint8_t* end
    cdef const uint8_t* last = NULL
    cdef int64_t size = 0
    cdef int32_t group = _BAD
    cdef dict known = {}
    cdef list counts = []
    for row in range(rows):
        if not column_entry(values, row, &start, &size):
            raise ValueError(f"entry {row} points outside its array's data")
        if size < 0:
            groups[row] = _NULL
            continue
        if last == NULL or size < last_size or memcmp(start, last, last_size) != 0:
            end = _head(start, start + size, with_path)
            if end == NULL:
                groups[row] = _BAD
                continue
            last, last_size = start, end - start
            head = start[:last_size]
            found = known.get(head)
            if found is None:
                found = known[head] = len(counts)
                counts.append(0)
            group = found
        groups[row] = group
        counts[group] += 1
    return memory, list(known), counts


cdef const uint8_t* _head(const uint8_t* start, const uint8_t* end, bint with_path) noexcept:
    cdef const uint8_t* p = start + _HEAD
    cdef int32_t count = 0, index = 0
    if end - start < _HEAD or start[0] != 0:
        return NULL
    if not with_path:
        return p
    p = read_varint(p, end, &count)
    if p == NULL or count < 0 or count > _LONGEST_PATH:
        return NULL
    while count:
        count -= 1
        p = read_varint(p, end, &index)
        if p == NULL or index < 0:
            return NULL
    return p
