"""Memory owned by Python without being zeroed first, and Arrow binary columns for the kernels."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc

cdef enum:
    _SMALLEST_SHIFT = 12  # blocks from 4 KiB ...
    _LARGEST_SHIFT = 24   # ... to 16 MiB are kept for the next batch
    _CLASSES = (_LARGEST_SHIFT - _SMALLEST_SHIFT) * 4 + 1
    _POOL_LIMIT = 3 << 24

# Fresh memory costs a page fault for every 4 KiB, three times what decoding into it costs, and
# the C library returns freed blocks to the system at once. Free blocks of a class form a list,
# each beginning with the address of the next. When there are too many, those go whose class has
# not been asked for the longest: work of another kind needs other sizes. All access is under the
# GIL.
cdef void* _pool[_CLASSES]
cdef uint64_t _asked[_CLASSES]
cdef uint64_t _times = 0
cdef Py_ssize_t _pool_bytes = 0


cdef int _class_of(Py_ssize_t* size) noexcept:
    """Round ``size`` up to a quarter of a power of two and give its class, or -1 for none."""
    cdef int shift = _SMALLEST_SHIFT
    cdef Py_ssize_t quarters
    if size[0] <= 1 << (_SMALLEST_SHIFT - 2) or size[0] > 1 << _LARGEST_SHIFT:
        return -1
    while size[0] > <Py_ssize_t>1 << (shift + 1):
        shift += 1
    quarters = (size[0] - 1) >> (shift - 2)
    quarters = 0 if quarters < 4 else quarters - 3
    size[0] = (quarters + 4) << (shift - 2)
    return (shift - _SMALLEST_SHIFT) * 4 + <int>quarters


cdef uint8_t* _take(Py_ssize_t* capacity) except NULL:
    """A block of ``capacity`` bytes, which is rounded up, and the slack behind it."""
    global _pool_bytes, _times
    cdef Py_ssize_t size = capacity[0]
    cdef int kind = _class_of(capacity)
    cdef void* block
    if kind >= 0:
        _times += 1
        _asked[kind] = _times
        if _pool[kind] != NULL:
            _pool_bytes -= capacity[0]
            return <uint8_t*>_pop(kind)
    block = malloc(capacity[0] + SLACK)
    if block == NULL:
        raise MemoryError(f"no memory for {size} bytes")
    return <uint8_t*>block


cdef void* _pop(int kind) noexcept:
    cdef void* block = _pool[kind]
    _pool[kind] = (<void**>block)[0]
    return block


cdef bint _make_room(int kind, Py_ssize_t capacity) noexcept:
    """Free blocks that are wanted less than those of ``kind``; whether one more fits now."""
    global _pool_bytes
    cdef int each, least
    while _pool_bytes + capacity > _POOL_LIMIT:
        least = kind
        for each in range(_CLASSES):
            if _pool[each] != NULL and _asked[each] < _asked[least]:
                least = each
        if least == kind:
            return False
        free(_pop(least))
        _pool_bytes -= <Py_ssize_t>(least % 4 + 4) << (least // 4 + _SMALLEST_SHIFT - 2)
    return True


def pooled():
    """Bytes of free blocks that are kept, by the size of a block: for tests and statistics."""
    cdef int kind
    cdef void* block
    found = {}
    for kind in range(_CLASSES):
        size = (kind % 4 + 4) << (kind // 4 + _SMALLEST_SHIFT - 2)
        block = _pool[kind]
        while block != NULL:
            found[size] = found.get(size, 0) + size
            block = (<void**>block)[0]
    return found


cdef void _give(uint8_t* block, Py_ssize_t capacity) noexcept:
    global _pool_bytes
    cdef int kind = _class_of(&capacity)
    if block == NULL:
        return
    if kind >= 0 and _make_room(kind, capacity):
        (<void**>block)[0] = _pool[kind]
        _pool[kind] = block
        _pool_bytes += capacity
    else:
        free(block)


cdef class Memory:
    """``size`` bytes of uninitialised memory that speaks the buffer protocol (writable).

    ``bytearray(n)`` would write every byte once before it is used. Freed blocks up to 16 MiB
    are kept, 48 MiB in all, and handed out again. Not thread-safe.
    """

    def __cinit__(self, Py_ssize_t size):
        if size < 0 or size > <Py_ssize_t>1 << 62:
            raise ValueError(f"memory of {size} bytes")
        self.capacity = size
        self.data = _take(&self.capacity)
        self.size = size

    def __dealloc__(self):
        _give(self.data, self.capacity)

    def __len__(self):
        return self.size

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.data, self.size, 0, flags)
        self.exports += 1

    def __releasebuffer__(self, Py_buffer* buffer):
        self.exports -= 1

    def truncate(self, Py_ssize_t size):
        """Keep the first ``size`` bytes; if that is less than half, in a smaller block.

        Raises ``ValueError`` when there are fewer, ``BufferError`` while the memory is in use.
        """
        cdef Py_ssize_t capacity = size
        cdef uint8_t* block
        if size < 0 or size > self.size:
            raise ValueError(f"cannot cut {self.size} bytes to {size}")
        if self.exports:
            raise BufferError("memory is in use and cannot change its size")
        if size < self.capacity >> 1:
            block = _take(&capacity)
            memcpy(block, self.data, size)
            _give(self.data, self.capacity)
            self.data = block
            self.capacity = capacity
        self.size = size


cdef Memory allocate(Py_ssize_t size):
    return Memory.__new__(Memory, size)


cdef class BinaryColumn:
    """A view of one Arrow ``binary`` (or, when ``wide``, ``large_binary``) array.

    ``offsets``, ``data`` and ``validity`` are the array's buffers; ``first`` and ``length`` its
    offset and length in entries. Buffer sizes are checked here, each entry when it is read, so
    a damaged array raises ``ValueError`` and never reads outside its buffers. The column keeps
    its buffers alive; safe to share between threads.
    """

    def __cinit__(
        self, offsets, data, validity, Py_ssize_t first, Py_ssize_t length, bint wide=False
    ):
        cdef Py_ssize_t width = 8 if wide else 4
        if first < 0 or length < 0 or first > (1 << 56) or length > (1 << 56):
            raise ValueError(f"an array cannot have offset {first} and length {length}")
        self.first = first
        self.length = length
        self.wide = wide
        if length == 0:
            return
        PyObject_GetBuffer(offsets, &self.offsets_buffer, PyBUF_SIMPLE)
        self.offsets = <const uint8_t*>self.offsets_buffer.buf
        if self.offsets_buffer.len < (first + length + 1) * width:
            raise ValueError(
                f"offsets buffer has {self.offsets_buffer.len} bytes, {length} entries from "
                f"{first} need {(first + length + 1) * width}")
        if validity is not None:
            PyObject_GetBuffer(validity, &self.validity_buffer, PyBUF_SIMPLE)
            self.validity = <const uint8_t*>self.validity_buffer.buf
            if self.validity_buffer.len < (first + length + 7) >> 3:
                raise ValueError(
                    f"validity buffer has {self.validity_buffer.len} bytes, {length} entries "
                    f"from {first} need {(first + length + 7) >> 3}")
        if data is not None:
            PyObject_GetBuffer(data, &self.data_buffer, PyBUF_SIMPLE)
            self.data = <const uint8_t*>self.data_buffer.buf
            self.data_size = self.data_buffer.len

    def __dealloc__(self):
        PyBuffer_Release(&self.offsets_buffer)
        PyBuffer_Release(&self.data_buffer)
        PyBuffer_Release(&self.validity_buffer)

    def __len__(self):
        return self.length
