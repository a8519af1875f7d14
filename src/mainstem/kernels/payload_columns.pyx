"""Arrow columns that grow entry by entry, nested as a schema says, and the same for reading.

The payload kernels (Avro, Protocol Buffers, JSON) walk a record once and put each value where
it belongs. A record that turns out to be bad half-way is rolled back: the parents' offsets say
how long each child was before it.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdlib cimport calloc, free

from mainstem.kernels.columns cimport Memory, allocate

cdef enum:
    _FIRST_ENTRIES = 256
    _FIRST_BYTES = 4096
    _TELLING_ENTRIES = 64  # so many tell how long the others are
    _LARGEST = 0x7FFFFFFF
    _MOST_NODES = 1 << 16


cdef int32_t* _tree(list shapes, int at, int32_t* total) except? NULL:
    """The children of all shapes, one after the other. A child comes after its parent, once."""
    cdef int32_t count = <int32_t>len(shapes)
    cdef int32_t* children
    seen = set()
    edges = sum(len(shape[at]) for shape in shapes)
    if count > _MOST_NODES or edges > count:
        raise ValueError(f"a schema of {count} columns is too large")
    children = <int32_t*>calloc(edges + 1, sizeof(int32_t))
    if children == NULL:
        raise MemoryError
    total[0] = 0
    for parent, shape in enumerate(shapes):
        for child in shape[at]:
            if not parent < child < count or child in seen:
                free(children)
                raise ValueError(f"column {child} cannot be a child of column {parent}")
            seen.add(child)
            children[total[0]] = child
            total[0] += 1
    return children


cdef class Columns:
    """Columns of ``shapes``: (storage, width, children) each, children by number.

    Those that are nobody's child are the top level. Used once, by one thread.
    """

    def __cinit__(self, list shapes not None):
        cdef int32_t total = 0, at = 0, index
        self.count = <int32_t>len(shapes)
        self.children = _tree(shapes, 2, &total)
        self.columns = <Column*>calloc(self.count + 1, sizeof(Column))
        self.roots = <int32_t*>calloc(self.count + 1, sizeof(int32_t))
        self.memories = [None] * (3 * self.count)
        self.faults = []
        if self.columns == NULL or self.roots == NULL:
            raise MemoryError
        inner = {child for shape in shapes for child in shape[2]}
        for index in range(self.count):
            storage, width, members = shapes[index]
            if not 0 <= storage <= STRUCT or not 0 <= width <= 1 << 20:
                raise ValueError(f"a column cannot have storage {storage} and width {width}")
            if (storage == LIST) != (len(members) == 1) and storage != STRUCT:
                raise ValueError("a list has one child, a plain column none")
            self.columns[index].storage = storage
            self.columns[index].width = width
            self.columns[index].first_child = at
            self.columns[index].child_count = <int32_t>len(members)
            at += <int32_t>len(members)
            if index not in inner:
                self.roots[self.root_count] = index
                self.root_count += 1

    def __dealloc__(self):
        free(self.columns)
        free(self.children)
        free(self.roots)

    cdef int begin(self, Py_ssize_t rows) except -1:
        """Room for so many rows at the top."""
        cdef int32_t at
        if rows > _LARGEST - 8:
            raise ValueError(f"{rows} rows cannot be decoded at once")
        for at in range(self.root_count):
            self.columns[self.roots[at]].capacity = 0
            self._reserve(self.roots[at], rows + 1)
        return 0

    cdef int _reserve(self, int32_t index, int64_t capacity) except -1:
        """Memory for ``capacity`` entries of a column; what is there is kept."""
        cdef Column* column = &self.columns[index]
        cdef int64_t before = column.capacity
        cdef int64_t bits = (capacity + 63) >> 6 << 3
        if capacity > _LARGEST - 8:
            raise OverflowError
        column.validity = self._memory(3 * index, column.validity, (before + 63) >> 6 << 3, bits)
        if column.storage == BITS:
            column.values = self._memory(
                3 * index + 1, column.values, (before + 63) >> 6 << 3, bits)
        elif column.storage == FIXED:
            column.values = self._memory(
                3 * index + 1, column.values, column.length * column.width,
                capacity * column.width, clear=False)
        elif column.storage == BINARY or column.storage == LIST:
            column.values = self._memory(
                3 * index + 1, column.values, (column.length + 1) * 4 if before else 0,
                (capacity + 1) * 4, clear=False)
            if not before:
                (<int32_t*>column.values)[0] = 0
        column.capacity = capacity
        return 0

    cdef uint8_t* _memory(
        self, int32_t slot, uint8_t* old, int64_t kept, int64_t size, bint clear=True
    ) except NULL:
        cdef Memory memory = allocate(size)
        if old != NULL:
            memcpy(memory.data, old, kept)
        if clear:
            memset(memory.data + kept, 0, size - kept)
        self.memories[slot] = memory
        return memory.data

    cdef int grow(self, int32_t index) noexcept with gil:
        cdef int64_t capacity = 2 * self.columns[index].capacity
        try:
            self._reserve(index, max(<int64_t>_FIRST_ENTRIES, capacity))
        except MemoryError:
            self.fault = NO_MEMORY
        except OverflowError:
            self.fault = TOO_LARGE
        return self.fault

    cdef int grow_data(self, int32_t index, int64_t more) noexcept with gil:
        cdef Column* column = &self.columns[index]
        cdef int64_t size = column.data_size + more, whole
        if size > _LARGEST:
            self.fault = TOO_LARGE
            return self.fault
        if column.length >= _TELLING_ENTRIES:  # the others are taken to be about as long
            whole = <int64_t>(<double>size / (column.length + 1) * column.capacity)
            size = max(size + (size >> 3), whole + (whole >> 5))
        else:
            size = max(2 * size, <int64_t>_FIRST_BYTES)
        size = min(size, <int64_t>_LARGEST)
        try:
            column.data = self._memory(
                3 * index + 2, column.data, column.data_size, size, clear=False)
            column.data_capacity = size
        except MemoryError:
            self.fault = NO_MEMORY
        return self.fault

    cdef bint add_null(self, int32_t index) noexcept nogil:
        """A null at the end, in members too."""
        cdef Column* column = &self.columns[index]
        cdef int32_t at
        if not room_for_one(self, index):
            return False
        if column.storage == FIXED:
            memset(column.values + column.length * column.width, 0, column.width)
        elif column.storage == BINARY or column.storage == LIST:
            (<int32_t*>column.values)[column.length + 1] = (<int32_t*>column.values)[column.length]
        elif column.storage == STRUCT:
            for at in range(column.child_count):
                if not self.add_null(self.children[column.first_child + at]):
                    return False
        column.nulls += 1
        column.length += 1
        return True

    cdef void cut(self, int32_t index, int64_t length) noexcept nogil:
        """Forget the entries from ``length`` on, also of members that got ahead."""
        cdef Column* column = &self.columns[index]
        cdef uint8_t bit
        cdef int32_t at
        while column.length > length:
            column.length -= 1
            bit = <uint8_t>(1 << (column.length & 7))
            if not column.validity[column.length >> 3] & bit:
                column.nulls -= 1
            column.validity[column.length >> 3] &= ~bit
            if column.storage == BITS:
                column.values[column.length >> 3] &= ~bit
        if column.capacity == 0:
            length = 0
        if column.storage == BINARY:
            column.data_size = (<int32_t*>column.values)[length] if column.capacity else 0
        elif column.storage == LIST:
            self.cut(
                self.children[column.first_child],
                (<int32_t*>column.values)[length] if column.capacity else 0)
        elif column.storage == STRUCT:
            for at in range(column.child_count):
                self.cut(self.children[column.first_child + at], length)

    cdef void roll_back(self, int64_t length) noexcept nogil:
        cdef int32_t at
        for at in range(self.root_count):
            self.cut(self.roots[at], length)

    cdef bint add_null_row(self) noexcept nogil:
        cdef int32_t at
        for at in range(self.root_count):
            if not self.add_null(self.roots[at]):
                return False
        return True

    cdef list finish(self):
        """(length, nulls, validity, values, data) of every column; buffers or ``None``."""
        cdef int32_t index
        cdef Column* column
        found = []
        for index in range(self.count):
            column = &self.columns[index]
            if column.capacity == 0:
                self._reserve(index, 1)
            if column.storage == BINARY and column.data == NULL:
                self.grow_data(index, 1)
            sizes = [((column.length + 63) >> 6) << 3, 0, column.data_size]
            if column.storage == BITS:
                sizes[1] = sizes[0]
            elif column.storage == FIXED:
                sizes[1] = column.length * column.width
            elif column.storage == BINARY or column.storage == LIST:
                sizes[1] = (column.length + 1) * 4
            buffers = self.memories[3 * index : 3 * index + 3]
            for memory, size in zip(buffers, sizes):
                if memory is not None:
                    memory.truncate(size)
            if column.nulls == 0:
                buffers[0] = None
            found.append((column.length, column.nulls, *buffers))
        return found

    cdef bint set_aside(
        self, int fault, Py_ssize_t row, bint stop, tuple where=()
    ) except -1:
        """Take note of a row that cannot be read; False where that is the end.

        Otherwise the row becomes null in every column, and reading goes on behind it. Raises
        where the fault is not the row's: no memory, more than 2 GiB, a damaged array.
        """
        if fault == NO_MEMORY:
            raise MemoryError
        if fault == TOO_LARGE:
            raise ValueError("a column passes 2 GiB: read fewer rows at once")
        if fault == DAMAGED:
            raise ValueError(f"entry {row} points outside its array's data")
        self.faults.append((row, fault, self.fault_at, *where))
        if stop:
            return False
        self.fault = 0
        self.roll_back(row)
        if not self.add_null_row():
            raise MemoryError
        return True

    cdef tuple result(self, bint stop):
        """The columns and the faults; with ``stop`` no columns where there is a fault."""
        return [] if stop and self.faults else self.finish(), self.faults


cdef class Sources:
    """Arrow arrays for reading: (storage, width, children, first, length, validity, values,
    data) each. Buffers' sizes are checked here; offsets in them where they are used."""

    def __cinit__(self, list shapes not None):
        cdef int32_t total = 0, at = 0, index
        cdef int64_t need
        cdef Source* source
        self.count = <int32_t>len(shapes)
        self.children = _tree(shapes, 2, &total)
        self.sources = <Source*>calloc(self.count + 1, sizeof(Source))
        self.buffers = <Py_buffer*>calloc(3 * self.count + 1, sizeof(Py_buffer))
        if self.sources == NULL or self.buffers == NULL:
            raise MemoryError
        for index in range(self.count):
            storage, width, members, first, length, validity, values, data = shapes[index]
            if not 0 <= storage <= STRUCT or not 0 <= width <= 1 << 20:
                raise ValueError(f"a column cannot have storage {storage} and width {width}")
            if (storage == LIST) != (len(members) == 1) and storage != STRUCT:
                raise ValueError("a list has one child, a plain column none")
            if not 0 <= first <= _LARGEST or not 0 <= length <= _LARGEST:
                raise ValueError(f"an array cannot have offset {first} and length {length}")
            source = &self.sources[index]
            source.storage, source.width = storage, width
            source.first, source.length = first, length
            source.first_child, source.child_count = at, <int32_t>len(members)
            at += source.child_count
            if length == 0:
                continue
            bits = (first + length + 7) >> 3
            if validity is not None:
                source.validity = self._view(validity, bits)
            if storage == BITS:
                source.values = self._view(values, bits)
            elif storage == FIXED:
                source.values = self._view(values, (first + length) * width)
            elif storage == BINARY or storage == LIST:
                source.values = self._view(values, (first + length + 1) * 4)
            if storage == BINARY and data is not None:
                source.data = self._view(data, 0)
                source.data_size = self.buffers[self.buffer_count - 1].len
        for index in range(self.count):
            source = &self.sources[index]
            for at in range(source.child_count if source.storage == STRUCT else 0):
                need = self.sources[self.children[source.first_child + at]].length
                if need < source.length:
                    raise ValueError(f"a member has {need} entries, its struct {source.length}")

    cdef int check(self, list shapes, Py_ssize_t rows) except -1:
        """Raises ``ValueError`` unless these are columns of ``shapes``, ``rows`` at the top."""
        cdef Source* source
        cdef int32_t index, at
        inner = {child for shape in shapes for child in shape[2]}
        if self.count != len(shapes):
            raise ValueError(f"{self.count} columns for a plan of {len(shapes)}")
        for index, (storage, width, members) in enumerate(shapes):
            source = &self.sources[index]
            found = [self.children[source.first_child + at] for at in range(source.child_count)]
            if (source.storage, source.width, found) != (storage, width, list(members)):
                raise ValueError(f"column {index} is not what the plan needs")
            if index not in inner and source.length < rows:
                raise ValueError(f"column {index} has {source.length} entries, not {rows}")
        return 0

    cdef const uint8_t* _view(self, buffer, int64_t need) except? NULL:
        cdef Py_buffer* view = &self.buffers[self.buffer_count]
        if buffer is None:
            raise ValueError("an array lacks a buffer")
        PyObject_GetBuffer(buffer, view, PyBUF_SIMPLE)
        self.buffer_count += 1
        if view.len < need:
            raise ValueError(f"an array's buffer has {view.len} bytes, {need} are needed")
        return <const uint8_t*>view.buf

    def __dealloc__(self):
        cdef int32_t at
        for at in range(self.buffer_count):
            PyBuffer_Release(&self.buffers[at])
        free(self.buffers)
        free(self.sources)
        free(self.children)


cdef class Output:
    """Bytes that grow at the end (``grow``) or at the front (``grow_front``), up to 2 GiB."""

    def __cinit__(self, int64_t room):
        self.room = min(max(room, <int64_t>_FIRST_BYTES), <int64_t>_LARGEST)
        self.memory = allocate(self.room)
        self.data = (<Memory>self.memory).data

    cdef int grow(self, int64_t more) noexcept with gil:
        return self._grow(more, False)

    cdef int grow_front(self, int64_t more) noexcept with gil:
        return self._grow(more, True)

    cdef int _grow(self, int64_t more, bint front) noexcept:
        cdef int64_t room = self.used + more
        cdef Memory larger
        if room > _LARGEST:
            return TOO_LARGE
        room = min(2 * room, <int64_t>_LARGEST)
        try:
            larger = allocate(room)
        except MemoryError:
            return NO_MEMORY
        if front:
            memcpy(larger.data + room - self.used, self.data + self.room - self.used, self.used)
        else:
            memcpy(larger.data, self.data, self.used)
        self.memory, self.data, self.room = larger, larger.data, room
        return 0

    cdef int check(self, int fault, Py_ssize_t row, int32_t place, str encoding) except -1:
        """Raises for the fault that a row could not be written for; 0 is none."""
        if fault == NO_MEMORY:
            raise MemoryError
        if fault == TOO_LARGE:
            raise ValueError(f"these rows pass 2 GiB as {encoding}: encode fewer at once")
        if fault == DAMAGED:
            raise ValueError(f"row {row} points outside its array's data")
        if fault:
            raise ValueError(row, fault, place)
        return 0
