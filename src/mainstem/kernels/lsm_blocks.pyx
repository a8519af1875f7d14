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
from libc.string cimport memcpy, memset

from mainstem.kernels.columns cimport Memory, allocate
from mainstem.kernels.lsm_core cimport DELETE, MERGE, VARIABLE, Row, align, compare, copy, hash_key
from mainstem.kernels.lsm_rows cimport RowList

cdef enum:
    _MAGIC = 0x314B424D
    _KINDS = 1
    _STAMPS = 2
    _LARGEST = 1 << 30


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


cdef const char* _parse(const uint8_t* data, uint64_t size, BlockView* view) noexcept nogil:
    """Fill ``view``; returns what is wrong, or NULL."""
    cdef const uint32_t* head = <const uint32_t*>data
    cdef uint64_t at = BLOCK_HEADER
    cdef uint32_t slots, flags, key_bytes, value_bytes, i
    cdef bint free_slot = False
    if size < BLOCK_HEADER or size & 63 or head[0] != _MAGIC:
        return b"it does not begin as a block"
    view.rows = head[1]
    view.key_width = head[2]
    view.value_width = head[3]
    slots = head[4]
    flags = head[5]
    key_bytes = head[6]
    value_bytes = head[7]
    for i in range(8, 16):
        if head[i]:
            return b"its reserved bytes are not zero"
    if not 0 < view.rows <= BLOCK_ROWS or slots <= view.rows or slots & (slots - 1) or (
            slots > 4 * BLOCK_ROWS or flags > 3):
        return b"its counts cannot be"
    view.mask = slots - 1
    view.table = <const uint16_t*>_take(data, &at, 2 * slots, size)
    if view.table == NULL:
        return b"its hash table is cut short"
    for i in range(slots):
        if view.table[i] > view.rows:
            return b"its hash table points outside"
        if view.table[i] == 0:
            free_slot = True
    if not free_slot:
        return b"its hash table is full"
    view.kinds = _take(data, &at, view.rows, size) if flags & _KINDS else NULL
    view.stamps = <const int64_t*>_take(data, &at, 8 * view.rows, size) if flags & _STAMPS else NULL
    if (flags & _KINDS and view.kinds == NULL) or (flags & _STAMPS and view.stamps == NULL):
        return b"a column is cut short"
    if view.kinds != NULL:
        for i in range(view.rows):
            if view.kinds[i] > MERGE:
                return b"a row is of no known kind"
    view.key_offsets = NULL
    view.value_offsets = NULL
    if view.key_width == VARIABLE:
        view.key_offsets = <const uint32_t*>_take(data, &at, 4 * (view.rows + 1), size)
        if view.key_offsets == NULL or not _monotone(view.key_offsets, view.rows, key_bytes):
            return b"its key offsets are wrong"
    elif <uint64_t>view.key_width * view.rows != key_bytes:
        return b"its key width is wrong"
    view.keys = _take(data, &at, key_bytes, size)
    if view.keys == NULL:
        return b"its keys are cut short"
    if view.value_width == VARIABLE:
        view.value_offsets = <const uint32_t*>_take(data, &at, 4 * (view.rows + 1), size)
        if view.value_offsets == NULL or not _monotone(view.value_offsets, view.rows, value_bytes):
            return b"its value offsets are wrong"
    elif <uint64_t>view.value_width * view.rows != value_bytes:
        return b"its value width is wrong"
    view.values = _take(data, &at, value_bytes, size)
    if view.values == NULL or align(at, 64) != size:
        return b"its values are cut short"
    return NULL


cdef class Block:
    """One block of ``data``, which it keeps. Every count and offset is checked here, once.

    Raises ``ValueError`` saying what is wrong. Immutable, safe to share between threads.
    """

    def __cinit__(self, data not None):
        cdef const char* problem
        PyObject_GetBuffer(data, &self.buffer, PyBUF_SIMPLE)
        self.size = self.buffer.len
        with nogil:
            problem = _parse(<const uint8_t*>self.buffer.buf, self.buffer.len, &self.view)
        if problem != NULL:
            raise ValueError(f"the block is damaged: {problem.decode()}")

    def __dealloc__(self):
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


cdef struct Plan:
    Py_ssize_t start
    Py_ssize_t rows
    uint32_t key_width
    uint32_t value_width
    uint32_t flags
    uint32_t slots
    uint64_t key_bytes
    uint64_t value_bytes
    uint64_t size


cdef void _plan(
    RowList rows, Py_ssize_t start, Py_ssize_t end, Py_ssize_t block_bytes, Plan* plan
) noexcept nogil:
    """How many rows from ``start`` make a block, and its shape."""
    cdef const Row* row = &rows.rows[start]
    cdef Py_ssize_t i
    plan.start = start
    plan.key_width = row.key_size
    plan.value_width = row.value_size
    plan.flags = 0
    plan.key_bytes = 0
    plan.value_bytes = 0
    for i in range(start, end):
        row = &rows.rows[i]
        if i > start and (plan.key_bytes + plan.value_bytes + row.key_size + row.value_size
                          > <uint64_t>block_bytes or i - start >= BLOCK_ROWS):
            break
        plan.key_bytes += row.key_size
        plan.value_bytes += row.value_size
        if row.key_size != plan.key_width:
            plan.key_width = VARIABLE
        if row.value_size != plan.value_width:
            plan.value_width = VARIABLE
        if row.kind:
            plan.flags |= _KINDS
        if row.stamp:
            plan.flags |= _STAMPS
    else:
        i = end
    plan.rows = i - start
    plan.slots = 4
    while <Py_ssize_t>plan.slots * 3 < plan.rows * 4:
        plan.slots *= 2
    plan.size = BLOCK_HEADER + align(2 * plan.slots, 8)
    if plan.flags & _KINDS:
        plan.size += align(plan.rows, 8)
    if plan.flags & _STAMPS:
        plan.size += 8 * plan.rows
    if plan.key_width == VARIABLE:
        plan.size += align(4 * (plan.rows + 1), 8)
    if plan.value_width == VARIABLE:
        plan.size += align(4 * (plan.rows + 1), 8)
    plan.size += align(plan.key_bytes, 8) + align(plan.value_bytes, 8)
    plan.size = align(plan.size, 64)


cdef uint8_t* _write_entries(
    uint8_t* out, const Row* rows, const Plan* plan, bint keys
) noexcept nogil:
    cdef uint32_t width = plan.key_width if keys else plan.value_width
    cdef uint32_t* offsets = <uint32_t*>out
    cdef uint32_t at = 0, size
    cdef Py_ssize_t i
    if width == VARIABLE:
        out += align(4 * (plan.rows + 1), 8)
        offsets[0] = 0
    for i in range(plan.rows):
        size = rows[i].key_size if keys else rows[i].value_size
        copy(out + at, rows[i].key if keys else rows[i].value, size)
        at += size
        if width == VARIABLE:
            offsets[i + 1] = at
    return out + align(at, 8)


cdef void _write(uint8_t* out, const Row* rows, const Plan* plan, const uint64_t* hashes) noexcept nogil:
    cdef uint32_t* head = <uint32_t*>out
    cdef uint16_t* table = <uint16_t*>(out + BLOCK_HEADER)
    cdef Py_ssize_t i
    cdef uint32_t slot
    memset(out, 0, BLOCK_HEADER + align(2 * plan.slots, 8))
    head[0] = _MAGIC
    head[1] = <uint32_t>plan.rows
    head[2] = plan.key_width
    head[3] = plan.value_width
    head[4] = plan.slots
    head[5] = plan.flags
    head[6] = <uint32_t>plan.key_bytes
    head[7] = <uint32_t>plan.value_bytes
    for i in range(plan.rows):
        slot = (hashes[i] >> HASH_SHIFT) & (plan.slots - 1)
        while table[slot]:
            slot = (slot + 1) & (plan.slots - 1)
        table[slot] = <uint16_t>(i + 1)
    out += BLOCK_HEADER + align(2 * plan.slots, 8)
    if plan.flags & _KINDS:
        for i in range(plan.rows):
            out[i] = <uint8_t>rows[i].kind
        out += align(plan.rows, 8)
    if plan.flags & _STAMPS:
        for i in range(plan.rows):
            (<int64_t*>out)[i] = rows[i].stamp
        out += 8 * plan.rows
    out = _write_entries(out, rows, plan, True)
    _write_entries(out, rows, plan, False)


def encode_blocks(
    RowList rows not None, Py_ssize_t start, Py_ssize_t end, Py_ssize_t count,
    Py_ssize_t block_bytes, uint64_t seed,
):
    """Up to ``count`` blocks of about ``block_bytes`` of the rows ``start`` to ``end``.

    Returns (data, [(position, size, rows, last key)], hashes of the keys u64 ``Memory``, the row
    behind the last). Raises ``ValueError`` when keys do not ascend strictly: a merge of sound
    runs cannot produce that.
    """
    cdef list plans = []
    cdef Plan plan
    cdef Py_ssize_t at = start, size = 0, i, bad = -1
    cdef Memory data, hashes, held
    cdef const Row* last
    if start < 0 or start > end or end > rows.count:
        raise IndexError(f"rows {start} to {end} of {rows.count}")
    while at < end and len(plans) < count:
        with nogil:
            _plan(rows, at, end, block_bytes, &plan)
        if max(plan.key_bytes, plan.value_bytes) > _LARGEST:
            raise ValueError(f"a row of {plan.key_bytes + plan.value_bytes} bytes is too large")
        held = allocate(sizeof(Plan))
        memcpy(held.data, &plan, sizeof(Plan))
        plans.append(held)
        at += plan.rows
        size += plan.size
    data = allocate(size)
    hashes = allocate(8 * (at - start))
    with nogil:
        for i in range(start, at):
            (<uint64_t*>hashes.data)[i - start] = hash_key(
                rows.rows[i].key, rows.rows[i].key_size, seed)
            if i and compare(rows.rows[i - 1].key, rows.rows[i - 1].key_size,
                             rows.rows[i].key, rows.rows[i].key_size) >= 0:
                bad = i
                break
    if bad >= 0:
        raise ValueError(f"row {bad} to be written is not above the one before: a source is damaged")
    blocks = []
    size = 0
    for held in plans:
        memcpy(&plan, held.data, sizeof(Plan))
        with nogil:
            memset(data.data + size + plan.size - 64, 0, 64)
            _write_padded(data.data + size, rows.rows + plan.start, &plan,
                          <uint64_t*>hashes.data + (plan.start - start))
        last = &rows.rows[plan.start + plan.rows - 1]
        blocks.append((size, plan.size, plan.rows, last.key[:last.key_size]))
        size += plan.size
    return data, blocks, hashes, at


cdef void _write_padded(
    uint8_t* out, const Row* rows, const Plan* plan, const uint64_t* hashes
) noexcept nogil:
    """As `_write`, with every padding byte zero: equal rows give equal files."""
    cdef uint64_t total = align(2 * plan.slots, 8)
    # Columns are packed with at most seven bytes between them; clearing the word each column
    # ends in, before it is filled, costs less than clearing the block.
    total += BLOCK_HEADER
    if plan.flags & _KINDS:
        total += align(plan.rows, 8)
        memset(out + total - 8, 0, 8)
    if plan.flags & _STAMPS:
        total += 8 * plan.rows
    if plan.key_width == VARIABLE:
        total += align(4 * (plan.rows + 1), 8)
        memset(out + total - 8, 0, 8)
    total += align(plan.key_bytes, 8)
    if plan.key_bytes:
        memset(out + total - 8, 0, 8)
    if plan.value_width == VARIABLE:
        total += align(4 * (plan.rows + 1), 8)
        memset(out + total - 8, 0, 8)
    total += align(plan.value_bytes, 8)
    if plan.value_bytes:
        memset(out + total - 8, 0, 8)
    _write(out, rows, plan, hashes)


def measure(RowList rows not None, Py_ssize_t start, Py_ssize_t end):
    """(least stamp, greatest stamp, deletes, operands, key bytes, value bytes) of some rows."""
    cdef Py_ssize_t i, deletes = 0, merges = 0
    cdef int64_t low, high, key_bytes = 0, value_bytes = 0
    if start < 0 or start >= end or end > rows.count:
        raise IndexError(f"rows {start} to {end} of {rows.count}")
    low = high = rows.rows[start].stamp
    with nogil:
        for i in range(start, end):
            deletes += rows.rows[i].kind == DELETE
            merges += rows.rows[i].kind == MERGE
            key_bytes += rows.rows[i].key_size
            value_bytes += rows.rows[i].value_size
            low = min(low, rows.rows[i].stamp)
            high = max(high, rows.rows[i].stamp)
    return low, high, deletes, merges, key_bytes, value_bytes
