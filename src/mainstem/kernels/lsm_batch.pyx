"""Batches: operations as columns, in one buffer that is log record and memtable content at once.

An operation, little-endian, everything 8-byte aligned (docs/formats-lsm.md)::

    0  kind u8 (0 put, 1 delete, 2 merge, 3 range delete)   1 flags u8 (1: kinds column)
    2  family u16    4 rows u32    8 key width u32    12 value width u32 (2^32-1: offsets)
    16 key bytes u64    24 value bytes u64    32 stamp i64    40 size of it all u64    48 zeros
    64 [kinds u8[rows]] [key offsets u32[rows + 1]] keys [value offsets u32[rows + 1]] values
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from mainstem.kernels.lsm_core cimport DELETE, MERGE, PUT, VARIABLE, align
from mainstem.kernels.lsm_rows cimport Column, entry_of, span_of

OPERATION_HEADER = OP_HEADER

cdef enum:
    _LIMIT = 0xFFFFFFF0
    _KINDS = 1


cdef class _Shape:
    """What one column needs in a batch."""

    cdef Py_ssize_t size(self, Py_ssize_t rows):
        return (align(4 * (rows + 1), 8) if self.width < 0 else 0) + align(self.data_bytes, 8)


cdef _Shape _shape(Column column):
    cdef _Shape shape = _Shape.__new__(_Shape)
    cdef Py_ssize_t row
    cdef const uint8_t* start = NULL
    cdef int64_t size
    shape.width = column.width if column.width >= 0 else -1
    if column.validity == NULL:
        shape.data_bytes = span_of(column, &start)
        return shape
    with nogil:
        for row in range(column.length):
            size = entry_of(column, row, &start)
            if size < 0:
                shape.nulls += 1
            else:
                shape.data_bytes += size
    if shape.nulls:
        shape.width = -1
    return shape


cdef void _write_offsets(uint32_t* offsets, Column column) noexcept nogil:
    cdef const int32_t* narrow
    cdef const uint8_t* start = NULL
    cdef Py_ssize_t row
    cdef int64_t size
    cdef uint32_t at = 0
    offsets[0] = 0
    if column.validity == NULL and column.width == -1 and column.length:
        narrow = <const int32_t*>column.offsets + column.first
        for row in range(column.length):
            offsets[row + 1] = <uint32_t>(narrow[row + 1] - narrow[0])
        return
    for row in range(column.length):
        size = entry_of(column, row, &start)
        at += <uint32_t>size if size > 0 else 0
        offsets[row + 1] = at


cdef uint8_t* _write_column(
    uint8_t* out, Column column, Py_ssize_t width, Py_ssize_t data_bytes
) noexcept nogil:
    cdef Py_ssize_t rows = column.length
    cdef uint32_t* offsets = <uint32_t*>out
    cdef const uint8_t* start = NULL
    cdef uint32_t at = 0
    cdef Py_ssize_t row
    cdef int64_t size
    if width < 0:
        out += align(4 * (rows + 1), 8)
        memset(out - 8, 0, 8)
        _write_offsets(offsets, column)
    memset(out + align(data_bytes, 8) - 8, 0, 8 if data_bytes else 0)
    if column.validity == NULL:
        # Without nulls, Arrow's entries lie one behind the other: one copy for all.
        span_of(column, &start)
        if data_bytes:
            memcpy(out, start, data_bytes)
    else:
        for row in range(rows):
            size = entry_of(column, row, &start)
            if size > 0:
                memcpy(out + at, start, size)
                at += <uint32_t>size
    return out + align(data_bytes, 8)


@cython.no_gc  # as its columns
cdef class Operation:
    """Rows of one kind for one family. Null values of a put are deletes, as in a changelog.

    For a range delete (kind 3) keys are the low ends and values the high ends, null for none.
    Raises ``ValueError`` for a null key, unequal lengths or more than 4 GiB.
    """

    def __init__(self, int kind, int family, Column keys not None, Column values, int64_t stamp):
        if values is not None and values.length != keys.length:
            raise ValueError(f"{keys.length} keys but {values.length} values")
        if (values is None) != (kind == DELETE) or not 0 <= kind <= OP_RANGE:
            raise ValueError(f"kind {kind} does not go with these columns")
        self.kind = kind
        self.family = family
        self.rows = keys.length
        self.stamp = stamp
        self.keys = keys
        self.values = values
        self.key_shape = _shape(keys)
        if self.key_shape.nulls:
            raise ValueError("a key is null: every row needs a key")
        self.value_shape = _Shape.__new__(_Shape) if values is None else _shape(values)
        if self.value_shape.nulls and kind == MERGE:
            raise ValueError("a merge operand is null: leave the row out")
        if max(self.key_shape.data_bytes, self.value_shape.data_bytes, self.rows * 8) > _LIMIT:
            raise ValueError("a batch holds less than 4 GiB: split it")
        self.size = OP_HEADER + self.key_shape.size(self.rows) + self.value_shape.size(self.rows)
        if self.value_shape.nulls:
            self.size += align(self.rows, 8)

    @property
    def value_width(self):
        """Bytes of every value, or -1 where they differ or some are null."""
        return self.value_shape.width

    cdef void write(self, uint8_t* out) noexcept nogil:
        cdef Py_ssize_t row
        cdef const uint8_t* start = NULL
        memset(out, 0, OP_HEADER)
        out[0] = <uint8_t>self.kind
        out[1] = _KINDS if self.value_shape.nulls else 0
        (<uint16_t*>(out + 2))[0] = <uint16_t>self.family
        (<uint32_t*>(out + 4))[0] = <uint32_t>self.rows
        (<uint32_t*>(out + 8))[0] = <uint32_t>(
            VARIABLE if self.key_shape.width < 0 else self.key_shape.width)
        (<uint32_t*>(out + 12))[0] = <uint32_t>(
            VARIABLE if self.value_shape.width < 0 else self.value_shape.width)
        (<uint64_t*>(out + 16))[0] = self.key_shape.data_bytes
        (<uint64_t*>(out + 24))[0] = self.value_shape.data_bytes
        (<int64_t*>(out + 32))[0] = self.stamp
        (<uint64_t*>(out + 40))[0] = self.size
        out += OP_HEADER
        if self.value_shape.nulls:
            memset(out, 0, align(self.rows, 8))
            for row in range(self.rows):
                out[row] = DELETE if entry_of(self.values, row, &start) < 0 else self.kind
            out += align(self.rows, 8)
        out = _write_column(out, self.keys, self.key_shape.width, self.key_shape.data_bytes)
        if self.values is not None:
            _write_column(out, self.values, self.value_shape.width, self.value_shape.data_bytes)


cdef bint _column(
    const uint8_t* data, Py_ssize_t rows, uint32_t width, uint64_t bytes_in,
    Py_ssize_t end, Py_ssize_t* position, const uint32_t** offsets, const uint8_t** start,
) noexcept nogil:
    cdef Py_ssize_t row
    cdef uint32_t bad = 0
    offsets[0] = NULL
    if width == VARIABLE:
        if end - position[0] < 4 * (rows + 1):
            return False
        offsets[0] = <const uint32_t*>(data + position[0])
        position[0] += align(4 * (rows + 1), 8)
        bad = offsets[0][0] != 0 or offsets[0][rows] != bytes_in
        for row in range(rows):
            bad |= offsets[0][row + 1] < offsets[0][row]
        if bad:
            return False
    elif bytes_in != <uint64_t>width * <uint64_t>rows:
        return False
    if position[0] > end or bytes_in > <uint64_t>(end - position[0]):
        return False
    start[0] = data + position[0]
    position[0] += align(bytes_in, 8)
    return True


cdef bint parse_op(
    const uint8_t* data, Py_ssize_t size, Py_ssize_t position, OpView* op
) noexcept nogil:
    """The operation at ``position``, every length and offset checked; false if one is wrong."""
    cdef const uint8_t* p = data + position
    cdef Py_ssize_t end, row
    cdef uint64_t total
    if position < 0 or position & 7 or size - position < OP_HEADER:
        return False
    total = (<const uint64_t*>(p + 40))[0]
    if total < OP_HEADER or total > <uint64_t>(size - position) or total & 7:
        return False
    end = position + <Py_ssize_t>total
    op.kind = p[0]
    op.family = (<const uint16_t*>(p + 2))[0]
    op.rows = (<const uint32_t*>(p + 4))[0]
    op.end = end
    op.key_width = (<const uint32_t*>(p + 8))[0]
    op.value_width = (<const uint32_t*>(p + 12))[0]
    op.stamp = (<const int64_t*>(p + 32))[0]
    if op.kind > OP_RANGE or p[1] > _KINDS or (<const uint64_t*>(p + 48))[0] != 0 or (
            <const uint64_t*>(p + 56))[0] != 0:
        return False
    position += OP_HEADER
    op.kinds = NULL
    if p[1] & _KINDS:
        if op.rows > end - position:
            return False
        op.kinds = data + position
        position += align(op.rows, 8)
        for row in range(op.rows):
            if op.kinds[row] != op.kind and op.kinds[row] != DELETE:
                return False
    if not _column(data, op.rows, op.key_width, (<const uint64_t*>(p + 16))[0], end, &position,
                   &op.key_offsets, &op.keys):
        return False
    if not _column(data, op.rows, op.value_width, (<const uint64_t*>(p + 24))[0], end, &position,
                   &op.value_offsets, &op.values):
        return False
    return position == end


def read_operation(const uint8_t[::1] data not None, Py_ssize_t position):
    """(kind, family, rows, end) of the operation at ``position``; ``ValueError`` if damaged."""
    cdef OpView op
    if data.shape[0] == 0 or not parse_op(&data[0], data.shape[0], position, &op):
        raise ValueError(f"the operation at byte {position} of a batch is damaged")
    return op.kind, op.family, op.rows, op.end


def read_ranges(const uint8_t[::1] data not None, Py_ssize_t position):
    """The (low, high) pairs of a range delete; high is ``None`` where it is open."""
    cdef OpView op
    cdef Py_ssize_t row
    if data.shape[0] == 0 or not parse_op(&data[0], data.shape[0], position, &op) or (
            op.kind != OP_RANGE):
        raise ValueError(f"the range delete at byte {position} of a batch is damaged")
    pairs = []
    for row in range(op.rows):
        low = _entry(op.key_offsets, op.keys, op.key_width, row)
        high = None if op.kinds != NULL and op.kinds[row] == DELETE else (
            _entry(op.value_offsets, op.values, op.value_width, row))
        pairs.append((low, high))
    return pairs


cdef bytes _entry(
    const uint32_t* offsets, const uint8_t* data, uint32_t width, Py_ssize_t row
):
    if offsets != NULL:
        return data[offsets[row]:offsets[row + 1]]
    return data[row * width:(row + 1) * width]
