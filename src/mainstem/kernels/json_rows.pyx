"""Arrow columns to one JSON object per row (RFC 8259), in one call.

Joining columns as Arrow string operations costs a call per row and column inside Arrow, and a
Python encoder an object per value; here each byte is written once.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.limits cimport INT_MAX
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from mainstem.kernels.base64_text cimport encode_base64
from mainstem.kernels.columns cimport BinaryColumn, Memory, allocate, column_entry

cdef enum:
    _TEXT = 0
    _LITERAL = 1
    _DECIMAL = 2
    _INTEGER = 3
    _BASE64 = 4
    _LONGEST_INTEGER = 20

cdef uint8_t[256] _ESCAPES
cdef const uint8_t* _HEX = b"0123456789abcdef"


cdef void _fill_escapes():
    cdef int code
    for code in range(256):
        _ESCAPES[code] = 117 if code < 32 else 0  # "u": written as u00XX
    _ESCAPES[34] = 34
    _ESCAPES[92] = 92
    _ESCAPES[8], _ESCAPES[9], _ESCAPES[10] = 98, 116, 110
    _ESCAPES[12], _ESCAPES[13] = 102, 114


_fill_escapes()


cdef class JsonColumn:
    """One column and how its entries are written; null becomes ``null``.

    ``JsonColumn.text(name, column)`` writes strings in quotes, escaped; ``literal`` writes its
    bytes as they are (valid JSON already); ``decimal`` writes floating-point text so that it
    stays one (``1`` becomes ``1.0``; ``nan`` and ``inf``, which JSON lacks, ``null``);
    ``base64`` writes bytes as RFC 4648 text; ``integer`` takes int64 values and their validity.
    Keeps its buffers alive.
    """

    cdef bytes prefix
    cdef int kind
    cdef BinaryColumn column
    cdef Py_buffer values_buffer
    cdef Py_buffer validity_buffer
    cdef const int64_t* values
    cdef const uint8_t* validity
    cdef Py_ssize_t first
    cdef readonly Py_ssize_t length

    @staticmethod
    def text(bytes prefix not None, BinaryColumn column not None):
        return _binary_column(prefix, column, _TEXT)

    @staticmethod
    def literal(bytes prefix not None, BinaryColumn column not None):
        return _binary_column(prefix, column, _LITERAL)

    @staticmethod
    def decimal(bytes prefix not None, BinaryColumn column not None):
        return _binary_column(prefix, column, _DECIMAL)

    @staticmethod
    def base64(bytes prefix not None, BinaryColumn column not None):
        return _binary_column(prefix, column, _BASE64)

    @staticmethod
    def integer(bytes prefix not None, values, validity, Py_ssize_t first, Py_ssize_t length):
        cdef JsonColumn self = JsonColumn()
        if first < 0 or length < 0 or first > (1 << 56) or length > (1 << 56):
            raise ValueError(f"an array cannot have offset {first} and length {length}")
        self.prefix, self.kind, self.first, self.length = prefix, _INTEGER, first, length
        if length == 0:
            return self
        PyObject_GetBuffer(values, &self.values_buffer, PyBUF_SIMPLE)
        self.values = <const int64_t*>self.values_buffer.buf
        if self.values_buffer.len < (first + length) * 8:
            raise ValueError(f"values buffer has {self.values_buffer.len} bytes, too few")
        if validity is not None:
            PyObject_GetBuffer(validity, &self.validity_buffer, PyBUF_SIMPLE)
            self.validity = <const uint8_t*>self.validity_buffer.buf
            if self.validity_buffer.len < (first + length + 7) >> 3:
                raise ValueError(f"validity buffer has {self.validity_buffer.len} bytes, too few")
        return self

    def __dealloc__(self):
        PyBuffer_Release(&self.values_buffer)
        PyBuffer_Release(&self.validity_buffer)


cdef JsonColumn _binary_column(bytes prefix, BinaryColumn column, int kind):
    cdef JsonColumn self = JsonColumn()
    self.prefix, self.kind, self.column, self.length = prefix, kind, column, column.length
    return self


cdef class _Output:
    """A buffer that grows; ``data`` moves when it does."""

    cdef Memory memory
    cdef uint8_t* data
    cdef Py_ssize_t used
    cdef Py_ssize_t room

    cdef int grow(self, Py_ssize_t more) except -1:
        cdef Memory larger
        if self.used + more > INT_MAX:
            raise ValueError("the JSON text of these rows passes 2 GiB: encode fewer at once")
        larger = allocate(min(<Py_ssize_t>INT_MAX, 2 * self.room + more))
        memcpy(larger.data, self.data, self.used)
        self.memory, self.data, self.room = larger, larger.data, larger.size
        return 0

    cdef inline int put(self, const uint8_t* start, Py_ssize_t size) except -1:
        if self.used + size > self.room:
            self.grow(size)
        memcpy(self.data + self.used, start, size)
        self.used += size
        return 0


def json_rows(list columns not None, Py_ssize_t rows, bytes close not None=b"}"):
    """Row offsets (int32, ``rows + 1``) and text, as ``Memory``, of one object per row.

    ``columns`` are ``JsonColumn`` of ``rows`` entries whose prefixes hold the punctuation and
    the name: ``{"a":`` for the first, ``,"b":`` for the others; ``close`` ends a row. Raises
    ``ValueError`` for unequal lengths, a damaged array, or more than 2 GiB.
    """
    cdef Py_ssize_t row, count = len(columns), index, tail = len(close)
    cdef JsonColumn column
    cdef Memory offsets = allocate((rows + 1) * 4)
    cdef int32_t* starts = <int32_t*>offsets.data
    cdef _Output out = _Output()
    if rows < 0 or rows > INT_MAX:
        raise ValueError(f"{rows} rows cannot be encoded at once")
    for column in columns:
        if column is None or column.length != rows:
            raise ValueError(f"a column has not {rows} entries")
    out.room = min(<Py_ssize_t>INT_MAX, 64 + rows * (2 + 16 * count))
    out.memory = allocate(out.room)
    out.data = out.memory.data
    for row in range(rows):
        starts[row] = <int32_t>out.used
        for index in range(count):
            _write(<JsonColumn>columns[index], row, out)
        out.put(close, tail)
    starts[rows] = <int32_t>out.used
    out.memory.truncate(out.used)
    return offsets, out.memory


def json_lists(
    offsets, Py_ssize_t first, Py_ssize_t rows, BinaryColumn entries not None,
    bytes opening not None, bytes closing not None,
):
    """As ``json_rows``, of one list per row: ``entries`` with commas in between.

    ``offsets`` are int64 numbers into ``entries``, the first row's at ``first``. An entry is
    valid JSON already; null becomes ``null``.
    """
    cdef Memory found
    cdef Py_buffer view
    cdef _Output out = _Output()
    if first < 0 or rows < 0 or rows > INT_MAX or first > INT_MAX:
        raise ValueError(f"an array cannot have offset {first} and length {rows}")
    found = allocate((rows + 1) * 4)
    out.room = min(<Py_ssize_t>INT_MAX, 64 + 8 * rows)
    out.memory = allocate(out.room)
    out.data = out.memory.data
    PyObject_GetBuffer(offsets, &view, PyBUF_SIMPLE)
    try:
        if view.len < (first + rows + 1) * 8:
            raise ValueError(f"offsets have {view.len} bytes, too few")
        _join(<const int64_t*>view.buf + first, rows, entries, opening, closing,
              <int32_t*>found.data, out)
    finally:
        PyBuffer_Release(&view)
    out.memory.truncate(out.used)
    return found, out.memory


cdef int _join(
    const int64_t* offsets, Py_ssize_t rows, BinaryColumn entries, bytes opening, bytes closing,
    int32_t* starts, _Output out,
) except -1:
    cdef Py_ssize_t row, entry
    cdef const uint8_t* start = NULL
    cdef int64_t size = 0
    for row in range(rows):
        starts[row] = <int32_t>out.used
        out.put(opening, len(opening))
        if not 0 <= offsets[row] <= offsets[row + 1] <= entries.length:
            raise ValueError(f"list {row} points outside its entries: the array is damaged")
        for entry in range(offsets[row], offsets[row + 1]):
            if entry > offsets[row]:
                out.put(b",", 1)
            if not column_entry(entries, entry, &start, &size):
                raise ValueError(
                    f"entry {entry} points outside its array's data: the array is damaged")
            if size < 0:
                out.put(b"null", 4)
            else:
                out.put(start, size)
        out.put(closing, len(closing))
    starts[rows] = <int32_t>out.used
    return 0


cdef int _write(JsonColumn column, Py_ssize_t row, _Output out) except -1:
    cdef const uint8_t* start = NULL
    cdef int64_t size = 0
    cdef Py_ssize_t prefix = len(column.prefix)
    cdef Py_ssize_t index = column.first + row
    if column.kind == _INTEGER:
        if column.validity != NULL and not (column.validity[index >> 3] >> (index & 7)) & 1:
            size = -1
    elif not column_entry(column.column, row, &start, &size):
        raise ValueError(f"entry {row} points outside its array's data: the array is damaged")
    # Room for the worst: every byte escaped to six, quotes, or an integer's digits.
    cdef Py_ssize_t most = prefix + 6 * (size if size > 0 else 0) + _LONGEST_INTEGER + 4
    if out.used + most > out.room:
        out.grow(most)
    cdef uint8_t* target = out.data + out.used
    memcpy(target, <const uint8_t*>column.prefix, prefix)
    target += prefix
    if size < 0:
        target = _null(target)
    elif column.kind == _TEXT:
        target = _text(target, start, size)
    elif column.kind == _INTEGER:
        target = _integer(target, column.values[index])
    elif column.kind == _DECIMAL:
        target = _decimal(target, start, size)
    elif column.kind == _BASE64:
        target[0] = 34
        target = encode_base64(target + 1, start, size)
        target[0] = 34
        target += 1
    else:
        memcpy(target, start, size)
        target += size
    out.used = target - out.data
    return 0


cdef inline uint8_t* _null(uint8_t* target) noexcept nogil:
    memcpy(target, b"null", 4)
    return target + 4


cdef inline uint8_t* _text(uint8_t* target, const uint8_t* start, int64_t size) noexcept nogil:
    cdef int64_t position
    cdef uint8_t code, escape
    target[0] = 34
    target += 1
    for position in range(size):
        code = start[position]
        escape = _ESCAPES[code]
        if escape == 0:
            target[0] = code
            target += 1
            continue
        target[0] = 92
        target[1] = escape
        target += 2
        if escape == 117:
            target[0] = target[1] = 48
            target[2] = _HEX[code >> 4]
            target[3] = _HEX[code & 15]
            target += 4
    target[0] = 34
    return target + 1


cdef inline uint8_t* _integer(uint8_t* target, int64_t value) noexcept nogil:
    cdef uint8_t[_LONGEST_INTEGER] digits
    cdef int count = 0
    cdef uint64_t rest = <uint64_t>value
    if value < 0:
        target[0] = 45
        target += 1
        rest = 0 - rest
    while True:
        digits[count] = 48 + <uint8_t>(rest % 10)
        count += 1
        rest = rest // 10
        if rest == 0:
            break
    while count:
        count -= 1
        target[0] = digits[count]
        target += 1
    return target


cdef inline uint8_t* _decimal(uint8_t* target, const uint8_t* start, int64_t size) noexcept nogil:
    cdef int64_t position
    cdef bint marked = False
    for position in range(size):
        if start[position] == 110:  # "n" of nan and inf
            return _null(target)
        if start[position] == 46 or start[position] == 101 or start[position] == 69:
            marked = True
        target[position] = start[position]
    target += size
    if not marked:
        target[0] = 46
        target[1] = 48
        target += 2
    return target
