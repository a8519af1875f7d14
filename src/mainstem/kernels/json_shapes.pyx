"""What JSON objects hold, so that a schema for them can be found."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memset

from mainstem.kernels.columns cimport BinaryColumn, column_entry
from mainstem.kernels.json_numbers cimport read_digits, read_floating
from mainstem.kernels.json_scan cimport (
    DEEPEST, Cursor, longest_entry, number_end, read_string, skip_space, skip_value,
)

cdef enum:
    # What values of one member were; kept in step with mainstem/client/json_plan.py.
    _WAS_NULL = 1
    _WAS_BOOLEAN = 2
    _WAS_SMALL = 4     # an integer that a double holds exactly
    _WAS_INTEGER = 8   # one of 64 bits
    _WAS_HUGE = 16     # a larger number
    _WAS_DOUBLE = 32
    _WAS_STRING = 64
    _WAS_OBJECT = 128
    _WAS_LIST = 256

    _MOST_MEMBERS = 10000


cdef class JsonShape:
    """What the values of a member have been: ``flags``, an object's ``members`` by name in the
    order they were met, a list's ``item``. Not thread-safe.
    """

    cdef readonly int flags
    cdef readonly dict members
    cdef readonly JsonShape item
    cdef list _names
    cdef list _shapes

    def __cinit__(self):
        self.members = {}
        self._names = []
        self._shapes = []


def widen_json(JsonShape shape not None, BinaryColumn values not None):
    """Take objects into ``shape``; what is not well-formed is left out.

    Raises ``ValueError`` for a damaged array, or more than 10,000 different members in one
    object.
    """
    cdef Cursor cursor
    cdef Py_ssize_t row
    cdef const uint8_t* start = NULL
    cdef int64_t size = 0
    memset(&cursor, 0, sizeof(Cursor))
    cursor.scratch = <uint8_t*>malloc(longest_entry(values) + 16)
    if cursor.scratch == NULL:
        raise MemoryError
    try:
        for row in range(values.length):
            if not column_entry(values, row, &start, &size) or size < 0:
                continue
            cursor.p, cursor.end, cursor.scratch_used = start, start + size, 0
            if _is_object(&cursor):
                cursor.p = start
                skip_space(&cursor)
                _widen(shape, &cursor, 0)
    finally:
        free(cursor.scratch)


cdef bint _is_object(Cursor* c) noexcept nogil:
    skip_space(c)
    if c.p >= c.end or c.p[0] != 123 or not skip_value(c, 0):
        return False
    skip_space(c)
    return c.p == c.end


cdef bint _widen(JsonShape shape, Cursor* c, int depth) except -1:
    """Take one value; False where it is malformed."""
    cdef uint8_t first
    cdef const uint8_t* p = c.p
    cdef const uint8_t* behind = NULL
    cdef bint whole = False
    cdef double wide = 0.0
    cdef float narrow = 0.0
    cdef uint64_t digits = 0
    if c.p >= c.end or depth > DEEPEST:
        return False
    first = p[0]
    if first == 123:
        shape.flags |= _WAS_OBJECT
        return _widen_object(shape, c, depth)
    if first == 91:
        shape.flags |= _WAS_LIST
        return _widen_list(shape, c, depth)
    if first == 45 or 48 <= first <= 57:
        if not number_end(c, &behind, &whole):
            return False
        c.p = behind
        if not whole:
            good = read_floating(c, p, behind, False, False, &wide, &narrow)
            shape.flags |= _WAS_DOUBLE if good else _WAS_HUGE
        elif not read_digits(p + (first == 45), behind, &digits) or digits > <uint64_t>1 << 63 or (
            digits == <uint64_t>1 << 63 and first != 45
        ):
            shape.flags |= _WAS_HUGE
        else:
            shape.flags |= _WAS_SMALL if digits <= <uint64_t>1 << 53 else _WAS_INTEGER
        return True
    if not skip_value(c, depth):
        return False
    if first == 34:
        shape.flags |= _WAS_STRING
    elif first == 110:
        shape.flags |= _WAS_NULL
    else:
        shape.flags |= _WAS_BOOLEAN
    return True


cdef bint _widen_object(JsonShape shape, Cursor* c, int depth) except -1:
    cdef const uint8_t* name = NULL
    cdef int64_t size = 0, mark = c.scratch_used
    cdef Py_ssize_t hint = 0
    cdef JsonShape member
    c.p += 1
    skip_space(c)
    if c.p < c.end and c.p[0] == 125:
        c.p += 1
        return True
    while True:
        if c.p >= c.end or c.p[0] != 34 or not read_string(c, &name, &size):
            return False
        member = _member(shape, name, size, &hint)
        c.scratch_used = mark
        skip_space(c)
        if c.p >= c.end or c.p[0] != 58:
            return False
        c.p += 1
        skip_space(c)
        if not _widen(member, c, depth + 1):
            return False
        skip_space(c)
        if c.p >= c.end or (c.p[0] != 44 and c.p[0] != 125):
            return False
        c.p += 1
        if (c.p - 1)[0] == 125:
            return True
        skip_space(c)


cdef JsonShape _member(JsonShape shape, const uint8_t* name, int64_t size, Py_ssize_t* hint):
    cdef bytes known
    cdef JsonShape found
    if hint[0] < len(shape._names):
        known = <bytes>shape._names[hint[0]]
        if len(known) == size and memcmp(<const uint8_t*>known, name, size) == 0:
            hint[0] += 1
            return <JsonShape>shape._shapes[hint[0] - 1]
    known = name[:size]
    found = shape.members.get(known)
    if found is None:
        if len(shape._names) >= _MOST_MEMBERS:
            raise ValueError(f"objects have more than {_MOST_MEMBERS} different members")
        found = JsonShape()
        shape.members[known] = found
        shape._names.append(known)
        shape._shapes.append(found)
        hint[0] = len(shape._names)
    return found


cdef bint _widen_list(JsonShape shape, Cursor* c, int depth) except -1:
    if shape.item is None:
        shape.item = JsonShape()
    c.p += 1
    skip_space(c)
    if c.p < c.end and c.p[0] == 93:
        c.p += 1
        return True
    while True:
        if not _widen(shape.item, c, depth + 1):
            return False
        skip_space(c)
        if c.p >= c.end or (c.p[0] != 44 and c.p[0] != 93):
            return False
        c.p += 1
        if (c.p - 1)[0] == 93:
            return True
        skip_space(c)
