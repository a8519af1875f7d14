"""Arrow columns to Avro's binary encoding (specification 1.12), a whole batch in a call."""

from libc.limits cimport INT_MAX
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcpy

from mainstem.kernels.avro_plan cimport *
from mainstem.kernels.columns cimport Memory, allocate
from mainstem.kernels.payload_columns cimport *
from mainstem.kernels.varints cimport write_varlong


def encode_avro(AvroPlan plan not None, Sources sources not None, Py_ssize_t rows, bytes prefix not None):
    """One record per row, each behind ``prefix``: ``(offsets, data)``, int32 and bytes.

    ``sources`` has a column for every one of the plan. Raises ``ValueError`` with the arguments
    ``(row, fault, operation)`` for a row that the schema does not allow, and with a message for
    damaged arrays or more than 2 GiB.
    """
    cdef Output out
    cdef Memory offsets
    cdef int32_t* starts
    cdef Py_ssize_t row = 0
    cdef int32_t op = 0
    cdef int fault = 0
    cdef const uint8_t* head = <const uint8_t*>prefix
    cdef int64_t head_size = len(prefix)
    if rows < 0 or rows >= INT_MAX - 1:
        raise ValueError(f"{rows} rows cannot be encoded at once")
    sources.check(plan.shapes, rows)
    _check_columns(plan)
    out = Output(rows * (16 + head_size))
    offsets = allocate((rows + 1) * 4)
    starts = <int32_t*>offsets.data
    with nogil:
        while row < rows:
            starts[row] = <int32_t>out.used
            fault = _put(out, head, head_size)
            if not fault:
                fault = _write(plan, sources, out, 0, row, &op)
            if fault:
                break
            row += 1
        starts[row] = <int32_t>out.used
    out.check(fault, row, op, "Avro")
    out.memory.truncate(out.used)
    return offsets, out.memory


cdef int _check_columns(AvroPlan plan) except -1:
    cdef int32_t index
    for index in range(plan.count):
        if plan.ops[index].column < 0 and plan.ops[index].kind not in (AVRO_NULL, AVRO_RECORD):
            raise ValueError("a plan that skips columns cannot write")
    return 0


cdef inline int _put(Output out, const uint8_t* start, int64_t size) noexcept nogil:
    cdef int fault
    if out.used + size > out.room:
        fault = out.grow(size)
        if fault:
            return fault
    memcpy(out.data + out.used, start, size)
    out.used += size
    return 0


cdef inline int _put_long(Output out, int64_t value) noexcept nogil:
    cdef int fault
    if out.used + 10 > out.room:
        fault = out.grow(10)
        if fault:
            return fault
    out.used = write_varlong(out.data + out.used, value) - out.data
    return 0


cdef int _write(
    AvroPlan plan, Sources sources, Output out, int32_t index, int64_t row, int32_t* place
) noexcept nogil:
    """Write one value; a fault, or 0."""
    cdef AvroOp* op = &plan.ops[index]
    cdef int32_t kind = op.kind, at
    cdef Source* source = NULL
    cdef const uint8_t* start = NULL
    cdef int64_t size = 0, cell
    cdef uint8_t bit
    cdef int fault
    place[0] = index
    if op.column >= 0:
        source = &sources.sources[op.column]
        if kind != AVRO_NULL and kind != AVRO_OPTION and kind != AVRO_UNION and not is_valid(source, row):
            return MISSING
    if kind == AVRO_RECORD:
        for at in range(op.child_count):
            fault = _write(plan, sources, out, plan.children[op.first_child + at], row, place)
            if fault:
                return fault
        return 0
    if kind == AVRO_OPTION:
        at = plan.children[op.first_child]
        if not is_valid(source, row):
            return _put_long(out, op.a)
        fault = _put_long(out, 1 - op.a)
        return fault if fault else _write(plan, sources, out, at, row, place)
    if kind == AVRO_NULL:
        return 0
    cell = source.first + row
    if kind == AVRO_LONG:
        return _put_long(out, (<const int64_t*>source.values)[cell])
    if kind == AVRO_INT:
        return _put_long(out, (<const int32_t*>source.values)[cell])
    if kind == AVRO_STRING or kind == AVRO_BYTES:
        if not source_bytes(source, row, &start, &size):
            return DAMAGED
        fault = _put_long(out, size)
        return fault if fault else _put(out, start, size)
    if kind == AVRO_DOUBLE or kind == AVRO_FLOAT or kind == AVRO_FIXED:
        return _put(out, source.values + cell * source.width, source.width)
    if kind == AVRO_BOOLEAN:
        bit = (source.values[cell >> 3] >> (cell & 7)) & 1
        return _put(out, &bit, 1)
    if kind == AVRO_ENUM:
        size = (<const int32_t*>source.values)[cell]
        return _put_long(out, size) if 0 <= size < op.a else SYMBOL
    if kind == AVRO_ARRAY or kind == AVRO_MAP:
        return _write_block(plan, sources, out, op, row, place)
    if kind == AVRO_UNION:
        return _write_union(plan, sources, out, op, row, place)
    return _write_decimal(out, op, source, cell)


cdef int _write_block(
    AvroPlan plan, Sources sources, Output out, AvroOp* op, int64_t row, int32_t* place
) noexcept nogil:
    cdef int64_t begin, end, size = 0
    cdef const uint8_t* start = NULL
    cdef Source* entries
    cdef Source* keys
    cdef int fault
    if not source_list(sources, &sources.sources[op.column], row, &begin, &end):
        return DAMAGED
    if end > begin:
        fault = _put_long(out, end - begin)
        if fault:
            return fault
    while begin < end:
        if op.kind == AVRO_MAP:
            entries, keys = &sources.sources[op.a], &sources.sources[op.b]
            if not is_valid(entries, begin) or not is_valid(keys, begin):
                return MISSING
            if not source_bytes(keys, begin, &start, &size):
                return DAMAGED
            fault = _put_long(out, size)
            if not fault:
                fault = _put(out, start, size)
            if fault:
                return fault
        fault = _write(plan, sources, out, plan.children[op.first_child], begin, place)
        if fault:
            return fault
        begin += 1
    return _put_long(out, 0)


cdef int _write_union(
    AvroPlan plan, Sources sources, Output out, AvroOp* op, int64_t row, int32_t* place
) noexcept nogil:
    cdef int32_t at, child, chosen = -1
    cdef int fault
    if not is_valid(&sources.sources[op.column], row):
        return _put_long(out, op.a) if op.a >= 0 else MISSING
    for at in range(op.child_count):
        child = plan.ops[plan.children[op.first_child + at]].column
        if at != op.a and is_valid(&sources.sources[child], row):
            if chosen >= 0:
                return BRANCH
            chosen = at
    if chosen < 0:
        return BRANCH
    fault = _put_long(out, chosen)
    if fault:
        return fault
    return _write(plan, sources, out, plan.children[op.first_child + chosen], row, place)


cdef int _write_decimal(Output out, AvroOp* op, Source* source, int64_t cell) noexcept nogil:
    cdef const uint8_t* value = source.values + cell * source.width
    cdef int64_t size = source.width, at
    cdef uint8_t sign = 0xFF if value[size - 1] & 0x80 else 0
    cdef uint8_t[AVRO_WIDEST_DECIMAL] digits
    cdef int fault
    while size > 1 and value[size - 1] == sign and not (value[size - 2] ^ sign) & 0x80:
        size -= 1  # as few bytes as hold the value and its sign
    if op.kind == AVRO_DECIMAL_BYTES:
        fault = _put_long(out, size)
        if fault:
            return fault
    elif size > op.b:
        return DECIMAL
    else:
        for at in range(op.b - size):
            fault = _put(out, &sign, 1)
            if fault:
                return fault
    for at in range(size):
        digits[at] = value[size - 1 - at]
    return _put(out, digits, size)
