"""Batch lookups: many keys at once, through memtables and runs from newest to oldest.

Keys are hashed once. Before the first run is asked, those still missing are sorted; each run is
then read in key order: filter lines are prefetched and tested, blocks found by galloping along
the index, rows by the blocks' hash tables, in small groups so that cache misses overlap.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from mainstem.kernels.lsm_blocks cimport HASH_SHIFT, Block, BlockView, block_key, block_row
from mainstem.kernels.lsm_core cimport (
    ABSENT, DELETE, MERGE, PUT, Row, compare, copy, equal, expired, fold, hash_key, prefetch,
)
from mainstem.kernels.lsm_memtable cimport Memtable, find
from mainstem.kernels.lsm_ranges cimport Ranges, covers
from mainstem.kernels.lsm_rows cimport Column, Entry, RowList, entry_of, gather, sort_rows
from mainstem.kernels.lsm_run cimport Run, block_for, last_key, may_contain, pin, unpin

cdef enum:
    _GROUP = 32
    _LOADS = 256  # blocks held at once that are not in the cache


cdef class Lookup:
    """Finds ``keys`` in layers given newest first; ``values`` then gives Arrow buffers.

    ``spec`` are the family's fold operations; rows stamped before ``expire_before`` (0: none)
    count as absent. ``pending`` says how many keys no layer has settled yet. Not thread-safe;
    other threads may write meanwhile. ``close`` when done, or blocks stay in memory.
    """

    cdef Column keys
    cdef bytes spec
    cdef const uint8_t* folds
    cdef Py_ssize_t fields
    cdef int64_t expire_before
    cdef uint64_t seed
    cdef RowList wanted
    cdef RowList found
    cdef uint64_t* hashes
    cdef uint32_t* waiting
    cdef uint32_t* chosen
    cdef uint32_t* blocks
    cdef const BlockView** views
    cdef readonly Py_ssize_t pending
    cdef readonly Py_ssize_t blocks_read
    cdef bint is_sorted
    cdef int phase

    def __cinit__(self, Column keys not None, uint64_t seed, bytes spec, int64_t expire_before):
        cdef Py_ssize_t i, count = keys.length
        cdef int64_t size
        self.phase = -1
        self.keys = keys
        self.spec = spec
        self.folds = spec
        self.fields = len(spec)
        self.expire_before = expire_before
        self.seed = seed
        if count >= <Py_ssize_t>1 << 31:
            raise ValueError(f"{count} keys at once are too many: split them")
        self.wanted = RowList()
        self.wanted.reserve(count)
        self.found = RowList()
        self.found.reserve(count)
        self.found.count = count
        self.hashes = <uint64_t*>malloc(8 * count + 8)
        self.waiting = <uint32_t*>malloc(4 * count + 8)
        self.chosen = <uint32_t*>malloc(4 * count + 8)
        self.blocks = <uint32_t*>malloc(4 * count + 8)
        self.views = <const BlockView**>malloc(8 * count + 8)
        if not (self.hashes and self.waiting and self.chosen and self.blocks and self.views):
            raise MemoryError(f"no memory to look {count} keys up")
        with nogil:
            for i in range(count):
                self.found.rows[i].kind = ABSENT
                self.found.rows[i].value_size = 0
                size = entry_of(keys, i, &self.wanted.rows[i].key)
                if size >= 0:  # a null key is found nowhere
                    self.wanted.rows[i].key_size = <uint32_t>size
                    self.hashes[i] = hash_key(self.wanted.rows[i].key, size, seed)
                    self.waiting[self.pending] = <uint32_t>i
                    self.pending += 1
        self.phase = pin()

    def __dealloc__(self):
        if self.phase >= 0:
            unpin(self.phase)
        free(self.hashes)
        free(self.waiting)
        free(self.chosen)
        free(self.blocks)
        free(self.views)

    def close(self):
        """Let go of the blocks read. Buffers from ``values`` stay valid."""
        if self.phase >= 0:
            unpin(self.phase)
            self.phase = -1

    cdef void record(self, uint32_t index, const Row* row) noexcept nogil:
        """Take an older row of key ``index`` into account."""
        cdef Row* held = &self.found.rows[index]
        cdef uint8_t* out
        cdef Py_ssize_t fields = self.fields
        if held.kind == ABSENT:
            held[0] = row[0]
            if expired(row.stamp, self.expire_before):
                held.kind = DELETE
        elif expired(row.stamp, self.expire_before) or row.kind == DELETE or (
                row.value_size != 8 * fields or held.value_size != 8 * fields):
            held.kind = PUT
        else:
            out = self.found.scratch(8 * fields)
            if out == NULL:
                held.kind = ABSENT
                self.found.count = -1
                return
            fold(self.folds, fields, row.value, held.value, out)
            held.value = out
            held.kind = row.kind

    cdef void settle(self) noexcept nogil:
        """Keep waiting only for what no layer has answered in full."""
        cdef Py_ssize_t i, left = 0
        cdef uint32_t kind
        for i in range(self.pending):
            kind = self.found.rows[self.waiting[i]].kind
            if kind == ABSENT or kind == MERGE:
                self.waiting[left] = self.waiting[i]
                left += 1
        self.pending = left

    def memtable(self, Memtable table not None, Py_ssize_t mark):
        """Ask a memtable, as of ``mark`` rows. Returns how many keys are still pending."""
        cdef Py_ssize_t start, i, count
        cdef uint32_t index
        cdef const Row* row
        if mark < 0 or mark > table.rows or table.seed != self.seed:
            raise ValueError(f"the memtable has {table.rows} rows, not {mark}")
        self.found.keep.append(table)
        if mark == 0:
            return self.pending
        with nogil:
            start = 0
            while start < self.pending:
                count = min(self.pending - start, <Py_ssize_t>_GROUP)
                for i in range(count):
                    prefetch(&table.table.slots[
                        (self.hashes[self.waiting[start + i]] & 0xFFFFFFFFU) & table.table.mask])
                for i in range(count):
                    index = self.waiting[start + i]
                    row = find(table, self.wanted.rows[index].key,
                               self.wanted.rows[index].key_size, self.hashes[index],
                               <uint32_t>mark)
                    if row != NULL:
                        self.record(index, row)
                start += count
            self.settle()
        return self._checked()

    def ranges(self, Ranges ranges not None):
        """Everything older in ``ranges`` is deleted. Returns how many keys are still pending."""
        cdef Py_ssize_t i
        cdef Row* row
        with nogil:
            for i in range(self.pending):
                row = &self.wanted.rows[self.waiting[i]]
                if covers(ranges.items, ranges.count, row.key, row.key_size):
                    row = &self.found.rows[self.waiting[i]]
                    row.kind = PUT if row.kind == MERGE else DELETE
            self.settle()
        return self.pending

    def run(self, list runs not None, load):
        """Ask a sorted run: disjoint ``Run`` parts in key order.

        ``load(run, blocks)`` is called for blocks that are not cached and returns ``Block``
        objects in that order. Returns how many keys are still pending.
        """
        cdef Run part
        cdef Py_ssize_t start = 0, end
        cdef uint32_t size
        cdef const uint8_t* last
        if self.pending == 0:
            return 0
        if not self.is_sorted:
            self._sort()
        for part in runs:
            if start >= self.pending:
                break
            last = last_key(part, part.block_count - 1, &size)
            end = self._beyond(last, size, start)
            if end > start:
                self._probe(part, start, end, load)
            start = end
        with nogil:
            self.settle()
        return self._checked()

    def values(self):
        """Values in the order of the keys: (int32 offsets, data, validity or None, nulls)."""
        return gather(self.found.rows, self.found.count, False)

    cdef Py_ssize_t _checked(self) except -1:
        if self.found.count < 0:
            raise MemoryError("no memory to combine merge operands")
        return self.pending

    cdef int _sort(self) except -1:
        cdef Entry* entries = <Entry*>malloc((2 * self.pending + 1) * sizeof(Entry))
        cdef Py_ssize_t i
        if entries == NULL:
            raise MemoryError(f"no memory to sort {self.pending} keys")
        with nogil:
            for i in range(self.pending):
                entries[i].row = self.waiting[i]
            sort_rows(self.wanted.rows, entries, entries + self.pending, self.pending)
            for i in range(self.pending):
                self.waiting[i] = entries[i].row
        free(entries)
        self.is_sorted = True
        return 0

    cdef Py_ssize_t _beyond(self, const uint8_t* key, uint32_t size, Py_ssize_t low) noexcept:
        """The first waiting position whose key is above ``key``."""
        cdef Py_ssize_t high = self.pending
        cdef Py_ssize_t middle
        cdef Row* row
        while low < high:
            middle = (low + high) >> 1
            row = &self.wanted.rows[self.waiting[middle]]
            if compare(row.key, row.key_size, key, size) <= 0:
                low = middle + 1
            else:
                high = middle
        return low

    cdef Py_ssize_t _filter(self, Run run, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
        """Choose the keys the filter lets pass, and find the block of each."""
        cdef Py_ssize_t i, j, count = 0
        cdef uint32_t index, block = 0
        cdef uint64_t hashed
        cdef bint same = run.seed == self.seed
        cdef Row* row
        i = start
        while i < end:
            if same and run.probes:
                for j in range(i, min(end, i + _GROUP)):
                    hashed = self.hashes[self.waiting[j]]
                    prefetch(run.lines + (((hashed >> 32) * run.line_count) >> 32) * 64)
            for j in range(i, min(end, i + _GROUP)):
                index = self.waiting[j]
                row = &self.wanted.rows[index]
                hashed = self.hashes[index] if same else hash_key(row.key, row.key_size, run.seed)
                if not may_contain(run, hashed):
                    continue
                block = block_for(run, row.key, row.key_size, block)
                if block == run.block_count:
                    return count
                self.chosen[count] = index
                self.blocks[count] = block
                self.views[count] = run.views[block]
                count += 1
            i += _GROUP
        return count

    cdef int _probe(self, Run run, Py_ssize_t start, Py_ssize_t end, load) except -1:
        cdef Py_ssize_t count, first, i, j
        cdef list missing, loaded
        cdef uint32_t newest
        cdef bint own
        with nogil:
            count = self._filter(run, start, end)
        self.found.keep.append(run)
        first = 0
        while first < count:
            missing = []
            newest = 0
            i = first
            while i < count:
                # Views may have changed since: look again, now that nobody else can write.
                self.views[i] = run.views[self.blocks[i]]
                if self.views[i] == NULL and (not missing or newest != self.blocks[i]):
                    if len(missing) == _LOADS:
                        break
                    newest = self.blocks[i]
                    missing.append(newest)
                i += 1
            loaded = []
            if missing:
                loaded = load(run, missing)
                self.blocks_read += len(missing)
                self._use(missing, loaded, first, i)
            own = len(missing) != 0
            with nogil:
                self._search(run, first, i, own)
            first = i
        return 0

    cdef int _use(self, list missing, list loaded, Py_ssize_t first, Py_ssize_t end) except -1:
        """Point at the blocks that were loaded for this stretch."""
        cdef Py_ssize_t i, at = 0
        cdef Block block
        if len(loaded) != len(missing):
            raise ValueError("the loader returned another number of blocks than it was asked for")
        for i in range(first, end):
            if self.views[i] == NULL:
                while <uint32_t>missing[at] != self.blocks[i]:
                    at += 1
                block = loaded[at]
                self.views[i] = &block.view
        return 0

    cdef void _search(self, Run run, Py_ssize_t first, Py_ssize_t end, bint own) noexcept nogil:
        """Look for each chosen key in its block; with ``own``, copy what is found."""
        cdef Py_ssize_t i, count, at
        cdef const BlockView* view
        cdef uint32_t[_GROUP] slots
        cdef uint64_t hashed
        cdef uint32_t index, row, size
        cdef const uint8_t* key
        cdef Row* wanted
        cdef Row held
        cdef bint same = run.seed == self.seed
        at = first
        while at < end:
            count = min(end - at, <Py_ssize_t>_GROUP)
            for i in range(count):
                prefetch(self.views[at + i])
                prefetch(<const uint8_t*>self.views[at + i] + 56)
            for i in range(count):
                index = self.chosen[at + i]
                wanted = &self.wanted.rows[index]
                hashed = self.hashes[index] if same else (
                    hash_key(wanted.key, wanted.key_size, run.seed))
                view = self.views[at + i]
                slots[i] = (hashed >> HASH_SHIFT) & view.mask
                prefetch(&view.table[slots[i]])
            for i in range(count):
                view = self.views[at + i]
                row = view.table[slots[i]]
                if row and view.key_offsets == NULL:
                    prefetch(view.keys + <Py_ssize_t>(row - 1) * view.key_width)
                elif row:
                    prefetch(&view.key_offsets[row - 1])
                if row and view.value_offsets != NULL:
                    prefetch(&view.value_offsets[row - 1])
            for i in range(count):
                view = self.views[at + i]
                index = self.chosen[at + i]
                wanted = &self.wanted.rows[index]
                run.touched[self.blocks[at + i]] = 1
                row = view.table[slots[i]]
                while row:
                    key = block_key(view, row - 1, &size)
                    if equal(key, size, wanted.key, wanted.key_size):
                        block_row(view, row - 1, &held)
                        self._take(index, &held, own)
                        break
                    slots[i] = (slots[i] + 1) & view.mask
                    row = view.table[slots[i]]
            at += count

    cdef void _take(self, uint32_t index, Row* row, bint own) noexcept nogil:
        """Record a row of a block; with ``own`` the block goes soon, so keep the value."""
        cdef uint8_t* out
        if own and row.kind != DELETE and row.value_size:
            out = self.found.scratch(row.value_size)
            if out == NULL:
                self.found.count = -1
                return
            copy(out, row.value, row.value_size)
            row.value = out
        self.record(index, row)
