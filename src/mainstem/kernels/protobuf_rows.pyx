"""Protocol Buffers' wire format to Arrow columns and back, a whole batch in a call.

A message type is compiled in Python to fields, one table per place it is used in, each field
naming the column it fills. Types that contain themselves stay bytes, so recursion is as deep as
the compiled schema. As the specification has it, fields come in any order, the last value of a
singular field wins and sub-messages that occur twice are merged. Unlike most readers this one
does not pass over a known field of another wire type: that is a schema that does not fit.

Records are written back to front: a sub-message's length is known when it is written.
"""

from libc.limits cimport INT_MAX
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memmove, memset

from mainstem.kernels.columns cimport BinaryColumn, Memory, allocate, column_entry
from mainstem.kernels.payload_columns cimport *

cdef enum:
    # Kinds of fields: FieldDescriptorProto.Type, and three of ours.
    _DOUBLE = 1
    _FLOAT = 2
    _INT64 = 3
    _UINT64 = 4
    _INT32 = 5
    _FIXED64 = 6
    _FIXED32 = 7
    _BOOL = 8
    _STRING = 9
    _MESSAGE = 11
    _BYTES = 12
    _UINT32 = 13
    _ENUM = 14
    _SFIXED32 = 15
    _SFIXED64 = 16
    _SINT32 = 17
    _SINT64 = 18
    _RAW = 19        # a message that stays bytes
    _INSTANT = 20    # google.protobuf.Timestamp as nanoseconds
    _DURATION = 21   # google.protobuf.Duration as nanoseconds
    _LAST_KIND = 21

    # How often a field occurs, and what its absence means.
    _OPTIONAL = 0    # null
    _IMPLICIT = 1    # zero, or empty
    _REPEATED = 2
    _PACKED = 3      # as repeated; written packed
    _MAP = 4
    _REQUIRED = 5    # null when reading, an error when writing

    _DEEPEST_GROUP = 100
    _NANOS = 1000000000

    # What became of a field in the message being read.
    _UNSEEN = 0
    _SEEN = 1
    _MERGED = 2      # with all that come later

cdef struct _Field:
    uint32_t number
    int32_t kind
    int32_t mode
    int32_t column   # of the value; of the list, where there are many
    int32_t inner    # of an item; of a map's entries
    int32_t message  # the table of a sub-message or map entry, or -1
    int32_t oneof    # the first field of its oneof, or -1; `chosen` is kept there

cdef struct _Table:
    int32_t first
    int32_t count


cdef inline int _wire_type(int32_t kind) noexcept nogil:
    if kind == _DOUBLE or kind == _FIXED64 or kind == _SFIXED64:
        return 1
    if kind == _FLOAT or kind == _FIXED32 or kind == _SFIXED32:
        return 5
    if kind == _STRING or kind == _BYTES or kind == _MESSAGE or kind >= _RAW:
        return 2
    return 0


cdef inline int32_t _storage(int32_t kind, int32_t* width) noexcept:
    width[0] = 0
    if kind == _BOOL:
        return BITS
    if kind == _STRING or kind == _BYTES or kind == _RAW:
        return BINARY
    if kind == _MESSAGE:
        return STRUCT
    width[0] = 4
    if kind == _FLOAT or kind == _INT32 or kind == _FIXED32 or kind == _UINT32:
        return FIXED
    if kind == _ENUM or kind == _SFIXED32 or kind == _SINT32:
        return FIXED
    width[0] = 8
    return FIXED


cdef class ProtobufPlan:
    """A compiled message type. ``tables`` are lists of fields, the root's first, each field
    (number, kind, mode, column, inner, table, oneof) by rising number; ``shapes`` those of
    ``Columns``. Immutable, so threads may share one.
    """

    cdef _Field* fields
    cdef _Table* tables
    cdef int32_t field_count
    cdef int32_t table_count
    cdef readonly list shapes

    def __cinit__(self, list tables not None, list shapes not None):
        cdef int32_t at = 0, index
        self.table_count = <int32_t>len(tables)
        self.field_count = <int32_t>sum(len(table) for table in tables)
        if not tables or self.field_count > 1 << 16 or self.table_count > 1 << 16:
            raise ValueError(f"a plan of {self.table_count} tables, {self.field_count} fields")
        self.shapes = shapes
        self.fields = <_Field*>calloc(self.field_count + 1, sizeof(_Field))
        self.tables = <_Table*>calloc(self.table_count, sizeof(_Table))
        if self.fields == NULL or self.tables == NULL:
            raise MemoryError
        used = set()
        for index in range(self.table_count):
            self.tables[index].first = at
            self.tables[index].count = <int32_t>len(tables[index])
            before = 0
            for field in tables[index]:
                if not before < field[0] < 1 << 29:
                    raise ValueError(f"field numbers must rise, {field[0]} follows {before}")
                before = field[0]
                _take_field(&self.fields[at], field, shapes)
                if field[5] >= 0 and (not index < field[5] < self.table_count or field[5] in used):
                    raise ValueError(f"table {field[5]} cannot be part of table {index}")
                used.add(field[5])
                if not -1 <= field[6] < self.tables[index].count:
                    raise ValueError(f"there is no oneof {field[6]}")
                self.fields[at].oneof = field[6] + self.tables[index].first if field[6] >= 0 else -1
                at += 1
        inner = {child for shape in shapes for child in shape[2]}
        roots = [column for column in range(len(shapes)) if column not in inner]
        if sorted(field[3] for field in tables[0]) != roots:
            raise ValueError("the root message does not fill the top-level columns")
        for index in range(self.field_count):
            self._check_nesting(&self.fields[index], tables)

    cdef int _check_nesting(self, _Field* field, list tables) except -1:
        """The columns of a sub-message are the children of its struct: the loops rely on it."""
        if field.message < 0:
            return 0
        holder = field.column if field.mode in (_OPTIONAL, _IMPLICIT, _REQUIRED) else field.inner
        inside = [entry[3] for entry in tables[field.message]]
        if sorted(self.shapes[holder][2]) != sorted(inside):
            raise ValueError(f"field {field.number} fills columns that are not its own")
        if field.mode == _MAP and [entry[0] for entry in tables[field.message]] != [1, 2]:
            raise ValueError(f"map {field.number} needs a key and a value")
        return 0

    def __dealloc__(self):
        free(self.fields)
        free(self.tables)


cdef int _take_field(_Field* field, tuple source, list shapes) except -1:
    cdef int32_t width = 0, storage
    field.number, field.kind, field.mode, field.column, field.inner, field.message = source[:6]
    count = len(shapes)
    many = _REPEATED <= field.mode <= _MAP
    if not (1 <= field.kind <= _LAST_KIND and field.kind != 10 and 0 <= field.mode <= _REQUIRED):
        raise ValueError(f"field {field.number} has kind {field.kind} and mode {field.mode}")
    if not 0 <= field.column < count or (many and not 0 <= field.inner < count):
        raise ValueError(f"field {field.number} names a column that does not exist")
    if (field.kind == _MESSAGE) != (field.message >= 0) or (field.mode == _MAP and field.message < 0):
        raise ValueError(f"field {field.number} lacks its message")
    storage = _storage(field.kind, &width)
    holder = field.inner if many else field.column
    if tuple(shapes[holder][:2]) != (storage, width):
        raise ValueError(f"field {field.number} does not fit its column")
    if many and (shapes[field.column][0] != LIST or list(shapes[field.column][2]) != [field.inner]):
        raise ValueError(f"field {field.number} does not fit its list")
    if field.mode == _PACKED and _wire_type(field.kind) == 2:
        raise ValueError(f"field {field.number} cannot be packed")
    return 0


cdef struct _State:
    # One entry a field of the plan: a table is used in one place, so at most once at a time.
    uint8_t* seen
    const uint8_t** first  # where a singular message began to occur
    int32_t* chosen        # per oneof: the field that is set, or -1


# --- reading -----------------------------------------------------------------------------------


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
    faults = []
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
            if not fault:
                break
            if fault == NO_MEMORY:
                raise MemoryError
            if fault == TOO_LARGE:
                raise ValueError("a column passes 2 GiB: read fewer rows at once")
            if fault == DAMAGED:
                raise ValueError(f"entry {row} points outside its array's data")
            faults.append((row, fault, out.fault_at))
            if stop:
                break
            out.fault = 0
            out.roll_back(row)
            if not out.add_null_row():
                raise MemoryError
            row += 1
    finally:
        free(state.seen)
        free(state.first)
        free(state.chosen)
    if stop and faults:
        return [], faults
    return out.finish(), faults


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


cdef inline int32_t _find(ProtobufPlan plan, _Table* table, uint32_t number, int32_t hint) noexcept nogil:
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
    cdef _Table* table = &plan.tables[index]
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
    cdef _Field* field = &plan.fields[at]
    if _REPEATED <= field.mode <= _MAP:
        return close_list(out, field.column)
    if state.seen[at]:
        return True
    if field.mode != _IMPLICIT:
        return out.add_null(field.column)
    return _add_default(plan, out, state, field)


cdef bint _add_default(
    ProtobufPlan plan, Columns out, _State* state, _Field* field
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
    cdef _Field* field = &plan.fields[at]
    cdef int wanted = _wire_type(field.kind)
    cdef uint64_t size = 0
    cdef const uint8_t* stop
    if field.mode == _REPEATED or field.mode == _PACKED:
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
    elif field.mode != _MAP and state.seen[at] == _MERGED:
        p = _skip(p, end, wire_type)
        if p == NULL:
            _fail(out, WIRE_TYPE, at)
        return p
    if wire_type != wanted:
        _fail(out, WIRE_TYPE, at)
        return NULL
    if _REPEATED <= field.mode <= _MAP:
        return _value(plan, out, state, field, field.inner, at, p, end)
    if field.oneof >= 0:
        _choose(plan, out, state, field.oneof, at)
    if state.seen[at]:
        out.cut(field.column, out.columns[field.column].length - 1)
        if field.kind == _MESSAGE or field.kind >= _RAW:
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
    cdef _Field* field = &plan.fields[at]
    cdef const uint8_t* scan = state.first[at]
    cdef const uint8_t* behind
    cdef uint8_t* joined = <uint8_t*>malloc(end - scan + 16)
    cdef int64_t used = 5
    cdef uint64_t tag = 0, size = 0
    cdef int32_t other, table_first, table_count
    cdef _Table* table = NULL
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
    ProtobufPlan plan, Columns out, _State* state, _Field* field, int32_t column, int32_t at,
    const uint8_t* p, const uint8_t* end,
) noexcept nogil:
    """Read one value into ``column``; the byte behind it or NULL."""
    cdef int32_t kind = field.kind
    cdef int wire_type = _wire_type(kind)
    cdef uint64_t bits = 0
    cdef int64_t nanoseconds = 0
    cdef bint good
    if wire_type == 0:
        p = _varint(p, end, &bits)
        if p == NULL:
            _fail(out, VARINT, at)
            return NULL
        if kind == _BOOL:
            good = add_bit(out, column, bits != 0)
        elif kind == _SINT32:
            good = add_4(out, column, <uint32_t>bits >> 1 ^ (0 - (<uint32_t>bits & 1)))
        elif kind == _SINT64:
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
    if kind == _MESSAGE:
        good = _message(plan, out, state, field.message, p, p + bits) and close_struct(out, column)
    elif kind == _STRING and not is_utf8(p, <int64_t>bits):
        good = _fail(out, TEXT, at)
    elif kind >= _INSTANT:
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
    if nanos <= -_NANOS or nanos >= _NANOS:
        return False
    return nanoseconds_of(seconds, nanos, found)


# --- writing -----------------------------------------------------------------------------------


def encode_protobuf(
    ProtobufPlan plan not None, Sources sources not None, Py_ssize_t rows, bytes prefix
):
    """One message per row, each behind ``prefix``: ``(offsets, data)``, int32 and bytes.

    As ``encode_avro``; fields are written by rising number. Raises ``ValueError`` with the
    arguments ``(row, fault, field)`` for a row that the schema does not allow.
    """
    cdef Output out
    cdef Memory offsets
    cdef int32_t* ends
    cdef Py_ssize_t row
    cdef int32_t place = -1
    cdef int fault = 0
    cdef const uint8_t* head = <const uint8_t*>prefix
    cdef int64_t head_size = len(prefix)
    if rows < 0 or rows >= INT_MAX - 1:
        raise ValueError(f"{rows} rows cannot be encoded at once")
    _check_sources(plan, sources, rows)
    out = Output(rows * (16 + head_size))
    offsets = allocate((rows + 1) * 4)
    ends = <int32_t*>offsets.data
    row = rows
    with nogil:
        ends[rows] = 0
        while row > 0:
            row -= 1
            fault = _write_message(plan, sources, out, 0, row, &place)
            if not fault:
                fault = _front(out, head, head_size)
            if fault:
                break
            ends[row] = <int32_t>out.used
        if not fault:  # distances from the end become offsets from the beginning
            for row in range(rows + 1):
                ends[row] = <int32_t>out.used - ends[row]
            memmove(out.data, out.data + out.room - out.used, out.used)
    if fault == NO_MEMORY:
        raise MemoryError
    if fault == TOO_LARGE:
        raise ValueError("these rows pass 2 GiB as Protobuf: encode fewer at once")
    if fault == DAMAGED:
        raise ValueError(f"row {row} points outside its array's data")
    if fault:
        raise ValueError(row, fault, place)
    out.memory.truncate(out.used)
    return offsets, out.memory


cdef int _check_sources(ProtobufPlan plan, Sources sources, Py_ssize_t rows) except -1:
    cdef int32_t index
    inner = {child for shape in plan.shapes for child in shape[2]}
    if sources.count != len(plan.shapes):
        raise ValueError(f"{sources.count} columns for a plan of {len(plan.shapes)}")
    for index, (storage, width, members) in enumerate(plan.shapes):
        source = sources.sources[index]
        found = [sources.children[source.first_child + at] for at in range(source.child_count)]
        if (source.storage, source.width, found) != (storage, width, list(members)):
            raise ValueError(f"column {index} is not what the plan needs")
        if index not in inner and source.length < rows:
            raise ValueError(f"column {index} has {source.length} entries, not {rows}")
    return 0


cdef inline int _front(Output out, const uint8_t* start, int64_t size) noexcept nogil:
    """Bytes in front of what is there."""
    cdef int fault
    if out.used + size > out.room:
        fault = out.grow_front(size)
        if fault:
            return fault
    out.used += size
    memcpy(out.data + out.room - out.used, start, size)
    return 0


cdef inline int _front_varint(Output out, uint64_t value) noexcept nogil:
    cdef uint8_t[10] bytes_
    cdef int size = 0
    while value >= 0x80:
        bytes_[size] = <uint8_t>(value | 0x80)
        value >>= 7
        size += 1
    bytes_[size] = <uint8_t>value
    return _front(out, bytes_, size + 1)


cdef int _write_message(
    ProtobufPlan plan, Sources sources, Output out, int32_t index, int64_t row, int32_t* place
) noexcept nogil:
    """A message's fields, the last first."""
    cdef _Table* table = &plan.tables[index]
    cdef _Field* field
    cdef int32_t at = table.first + table.count, other
    cdef Source* source
    cdef int fault = 0
    cdef bint valid
    while at > table.first and not fault:
        at -= 1
        field = &plan.fields[at]
        place[0] = at
        source = &sources.sources[field.column]
        valid = is_valid(source, row)
        if field.mode == _OPTIONAL or field.mode == _REQUIRED:
            if not valid:
                if field.mode == _REQUIRED:
                    return MISSING
                continue
            if field.oneof >= 0:
                for other in range(table.first, at):
                    if plan.fields[other].oneof == field.oneof and is_valid(
                        &sources.sources[plan.fields[other].column], row
                    ):
                        return BRANCH
            fault = _write_value(plan, sources, out, field, source, row, True, place)
        elif field.mode == _IMPLICIT:
            if valid and not _is_default(source, row):
                fault = _write_value(plan, sources, out, field, source, row, True, place)
        elif valid:
            fault = _write_many(plan, sources, out, at, row, place)
    return fault


cdef bint _is_default(Source* source, int64_t row) noexcept nogil:
    cdef int64_t cell = source.first + row
    if source.storage == BITS:
        return not (source.values[cell >> 3] >> (cell & 7)) & 1
    if source.storage == BINARY:
        return (<const int32_t*>source.values)[cell] == (<const int32_t*>source.values)[cell + 1]
    if source.storage == STRUCT:
        return False
    if source.width == 4:
        return (<const uint32_t*>source.values)[cell] == 0
    return (<const uint64_t*>source.values)[cell] == 0


cdef int _write_many(
    ProtobufPlan plan, Sources sources, Output out, int32_t at, int64_t row, int32_t* place
) noexcept nogil:
    cdef _Field* field = &plan.fields[at]
    cdef Source* items = &sources.sources[field.inner]
    cdef int64_t begin = 0, end = 0, mark = out.used
    cdef bint packed = field.mode == _PACKED
    cdef int fault
    if not source_list(sources, &sources.sources[field.column], row, &begin, &end):
        return DAMAGED
    if begin == end:
        return 0
    while end > begin:
        end -= 1
        place[0] = at
        if not is_valid(items, end):
            return MISSING
        if field.mode == _MAP:
            fault = _write_entry(plan, sources, out, field, end, place)
        else:
            fault = _write_value(plan, sources, out, field, items, end, not packed, place)
        if fault:
            return fault
    if not packed:
        return 0
    fault = _front_varint(out, <uint64_t>(out.used - mark))
    return fault if fault else _front_varint(out, <uint64_t>field.number << 3 | 2)


cdef int _write_entry(
    ProtobufPlan plan, Sources sources, Output out, _Field* field, int64_t row, int32_t* place
) noexcept nogil:
    """A map's entry: key and value are always there."""
    cdef int64_t mark = out.used
    cdef int32_t at = plan.tables[field.message].first + 2
    cdef _Field* part
    cdef int fault
    while at > plan.tables[field.message].first:
        at -= 1
        part = &plan.fields[at]
        place[0] = at
        if not is_valid(&sources.sources[part.column], row):
            return MISSING
        fault = _write_value(
            plan, sources, out, part, &sources.sources[part.column], row, True, place)
        if fault:
            return fault
    fault = _front_varint(out, <uint64_t>(out.used - mark))
    return fault if fault else _front_varint(out, <uint64_t>field.number << 3 | 2)


cdef int _write_value(
    ProtobufPlan plan, Sources sources, Output out, _Field* field, Source* source, int64_t row,
    bint tagged, int32_t* place,
) noexcept nogil:
    cdef int wire_type = _wire_type(field.kind)
    cdef int64_t cell = source.first + row, size = 0, mark = out.used
    cdef const uint8_t* start = NULL
    cdef int fault
    if wire_type == 0:
        fault = _front_varint(out, _integer(field.kind, source, cell))
    elif wire_type != 2:
        fault = _front(out, source.values + cell * source.width, source.width)
    else:
        if field.kind == _MESSAGE:
            fault = _write_message(plan, sources, out, field.message, row, place)
        elif field.kind >= _INSTANT:
            fault = _write_time(out, field.kind, (<const int64_t*>source.values)[cell])
        elif not source_bytes(source, row, &start, &size):
            return DAMAGED
        else:
            fault = _front(out, start, size)
        if not fault:
            fault = _front_varint(out, <uint64_t>(out.used - mark))
    if fault or not tagged:
        return fault
    return _front_varint(out, <uint64_t>field.number << 3 | wire_type)


cdef inline uint64_t _integer(int32_t kind, Source* source, int64_t cell) noexcept nogil:
    cdef int64_t wide
    if kind == _BOOL:
        return (source.values[cell >> 3] >> (cell & 7)) & 1
    if kind == _UINT32:
        return (<const uint32_t*>source.values)[cell]
    if source.width == 4:
        wide = (<const int32_t*>source.values)[cell]  # negative ones take ten bytes
        if kind == _SINT32:
            return <uint32_t>((<uint32_t>wide << 1) ^ <uint32_t>(wide >> 31))
        return <uint64_t>wide
    wide = (<const int64_t*>source.values)[cell]
    if kind == _SINT64:
        return (<uint64_t>wide << 1) ^ <uint64_t>(wide >> 63)
    return <uint64_t>wide


cdef int _write_time(Output out, int32_t kind, int64_t value) noexcept nogil:
    """Timestamps count nanos forward from the second; a duration's have its sign."""
    cdef int64_t seconds = value // _NANOS  # towards zero, as C divides
    cdef int64_t nanos = value - seconds * _NANOS
    cdef int fault = 0
    if kind == _INSTANT and nanos < 0:
        nanos += _NANOS
        seconds -= 1
    if nanos:
        fault = _front_varint(out, <uint64_t>nanos)
        if not fault:
            fault = _front_varint(out, 16)
    if seconds and not fault:
        fault = _front_varint(out, <uint64_t>seconds)
        if not fault:
            fault = _front_varint(out, 8)
    return fault
