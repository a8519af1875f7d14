"""Lists of rows, and Arrow columns in and out.

A ``RowList`` holds pointers into blocks, memtables or batches, and references that keep those
alive; it is what merging produces, and what blocks and Arrow arrays are made of.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memset

from mainstem.kernels.columns cimport Memory, allocate
from mainstem.kernels.lsm_core cimport (
    MERGE, PUT, Row, compare, copy, prefetch,
)

cdef enum:
    _CHUNK = 1 << 16


cdef class Column:
    """A view of one Arrow binary column: ``width`` ≥ 0 fixed, -1 binary, -2 large binary.

    Buffer sizes and, once, every offset are checked: kernels may trust entries. Raises
    ``ValueError`` for a damaged array. Keeps its buffers alive; safe to share between threads.
    """

    def __cinit__(
        self, offsets, data, validity, Py_ssize_t first, Py_ssize_t length, Py_ssize_t width
    ):
        self._fill(offsets, data, validity, first, length, width)

    cdef int _fill(
        self, offsets, data, validity, Py_ssize_t first, Py_ssize_t length, Py_ssize_t width
    ) except -1:
        if first < 0 or length < 0 or first > (1 << 56) or length > (1 << 56) or width < -2:
            raise ValueError(f"an array cannot have offset {first} and length {length}")
        if width > <Py_ssize_t>1 << 30:
            raise ValueError(f"entries of {width} bytes are too wide")
        self.first = first
        self.length = length
        self.width = width
        if length == 0:
            return 0
        if data is not None:
            PyObject_GetBuffer(data, &self.data_buffer, PyBUF_SIMPLE)
            self.data = <const uint8_t*>self.data_buffer.buf
        if validity is not None:
            PyObject_GetBuffer(validity, &self.validity_buffer, PyBUF_SIMPLE)
            self.validity = <const uint8_t*>self.validity_buffer.buf
            if self.validity_buffer.len < (first + length + 7) >> 3:
                raise ValueError("the validity buffer is too short: the array is damaged")
        if width >= 0:
            if self.data_buffer.len < (first + length) * width:
                raise ValueError("the data buffer is too short: the array is damaged")
            return 0
        PyObject_GetBuffer(offsets, &self.offsets_buffer, PyBUF_SIMPLE)
        self.offsets = <const uint8_t*>self.offsets_buffer.buf
        if self.offsets_buffer.len < (first + length + 1) * (4 if width == -1 else 8):
            raise ValueError("the offsets buffer is too short: the array is damaged")
        if not self._sound():
            raise ValueError("offsets point outside the array's data: the array is damaged")
        return 0

    cdef bint _sound(self) noexcept:
        cdef const int32_t* narrow = <const int32_t*>self.offsets + self.first
        cdef const int64_t* wide = <const int64_t*>self.offsets + self.first
        cdef Py_ssize_t row
        cdef int64_t bad = 0
        with nogil:
            if self.width == -1:
                for row in range(self.length):
                    bad |= narrow[row + 1] < narrow[row]
                bad |= narrow[0] < 0 or narrow[self.length] > self.data_buffer.len
            else:
                for row in range(self.length):
                    bad |= wide[row + 1] < wide[row]
                    bad |= wide[row + 1] - wide[row] > 1 << 30
                bad |= wide[0] < 0 or wide[self.length] > self.data_buffer.len
        return not bad

    def __dealloc__(self):
        PyBuffer_Release(&self.offsets_buffer)
        PyBuffer_Release(&self.data_buffer)
        PyBuffer_Release(&self.validity_buffer)

    def __len__(self):
        return self.length


def column_of(data not None, Py_ssize_t width):
    """A ``pyarrow`` array as a ``Column``; ``width`` as there, 0: what its type says."""
    cdef Column column = Column.__new__(Column, None, None, None, 0, 0, 0)
    cdef list buffers = data.buffers()
    cdef object validity = buffers[0] if data.null_count else None
    if width == 0:
        column._fill(
            None, buffers[1], validity, data.offset, len(data), data.type.byte_width)
    else:
        column._fill(buffers[1], buffers[2], validity, data.offset, len(data), width)
    return column


cdef int64_t span_of(Column column, const uint8_t** start) noexcept nogil:
    """Where the entries of a column without nulls begin, and their bytes together."""
    cdef const uint8_t* last = NULL
    cdef int64_t size
    if column.length == 0:
        return 0
    entry_of(column, 0, start)
    size = entry_of(column, column.length - 1, &last)
    return (last - start[0]) + size


cdef uint8_t* take(Scratch* space, Py_ssize_t size) noexcept nogil:
    """``size`` bytes; NULL without memory."""
    cdef void* chunk
    if size > space.left:
        chunk = malloc(16 + (size if size > _CHUNK else _CHUNK))
        if chunk == NULL:
            return NULL
        (<void**>chunk)[0] = space.chunks
        space.chunks = chunk
        space.at = <uint8_t*>chunk + 16
        space.left = size if size > _CHUNK else _CHUNK
    space.at += size
    space.left -= size
    return space.at - size


cdef void give_back(Scratch* space) noexcept nogil:
    cdef void* older
    while space.chunks != NULL:
        older = (<void**>space.chunks)[0]
        free(space.chunks)
        space.chunks = older


cdef void move(Scratch* space, Scratch* into) noexcept nogil:
    """All that ``space`` gave lives as long as ``into`` from now on."""
    cdef void** last = <void**>space.chunks
    if last == NULL:
        return
    while last[0] != NULL:
        last = <void**>last[0]
    last[0] = into.chunks
    into.chunks = space.chunks
    space.chunks = NULL
    space.left = 0


cdef class RowList:
    """See the module. Not thread-safe while it is being filled."""

    def __cinit__(self):
        self.keep = []

    def __dealloc__(self):
        give_back(&self.space)
        free(self.rows)

    def __len__(self):
        return self.count

    def key(self, Py_ssize_t index):
        """The key of row ``index``, as bytes."""
        if index < 0 or index >= self.count:
            raise IndexError(f"row {index} of {self.count}")
        return self.rows[index].key[:self.rows[index].key_size]

    def rows_in(self, const uint8_t[::1] low not None, const uint8_t[::1] high):
        """First row at or after ``low``, and first at or after ``high`` (``None``: the end)."""
        cdef Py_ssize_t start = self._bound(&low[0] if low.shape[0] else NULL, low.shape[0])
        if high is None:
            return start, self.count
        return start, self._bound(&high[0] if high.shape[0] else NULL, high.shape[0])

    cdef Py_ssize_t _bound(self, const uint8_t* key, Py_ssize_t size) noexcept:
        cdef Py_ssize_t low = 0
        cdef Py_ssize_t high = self.count
        cdef Py_ssize_t middle
        while low < high:
            middle = (low + high) >> 1
            if compare(self.rows[middle].key, self.rows[middle].key_size, key, size) < 0:
                low = middle + 1
            else:
                high = middle
        return low

    cdef int reserve(self, Py_ssize_t capacity) except -1:
        cdef Row* rows
        if capacity <= self.capacity:
            return 0
        rows = <Row*>realloc(self.rows, capacity * sizeof(Row))
        if rows == NULL:
            raise MemoryError(f"no memory for {capacity} rows")
        self.rows = rows
        self.capacity = capacity
        return 0


cdef tuple gather(const Row* rows, Py_ssize_t count, bint keys):
    """Arrow buffers (offsets int32, data, validity or ``None``) of the rows' keys or values."""
    cdef Memory offsets = allocate((count + 1) * 4)
    cdef int32_t* at = <int32_t*>offsets.data
    cdef Py_ssize_t total = 0
    cdef Py_ssize_t missing = 0
    cdef Py_ssize_t i
    cdef Memory data
    cdef Memory validity = None
    cdef uint8_t* out
    cdef const Row* row
    with nogil:
        at[0] = 0
        for i in range(count):
            row = &rows[i]
            if keys:
                total += row.key_size
            elif row.kind == PUT or row.kind == MERGE:
                total += row.value_size
            else:
                missing += 1
            at[i + 1] = <int32_t>total
            if total > 0x7FFFFFFF:
                break
    if total > 0x7FFFFFFF:
        raise OverflowError("an Arrow binary array holds 2 GiB: ask for fewer rows at once")
    data = allocate(total)
    if missing:
        validity = allocate((count + 7) >> 3)
        memset(validity.data, 0, validity.size)
    with nogil:
        out = data.data
        for i in range(count):
            row = &rows[i]
            if keys:
                copy(out + at[i], row.key, row.key_size)
                continue
            if i + 8 < count and at[i + 9] != at[i + 8]:
                prefetch(rows[i + 8].value)
                prefetch(rows[i + 8].value + 64)
            if at[i + 1] != at[i]:
                copy(out + at[i], row.value, row.value_size)
            if missing and (row.kind == PUT or row.kind == MERGE):
                validity.data[i >> 3] |= <uint8_t>(1 << (i & 7))
    return offsets, data, validity, missing


def arrow_buffers(RowList rows not None, Py_ssize_t start, Py_ssize_t count):
    """Keys and values of ``count`` rows from ``start``, copied.

    Returns two tuples (int32 offsets, data, validity or ``None``, null count). Raises
    ``OverflowError`` above 2 GiB.
    """
    if start < 0 or count < 0 or start + count > rows.count:
        raise IndexError(f"rows {start} to {start + count} of {rows.count}")
    return (
        gather(rows.rows + start, count, True),
        gather(rows.rows + start, count, False),
    )


def describe(RowList rows not None):
    """The rows as a list of (key, kind, value, stamp): for tests and tools, not for speed."""
    cdef Py_ssize_t i
    return [
        (
            rows.rows[i].key[:rows.rows[i].key_size],
            rows.rows[i].kind,
            rows.rows[i].value[:rows.rows[i].value_size] if rows.rows[i].value_size else b"",
            rows.rows[i].stamp,
        )
        for i in range(rows.count)
    ]
