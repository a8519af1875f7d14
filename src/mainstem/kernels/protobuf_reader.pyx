"""Protocol Buffers' wire format to Arrow columns, a whole batch in a call.

As the specification has it, fields come in any order, the last value of a singular field wins
and sub-messages that occur twice are merged. Unlike most readers this one does not pass over a
known field of another wire type: that is a schema that does not fit.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from mainstem.kernels.columns cimport BinaryColumn, column_entry
from mainstem.kernels.payload_columns cimport *
from mainstem.kernels.protobuf_plan cimport *

cdef enum:
    _DEEPEST_GROUP = 100

    # What became of a field in the message being read.
    _UNSEEN = 0
    _SEEN = 1
    _MERGED = 2      # with all that come later

cdef struct _State:
    # One entry a field of the plan: a table is used in one place, so at most once at a time.
    uint8_t* seen
    const uint8_t** first  # where a singular message began to occur
    int32_t* chosen        # per oneof: the field that is set, or -1


def decode_protobuf(
    ProtobufPlan plan not None, BinaryColumn values not None, Py_ssize_t skip, bint stop
):
    """Columns of the messages ``values``, whose first ``skip`` bytes are something else.

    As ``decode_avro``: ``(columns, faults)``, a fault being (row, fault, field); the field is
    its place in the plan, or -1.
    """
    cdef Columns out = Columns(plan.shapes)
    cdef Py_ssize_t row = 0, rows = values.length
    cdef int fault
    cdef _State state
    cdef Py_ssize_t entries = plan.field_count + 1
    if skip < 0:
        raise ValueError(f"cannot skip {skip} bytes")
    out.begin(rows)
    state.seen = <uint8_t*>calloc(entries, 1)
    state.first = <const uint8_t**>calloc(entries, sizeof(void*))
    state.chosen = <int32_t*>calloc(entries, sizeof(int32_t))
    try:
        if state.seen == NULL or state.first == NULL or state.chosen == NULL:
            raise MemoryError
        while row < rows:
            with nogil:
                fault = _decode_rows(plan, values, skip, out, &state, &row)
            if not fault or not out.set_aside(fault, row, stop):
                break
            row += 1
    finally:
        free(state.seen)
        free(state.first)
        free(state.chosen)
    return out.result(stop)


cdef int _decode_rows(
    ProtobufPlan plan, BinaryColumn values, Py_ssize_t skip, Columns out, _State* state,
    Py_ssize_t* at,
) noexcept nogil:
    cdef const uint8_t* p = NULL
    cdef int64_t size = 0
    while at[0] < values.length:
        out.fault_at = -1
        if not column_entry(values, at[0], &p, &size):
            return DAMAGED
        if size < 0:
            if not out.add_null_row():
                return out.fault
        elif size < skip:
            return SHORT
        elif not _message(plan, out, state, 0, p + skip, p + size):
            return out.fault
        at[0] += 1
    return 0


cdef inline bint _fail(Columns out, int fault, int64_t field) noexcept nogil:
    if not out.fault:
        out.fault = fault
        out.fault_at = <int32_t>field
    return False


cdef inline const uint8_t* _varint(
    const uint8_t* p, const uint8_t* end, uint64_t* value
) noexcept nogil:
    """At most ten bytes; what is above 64 bits is dropped, as everybody does."""
    cdef uint64_t bits = 0, byte
    cdef int shift = 0
    if p < end and p[0] < 0x80:
        value[0] = p[0]
        return p + 1
    while p < end and shift < 70:
        byte = p[0]
        p += 1
        bits |= (byte & 0x7F) << shift
        if byte < 0x80:
            value[0] = bits
            return p
        shift += 7
    return NULL


cdef const uint8_t* _skip(const uint8_t* p, const uint8_t* end, uint64_t tag) noexcept nogil:
    """Behind a field that nobody wants; NULL where it is not well-formed."""
    cdef uint64_t value = 0
    cdef uint64_t[_DEEPEST_GROUP] groups
    cdef int depth = 0
    while True:
        if tag & 7 == 0:
            p = _varint(p, end, &value)
        elif tag & 7 == 1:
            p = p + 8 if end - p >= 8 else NULL
        elif tag & 7 == 5:
            p = p + 4 if end - p >= 4 else NULL
        elif tag & 7 == 2:
            p = _varint(p, end, &value)
            p = p + value if p != NULL and value <= <uint64_t>(end - p) else NULL
        elif tag & 7 == 3:
            if depth == _DEEPEST_GROUP:
                return NULL
            groups[depth] = tag >> 3
            depth += 1
        elif tag & 7 == 4:
            if depth == 0 or groups[depth - 1] != tag >> 3:
                return NULL
            depth -= 1
        else:
            return NULL
        if p == NULL or depth == 0:
            return p
        p = _varint(p, end, &tag)
        if p == NULL or tag >> 3 == 0 or tag >> 32 != 0:
            return NULL


cdef inline int32_t _find(ProtobufPlan plan, ProtoTable* table, uint32_t number, int32_t hint) noexcept nogil:
    """The field of this number in a table, or -1; ``hint`` is where it probably is."""
    cdef int32_t low = table.first, high = table.first + table.count, middle
    if low <= hint < high and plan.fields[hint].number == number:
        return hint
    while low < high:
        middle = (low + high) >> 1
        if plan.fields[middle].number < number:
            low = middle + 1
        else:
            high = middle
    if low < table.first + table.count and plan.fields[low].number == number:
        return low
    return -1


cdef bint _message(
    ProtobufPlan plan, Columns out, _State* state, int32_t index, const uint8_t* start,
    const uint8_t* end,
) noexcept nogil:
    """Read a message's fields into their columns, and close those that it does not have."""
    cdef ProtoTable* table = &plan.tables[index]
    cdef int32_t at, hint = table.first
    cdef uint64_t tag = 0
    cdef const uint8_t* p = start
    cdef const uint8_t* begin
    memset(state.seen + table.first, _UNSEEN, table.count)
    for at in range(table.first, table.first + table.count):
        state.chosen[at] = -1
    while p < end:
        begin = p
        p = _varint(p, end, &tag)
        if p == NULL or tag >> 32 != 0 or tag >> 3 == 0:
            return _fail(out, WIRE_TYPE, -1)
        at = _find(plan, table, <uint32_t>(tag >> 3), hint)
        if at < 0:
            p = _skip(p, end, tag)
            if p == NULL:
                return _fail(out, WIRE_TYPE, -1)
            continue
        hint = at + 1
        p = _field(plan, out, state, at, <int>(tag & 7), begin, p, end)
        if p == NULL:
            return _fail(out, NO_MEMORY, at)
    for at in range(table.first, table.first + table.count):
        if not _close(plan, out, state, at):
            return _fail(out, NO_MEMORY, at)
    return True


cdef bint _close(ProtobufPlan plan, Columns out, _State* state, int32_t at) noexcept nogil:
    cdef ProtoField* field = &plan.fields[at]
    if PROTO_REPEATED <= field.mode <= PROTO_MAP:
        return close_list(out, field.column)
    if state.seen[at]:
        return True
    if field.mode != PROTO_IMPLICIT:
        return out.add_null(field.column)
    return _add_default(plan, out, state, field)


cdef bint _add_default(
    ProtobufPlan plan, Columns out, _State* state, ProtoField* field
) noexcept nogil:
    cdef const uint8_t* nothing = b""
    cdef int32_t storage = out.columns[field.column].storage
    if storage == BITS:
        return add_bit(out, field.column, False)
    if storage == BINARY:
        return add_bytes(out, field.column, nothing, 0)
    if storage == STRUCT:
        return (
            _message(plan, out, state, field.message, nothing, nothing)
            and close_struct(out, field.column)
        )
    if out.columns[field.column].width == 4:
        return add_4(out, field.column, 0)
    return add_8(out, field.column, 0)


cdef const uint8_t* _field(
    ProtobufPlan plan, Columns out, _State* state, int32_t at, int wire_type,
    const uint8_t* begin, const uint8_t* p, const uint8_t* end,
) noexcept nogil:
    """Read one occurrence of a field, whose tag begins at ``begin``."""
    cdef ProtoField* field = &plan.fields[at]
    cdef int wanted = wire_type_of(field.kind)
    cdef uint64_t size = 0
    cdef const uint8_t* stop
    if field.mode == PROTO_REPEATED or field.mode == PROTO_PACKED:
        if wire_type == 2 and wanted != 2:
            p = _varint(p, end, &size)
            if p == NULL or size > <uint64_t>(end - p):
                _fail(out, LENGTH, at)
                return NULL
            stop = p + size
            while p < stop:
                p = _value(plan, out, state, field, field.inner, at, p, stop)
                if p == NULL:
                    return NULL
            return p
    elif field.mode != PROTO_MAP and state.seen[at] == _MERGED:
        p = _skip(p, end, wire_type)
        if p == NULL:
            _fail(out, WIRE_TYPE, at)
        return p
    if wire_type != wanted:
        _fail(out, WIRE_TYPE, at)
        return NULL
    if PROTO_REPEATED <= field.mode <= PROTO_MAP:
        return _value(plan, out, state, field, field.inner, at, p, end)
    if field.oneof >= 0:
        _choose(plan, out, state, field.oneof, at)
    if state.seen[at]:
        out.cut(field.column, out.columns[field.column].length - 1)
        if field.kind == PROTO_MESSAGE or field.kind >= PROTO_RAW:
            return _merge(plan, out, state, at, p, end)
    else:
        state.first[at] = begin
    state.seen[at] = _SEEN
    return _value(plan, out, state, field, field.column, at, p, end)


cdef void _choose(
    ProtobufPlan plan, Columns out, _State* state, int32_t oneof, int32_t at
) noexcept nogil:
    """Of a oneof's members only the last stays."""
    cdef int32_t before = state.chosen[oneof]
    cdef int32_t column
    if before >= 0 and before != at and state.seen[before]:
        column = plan.fields[before].column
        out.cut(column, out.columns[column].length - 1)
        state.seen[before] = _UNSEEN
    state.chosen[oneof] = at


cdef const uint8_t* _merge(
    ProtobufPlan plan, Columns out, _State* state, int32_t at, const uint8_t* p,
    const uint8_t* end,
) noexcept nogil:
    """A sub-message that occurs twice: reading all its pieces as one is merging them.

    All pieces are taken at once, up to another member of its oneof; later ones are passed over.
    """
    cdef ProtoField* field = &plan.fields[at]
    cdef const uint8_t* scan = state.first[at]
    cdef const uint8_t* behind
    cdef uint8_t* joined = <uint8_t*>malloc(end - scan + 16)
    cdef int64_t used = 5
    cdef uint64_t tag = 0, size = 0
    cdef int32_t other, table_first, table_count
    cdef ProtoTable* table = NULL
    cdef uint8_t[5] head
    cdef int32_t index, head_size = 0
    if joined == NULL:
        _fail(out, NO_MEMORY, at)
        return NULL
    for index in range(plan.table_count):
        if plan.tables[index].first <= at < plan.tables[index].first + plan.tables[index].count:
            table = &plan.tables[index]
    while scan < end:
        scan = _varint(scan, end, &tag)
        if scan == NULL or tag >> 32 != 0:
            break
        other = _find(plan, table, <uint32_t>(tag >> 3), -1)
        if other == at and tag & 7 == 2:
            scan = _varint(scan, end, &size)
            if scan == NULL or size > <uint64_t>(end - scan):
                scan = NULL
                break
            memcpy(joined + used, scan, size)
            used += size
            scan += size
            continue
        if other >= 0 and field.oneof >= 0 and plan.fields[other].oneof == field.oneof:
            break
        scan = _skip(scan, end, tag)
        if scan == NULL:
            break
    if scan == NULL:
        free(joined)
        _fail(out, LENGTH, at)
        return NULL
    size = <uint64_t>(used - 5)
    while size >= 0x80:
        head[head_size] = <uint8_t>(size | 0x80)
        size >>= 7
        head_size += 1
    head[head_size] = <uint8_t>size
    head_size += 1
    memcpy(joined + 5 - head_size, head, head_size)
    state.seen[at] = _MERGED
    behind = _value(
        plan, out, state, field, field.column, at, joined + 5 - head_size, joined + used)
    free(joined)
    if behind == NULL:
        return NULL
    p = _skip(p, end, 2)
    if p == NULL:
        _fail(out, LENGTH, at)
    return p


cdef const uint8_t* _value(
    ProtobufPlan plan, Columns out, _State* state, ProtoField* field, int32_t column, int32_t at,
    const uint8_t* p, const uint8_t* end,
) noexcept nogil:
    """Read one value into ``column``; the byte behind it or NULL."""
    cdef int32_t kind = field.kind
    cdef int wire_type = wire_type_of(kind)
    cdef uint64_t bits = 0
    cdef int64_t nanoseconds = 0
    cdef bint good
    if wire_type == 0:
        p = _varint(p, end, &bits)
        if p == NULL:
            _fail(out, VARINT, at)
            return NULL
        if kind == PROTO_BOOL:
            good = add_bit(out, column, bits != 0)
        elif kind == PROTO_SINT32:
            good = add_4(out, column, <uint32_t>bits >> 1 ^ (0 - (<uint32_t>bits & 1)))
        elif kind == PROTO_SINT64:
            good = add_8(out, column, bits >> 1 ^ (0 - (bits & 1)))
        elif out.columns[column].width == 4:
            good = add_4(out, column, <uint32_t>bits)
        else:
            good = add_8(out, column, bits)
        return p if good else NULL
    if wire_type != 2:
        bits = 8 if wire_type == 1 else 4
        if <uint64_t>(end - p) < bits:
            _fail(out, SHORT, at)
            return NULL
        return p + bits if add_fixed(out, column, p) else NULL
    p = _varint(p, end, &bits)
    if p == NULL or bits > <uint64_t>(end - p):
        _fail(out, LENGTH, at)
        return NULL
    if kind == PROTO_MESSAGE:
        good = _message(plan, out, state, field.message, p, p + bits) and close_struct(out, column)
    elif kind == PROTO_STRING and not is_utf8(p, <int64_t>bits):
        good = _fail(out, TEXT, at)
    elif kind >= PROTO_INSTANT:
        good = _nanoseconds(p, p + bits, &nanoseconds) or _fail(out, MISMATCH, at)
        good = good and add_8(out, column, <uint64_t>nanoseconds)
    else:
        good = add_bytes(out, column, p, <int64_t>bits)
    return p + bits if good else NULL


cdef extern from *:
    """
    static int nanoseconds_of(int64_t seconds, int64_t nanos, int64_t* found) {
        __int128 exact = (__int128)seconds * 1000000000 + nanos;
        *found = (int64_t)exact;
        return *found == exact;
    }
    """
    bint nanoseconds_of(int64_t seconds, int64_t nanos, int64_t* found) nogil


cdef bint _nanoseconds(const uint8_t* p, const uint8_t* end, int64_t* found) noexcept nogil:
    """google.protobuf.Timestamp and Duration: seconds = 1, nanos = 2."""
    cdef uint64_t tag = 0, bits = 0
    cdef int64_t seconds = 0
    cdef int32_t nanos = 0
    while p < end:
        p = _varint(p, end, &tag)
        if p == NULL or tag >> 3 == 0 or tag >> 32 != 0:
            return False
        if tag == 8 or tag == 16:
            p = _varint(p, end, &bits)
            if tag == 8:
                seconds = <int64_t>bits
            else:
                nanos = <int32_t>bits
        else:
            p = _skip(p, end, tag)
        if p == NULL:
            return False
    if nanos <= -PROTO_NANOS or nanos >= PROTO_NANOS:
        return False
    return nanoseconds_of(seconds, nanos, found)
