"""The memtable: batches as they came, and a hash table that finds the newest row of a key.

Rows are only ever added, and each knows the row it supersedes, so a row's number is its version:
a reader who took ``rows`` as its mark sees exactly the rows below it, whatever is added
meanwhile. One writer at a time; any number of readers, none of whom waits: the table's slots are
single words, and a table that grew stays readable until the memtable goes.

As long as keys only ascend, rows are appended and nothing is hashed: they are found by binary
search, and need no sorting later. Readers who search there index some of these rows in passing,
so that many lookups become fast ones; the writer indexes all of them when order ends.
"""

from cpython.pythread cimport (
    NOWAIT_LOCK, WAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock,
    PyThread_release_lock,
)
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from mainstem.kernels.columns cimport Memory, allocate
from mainstem.kernels.lsm_arena cimport Arena, Piece
from mainstem.kernels.lsm_batch cimport OP_RANGE, OpView, parse_op
from mainstem.kernels.lsm_core cimport (
    DELETE, MERGE, PUT, Row, acquire, acquire_pointer, compare, equal, fold, hash_key,
    prefetch, release, release_pointer,
)
from mainstem.kernels.lsm_rows cimport RowList
from mainstem.kernels.lsm_sort cimport Entry, sort_rows

cdef enum:
    _GROUP = 64
    _SMALL = 512  # rows that are added in less time than it may take to get the GIL back
    _ARENA = 1 << 18
    _SLOTS = 256
    _MANY = 1 << 22  # bytes of rows for which small slabs are not worth it


cdef Table* _new_table(uint64_t slots) noexcept nogil:
    cdef Table* table = <Table*>calloc(1, sizeof(Table) + slots * 8)
    if table != NULL:
        table.mask = slots - 1
    return table


cdef class Memtable:
    """``expected`` rows get a table of the right size once some are indexed; more may come.

    ``memory`` counts bytes held. ``seed`` is the hash's, as in the runs below.
    """

    def __cinit__(self, uint64_t seed, Py_ssize_t expected=0):
        self.slots = _SLOTS
        while self.slots * 5 < <uint64_t>expected * 8 and self.slots < 1 << 31:
            self.slots *= 2
        self.keep = []
        self.arenas = []
        self.slabs = Arena(expected * <Py_ssize_t>sizeof(Row) >= _MANY)
        self.seed = seed
        self.min_stamp = 0x7FFFFFFFFFFFFFFF
        self.chunks = <Row**>calloc(CHUNKS, sizeof(Row*))
        self.table = _new_table(_SLOTS)
        if self.chunks == NULL or self.table == NULL:
            raise MemoryError("no memory for a memtable")
        self.turn = PyThread_allocate_lock()
        if self.turn == NULL:
            raise MemoryError("no lock for a memtable")
        self.memory = _SLOTS * 8

    def __dealloc__(self):
        cdef Table* table = self.table
        cdef Table* older
        while table != NULL:
            older = table.older
            free(table)
            table = older
        free(self.chunks)
        if self.turn != NULL:
            PyThread_free_lock(self.turn)

    def __len__(self):
        return self.rows

    cdef int _grow(self) noexcept nogil:
        cdef Table* old = self.table
        cdef Table* new = _new_table(max((old.mask + 1) * 2, self.slots))
        cdef uint64_t i, slot, at
        if new == NULL:
            return -1
        for i in range(old.mask + 1):
            slot = old.slots[i]
            if slot:
                at = (slot >> 32) & new.mask
                while new.slots[at]:
                    at = (at + 1) & new.mask
                new.slots[at] = slot
        new.older = old
        self.memory += (new.mask + 1) * 8
        release_pointer(<void**>&self.table, new)
        return 0

    cdef int _combine(
        self, Row* row, const Row* older, const uint8_t* spec, Py_ssize_t fields
    ) noexcept nogil:
        """Turn a merge operand into what it makes of ``older``, in memory of our own."""
        cdef Py_ssize_t size = 8 * fields
        if older.kind == DELETE or older.value_size != <uint32_t>size:
            row.kind = PUT
            return 0
        if self.arena_left < size:
            with gil:
                try:
                    block = allocate(max(size, <Py_ssize_t>_ARENA))  # a state may be wider
                except MemoryError:
                    return -1
                self.arenas.append(block)
                self.arena = (<Memory>block).data
                self.arena_left = (<Memory>block).size
        fold(spec, fields, older.value, row.value, self.arena)
        row.value = self.arena
        row.kind = older.kind
        self.arena += size
        self.arena_left -= size
        self.memory += size
        return 0

    cdef Row* _room(self) noexcept nogil:
        """Where the next row goes; NULL without memory, or when the memtable is full."""
        cdef uint64_t chunk = <uint64_t>self.rows >> CHUNK_SHIFT
        if chunk >= CHUNKS:
            return NULL
        if self.chunks[chunk] == NULL and self._chunk(chunk) < 0:
            return NULL
        return &self.chunks[chunk][self.rows & (CHUNK_ROWS - 1)]

    cdef int _chunk(self, uint64_t chunk) noexcept with gil:
        """Room for more rows, in slabs as the records: its pages are there already."""
        cdef Piece piece
        try:
            piece = self.slabs.take(CHUNK_ROWS * sizeof(Row))
            self.arenas.append(piece)
        except MemoryError:
            return -1
        self.chunks[chunk] = <Row*>piece.data
        return 0

    cdef int _index(
        self, Row* row, uint64_t hashed, uint32_t number, const uint8_t* spec, Py_ssize_t fields
    ) noexcept nogil:
        """Put row ``number`` (counted from 1) into the table; ``row`` learns what it supersedes.

        ``row`` may be in place already: only operands and rows with an older one are changed.
        """
        cdef Table* table = self.table
        cdef uint64_t tag = hashed & 0xFFFFFFFFU
        cdef uint64_t at, slot
        cdef Row* other
        cdef Row* target
        if <uint64_t>number * 8 > (table.mask + 1) * 5:
            if self._grow() < 0:
                return -1
            table = self.table
        at = tag & table.mask
        while True:
            slot = table.slots[at]
            if not slot:
                break
            if slot >> 32 == tag:
                other = row_at(self, <uint32_t>(slot & 0xFFFFFFFFU) - 1)
                if equal(other.key, other.key_size, row.key, row.key_size):
                    row.previous = <uint32_t>(slot & 0xFFFFFFFFU)
                    if row.kind == MERGE and self._combine(row, other, spec, fields) < 0:
                        return -1
                    break
            at = (at + 1) & table.mask
        target = row_at(self, number - 1)
        if target != row:
            target[0] = row[0]
        # The row is complete before its number can be found.
        release(&table.slots[at], tag << 32 | number)
        # Readers search whatever is not indexed: the row first, then how far the table goes.
        release(&self.indexed, number)
        return 0

    cdef int _index_to(self, uint64_t end) noexcept nogil:
        """Index ordered rows up to number ``end``: no two of them have one key."""
        cdef uint64_t[_GROUP] hashes
        cdef uint64_t at = self.indexed, i, count
        cdef Row* row
        while at < end:
            count = min(end - at, <uint64_t>_GROUP)
            for i in range(count):
                row = row_at(self, <uint32_t>(at + i))
                hashes[i] = hash_key(row.key, row.key_size, self.seed)
                prefetch(&self.table.slots[(hashes[i] & 0xFFFFFFFFU) & self.table.mask])
            for i in range(count):
                row = row_at(self, <uint32_t>(at + i))
                if self._index(row, hashes[i], <uint32_t>(at + i + 1), NULL, 0) < 0:
                    return -1
            at += count
        return 0

    cdef void index_some(self, Py_ssize_t count) noexcept:
        """Index ``count`` more ordered rows, unless somebody is at it: nobody waits for this."""
        cdef uint64_t end
        if not PyThread_acquire_lock(self.turn, NOWAIT_LOCK):
            return
        end = min(<uint64_t>self.rows, self.indexed + <uint64_t>count)
        with nogil:
            # Without memory for a larger table, rows simply stay where they are found now.
            self._index_to(end)
        PyThread_release_lock(self.turn)

    cdef Py_ssize_t _append(self, const OpView* op) noexcept nogil:
        """Append rows as long as keys ascend; how many were, or -1 without memory."""
        cdef Py_ssize_t i = 0, start, end
        cdef const Row* last = NULL
        cdef Row* target
        if self.rows:
            last = row_at(self, <uint32_t>(self.rows - 1))
        while i < op.rows:
            target = self._room()
            if target == NULL:
                return -1
            # To the end of the chunk at most: where the next one is, is not looked up per row.
            end = min(op.rows, i + CHUNK_ROWS - (self.rows & (CHUNK_ROWS - 1)))
            start = i
            if op.key_offsets == NULL and op.value_offsets == NULL and op.kinds == NULL:
                i = _append_equal(op, i, end, last, target)
            else:
                while i < end:
                    _row_of(op, i, target)
                    if last != NULL and compare(
                            last.key, last.key_size, target.key, target.key_size) >= 0:
                        break
                    last = target
                    target += 1
                    i += 1
            self.rows += i - start
            if i < end:
                return i
            last = row_at(self, <uint32_t>(self.rows - 1))
        return op.rows

    cdef int _insert(
        self, const OpView* op, const uint8_t* spec, Py_ssize_t fields
    ) noexcept nogil:
        """Add all rows of ``op``; the caller has ``turn``. -1 without memory."""
        cdef uint64_t[_GROUP] hashes
        cdef Row[_GROUP] rows
        cdef Py_ssize_t start = 0, count, i
        if not self.unordered and op.kind != MERGE:
            start = self._append(op)
            if start < 0:
                return -1
            self.ordered = self.rows
            if start == op.rows:
                return 0
        if not self.unordered:
            self.unordered = True
            if self._index_to(<uint64_t>self.rows) < 0:
                return -1
        while start < op.rows:
            count = min(op.rows - start, <Py_ssize_t>_GROUP)
            for i in range(count):
                _row_of(op, start + i, &rows[i])
                hashes[i] = hash_key(rows[i].key, rows[i].key_size, self.seed)
                prefetch(&self.table.slots[(hashes[i] & 0xFFFFFFFFU) & self.table.mask])
            for i in range(count):
                if self._room() == NULL or self._index(
                        &rows[i], hashes[i], <uint32_t>(self.rows + 1), spec, fields) < 0:
                    return -1
                self.rows += 1
            start += count
        return 0

    def insert(self, data not None, Py_ssize_t position, bytes spec not None):
        """Add the rows of the operation at ``position`` of ``data``, which is kept.

        ``spec`` are the fold operations of the family's merge state, one byte per 8-byte field.
        Returns the position behind the operation. Raises ``ValueError`` for a damaged one and
        ``MemoryError``; then rows may be half added, and the memtable must not be shown.
        """
        cdef const uint8_t[::1] view
        if isinstance(data, Piece):
            return self.add(data, (<Piece>data).data, (<Piece>data).size, position, spec)
        view = data
        return self.add(
            data, &view[0] if view.shape[0] else NULL, view.shape[0], position, spec)

    cdef Py_ssize_t add(
        self, data, const uint8_t* start, Py_ssize_t size, Py_ssize_t position, bytes spec
    ) except -1:
        cdef OpView op
        cdef Py_ssize_t fields = len(spec)
        cdef const uint8_t* folds = spec
        cdef Py_ssize_t before = self.rows
        cdef int failed
        if size == 0 or not parse_op(start, size, position, &op):
            raise ValueError(f"the operation at byte {position} of a batch is damaged")
        if op.kind == OP_RANGE or (op.kind == MERGE and (
                not fields or op.value_width != <uint32_t>(8 * fields))):
            raise ValueError(f"the operation at byte {position} does not fit its family")
        self.keep.append(data)
        if op.rows:
            self.min_stamp = min(self.min_stamp, op.stamp)
            self.max_stamp = max(self.max_stamp, op.stamp)
        if not PyThread_acquire_lock(self.turn, NOWAIT_LOCK):
            with nogil:  # a reader is indexing a few rows
                PyThread_acquire_lock(self.turn, WAIT_LOCK)
        if op.rows < _SMALL:
            failed = self._insert(&op, folds, fields)
        else:
            with nogil:
                failed = self._insert(&op, folds, fields)
        self.memory += op.end - position + (self.rows - before) * <Py_ssize_t>sizeof(Row)
        PyThread_release_lock(self.turn)
        if failed:
            raise MemoryError(f"no memory for row {self.rows} of a memtable")
        return op.end

    def sorted_rows(self, Py_ssize_t start, Py_ssize_t end):
        """The newest of rows ``start`` to ``end`` of each key, sorted, as a ``RowList``."""
        cdef RowList result = RowList()
        cdef Py_ssize_t count = end - start
        cdef Py_ssize_t i, live = 0
        cdef uint8_t* superseded
        cdef Entry* entries
        cdef Row* rows
        cdef Row* row
        if start < 0 or count < 0 or end > self.rows:
            raise IndexError(f"rows {start} to {end} of {self.rows}")
        result.reserve(count)
        result.keep.append(self)
        if end <= self.ordered:
            with nogil:
                for i in range(count):
                    result.rows[i] = row_at(self, <uint32_t>(start + i))[0]
            result.count = count
            return result
        superseded = <uint8_t*>calloc(count + 1, 1)
        entries = <Entry*>malloc((2 * count + 1) * sizeof(Entry))
        rows = <Row*>malloc((count + 1) * sizeof(Row))
        if superseded == NULL or entries == NULL or rows == NULL:
            free(superseded)
            free(entries)
            free(rows)
            raise MemoryError(f"no memory to sort {count} rows")
        with nogil:
            for i in range(count - 1, -1, -1):
                row = row_at(self, <uint32_t>(start + i))
                if row.previous > <uint32_t>start:
                    superseded[row.previous - 1 - start] = 1
            for i in range(count):
                if not superseded[i]:
                    rows[live] = row_at(self, <uint32_t>(start + i))[0]
                    entries[live].row = <uint32_t>live
                    live += 1
            sort_rows(rows, entries, entries + live, live)
            for i in range(live):
                result.rows[i] = rows[entries[i].row]
            result.count = live
        free(superseded)
        free(entries)
        free(rows)
        return result


cdef inline void _row_of(const OpView* op, Py_ssize_t i, Row* row) noexcept nogil:
    if op.key_offsets != NULL:
        row.key = op.keys + op.key_offsets[i]
        row.key_size = op.key_offsets[i + 1] - op.key_offsets[i]
    else:
        row.key = op.keys + i * <Py_ssize_t>op.key_width
        row.key_size = op.key_width
    if op.value_offsets != NULL:
        row.value = op.values + op.value_offsets[i]
        row.value_size = op.value_offsets[i + 1] - op.value_offsets[i]
    else:
        row.value = op.values + i * <Py_ssize_t>op.value_width
        row.value_size = op.value_width
    row.kind = op.kinds[i] if op.kinds != NULL else op.kind
    row.stamp = op.stamp
    row.previous = 0


cdef Py_ssize_t _append_equal(
    const OpView* op, Py_ssize_t i, Py_ssize_t end, const Row* last, Row* target
) noexcept nogil:
    """Rows from ``i`` to ``end``, whose keys and values have one width, as long as keys ascend."""
    cdef Py_ssize_t width = op.key_width
    cdef Row row
    _row_of(op, i, &row)
    if last != NULL and compare(last.key, last.key_size, row.key, row.key_size) >= 0:
        return i
    while True:
        target[0] = row
        target += 1
        i += 1
        if i == end:
            return i
        row.key += width
        row.value += op.value_width
        if compare(row.key - width, width, row.key, width) >= 0:
            return i


cdef const Row* _search(
    Memtable memtable, const uint8_t* key, uint32_t size, uint32_t low, uint32_t high
) noexcept nogil:
    """The row of ``key`` among ordered rows ``low`` to ``high``, or NULL."""
    cdef uint32_t middle
    cdef const Row* row
    cdef int order
    while low < high:
        middle = low + ((high - low) >> 1)
        row = row_at(memtable, middle)
        order = compare(row.key, row.key_size, key, size)
        if order == 0:
            return row
        if order < 0:
            low = middle + 1
        else:
            high = middle
    return NULL


cdef const Row* find(
    Memtable memtable, const uint8_t* key, uint32_t size, uint64_t hashed, uint32_t mark
) noexcept nogil:
    """The newest row of ``key`` below ``mark``, or NULL."""
    # What is not indexed yet is ordered: it was so when the mark was taken. Newer rows of such a
    # key, should the writer have indexed more by now, are beyond the mark.
    cdef uint64_t indexed = acquire(&memtable.indexed)
    cdef Table* table
    cdef uint64_t tag = hashed & 0xFFFFFFFFU
    cdef uint64_t at
    cdef uint64_t slot
    cdef uint32_t index
    cdef const Row* row
    if indexed < mark:
        row = _search(memtable, key, size, <uint32_t>indexed, mark)
        if row != NULL or indexed == 0:
            return row
    table = <Table*>acquire_pointer(<void**>&memtable.table)
    at = tag & table.mask
    while True:
        slot = acquire(&table.slots[at])
        if not slot:
            return NULL
        if slot >> 32 == tag:
            row = row_at(memtable, <uint32_t>(slot & 0xFFFFFFFFU) - 1)
            if equal(row.key, row.key_size, key, size):
                index = <uint32_t>(slot & 0xFFFFFFFFU)
                while index > mark:
                    index = row_at(memtable, index - 1).previous
                return row_at(memtable, index - 1) if index else NULL
        at = (at + 1) & table.mask
