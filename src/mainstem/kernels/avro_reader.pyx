"""Avro's binary encoding (specification 1.12) to Arrow columns, a whole batch in a call."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from mainstem.kernels.avro_plan cimport *
from mainstem.kernels.columns cimport BinaryColumn, column_entry
from mainstem.kernels.payload_columns cimport *
from mainstem.kernels.varints cimport read_varint, read_varlong

cdef enum:
    _MOST_EMPTY_ITEMS = 1 << 20  # items without a byte each: a number is all it takes to ask

cdef wide_int[39] _POWERS


cdef void _fill_powers():
    cdef int at
    _POWERS[0] = 1
    for at in range(1, 39):
        _POWERS[at] = _POWERS[at - 1] * 10


_fill_powers()


def decode_avro(
    AvroPlan plan not None,
    BinaryColumn values not None,
    Py_ssize_t skip,
    bint stop,
):
    """Columns of the records ``values``, whose first ``skip`` bytes are something else.

    Returns ``(columns, faults)``: for each column (length, nulls, validity, values, data), for
    each bad row (row, fault, operation). A null row, and a bad one, is null in every column;
    with ``stop`` the first bad row ends it. Raises ``ValueError`` for a damaged array or more
    than 2 GiB in a column. The GIL is released; the plan may be shared.
    """
    cdef Columns out = Columns(plan.shapes)
    cdef Py_ssize_t row = 0, rows = values.length
    cdef int fault
    if skip < 0:
        raise ValueError(f"cannot skip {skip} bytes")
    out.begin(rows)
    while row < rows:
        with nogil:
            fault = _decode_rows(plan, values, skip, out, &row)
        if not fault or not out.set_aside(fault, row, stop):
            break
        row += 1
    return out.result(stop)


cdef int _decode_rows(
    AvroPlan plan, BinaryColumn values, Py_ssize_t skip, Columns out, Py_ssize_t* at
) noexcept nogil:
    """Rows from ``at`` on; stops at the first bad one, with its fault."""
    cdef const uint8_t* p = NULL
    cdef const uint8_t* end
    cdef int64_t size = 0
    while at[0] < values.length:
        if not column_entry(values, at[0], &p, &size):
            return DAMAGED
        if size < 0:
            if not out.add_null_row():
                return out.fault
            at[0] += 1
            continue
        if size < skip:
            out.fault_at = 0
            return SHORT
        end = p + size
        p = _read(plan, out, 0, p + skip, end)
        if p == NULL:
            return out.fault
        if p != end:
            out.fault_at = 0
            return LONG_ROW
        at[0] += 1
    return 0


cdef inline const uint8_t* _fail(Columns out, int fault, int32_t op) noexcept nogil:
    if not out.fault:
        out.fault = fault
    out.fault_at = op
    return NULL


cdef const uint8_t* _read(
    AvroPlan plan, Columns out, int32_t index, const uint8_t* p, const uint8_t* end
) noexcept nogil:
    """Read one value; the byte behind it, or NULL with the fault in ``out``."""
    cdef AvroOp* op = &plan.ops[index]
    cdef int32_t kind = op.kind, column = op.column, narrow = 0, at
    cdef int64_t wide = 0
    cdef bint added = True
    if kind == AVRO_LONG:
        p = read_varlong(p, end, &wide)
        if p == NULL:
            return _fail(out, VARINT, index)
        if column >= 0:
            added = add_8(out, column, <uint64_t>wide)
    elif kind == AVRO_INT:
        p = read_varint(p, end, &narrow)
        if p == NULL:
            return _fail(out, VARINT, index)
        if column >= 0:
            added = add_4(out, column, <uint32_t>narrow)
    elif kind == AVRO_STRING or kind == AVRO_BYTES:
        p = read_varlong(p, end, &wide)
        if p == NULL:
            return _fail(out, VARINT, index)
        if wide < 0 or wide > end - p:
            return _fail(out, LENGTH, index)
        if column >= 0:
            if kind == AVRO_STRING and not is_utf8(p, wide):
                return _fail(out, TEXT, index)
            added = add_bytes(out, column, p, wide)
        p += wide
    elif kind == AVRO_OPTION:
        p = read_varlong(p, end, &wide)
        if p == NULL:
            return _fail(out, VARINT, index)
        if wide < 0 or wide > 1:
            return _fail(out, BRANCH, index)
        if wide == op.a:
            if column >= 0:
                added = out.add_null(column)
        else:
            return _read(plan, out, plan.children[op.first_child], p, end)
    elif kind == AVRO_DOUBLE or kind == AVRO_FLOAT or kind == AVRO_FIXED:
        wide = 8 if kind == AVRO_DOUBLE else 4 if kind == AVRO_FLOAT else op.a
        if end - p < wide:
            return _fail(out, SHORT, index)
        if column >= 0:
            added = add_fixed(out, column, p)
        p += wide
    elif kind == AVRO_RECORD:
        for at in range(op.child_count):
            p = _read(plan, out, plan.children[op.first_child + at], p, end)
            if p == NULL:
                return NULL
        if column >= 0:
            added = close_struct(out, column)
    elif kind == AVRO_BOOLEAN:
        if p >= end:
            return _fail(out, SHORT, index)
        if p[0] > 1:
            return _fail(out, BOOLEAN, index)
        if column >= 0:
            added = add_bit(out, column, p[0])
        p += 1
    elif kind == AVRO_ENUM:
        p = read_varint(p, end, &narrow)
        if p == NULL:
            return _fail(out, VARINT, index)
        if narrow < 0 or narrow >= op.a:
            return _fail(out, SYMBOL, index)
        if column >= 0:
            added = add_4(out, column, <uint32_t>narrow)
    elif kind == AVRO_ARRAY or kind == AVRO_MAP:
        return _read_blocks(plan, out, index, p, end)
    elif kind == AVRO_UNION:
        return _read_union(plan, out, index, p, end)
    elif kind == AVRO_NULL:
        if column >= 0:
            added = out.add_null(column)
    else:
        return _read_decimal(out, op, index, p, end)
    return p if added else _fail(out, NO_MEMORY, index)


cdef const uint8_t* _read_blocks(
    AvroPlan plan, Columns out, int32_t index, const uint8_t* p, const uint8_t* end
) noexcept nogil:
    cdef AvroOp* op = &plan.ops[index]
    cdef int32_t child = plan.children[op.first_child]
    cdef int64_t items, size, least = op.a if op.kind == AVRO_ARRAY else 1, empty = 0
    cdef const uint8_t* key
    while True:
        p = read_varlong(p, end, &items)
        if p == NULL:
            return _fail(out, VARINT, index)
        if items == 0:
            break
        if items < 0:  # then the block's size in bytes follows, for those who skip it
            p = read_varlong(p, end, &size)
            if p == NULL:
                return _fail(out, VARINT, index)
            if items == <int64_t>1 << 63 or size < 0 or size > end - p:
                return _fail(out, LENGTH, index)
            items = -items
        if least == 0:
            if items > _MOST_EMPTY_ITEMS - empty:
                return _fail(out, LENGTH, index)
            empty += items
        elif items > end - p:
            return _fail(out, LENGTH, index)
        while items:
            items -= 1
            if op.kind == AVRO_MAP:
                p = read_varlong(p, end, &size)
                if p == NULL:
                    return _fail(out, VARINT, index)
                if size < 0 or size > end - p:
                    return _fail(out, LENGTH, index)
                key = p
                p += size
                if op.column >= 0:
                    if not is_utf8(key, size):
                        return _fail(out, TEXT, index)
                    if not add_bytes(out, op.b, key, size):
                        return _fail(out, NO_MEMORY, index)
            p = _read(plan, out, child, p, end)
            if p == NULL:
                return NULL
            if op.kind == AVRO_MAP and op.column >= 0 and not close_struct(out, op.a):
                return _fail(out, NO_MEMORY, index)
    if op.column >= 0 and not close_list(out, op.column):
        return _fail(out, NO_MEMORY, index)
    return p


cdef const uint8_t* _read_union(
    AvroPlan plan, Columns out, int32_t index, const uint8_t* p, const uint8_t* end
) noexcept nogil:
    cdef AvroOp* op = &plan.ops[index]
    cdef int64_t branch = 0
    cdef int32_t at, child
    p = read_varlong(p, end, &branch)
    if p == NULL:
        return _fail(out, VARINT, index)
    if branch < 0 or branch >= op.child_count:
        return _fail(out, BRANCH, index)
    if branch == op.a:
        if op.column >= 0 and not out.add_null(op.column):
            return _fail(out, NO_MEMORY, index)
        return p
    if op.column >= 0:
        for at in range(op.child_count):
            child = plan.ops[plan.children[op.first_child + at]].column
            if at != branch and at != op.a and not out.add_null(child):
                return _fail(out, NO_MEMORY, index)
    p = _read(plan, out, plan.children[op.first_child + <int32_t>branch], p, end)
    if p != NULL and op.column >= 0 and not close_struct(out, op.column):
        return _fail(out, NO_MEMORY, index)
    return p


cdef const uint8_t* _read_decimal(
    Columns out, AvroOp* op, int32_t index, const uint8_t* p, const uint8_t* end
) noexcept nogil:
    """Big-endian two's complement of any length, to Arrow's 16 or 32 bytes little-endian."""
    cdef int64_t size = op.b, at
    cdef int32_t width
    cdef uint8_t[AVRO_WIDEST_DECIMAL] digits
    cdef uint8_t sign
    cdef wide_int value
    if op.kind == AVRO_DECIMAL_BYTES:
        p = read_varlong(p, end, &size)
        if p == NULL:
            return _fail(out, VARINT, index)
    if size < 0 or size > end - p:
        return _fail(out, LENGTH, index)
    if op.column < 0:
        return p + size
    width = out.columns[op.column].width
    sign = 0xFF if size > 0 and p[0] & 0x80 else 0
    memset(digits, sign, AVRO_WIDEST_DECIMAL)
    for at in range(size):
        if size - 1 - at < width:
            digits[size - 1 - at] = p[at]
        elif p[at] != sign:
            return _fail(out, DECIMAL, index)
    if (digits[width - 1] ^ sign) & 0x80:
        return _fail(out, DECIMAL, index)
    if width == 16:
        memcpy(&value, digits, 16)
        if value >= _POWERS[op.a] or value <= -_POWERS[op.a]:
            return _fail(out, DECIMAL, index)
    if not add_fixed(out, op.column, digits):
        return _fail(out, NO_MEMORY, index)
    return p + size
