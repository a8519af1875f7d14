"""JSON objects (RFC 8259) to Arrow columns by a schema, a whole batch in a call.

Never a value that is not what the text says: a number that its type cannot hold, text where a
number should be, a moment without the zone its type needs are faults, or null where that is
asked for. What is passed over is checked for syntax all the same.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from mainstem.kernels.base64_text cimport decode_base64
from mainstem.kernels.columns cimport BinaryColumn, column_entry
from mainstem.kernels.json_numbers cimport read_decimal, read_digits, read_floating
from mainstem.kernels.json_plan cimport *
from mainstem.kernels.json_scan cimport (
    DEEPEST, Cursor, longest_entry, number_end, read_string, read_word, short_integer,
    skip_space, skip_value,
)
from mainstem.kernels.json_times cimport read_clock, read_date, read_moment
from mainstem.kernels.payload_columns cimport *

cdef enum:
    # What the caller wants.
    _NULL_MISSING = 1
    _DROP_EXTRA = 2
    _NULL_CLASH = 4


def decode_json(
    JsonPlan plan not None, BinaryColumn values not None, int options, bint stop
):
    """Columns of the objects ``values``.

    As ``decode_avro``: ``(columns, faults)``, a fault being (row, fault, operation, byte).
    ``options``: 1 reads missing members as null, 2 drops members that the schema lacks, 4 reads
    a value that does not fit as null; each is a fault otherwise.
    """
    cdef Columns out = Columns(plan.shapes)
    cdef Py_ssize_t row = 0, rows = values.length
    cdef int fault
    cdef Cursor cursor
    cdef int64_t at = 0
    memset(&cursor, 0, sizeof(Cursor))
    cursor.options = options
    cursor.readable = values.data + values.data_size
    out.begin(rows)
    cursor.scratch = <uint8_t*>malloc(longest_entry(values) + 16)
    cursor.seen = <uint8_t*>calloc(plan.count, 1)
    try:
        if cursor.scratch == NULL or cursor.seen == NULL:
            raise MemoryError
        while row < rows:
            with nogil:
                fault = _decode_rows(plan, values, out, &cursor, &row, &at)
            if not fault or not out.set_aside(fault, row, stop, (at,)):
                break
            row += 1
    finally:
        free(cursor.scratch)
        free(cursor.seen)
    return out.result(stop)


cdef int _decode_rows(
    JsonPlan plan, BinaryColumn values, Columns out, Cursor* c, Py_ssize_t* row, int64_t* at
) noexcept nogil:
    cdef const uint8_t* start = NULL
    cdef int64_t size = 0
    cdef bint good
    while row[0] < values.length:
        out.fault_at = 0
        if not column_entry(values, row[0], &start, &size):
            return DAMAGED
        if size < 0:
            if not out.add_null_row():
                return out.fault
            row[0] += 1
            continue
        c.p, c.end, c.scratch_used = start, start + size, 0
        skip_space(c)
        good = c.p < c.end and c.p[0] == 123
        if good:
            good = _object(plan, out, c, 0, 0)
            if good:
                skip_space(c)
                good = c.p == c.end or _fail(out, MALFORMED, 0)
        else:
            _fail(out, MALFORMED, 0)
        if not good:
            at[0] = c.p - start
            return out.fault
        row[0] += 1
    return 0


cdef inline bint _fail(Columns out, int fault, int32_t op) noexcept nogil:
    if not out.fault:
        out.fault = fault
        out.fault_at = op
    return False


cdef bint _object(
    JsonPlan plan, Columns out, Cursor* c, int32_t index, int depth
) noexcept nogil:
    """The members of the object at the cursor, each to its column."""
    cdef Op* op = &plan.ops[index]
    cdef const uint8_t* name = NULL
    cdef int64_t size = 0, mark = c.scratch_used
    cdef int32_t at, child, hint = 0
    for at in range(op.child_count):
        c.seen[plan.children[op.first_child + at]] = 0
    c.p += 1
    skip_space(c)
    if c.p < c.end and c.p[0] == 125:
        c.p += 1
    else:
        while True:
            if c.p >= c.end or c.p[0] != 34:
                return _fail(out, MALFORMED, index)
            child = next_member(plan, op, c.p, c.end, &hint)
            if child >= 0:
                c.p += plan.names[child].size + 2
            else:
                if not read_string(c, &name, &size):
                    return _fail(out, MALFORMED, index)
                child = find_member(plan, op, name, size, &hint)
                c.scratch_used = mark
            skip_space(c)
            if c.p >= c.end or c.p[0] != 58:
                return _fail(out, MALFORMED, index)
            c.p += 1
            skip_space(c)
            if child < 0:
                if not c.options & _DROP_EXTRA:
                    return _fail(out, EXTRA, index)
                if not skip_value(c, depth + 1):
                    return _fail(out, MALFORMED, index)
            else:
                if c.seen[child]:
                    return _fail(out, REPEATED, child)
                c.seen[child] = 1
                if not _value(plan, out, c, child, depth + 1):
                    return False
            skip_space(c)
            if c.p >= c.end or (c.p[0] != 44 and c.p[0] != 125):
                return _fail(out, MALFORMED, index)
            c.p += 1
            if (c.p - 1)[0] == 125:
                break
            skip_space(c)
    for at in range(op.child_count):
        child = plan.children[op.first_child + at]
        if not c.seen[child]:
            if not c.options & _NULL_MISSING:
                return _fail(out, ABSENT, child)
            if not out.add_null(plan.ops[child].column):
                return _fail(out, NO_MEMORY, child)
    return True


cdef bint _clash(JsonPlan plan, Columns out, Cursor* c, int32_t index, int depth) noexcept nogil:
    """A value that does not fit: null in its place, or a fault; malformed JSON always is one."""
    cdef const uint8_t* start = c.p
    if not skip_value(c, depth):
        return _fail(out, MALFORMED, index)
    if not c.options & _NULL_CLASH:
        c.p = start
        return _fail(out, MISMATCH, index)
    return out.add_null(plan.ops[index].column) or _fail(out, NO_MEMORY, index)


cdef bint _value(
    JsonPlan plan, Columns out, Cursor* c, int32_t index, int depth
) noexcept nogil:
    """The value at the cursor to the operation's column."""
    cdef Op* op = &plan.ops[index]
    cdef int32_t column = op.column
    cdef uint8_t first
    cdef const uint8_t* start = c.p
    cdef const uint8_t* text = NULL
    cdef int64_t size = 0, mark = c.scratch_used
    cdef bint good
    if c.p >= c.end or depth > DEEPEST:
        return _fail(out, MALFORMED, index)
    first = c.p[0]
    if first == 110:
        if not read_word(c, b"null", 4):
            return _fail(out, MALFORMED, index)
        return out.add_null(column) or _fail(out, NO_MEMORY, index)
    if op.kind == JSON_INTEGER or op.kind == JSON_DOUBLE or op.kind == JSON_FLOAT:
        return _number(plan, out, c, index, depth)
    if op.kind == JSON_STRING or (op.kind == JSON_TEXT and first == 34):
        if first != 34:
            return _clash(plan, out, c, index, depth)
        if not read_string(c, &text, &size):
            return _fail(out, MALFORMED, index)
        # Without escapes it is still where it was read, with more to read behind it.
        good = add_text(out, column, text, size, c.readable - text if c.p - size - 1 == text else 0)
        c.scratch_used = mark
        return good or _fail(out, NO_MEMORY, index)
    if op.kind == JSON_BOOLEAN:
        if first != 116 and first != 102:
            return _clash(plan, out, c, index, depth)
        if not (read_word(c, b"true", 4) or read_word(c, b"false", 5)):
            return _fail(out, MALFORMED, index)
        return add_bit(out, column, first == 116) or _fail(out, NO_MEMORY, index)
    if op.kind == JSON_LIST:
        if first != 91:
            return _clash(plan, out, c, index, depth)
        return _list(plan, out, c, index, depth)
    if op.kind == JSON_OBJECT or op.kind == JSON_MAP:
        if first != 123:
            return _clash(plan, out, c, index, depth)
        if op.kind == JSON_MAP:
            return _map(plan, out, c, index, depth)
        good = _object(plan, out, c, index, depth) and (
            close_struct(out, column) or _fail(out, NO_MEMORY, index))
        return good
    if op.kind == JSON_TEXT:
        if not skip_value(c, depth):
            return _fail(out, MALFORMED, index)
        return add_bytes(out, column, start, c.p - start) or _fail(out, NO_MEMORY, index)
    if op.kind == JSON_NULL:
        return _clash(plan, out, c, index, depth)
    return _written(plan, out, c, index, depth)


cdef bint _list(JsonPlan plan, Columns out, Cursor* c, int32_t index, int depth) noexcept nogil:
    cdef Op* op = &plan.ops[index]
    cdef int32_t child = plan.children[op.first_child]
    c.p += 1
    skip_space(c)
    if c.p < c.end and c.p[0] == 93:
        c.p += 1
        return close_list(out, op.column) or _fail(out, NO_MEMORY, index)
    while True:
        if not _value(plan, out, c, child, depth + 1):
            return False
        skip_space(c)
        if c.p >= c.end or (c.p[0] != 44 and c.p[0] != 93):
            return _fail(out, MALFORMED, index)
        c.p += 1
        if (c.p - 1)[0] == 93:
            return close_list(out, op.column) or _fail(out, NO_MEMORY, index)
        skip_space(c)


cdef bint _map(JsonPlan plan, Columns out, Cursor* c, int32_t index, int depth) noexcept nogil:
    cdef Op* op = &plan.ops[index]
    cdef int32_t child = plan.children[op.first_child]
    cdef const uint8_t* name = NULL
    cdef int64_t size = 0, mark = c.scratch_used
    cdef bint good
    c.p += 1
    skip_space(c)
    if c.p < c.end and c.p[0] == 125:
        c.p += 1
        return close_list(out, op.column) or _fail(out, NO_MEMORY, index)
    while True:
        if c.p >= c.end or c.p[0] != 34 or not read_string(c, &name, &size):
            return _fail(out, MALFORMED, index)
        good = add_bytes(out, op.b, name, size)
        c.scratch_used = mark
        if not good:
            return _fail(out, NO_MEMORY, index)
        skip_space(c)
        if c.p >= c.end or c.p[0] != 58:
            return _fail(out, MALFORMED, index)
        c.p += 1
        skip_space(c)
        if not _value(plan, out, c, child, depth + 1):
            return False
        if not close_struct(out, op.a):
            return _fail(out, NO_MEMORY, index)
        skip_space(c)
        if c.p >= c.end or (c.p[0] != 44 and c.p[0] != 125):
            return _fail(out, MALFORMED, index)
        c.p += 1
        if (c.p - 1)[0] == 125:
            return close_list(out, op.column) or _fail(out, NO_MEMORY, index)
        skip_space(c)


cdef bint _number(
    JsonPlan plan, Columns out, Cursor* c, int32_t index, int depth
) noexcept nogil:
    cdef Op* op = &plan.ops[index]
    cdef const uint8_t* p = c.p
    cdef const uint8_t* behind = NULL
    cdef bint whole = False, negative = False, good = True
    cdef uint64_t value = 0, limit
    cdef int64_t signed_value
    cdef double wide = 0.0
    cdef float narrow = 0.0
    if p[0] != 45 and not 48 <= p[0] <= 57:
        return _clash(plan, out, c, index, depth)
    if op.kind == JSON_INTEGER and op.a == 64 and short_integer(c, &value, &negative):
        if op.b or not (negative and value):
            signed_value = <int64_t>(0 - value if negative else value)
            return add_8(out, op.column, <uint64_t>signed_value) or _fail(out, NO_MEMORY, index)
        c.p = p
    if not number_end(c, &behind, &whole):
        return _fail(out, MALFORMED, index)
    if op.kind != JSON_INTEGER:
        if not read_floating(c, p, behind, whole, op.kind == JSON_FLOAT, &wide, &narrow):
            return _clash(plan, out, c, index, depth)
        c.p = behind
        if op.kind == JSON_FLOAT:
            good = add_fixed(out, op.column, <const uint8_t*>&narrow)
        else:
            good = add_fixed(out, op.column, <const uint8_t*>&wide)
        return good or _fail(out, NO_MEMORY, index)
    negative = p[0] == 45
    if not whole or not read_digits(p + negative, behind, &value):
        return _clash(plan, out, c, index, depth)
    if op.b:
        limit = <uint64_t>1 << (op.a - 1)
        good = value < limit or (negative and value == limit)
    else:
        limit = <uint64_t>-1 if op.a == 64 else (<uint64_t>1 << op.a) - 1
        good = value <= limit and not (negative and value)
    if not good:
        return _clash(plan, out, c, index, depth)
    c.p = behind
    signed_value = <int64_t>(0 - value if negative else value)
    if op.a == 64:
        return add_8(out, op.column, <uint64_t>signed_value) or _fail(out, NO_MEMORY, index)
    # The low bytes of a little-endian number are the narrower number.
    return add_fixed(out, op.column, <const uint8_t*>&signed_value) or _fail(out, NO_MEMORY, index)


# --- values written as text --------------------------------------------------------------------


cdef bint _written(
    JsonPlan plan, Columns out, Cursor* c, int32_t index, int depth
) noexcept nogil:
    """Decimals, bytes and times."""
    cdef Op* op = &plan.ops[index]
    cdef const uint8_t* start = c.p
    cdef const uint8_t* text = NULL
    cdef const uint8_t* behind = NULL
    cdef const uint8_t* limit
    cdef int64_t size = 0, mark = c.scratch_used, number = 0
    cdef bint whole = False, good = False
    cdef int32_t narrow
    cdef wide_int exact = 0
    if start[0] == 34:
        if not read_string(c, &text, &size):
            return _fail(out, MALFORMED, index)
        behind = c.p
    elif op.kind == JSON_DECIMAL and number_end(c, &behind, &whole):
        text, size = start, behind - start
    else:
        return _clash(plan, out, c, index, depth)
    c.scratch_used = mark
    if op.kind == JSON_BASE64:
        size = decode_base64(text, size, c.scratch + mark)
        good = size >= 0 and (add_bytes(out, op.column, c.scratch + mark, size)
                              or _fail(out, NO_MEMORY, index))
    elif op.kind == JSON_DECIMAL:
        good = read_decimal(text, text + size, op.a, op.b, &exact) and (
            add_fixed(out, op.column, <const uint8_t*>&exact) or _fail(out, NO_MEMORY, index))
    elif op.kind == JSON_MOMENT:
        good = read_moment(text, text + size, op.a, op.b, &number) and (
            add_8(out, op.column, <uint64_t>number) or _fail(out, NO_MEMORY, index))
    elif op.kind == JSON_DATE:
        good = size == 10 and read_date(&text, text + size, &number) and (
            add_4(out, op.column, <uint32_t><int32_t>number) or _fail(out, NO_MEMORY, index))
    else:
        limit = text + size
        good = read_clock(&text, limit, op.a, &number) and text == limit
        if good and op.a < 6:
            narrow = <int32_t>number
            good = add_4(out, op.column, <uint32_t>narrow) or _fail(out, NO_MEMORY, index)
        elif good:
            good = add_8(out, op.column, <uint64_t>number) or _fail(out, NO_MEMORY, index)
    if out.fault:
        return False
    if not good:
        c.p = start
        return _clash(plan, out, c, index, depth)
    if start[0] != 34:
        c.p = behind
    return True
