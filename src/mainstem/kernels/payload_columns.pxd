"""Nested Arrow columns as the payload kernels see them (C side; see payload_columns.pyx)."""

from cpython.buffer cimport Py_buffer
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from mainstem.kernels.columns cimport copy_bytes

cdef extern from *:  # wide enough for a decimal of 38 digits
    """
    typedef __int128 wide_int;
    """
    ctypedef long long wide_int

cdef enum:
    # What a column's memory looks like.
    NULLS = 0   # nothing but a length
    BITS = 1    # one bit an entry
    FIXED = 2   # `width` bytes an entry
    BINARY = 3  # int32 offsets and bytes
    LIST = 4    # int32 offsets; one child
    STRUCT = 5  # validity only; children as long as itself

    # Why a row cannot be read or written; 0 is none.
    SHORT = 1        # ends before its schema does
    LONG_ROW = 2     # bytes are left when the schema has ended
    VARINT = 3       # a variable-length number too large for its type
    LENGTH = 4       # a negative length, or one beyond the record
    TEXT = 5         # not UTF-8
    BOOLEAN = 6      # neither 0 nor 1
    SYMBOL = 7       # an enum's number without a symbol
    BRANCH = 8       # a union's number without a branch, or not exactly one branch set
    DECIMAL = 9      # more digits than its type has
    MISSING = 10     # null where the schema allows none
    WIRE_TYPE = 11   # a field of another wire type, or a tag that is not valid
    DEPTH = 12       # groups nested too deep
    DAMAGED = 13     # an array whose offsets point outside its data
    MALFORMED = 14   # not JSON
    MISMATCH = 15    # JSON of another type, or a value its type cannot hold
    ABSENT = 16      # a member that the record does not have
    EXTRA = 17       # a member that the schema does not have
    REPEATED = 18    # a member that occurs twice
    NO_MEMORY = 100
    TOO_LARGE = 101  # more than 2 GiB in one column

cdef struct Column:
    int32_t storage
    int32_t width
    int32_t first_child
    int32_t child_count
    int64_t length
    int64_t capacity
    int64_t nulls
    int64_t data_size
    int64_t data_capacity
    uint8_t* validity
    uint8_t* values
    uint8_t* data


cdef class Columns:
    cdef Column* columns
    cdef int32_t* children
    cdef int32_t count
    cdef int32_t root_count
    cdef int32_t* roots
    cdef list memories
    cdef list faults
    cdef int fault
    cdef int32_t fault_at
    cdef int begin(self, Py_ssize_t rows) except -1
    cdef int _reserve(self, int32_t index, int64_t capacity) except -1
    cdef uint8_t* _memory(
        self, int32_t slot, uint8_t* old, int64_t kept, int64_t size, bint clear=*
    ) except NULL
    cdef int grow(self, int32_t index) noexcept with gil
    cdef int grow_data(self, int32_t index, int64_t more) noexcept with gil
    cdef bint add_null(self, int32_t index) noexcept nogil
    cdef void cut(self, int32_t index, int64_t length) noexcept nogil
    cdef void roll_back(self, int64_t length) noexcept nogil
    cdef bint add_null_row(self) noexcept nogil
    cdef list finish(self)
    cdef bint set_aside(self, int fault, Py_ssize_t row, bint stop, tuple where=*) except -1
    cdef tuple result(self, bint stop)


cdef struct Source:
    int32_t storage
    int32_t width
    int32_t first_child
    int32_t child_count
    int64_t first
    int64_t length
    int64_t data_size
    const uint8_t* validity
    const uint8_t* values
    const uint8_t* data


cdef class Sources:
    cdef Source* sources
    cdef int32_t* children
    cdef int32_t count
    cdef Py_buffer* buffers
    cdef int32_t buffer_count
    cdef const uint8_t* _view(self, object buffer, int64_t need) except? NULL
    cdef int check(self, list shapes, Py_ssize_t rows) except -1


cdef class Output:
    """Bytes that grow, and where each row begins."""

    cdef object memory
    cdef uint8_t* data
    cdef int64_t used
    cdef int64_t room
    cdef int grow(self, int64_t more) noexcept with gil
    cdef int grow_front(self, int64_t more) noexcept with gil
    cdef int _grow(self, int64_t more, bint front) noexcept
    cdef int check(self, int fault, Py_ssize_t row, int32_t place, str encoding) except -1


cdef inline bint room_for_one(Columns self, int32_t index) noexcept nogil:
    cdef Column* column = &self.columns[index]
    if column.length < column.capacity:
        return True
    return self.grow(index) == 0


cdef inline void mark(Column* column) noexcept nogil:
    """The entry at the end is valid."""
    column.validity[column.length >> 3] |= <uint8_t>(1 << (column.length & 7))


cdef inline bint add_4(Columns self, int32_t index, uint32_t value) noexcept nogil:
    cdef Column* column = &self.columns[index]
    if not room_for_one(self, index):
        return False
    (<uint32_t*>column.values)[column.length] = value
    mark(column)
    column.length += 1
    return True


cdef inline bint add_8(Columns self, int32_t index, uint64_t value) noexcept nogil:
    cdef Column* column = &self.columns[index]
    if not room_for_one(self, index):
        return False
    (<uint64_t*>column.values)[column.length] = value
    mark(column)
    column.length += 1
    return True


cdef inline bint add_fixed(Columns self, int32_t index, const uint8_t* start) noexcept nogil:
    """The column's ``width`` bytes from ``start``."""
    cdef Column* column = &self.columns[index]
    if not room_for_one(self, index):
        return False
    memcpy(column.values + column.length * column.width, start, column.width)
    mark(column)
    column.length += 1
    return True


cdef inline bint add_bit(Columns self, int32_t index, bint value) noexcept nogil:
    cdef Column* column = &self.columns[index]
    if not room_for_one(self, index):
        return False
    if value:
        column.values[column.length >> 3] |= <uint8_t>(1 << (column.length & 7))
    mark(column)
    column.length += 1
    return True


cdef inline bint add_bytes(
    Columns self, int32_t index, const uint8_t* start, int64_t size
) noexcept nogil:
    cdef Column* column = &self.columns[index]
    if not room_for_one(self, index):
        return False
    if column.data_size + size > column.data_capacity and self.grow_data(index, size) != 0:
        return False
    memcpy(column.data + column.data_size, start, size)
    column.data_size += size
    (<int32_t*>column.values)[column.length + 1] = <int32_t>column.data_size
    mark(column)
    column.length += 1
    return True


cdef inline bint add_text(
    Columns self, int32_t index, const uint8_t* start, int64_t size, int64_t readable
) noexcept nogil:
    """As ``add_bytes``; ``readable`` bytes may be read from ``start`` on, if more than ``size``."""
    cdef Column* column = &self.columns[index]
    if not room_for_one(self, index):
        return False
    if column.data_size + size > column.data_capacity and self.grow_data(index, size) != 0:
        return False
    copy_bytes(column.data + column.data_size, start, size, readable)
    column.data_size += size
    (<int32_t*>column.values)[column.length + 1] = <int32_t>column.data_size
    mark(column)
    column.length += 1
    return True


cdef inline bint close_list(Columns self, int32_t index) noexcept nogil:
    """The list that holds what its child got since the last one."""
    cdef Column* column = &self.columns[index]
    cdef int64_t end = self.columns[self.children[column.first_child]].length
    if not room_for_one(self, index):
        return False
    if end > 0x7FFFFFFF:
        self.fault = TOO_LARGE
        return False
    (<int32_t*>column.values)[column.length + 1] = <int32_t>end
    mark(column)
    column.length += 1
    return True


cdef inline bint close_struct(Columns self, int32_t index) noexcept nogil:
    """The struct whose members were added."""
    cdef Column* column = &self.columns[index]
    if not room_for_one(self, index):
        return False
    mark(column)
    column.length += 1
    return True


cdef inline bint is_utf8(const uint8_t* text, int64_t size) noexcept nogil:
    """RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF."""
    cdef int64_t at = 0
    cdef uint64_t word
    cdef uint8_t first, second
    while at < size:
        while at + 8 <= size:
            memcpy(&word, text + at, 8)
            if word & <uint64_t>0x8080808080808080:
                break
            at += 8
        if at >= size:
            break
        first = text[at]
        if first < 0x80:
            at += 1
            continue
        if first < 0xC2 or first > 0xF4 or at + 1 >= size:
            return False
        second = text[at + 1]
        if second & 0xC0 != 0x80:
            return False
        if first < 0xE0:
            at += 2
            continue
        if at + 2 >= size or text[at + 2] & 0xC0 != 0x80:
            return False
        if first < 0xF0:
            if (first == 0xE0 and second < 0xA0) or (first == 0xED and second > 0x9F):
                return False
            at += 3
            continue
        if at + 3 >= size or text[at + 3] & 0xC0 != 0x80:
            return False
        if (first == 0xF0 and second < 0x90) or (first == 0xF4 and second > 0x8F):
            return False
        at += 4
    return True


cdef inline bint is_valid(Source* source, int64_t row) noexcept nogil:
    cdef int64_t at = source.first + row
    return source.validity == NULL or (source.validity[at >> 3] >> (at & 7)) & 1


cdef inline bint source_bytes(
    Source* source, int64_t row, const uint8_t** start, int64_t* size
) noexcept nogil:
    """A binary entry; False where the offsets point outside the data."""
    cdef int64_t begin = (<const int32_t*>source.values)[source.first + row]
    cdef int64_t end = (<const int32_t*>source.values)[source.first + row + 1]
    if begin < 0 or end < begin or end > source.data_size:
        return False
    start[0] = source.data + begin
    size[0] = end - begin
    return True


cdef inline bint source_list(
    Sources self, Source* source, int64_t row, int64_t* begin, int64_t* end
) noexcept nogil:
    """The child's entries of a list; False where the offsets point outside the child."""
    begin[0] = (<const int32_t*>source.values)[source.first + row]
    end[0] = (<const int32_t*>source.values)[source.first + row + 1]
    return (
        begin[0] >= 0
        and end[0] >= begin[0]
        and end[0] <= self.sources[self.children[source.first_child]].length
    )
