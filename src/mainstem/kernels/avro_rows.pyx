"""Avro's binary encoding (specification 1.12) to Arrow columns and back, a whole batch in a call.

A schema is compiled in Python to operations: one per schema node, each naming the column it
fills, or -1 to skip what it reads. Schemas that contain themselves have no columns and never
get here, so recursion is as deep as the schema.
"""

from libc.limits cimport INT_MAX
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from mainstem.kernels.columns cimport BinaryColumn, Memory, allocate, column_entry
from mainstem.kernels.payload_columns cimport *
from mainstem.kernels.varints cimport read_varint, read_varlong, write_varlong

cdef enum:
    # Operations; kept in step with mainstem/client/avro_plan.py.
    _NULL = 0
    _BOOLEAN = 1
    _INT = 2
    _LONG = 3
    _FLOAT = 4
    _DOUBLE = 5
    _BYTES = 6
    _STRING = 7
    _FIXED = 8            # a: size
    _ENUM = 9             # a: symbols
    _RECORD = 10
    _ARRAY = 11           # a: bytes an item needs at least
    _MAP = 12             # a: column of the entries, b: column of the keys
    _OPTION = 13          # a: branch of null
    _UNION = 14           # a: branch of null or -1
    _DECIMAL_BYTES = 15   # a: digits
    _DECIMAL_FIXED = 16   # a: digits, b: size
    _LAST_OP = 16

    _MOST_EMPTY_ITEMS = 1 << 20  # items without a byte each: a number is all it takes to ask
    _WIDEST_DECIMAL = 32

cdef struct _Op:
    int32_t kind
    int32_t column
    int32_t a
    int32_t b
    int32_t first_child
    int32_t child_count

cdef extern from *:
    """
    typedef __int128 wide_int;
    """
    ctypedef long long wide_int

cdef wide_int[39] _POWERS


cdef void _fill_powers():
    cdef int at
    _POWERS[0] = 1
    for at in range(1, 39):
        _POWERS[at] = _POWERS[at - 1] * 10


_fill_powers()


cdef class AvroPlan:
    """A compiled schema: ``ops`` are (kind, column, a, b, children) with the root first,
    ``shapes`` those of ``Columns``. Immutable, so threads may share one.
    """

    cdef _Op* ops
    cdef int32_t* children
    cdef int32_t count
    cdef readonly list shapes

    def __cinit__(self, list ops not None, list shapes not None):
        cdef int32_t total = 0, at = 0, index
        cdef _Op* op
        self.count = <int32_t>len(ops)
        if not ops or self.count > 1 << 16:
            raise ValueError(f"a plan of {self.count} operations")
        self.shapes = shapes
        self.ops = <_Op*>calloc(self.count, sizeof(_Op))
        edges = [child for op_ in ops for child in op_[4]]
        self.children = <int32_t*>calloc(len(edges) + 1, sizeof(int32_t))
        if self.ops == NULL or self.children == NULL:
            raise MemoryError
        for index in range(self.count):
            op = &self.ops[index]
            op.kind, op.column, op.a, op.b, members = ops[index]
            op.first_child, op.child_count = at, <int32_t>len(members)
            for child in members:
                if not index < child < self.count:
                    raise ValueError(f"operation {child} cannot be part of operation {index}")
                self.children[at] = child
                at += 1
            _check_op(op, index, shapes)
        for index in range(self.count):
            if not self._fits(index, shapes):
                raise ValueError(f"operation {index} fills columns that are not its own")

    cdef bint _fits(self, int32_t index, list shapes) except -1:
        """The members' columns are the children of the operation's column."""
        cdef _Op* op = &self.ops[index]
        cdef int32_t at
        parts = [
            self.ops[self.children[op.first_child + at]].column for at in range(op.child_count)
        ]
        if op.kind == _UNION:
            if not -1 <= op.a < op.child_count:
                return False
            parts = [part for at, part in enumerate(parts) if at != op.a]
        if op.column < 0:
            return index == 0 or all(part < 0 for part in parts)
        if op.kind == _OPTION:
            return parts == [op.column]
        if op.kind == _MAP:
            entries = list(shapes[op.column][2])
            return (
                entries == [op.a]
                and shapes[op.a][0] == STRUCT
                and list(shapes[op.a][2]) == [op.b, *parts]
                and shapes[op.b][0] == BINARY
            )
        used = [part for part in parts if part >= 0]
        return used == list(shapes[op.column][2])

    def __dealloc__(self):
        free(self.ops)
        free(self.children)


cdef int _check_op(_Op* op, int32_t index, list shapes) except -1:
    """An operation fits the column it fills: the loops below rely on it."""
    wanted = {
        _NULL: (NULLS, 0), _BOOLEAN: (BITS, 0), _INT: (FIXED, 4), _LONG: (FIXED, 8),
        _FLOAT: (FIXED, 4), _DOUBLE: (FIXED, 8), _BYTES: (BINARY, 0), _STRING: (BINARY, 0),
        _FIXED: (FIXED, op.a), _ENUM: (FIXED, 4), _RECORD: (STRUCT, 0), _ARRAY: (LIST, 0),
        _MAP: (LIST, 0), _UNION: (STRUCT, 0),
    }
    children = {_ARRAY: 1, _MAP: 1, _OPTION: 1}.get(op.kind)
    good = 0 <= op.kind <= _LAST_OP and -1 <= op.column < len(shapes)
    if good and op.column >= 0 and op.kind in wanted:
        good = tuple(shapes[op.column][:2]) == wanted[op.kind]
    if good and op.kind >= _DECIMAL_BYTES:
        width = 16 if op.a <= 38 else 32
        good = op.column < 0 or tuple(shapes[op.column][:2]) == (FIXED, width)
        good = good and 1 <= op.a <= 76 and 0 <= op.b <= _WIDEST_DECIMAL
    if not good or (children is not None and op.child_count != children):
        raise ValueError(f"operation {index} of kind {op.kind} does not fit its column")
    return 0


# --- reading -----------------------------------------------------------------------------------


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
    faults = []
    if skip < 0:
        raise ValueError(f"cannot skip {skip} bytes")
    out.begin(rows)
    while row < rows:
        with nogil:
            fault = _decode_rows(plan, values, skip, out, &row)
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
    if stop and faults:
        return [], faults
    return out.finish(), faults


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
    cdef _Op* op = &plan.ops[index]
    cdef int32_t kind = op.kind, column = op.column, narrow = 0, at
    cdef int64_t wide = 0
    cdef bint added = True
    if kind == _LONG:
        p = read_varlong(p, end, &wide)
        if p == NULL:
            return _fail(out, VARINT, index)
        if column >= 0:
            added = add_8(out, column, <uint64_t>wide)
    elif kind == _INT:
        p = read_varint(p, end, &narrow)
        if p == NULL:
            return _fail(out, VARINT, index)
        if column >= 0:
            added = add_4(out, column, <uint32_t>narrow)
    elif kind == _STRING or kind == _BYTES:
        p = read_varlong(p, end, &wide)
        if p == NULL:
            return _fail(out, VARINT, index)
        if wide < 0 or wide > end - p:
            return _fail(out, LENGTH, index)
        if column >= 0:
            if kind == _STRING and not is_utf8(p, wide):
                return _fail(out, TEXT, index)
            added = add_bytes(out, column, p, wide)
        p += wide
    elif kind == _OPTION:
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
    elif kind == _DOUBLE or kind == _FLOAT or kind == _FIXED:
        wide = 8 if kind == _DOUBLE else 4 if kind == _FLOAT else op.a
        if end - p < wide:
            return _fail(out, SHORT, index)
        if column >= 0:
            added = add_fixed(out, column, p)
        p += wide
    elif kind == _RECORD:
        for at in range(op.child_count):
            p = _read(plan, out, plan.children[op.first_child + at], p, end)
            if p == NULL:
                return NULL
        if column >= 0:
            added = close_struct(out, column)
    elif kind == _BOOLEAN:
        if p >= end:
            return _fail(out, SHORT, index)
        if p[0] > 1:
            return _fail(out, BOOLEAN, index)
        if column >= 0:
            added = add_bit(out, column, p[0])
        p += 1
    elif kind == _ENUM:
        p = read_varint(p, end, &narrow)
        if p == NULL:
            return _fail(out, VARINT, index)
        if narrow < 0 or narrow >= op.a:
            return _fail(out, SYMBOL, index)
        if column >= 0:
            added = add_4(out, column, <uint32_t>narrow)
    elif kind == _ARRAY or kind == _MAP:
        return _read_blocks(plan, out, index, p, end)
    elif kind == _UNION:
        return _read_union(plan, out, index, p, end)
    elif kind == _NULL:
        if column >= 0:
            added = out.add_null(column)
    else:
        return _read_decimal(out, op, index, p, end)
    return p if added else _fail(out, NO_MEMORY, index)


cdef const uint8_t* _read_blocks(
    AvroPlan plan, Columns out, int32_t index, const uint8_t* p, const uint8_t* end
) noexcept nogil:
    cdef _Op* op = &plan.ops[index]
    cdef int32_t child = plan.children[op.first_child]
    cdef int64_t items, size, least = op.a if op.kind == _ARRAY else 1, empty = 0
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
            if op.kind == _MAP:
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
            if op.kind == _MAP and op.column >= 0 and not close_struct(out, op.a):
                return _fail(out, NO_MEMORY, index)
    if op.column >= 0 and not close_list(out, op.column):
        return _fail(out, NO_MEMORY, index)
    return p


cdef const uint8_t* _read_union(
    AvroPlan plan, Columns out, int32_t index, const uint8_t* p, const uint8_t* end
) noexcept nogil:
    cdef _Op* op = &plan.ops[index]
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
    Columns out, _Op* op, int32_t index, const uint8_t* p, const uint8_t* end
) noexcept nogil:
    """Big-endian two's complement of any length, to Arrow's 16 or 32 bytes little-endian."""
    cdef int64_t size = op.b, at
    cdef int32_t width
    cdef uint8_t[_WIDEST_DECIMAL] digits
    cdef uint8_t sign
    cdef wide_int value
    if op.kind == _DECIMAL_BYTES:
        p = read_varlong(p, end, &size)
        if p == NULL:
            return _fail(out, VARINT, index)
    if size < 0 or size > end - p:
        return _fail(out, LENGTH, index)
    if op.column < 0:
        return p + size
    width = out.columns[op.column].width
    sign = 0xFF if size > 0 and p[0] & 0x80 else 0
    memset(digits, sign, _WIDEST_DECIMAL)
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


# --- writing -----------------------------------------------------------------------------------


def encode_avro(AvroPlan plan not None, Sources sources not None, Py_ssize_t rows, bytes prefix):
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
    _check_sources(plan, sources, rows)
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
    if fault == NO_MEMORY:
        raise MemoryError
    if fault == TOO_LARGE:
        raise ValueError("these rows pass 2 GiB as Avro: encode fewer at once")
    if fault == DAMAGED:
        raise ValueError(f"row {row} points outside its array's data")
    if fault:
        raise ValueError(row, fault, op)
    out.memory.truncate(out.used)
    return offsets, out.memory


cdef int _check_sources(AvroPlan plan, Sources sources, Py_ssize_t rows) except -1:
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
    for index in range(plan.count):
        if plan.ops[index].column < 0 and plan.ops[index].kind not in (_NULL, _RECORD):
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
    cdef _Op* op = &plan.ops[index]
    cdef int32_t kind = op.kind, at
    cdef Source* source = NULL
    cdef const uint8_t* start = NULL
    cdef int64_t size = 0, cell
    cdef uint8_t bit
    cdef int fault
    place[0] = index
    if op.column >= 0:
        source = &sources.sources[op.column]
        if kind != _NULL and kind != _OPTION and kind != _UNION and not is_valid(source, row):
            return MISSING
    if kind == _RECORD:
        for at in range(op.child_count):
            fault = _write(plan, sources, out, plan.children[op.first_child + at], row, place)
            if fault:
                return fault
        return 0
    if kind == _OPTION:
        at = plan.children[op.first_child]
        if not is_valid(source, row):
            return _put_long(out, op.a)
        fault = _put_long(out, 1 - op.a)
        return fault if fault else _write(plan, sources, out, at, row, place)
    if kind == _NULL:
        return 0
    cell = source.first + row
    if kind == _LONG:
        return _put_long(out, (<const int64_t*>source.values)[cell])
    if kind == _INT:
        return _put_long(out, (<const int32_t*>source.values)[cell])
    if kind == _STRING or kind == _BYTES:
        if not source_bytes(source, row, &start, &size):
            return DAMAGED
        fault = _put_long(out, size)
        return fault if fault else _put(out, start, size)
    if kind == _DOUBLE or kind == _FLOAT or kind == _FIXED:
        return _put(out, source.values + cell * source.width, source.width)
    if kind == _BOOLEAN:
        bit = (source.values[cell >> 3] >> (cell & 7)) & 1
        return _put(out, &bit, 1)
    if kind == _ENUM:
        size = (<const int32_t*>source.values)[cell]
        return _put_long(out, size) if 0 <= size < op.a else SYMBOL
    if kind == _ARRAY or kind == _MAP:
        return _write_block(plan, sources, out, op, row, place)
    if kind == _UNION:
        return _write_union(plan, sources, out, op, row, place)
    return _write_decimal(out, op, source, cell)


cdef int _write_block(
    AvroPlan plan, Sources sources, Output out, _Op* op, int64_t row, int32_t* place
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
        if op.kind == _MAP:
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
    AvroPlan plan, Sources sources, Output out, _Op* op, int64_t row, int32_t* place
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


cdef int _write_decimal(Output out, _Op* op, Source* source, int64_t cell) noexcept nogil:
    cdef const uint8_t* value = source.values + cell * source.width
    cdef int64_t size = source.width, at
    cdef uint8_t sign = 0xFF if value[size - 1] & 0x80 else 0
    cdef uint8_t[_WIDEST_DECIMAL] digits
    cdef int fault
    while size > 1 and value[size - 1] == sign and not (value[size - 2] ^ sign) & 0x80:
        size -= 1  # as few bytes as hold the value and its sign
    if op.kind == _DECIMAL_BYTES:
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
