"""Writing blocks of a sorted run; their layout is in lsm_blocks.pyx."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from mainstem.kernels.checksum cimport crc_without_gil
from mainstem.kernels.columns cimport Memory, allocate
from mainstem.kernels.lsm_blocks cimport BLOCK_HEADER, BLOCK_ROWS, HASH_SHIFT
from mainstem.kernels.lsm_core cimport DELETE, MERGE, VARIABLE, Row, align, compare, copy, hash_key
from mainstem.kernels.lsm_rows cimport RowList

cdef enum:
    _MAGIC = 0x314B424D
    _KINDS = 1
    _STAMPS = 2
    _LARGEST = 1 << 30
    _ENTRY = 24


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
    uint32_t crc


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
    Py_ssize_t block_bytes, uint64_t seed, uint64_t position=0,
):
    """Up to ``count`` blocks of about ``block_bytes`` of the rows ``start`` to ``end``.

    Returns (data, entries of the index for blocks that begin at ``position`` of the file, their
    last keys joined, sizes of these u32[], hashes of the keys u64 ``Memory``, the row behind the
    last). Raises ``ValueError`` when keys do not ascend strictly: a merge of sound runs cannot
    produce that.
    """
    cdef Py_ssize_t at = start, size = 0, key_bytes = 0, i, made = 0, bad = -1, largest = 0
    cdef Memory data, hashes, room
    cdef bytes entries, keys, key_sizes
    cdef Plan* plans
    if start < 0 or start > end or end > rows.count:
        raise IndexError(f"rows {start} to {end} of {rows.count}")
    # The GIL is let go and taken back for all blocks together: a writer may be waiting for it.
    count = min(count, end - start)
    room = allocate(max(count, 0) * sizeof(Plan))
    plans = <Plan*>room.data
    with nogil:
        while at < end and made < count:
            _plan(rows, at, end, block_bytes, &plans[made])
            largest = max(
                largest, <Py_ssize_t>max(plans[made].key_bytes, plans[made].value_bytes))
            at += plans[made].rows
            size += plans[made].size
            key_bytes += rows.rows[at - 1].key_size
            made += 1
    if largest > _LARGEST:
        raise ValueError(f"a row of {largest} bytes is too large")
    data = allocate(size)
    hashes = allocate(8 * (at - start))
    with nogil:
        bad = _encode(rows, start, at, plans, made, data.data, <uint64_t*>hashes.data, seed)
    if bad >= 0:
        raise ValueError(f"row {bad} to be written is not above the one before: a source is damaged")
    entries = PyBytes_FromStringAndSize(NULL, made * _ENTRY)
    keys = PyBytes_FromStringAndSize(NULL, key_bytes)
    key_sizes = PyBytes_FromStringAndSize(NULL, made * 4)
    _index(rows, plans, made, position, PyBytes_AS_STRING(entries), PyBytes_AS_STRING(keys),
           PyBytes_AS_STRING(key_sizes))
    return data, entries, keys, key_sizes, hashes, at


cdef Py_ssize_t _encode(
    RowList rows, Py_ssize_t start, Py_ssize_t end, Plan* plans, Py_ssize_t count,
    uint8_t* out, uint64_t* hashes, uint64_t seed,
) noexcept nogil:
    """Write the blocks that were planned; returns a row that is not above the one before, or -1."""
    cdef Py_ssize_t i
    cdef const Row* row
    for i in range(start, end):
        row = &rows.rows[i]
        hashes[i - start] = hash_key(row.key, row.key_size, seed)
        if i and compare(rows.rows[i - 1].key, rows.rows[i - 1].key_size,
                         row.key, row.key_size) >= 0:
            return i
    for i in range(count):
        memset(out + plans[i].size - 64, 0, 64)
        _write_padded(out, rows.rows + plans[i].start, &plans[i],
                      hashes + (plans[i].start - start))
        plans[i].crc = crc_without_gil(out, plans[i].size, 0)
        out += plans[i].size
    return -1


cdef void _index(
    RowList rows, const Plan* plans, Py_ssize_t count, uint64_t position,
    char* entries, char* keys, char* key_sizes,
) noexcept nogil:
    """Entries of the index (position u64, stored bytes, bytes, rows, CRC-32C) and last keys."""
    cdef uint32_t* entry = <uint32_t*>entries
    cdef const Row* last
    cdef Py_ssize_t i
    for i in range(count):
        last = &rows.rows[plans[i].start + plans[i].rows - 1]
        (<uint64_t*>entry)[0] = position
        entry[2] = <uint32_t>plans[i].size
        entry[3] = <uint32_t>plans[i].size
        entry[4] = <uint32_t>plans[i].rows
        entry[5] = plans[i].crc
        entry += _ENTRY // 4
        (<uint32_t*>key_sizes)[i] = last.key_size
        copy(<uint8_t*>keys, last.key, last.key_size)
        keys += last.key_size
        position += plans[i].size


def offsets_of(bytes sizes not None, uint64_t first):
    """``[0, first, first + sizes[0], …]`` of u32 sizes, as u32 bytes. ``OverflowError`` above 4 GiB."""
    cdef Py_ssize_t count = len(sizes) // 4, i
    cdef bytes offsets = PyBytes_FromStringAndSize(NULL, 4 * (count + 2))
    cdef uint32_t* out = <uint32_t*>PyBytes_AS_STRING(offsets)
    cdef const uint32_t* each = <const uint32_t*>PyBytes_AS_STRING(sizes)
    cdef uint64_t at = first
    out[0] = 0
    out[1] = <uint32_t>first
    for i in range(count):
        at += each[i]
        out[i + 2] = <uint32_t>at
    if at > 0xFFFFFFFFU:
        raise OverflowError(f"the last keys of {count} blocks take {at} bytes")
    return offsets


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
