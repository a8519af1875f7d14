"""A schema as the JSON reader runs it (see json_plan.pyx)."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcmp

from mainstem.kernels.json_text cimport same_bytes

cdef enum:
    # Kinds of members; kept in step with mainstem/client/json_plan.py.
    JSON_NULL = 0
    JSON_BOOLEAN = 1
    JSON_INTEGER = 2     # a: bits, b: signed
    JSON_DOUBLE = 3
    JSON_FLOAT = 4
    JSON_STRING = 5
    JSON_TEXT = 6        # a string, or anything else as its JSON
    JSON_BASE64 = 7
    JSON_MOMENT = 8      # a: digits behind the second, b: with a zone
    JSON_DATE = 9
    JSON_TIME = 10       # a: digits behind the second
    JSON_DECIMAL = 11    # a: digits, b: of them behind the point
    JSON_LIST = 12
    JSON_OBJECT = 13
    JSON_MAP = 14        # a: column of the entries, b: column of the keys
    JSON_LAST_KIND = 14

cdef struct Op:
    int32_t kind
    int32_t column
    int32_t a
    int32_t b
    int32_t first_child
    int32_t child_count
    int32_t first_slot  # of an object's members by the hash of their names
    uint32_t slot_mask

cdef struct Name:
    const uint8_t* text
    int64_t size
    bint plain  # it is written as it is: nothing in it is escaped


cdef class JsonPlan:
    cdef Op* ops
    cdef int32_t* children
    cdef int32_t* slots
    cdef Name* names
    cdef int32_t count
    cdef readonly list shapes
    cdef list _texts
    cdef int _fill_slots(self, Op* op) except -1


cdef inline uint32_t name_hash(const uint8_t* text, int64_t size) noexcept nogil:
    cdef uint32_t found = 2166136261u
    cdef int64_t at
    for at in range(size):
        found = (found ^ text[at]) * 16777619u
    return found ^ (found >> 15)


cdef inline int32_t next_member(
    JsonPlan plan, Op* op, const uint8_t* p, const uint8_t* end, int32_t* hint
) noexcept nogil:
    """The member whose turn it is in the schema's order, if its name begins at ``p``, else -1."""
    cdef int32_t child
    cdef Name* name
    if hint[0] >= op.child_count:
        return -1
    child = plan.children[op.first_child + hint[0]]
    name = &plan.names[child]
    if (
        not name.plain or end - p < name.size + 2 or p[name.size + 1] != 34
        or not same_bytes(p + 1, name.text, name.size)
    ):
        return -1
    hint[0] += 1
    return child


cdef inline int32_t find_member(
    JsonPlan plan, Op* op, const uint8_t* name, int64_t size, int32_t* hint
) noexcept nogil:
    """The member of this name, or -1."""
    cdef int32_t child
    cdef uint32_t place = name_hash(name, size) & op.slot_mask
    while True:
        child = plan.slots[op.first_slot + place]
        if child < 0:
            return -1
        if plan.names[child].size == size and memcmp(plan.names[child].text, name, size) == 0:
            # The next one may be the one behind it.
            while hint[0] < op.child_count and plan.children[op.first_child + hint[0]] <= child:
                hint[0] += 1
            return child
        place = (place + 1) & op.slot_mask
