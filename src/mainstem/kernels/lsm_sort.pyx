"""Sorting rows by key: by eight bytes at a time behind what all keys share.

Large groups go through a radix sort that skips bytes which never differ, small ones and ties
through a merge sort; both are stable, so the last of equal keys stays the last.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from mainstem.kernels.lsm_core cimport DELETE, PUT, Row, compare, prefix_of
from mainstem.kernels.lsm_rows cimport Column, RowList, entry_of

cdef enum:
    _SMALL = 768  # below this, merge sort beats the histograms of a radix sort


cdef inline bint _before(
    const Row* rows, const Entry* a, const Entry* b
) noexcept nogil:
    """Whether ``b`` sorts strictly before ``a``; equal keys keep their order (stable)."""
    cdef int order
    if a.prefix != b.prefix:
        return b.prefix < a.prefix
    order = compare(
        rows[b.row].key, rows[b.row].key_size, rows[a.row].key, rows[a.row].key_size)
    return order < 0


cdef void _merge_sort(
    const Row* rows, Entry* entries, Entry* spare, Py_ssize_t count
) noexcept nogil:
    cdef Py_ssize_t middle, i, j, k
    cdef Entry held
    if count <= 12:
        for i in range(1, count):
            held = entries[i]
            j = i
            while j > 0 and _before(rows, &entries[j - 1], &held):
                entries[j] = entries[j - 1]
                j -= 1
            entries[j] = held
        return
    middle = count >> 1
    _merge_sort(rows, entries, spare, middle)
    _merge_sort(rows, entries + middle, spare, count - middle)
    if not _before(rows, &entries[middle - 1], &entries[middle]):
        return
    memcpy(spare, entries, middle * sizeof(Entry))
    i = 0
    j = middle
    k = 0
    while i < middle:
        if j < count and _before(rows, &spare[i], &entries[j]):
            entries[k] = entries[j]
            j += 1
        else:
            entries[k] = spare[i]
            i += 1
        k += 1


cdef void _radix_sort(
    Entry* entries, Entry* spare, Py_ssize_t count, uint64_t varying
) noexcept nogil:
    """Sort by prefix, least significant byte first; bytes that never differ are skipped."""
    cdef uint32_t[8][256] counts
    cdef Entry* source = entries
    cdef Entry* target = spare
    cdef Py_ssize_t i
    cdef int digit, value
    cdef uint32_t total, here
    cdef uint64_t prefix
    memset(counts, 0, sizeof(counts))
    for i in range(count):
        prefix = entries[i].prefix
        for digit in range(8):
            counts[digit][(prefix >> (8 * digit)) & 255] += 1
    for digit in range(8):
        if not (varying >> (8 * digit)) & 255:
            continue
        total = 0
        for value in range(256):
            here = counts[digit][value]
            counts[digit][value] = total
            total += here
        for i in range(count):
            value = (source[i].prefix >> (8 * digit)) & 255
            target[counts[digit][value]] = source[i]
            counts[digit][value] += 1
        source, target = target, source
    if source != entries:
        memcpy(entries, source, count * sizeof(Entry))


cdef Py_ssize_t _shared(
    const Row* rows, const Entry* entries, Py_ssize_t count, Py_ssize_t depth,
    Py_ssize_t* shortest,
) noexcept nogil:
    """How many leading bytes all keys share, of which ``depth`` are known; and the least size."""
    cdef const uint8_t* first = rows[entries[0].row].key
    cdef Py_ssize_t shared = rows[entries[0].row].key_size
    cdef Py_ssize_t i, j
    cdef const Row* row
    shortest[0] = shared
    for i in range(1, count):
        row = &rows[entries[i].row]
        if row.key_size < shortest[0]:
            shortest[0] = row.key_size
        if row.key_size < shared:
            shared = row.key_size
        j = depth
        while j + 8 <= shared and prefix_of(row.key, j + 8, j) == prefix_of(first, j + 8, j):
            j += 8
        while j < shared and row.key[j] == first[j]:
            j += 1
        shared = j
    return shared


cdef int _sort(
    const Row* rows, Entry* entries, Entry* spare, Py_ssize_t count, Py_ssize_t depth
) noexcept nogil:
    cdef Py_ssize_t shortest = 0
    cdef Py_ssize_t shared, i, start
    cdef uint64_t varying = 0
    cdef bint ordered = True
    cdef const Row* row
    if count < 2:
        return 0
    shared = _shared(rows, entries, count, depth, &shortest)
    for i in range(count):
        row = &rows[entries[i].row]
        entries[i].prefix = prefix_of(row.key, row.key_size, shared)
        varying |= entries[i].prefix ^ entries[0].prefix
        if i and entries[i].prefix < entries[i - 1].prefix:
            ordered = False
    if count < _SMALL:
        _merge_sort(rows, entries, spare, count)
        return 0
    if not ordered:
        _radix_sort(entries, spare, count, varying)
    start = 0
    for i in range(1, count + 1):
        if i < count and entries[i].prefix == entries[start].prefix:
            continue
        if i - start > 1:
            # A large group with longer keys is sorted by its next eight bytes; keys that end
            # within these differ only by length, which the comparing sort knows.
            if i - start >= _SMALL and shortest > shared + 8:
                _sort(rows, entries + start, spare, i - start, shared + 8)
            else:
                _merge_sort(rows, entries + start, spare, i - start)
        start = i
    return 0


cdef int sort_rows(
    const Row* rows, Entry* entries, Entry* spare, Py_ssize_t count
) noexcept nogil:
    """Order ``entries`` (their ``row`` set) by key; equal keys stay in their given order."""
    return _sort(rows, entries, spare, count, 0)


cdef inline bint equal_rows(const Row* a, const Row* b) noexcept nogil:
    return a.key_size == b.key_size and compare(a.key, a.key_size, b.key, b.key_size) == 0


def rows_of(Column keys not None, Column values):
    """Rows of two columns sorted by key, the last of equal keys kept, null values as deletes.

    ``values`` may be ``None``: all deletes. Raises ``ValueError`` for a null key or when the
    columns differ in length. The list keeps the columns alive.
    """
    cdef RowList result = RowList()
    cdef RowList given = RowList()
    cdef Py_ssize_t count = keys.length
    cdef Py_ssize_t i
    cdef Entry* entries
    cdef int64_t size
    cdef Py_ssize_t bad = -1
    if values is not None and values.length != count:
        raise ValueError(f"{count} keys but {values.length} values")
    if count >= <Py_ssize_t>1 << 31:
        raise ValueError(f"{count} rows at once are too many: split them")
    given.reserve(count)
    result.reserve(count)
    result.keep.append((keys, values))
    entries = <Entry*>malloc((2 * count + 1) * sizeof(Entry))
    if entries == NULL:
        raise MemoryError(f"no memory to sort {count} rows")
    with nogil:
        for i in range(count):
            size = entry_of(keys, i, &given.rows[i].key)
            if size < 0:
                bad = i
                break
            given.rows[i].key_size = <uint32_t>size
            size = -1 if values is None else entry_of(values, i, &given.rows[i].value)
            given.rows[i].kind = PUT if size >= 0 else DELETE
            given.rows[i].value_size = <uint32_t>size if size >= 0 else 0
            given.rows[i].stamp = 0
            given.rows[i].previous = 0
            entries[i].row = <uint32_t>i
        if bad < 0:
            sort_rows(given.rows, entries, entries + count, count)
            for i in range(count):
                if i + 1 < count and equal_rows(
                    &given.rows[entries[i].row], &given.rows[entries[i + 1].row]
                ):
                    continue
                result.rows[result.count] = given.rows[entries[i].row]
                result.count += 1
    free(entries)
    if bad >= 0:
        raise ValueError(f"key {bad} is null: every row needs a key")
    return result
