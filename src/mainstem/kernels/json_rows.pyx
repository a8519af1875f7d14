"""Arrow columns to one JSON object per row (RFC 8259), in one call.

Joining columns as Arrow string operations costs a call per row and column inside Arrow, and a
Python encoder an object per value; here each byte is written once.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.limits cimport INT_MAX
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcpy

from mainstem.kernels.base64_text cimport encode_base64
from mainstem.kernels.columns cimport (
    _STEP, BinaryColumn, Memory, allocate, column_entry, copy_bytes, entry_at,
)
from mainstem.kernels.json_values cimport (
    LONGEST_INTEGER, put_decimal, put_integer, put_null, put_text,
)

cdef enum:
    _TEXT = 0
    _LITERAL = 1
    _DECIMAL = 2
    _INTEGER = 3
    _BASE64 = 4


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


cdef struct _Column:
    # A JsonColumn without Python: what a row needs.
    int kind
    const uint8_t* prefix       # followed by 32 bytes or more that may be read
    Py_ssize_t prefix_size
    const int64_t* values
    const uint8_t* offsets
    const uint8_t* data
    Py_ssize_t data_size
    const uint8_t* validity
    Py_ssize_t first
    bint wide


cdef class _Output:
    """A buffer that grows; ``data`` moves when it does."""

    cdef Memory memory
    cdef uint8_t* data
    cdef Py_ssize_t used
    cdef Py_ssize_t room

    cdef int start(self, Py_ssize_t room) except -1:
        self.room = min(<Py_ssize_t>INT_MAX, room)
        self.memory = allocate(self.room)
        self.data = self.memory.data
        return 0

    cdef int grow(self, Py_ssize_t more) except -1 with gil:
        cdef Memory larger
        if self.used + more > INT_MAX:
            raise ValueError("the JSON text of these rows passes 2 GiB: encode fewer at once")
        larger = allocate(min(<Py_ssize_t>INT_MAX, 2 * self.room + more))
        memcpy(larger.data, self.data, self.used)
        self.memory, self.data, self.room = larger, larger.data, larger.size
        return 0

    cdef uint8_t* grow_from(self, uint8_t* target, Py_ssize_t more) except NULL with gil:
        """As ``grow`` where ``target`` is the end; where that is now."""
        self.used = target - self.data
        self.grow(more)
        return self.data + self.used

    cdef inline int put(self, const uint8_t* start, Py_ssize_t size) except -1 nogil:
        if self.used + size > self.room:
            self.grow(size)
        memcpy(self.data + self.used, start, size)
        self.used += size
        return 0


def json_rows(list columns not None, Py_ssize_t rows, bytes close not None=b"}"):
    """Row offsets (int32, ``rows + 1``) and text, as ``Memory``, of one object per row.

    ``columns`` are ``JsonColumn`` of ``rows`` entries whose prefixes hold the punctuation and
    the name: ``{"a":`` for the first, ``,"b":`` for the others; ``close`` ends a row. Raises
    ``ValueError`` for unequal lengths, a damaged array, or more than 2 GiB. Thread-safe.
    """
    cdef tuple kept = tuple(columns)    # the list may change while others run
    cdef Py_ssize_t count = len(kept), index, prefixes = 0, room = 64
    cdef JsonColumn column
    cdef Memory offsets, table, names
    cdef _Output out = _Output()
    cdef _Column* plain
    if rows < 0 or rows >= INT_MAX:
        raise ValueError(f"{rows} rows cannot be encoded at once")
    for index in range(count):
        column = kept[index]
        if column is None or column.length != rows:
            raise ValueError(f"a column has not {rows} entries")
        prefixes += len(column.prefix)
    table = allocate(count * sizeof(_Column))
    names = allocate(prefixes)  # with room behind it, as copies in whole steps want
    plain = <_Column*>table.data
    prefixes = 0
    for index in range(count):
        column = kept[index]
        plain[index] = _plain(column, names.data + prefixes)
        prefixes += len(column.prefix)
        room += _usual_size(&plain[index], rows)
    offsets = allocate((rows + 1) * 4)
    out.start(room + rows * len(close))
    cdef int32_t* starts = <int32_t*>offsets.data
    cdef const uint8_t* closing = <const uint8_t*>close
    cdef Py_ssize_t tail = len(close)
    with nogil:
        _objects(plain, count, rows, closing, tail, starts, out)
    out.memory.truncate(out.used)
    return offsets, out.memory


cdef _Column _plain(JsonColumn column, uint8_t* prefix) noexcept:
    cdef _Column plain
    cdef BinaryColumn texts = column.column
    memcpy(prefix, <const uint8_t*>column.prefix, len(column.prefix))
    plain.kind, plain.prefix, plain.prefix_size = column.kind, prefix, len(column.prefix)
    plain.values, plain.validity, plain.first = column.values, column.validity, column.first
    plain.offsets, plain.data, plain.data_size, plain.wide = NULL, NULL, 0, False
    if texts is not None:
        plain.offsets, plain.data, plain.data_size = texts.offsets, texts.data, texts.data_size
        plain.validity, plain.first, plain.wide = texts.validity, texts.first, texts.wide
    return plain


cdef Py_ssize_t _usual_size(const _Column* column, Py_ssize_t rows) noexcept:
    """About what a column needs where little is escaped."""
    cdef int64_t first, last
    cdef Py_ssize_t size = rows * (column.prefix_size + 10)
    if column.offsets != NULL and rows:
        if column.wide:
            first = (<const int64_t*>column.offsets)[column.first]
            last = (<const int64_t*>column.offsets)[column.first + rows]
        else:
            first = (<const int32_t*>column.offsets)[column.first]
            last = (<const int32_t*>column.offsets)[column.first + rows]
        if 0 <= first <= last <= column.data_size:
            size += last - first + (last - first) // (2 if column.kind == _BASE64 else 64)
    return size


cdef int _objects(
    const _Column* columns, Py_ssize_t count, Py_ssize_t rows, const uint8_t* close,
    Py_ssize_t tail, int32_t* starts, _Output out,
) except -1 nogil:
    cdef Py_ssize_t row, index
    cdef uint8_t* target = out.data
    for row in range(rows):
        starts[row] = <int32_t>(target - out.data)
        for index in range(count):
            target = _write(&columns[index], row, out, target)
        if out.data + out.room - target < tail:
            target = out.grow_from(target, tail)
        if tail == 1:
            target[0] = close[0]
        else:
            memcpy(target, close, tail)
        target += tail
    out.used = target - out.data
    starts[rows] = <int32_t>out.used
    return 0


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
    cdef const uint8_t* start = <const uint8_t*>opening
    cdef const uint8_t* end = <const uint8_t*>closing
    cdef Py_ssize_t started = len(opening), ended = len(closing)
    if first < 0 or rows < 0 or rows > INT_MAX or first > INT_MAX:
        raise ValueError(f"an array cannot have offset {first} and length {rows}")
    found = allocate((rows + 1) * 4)
    out.start(64 + 8 * rows)
    PyObject_GetBuffer(offsets, &view, PyBUF_SIMPLE)
    try:
        if view.len < (first + rows + 1) * 8:
            raise ValueError(f"offsets have {view.len} bytes, too few")
        with nogil:
            _join(<const int64_t*>view.buf + first, rows, entries, start, started, end, ended,
                  <int32_t*>found.data, out)
    finally:
        PyBuffer_Release(&view)
    out.memory.truncate(out.used)
    return found, out.memory


cdef int _join(
    const int64_t* offsets, Py_ssize_t rows, BinaryColumn entries, const uint8_t* opening,
    Py_ssize_t opened, const uint8_t* closing, Py_ssize_t closed, int32_t* starts, _Output out,
) except -1 nogil:
    cdef Py_ssize_t row, entry
    cdef const uint8_t* start = NULL
    cdef int64_t size = 0
    for row in range(rows):
        starts[row] = <int32_t>out.used
        out.put(opening, opened)
        if not 0 <= offsets[row] <= offsets[row + 1] <= entries.length:
            _damaged("list", row, "its entries")
        for entry in range(offsets[row], offsets[row + 1]):
            if entry > offsets[row]:
                out.put(b",", 1)
            if not column_entry(entries, entry, &start, &size):
                _damaged("entry", entry, "its array's data")
            if size < 0:
                out.put(b"null", 4)
            else:
                out.put(start, size)
        out.put(closing, closed)
    starts[rows] = <int32_t>out.used
    return 0


cdef int _damaged(str what, Py_ssize_t number, str where) except -1 with gil:
    raise ValueError(f"{what} {number} points outside {where}: the array is damaged")


cdef inline uint8_t* _write(
    const _Column* column, Py_ssize_t row, _Output out, uint8_t* target
) except NULL nogil:
    """The entry with its name at ``target``; where it ends."""
    cdef const uint8_t* start = NULL
    cdef int64_t size = 0
    cdef Py_ssize_t index = column.first + row
    if column.kind == _INTEGER:
        if column.validity != NULL and not (column.validity[index >> 3] >> (index & 7)) & 1:
            size = -1
    elif not entry_at(column.offsets, column.data, column.data_size, column.validity,
                      column.wide, index, &start, &size):
        _damaged("entry", row, "its array's data")
    # Room for the worst: every byte escaped to six, quotes, or an integer's digits.
    cdef Py_ssize_t most = column.prefix_size + 6 * (size if size > 0 else 0) + LONGEST_INTEGER + 4
    if out.data + out.room - target < most:
        target = out.grow_from(target, most)
    copy_bytes(target, column.prefix, column.prefix_size, column.prefix_size + _STEP)
    target += column.prefix_size
    if size < 0:
        target = put_null(target)
    elif column.kind == _TEXT:
        target = put_text(target, start, size, column.data + column.data_size - start)
    elif column.kind == _INTEGER:
        target = put_integer(target, column.values[index])
    elif column.kind == _DECIMAL:
        target = put_decimal(target, start, size)
    elif column.kind == _BASE64:
        target[0] = 34
        target = encode_base64(target + 1, start, size)
        target[0] = 34
        target += 1
    else:
        memcpy(target, start, size)
        target += size
    return target
