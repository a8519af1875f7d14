"""Blocks of a sorted run: columns of a few hundred rows and a hash table over them.

Little-endian; every column starts 8-byte aligned, a block's size is a multiple of 64
(docs/formats-lsm.md)::

    0  magic "MBK1"    4 rows u32    8 key width u32    12 value width u32 (2^32-1: offsets)
    16 hash slots u32 (a power of two)    20 flags u32 (1 kinds, 2 stamps)
    24 key bytes u32    28 value bytes u32    32 zeros
    64 slots u16[slots] [kinds u8[rows]] [stamps i64[rows]]
       [key offsets u32[rows + 1]] keys [value offsets u32[rows + 1]] values

A slot holds 1 + a row; the row of key ``k`` is found from slot ``(hash(k) >> 20) % slots`` on.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free

from mainstem.kernels.lsm_core cimport MERGE, VARIABLE, align, compare, hash_key
from mainstem.kernels.lsm_rows cimport RowList

cdef enum:
    _MAGIC = 0x314B424D
    _KINDS = 1
    _STAMPS = 2

cdef object _LATER = object()  # for a block whose bytes are set by who makes it


cdef const uint8_t* _take(const uint8_t* data, uint64_t* at, uint64_t size, uint64_t end) noexcept nogil:
    """``size`` bytes from ``at``, which moves behind them; NULL if they are not there."""
    cdef const uint8_t* start = data + at[0]
    if at[0] > end or size > end - at[0]:
        return NULL
    at[0] += align(size, 8)
    return start


cdef bint _monotone(const uint32_t* offsets, uint32_t rows, uint32_t last) noexcept nogil:
    cdef uint32_t bad = offsets[0] != 0 or offsets[rows] != last
    cdef uint32_t row
    for row in range(rows):
        bad |= offsets[row + 1] < offsets[row]
    return not bad


cdef const char* _parse_table(
    const uint8_t* data, uint64_t size, uint64_t* at, uint32_t slots, BlockView* view
) noexcept nogil:
    """The hash table: every slot names a row, and a search that fails meets a free one."""
    cdef uint32_t greatest = 0, taken = 0, slot, i
    view.mask = slots - 1
    view.table = <const uint16_t*>_take(data, at, 2 * slots, size)
    if view.table == NULL:
        return b"its hash table is cut short"
    for i in range(slots):  # no branches: the compiler takes many slots at once
        slot = view.table[i]
        greatest = slot if slot > greatest else greatest
        taken += slot != 0
    if greatest > view.rows:
        return b"its hash table points outside"
    if taken == slots:
        return b"its hash table is full"
    return NULL


cdef const char* _parse_marks(
    const uint8_t* data, uint64_t size, uint64_t* at, uint32_t flags, BlockView* view
) noexcept nogil:
    """Kinds and stamps, where the block has them."""
    cdef uint32_t i
    view.kinds = _take(data, at, view.rows, size) if flags & _KINDS else NULL
    view.stamps = <const int64_t*>_take(data, at, 8 * view.rows, size) if flags & _STAMPS else NULL
    if (flags & _KINDS and view.kinds == NULL) or (flags & _STAMPS and view.stamps == NULL):
        return b"a column is cut short"
    if view.kinds != NULL:
        for i in range(view.rows):
            if view.kinds[i] > MERGE:
                return b"a row is of no known kind"
    return NULL


cdef const char* _parse_entries(
    const uint8_t* data, uint64_t size, uint64_t* at, uint32_t key_bytes, uint32_t value_bytes,
    BlockView* view,
) noexcept nogil:
    """Keys and values."""
    view.key_offsets = NULL
    view.value_offsets = NULL
    if view.key_width == VARIABLE:
        view.key_offsets = <const uint32_t*>_take(data, at, 4 * (view.rows + 1), size)
        if view.key_offsets == NULL or not _monotone(view.key_offsets, view.rows, key_bytes):
            return b"its key offsets are wrong"
    elif <uint64_t>view.key_width * view.rows != key_bytes:
        return b"its key width is wrong"
    view.keys = _take(data, at, key_bytes, size)
    if view.keys == NULL:
        return b"its keys are cut short"
    if view.value_width == VARIABLE:
        view.value_offsets = <const uint32_t*>_take(data, at, 4 * (view.rows + 1), size)
        if view.value_offsets == NULL or not _monotone(view.value_offsets, view.rows, value_bytes):
            return b"its value offsets are wrong"
    elif <uint64_t>view.value_width * view.rows != value_bytes:
        return b"its value width is wrong"
    view.values = _take(data, at, value_bytes, size)
    if view.values == NULL or align(at[0], 64) != size:
        return b"its values are cut short"
    return NULL


cdef const char* parse_block(const uint8_t* data, uint64_t size, BlockView* view) noexcept nogil:
    """Fill ``view``; returns what is wrong, or NULL."""
    cdef const uint32_t* head = <const uint32_t*>data
    cdef uint64_t at = BLOCK_HEADER
    cdef const char* problem
    cdef uint32_t slots, flags, i
    if size < BLOCK_HEADER or size & 63 or head[0] != _MAGIC:
        return b"it does not begin as a block"
    view.rows = head[1]
    view.key_width = head[2]
    view.value_width = head[3]
    slots = head[4]
    flags = head[5]
    for i in range(8, 16):
        if head[i]:
            return b"its reserved bytes are not zero"
    if not 0 < view.rows <= BLOCK_ROWS or slots <= view.rows or slots & (slots - 1) or (
            slots > 4 * BLOCK_ROWS or flags > 3):
        return b"its counts cannot be"
    problem = _parse_table(data, size, &at, slots, view)
    if problem == NULL:
        problem = _parse_marks(data, size, &at, flags, view)
    if problem == NULL:
        problem = _parse_entries(data, size, &at, head[6], head[7], view)
    return problem


cdef class Block:
    """One block of ``data``, which it keeps. Every count and offset is checked here, once.

    Raises ``ValueError`` saying what is wrong. Immutable, safe to share between threads.
    """

    def __cinit__(self, data not None):
        cdef const char* problem
        if data is _LATER:
            return
        PyObject_GetBuffer(data, &self.buffer, PyBUF_SIMPLE)
        self.size = self.buffer.len
        with nogil:
            problem = parse_block(<const uint8_t*>self.buffer.buf, self.buffer.len, &self.view)
        if problem != NULL:
            raise ValueError(f"the block is damaged: {problem.decode()}")

    def __dealloc__(self):
        if self.owned != NULL:
            free(self.owned)
        else:
            PyBuffer_Release(&self.buffer)

    def __len__(self):
        return self.view.rows

    def rows(self):
        """All rows, in order, as a ``RowList``."""
        cdef RowList result = RowList()
        cdef Py_ssize_t i
        result.reserve(self.view.rows)
        for i in range(self.view.rows):
            block_row(&self.view, i, &result.rows[i])
        result.count = self.view.rows
        result.keep.append(self)
        return result

    def verify(self, uint64_t seed):
        """Check what reading trusts: keys ascend strictly and the table finds each of them.

        Raises ``ValueError`` for the first that is not so.
        """
        cdef Py_ssize_t i
        cdef const uint8_t* key
        cdef const uint8_t* before = NULL
        cdef uint32_t size, before_size = 0
        cdef uint32_t slot
        for i in range(self.view.rows):
            key = block_key(&self.view, i, &size)
            if i and compare(before, before_size, key, size) >= 0:
                raise ValueError(f"the block is damaged: key {i} is not above the one before")
            slot = (hash_key(key, size, seed) >> HASH_SHIFT) & self.view.mask
            while self.view.table[slot] and self.view.table[slot] != i + 1:
                slot = (slot + 1) & self.view.mask
            if not self.view.table[slot]:
                raise ValueError(f"the block is damaged: its hash table lacks key {i}")
            before, before_size = key, size


cdef Block adopt(uint8_t* data, Py_ssize_t size):
    """A block of ``data`` from malloc, which is the block's from now on, even if this raises."""
    cdef Block block
    cdef const char* problem
    try:
        block = Block.__new__(Block, _LATER)
    except BaseException:
        free(data)
        raise
    block.owned = data
    block.size = size
    problem = parse_block(data, size, &block.view)
    if problem != NULL:
        raise ValueError(f"the block is damaged: {problem.decode()}")
    return block


cdef Block share(object data, const BlockView* view, Py_ssize_t size):
    """A block of ``size`` bytes that were parsed into ``view`` somewhere in ``data``."""
    cdef Block block = Block.__new__(Block, _LATER)
    PyObject_GetBuffer(data, &block.buffer, PyBUF_SIMPLE)
    block.view = view[0]
    block.size = size
    return block


cdef Py_ssize_t block_bound(
    const BlockView* view, const uint8_t* key, uint32_t size
) noexcept nogil:
    """The first row whose key is not below ``key``."""
    cdef Py_ssize_t low = 0
    cdef Py_ssize_t high = view.rows
    cdef Py_ssize_t middle
    cdef const uint8_t* other
    cdef uint32_t other_size
    while low < high:
        middle = (low + high) >> 1
        other = block_key(view, middle, &other_size)
        if compare(other, other_size, key, size) < 0:
            low = middle + 1
        else:
            high = middle
    return low
