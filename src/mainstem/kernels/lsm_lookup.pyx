"""Batch lookups: many keys at once, through memtables and runs from newest to oldest.

Keys are hashed once. Of each run the filter is asked first, for keys as they come, lines
prefetched; those that pass are sorted and read in key order: blocks are found by galloping along
the index, rows by the blocks' hash tables, in small groups so that cache misses overlap.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from mainstem.kernels.lsm_blocks cimport HASH_SHIFT, Block, BlockView, block_key, block_row
from mainstem.kernels.lsm_cold cimport Hunt, Rules, Worker, record, search
from mainstem.kernels.lsm_core cimport (
    ABSENT, DELETE, MERGE, PUT, Row, compare, copy, equal, hash_key, prefetch,
)
from mainstem.kernels.lsm_disk cimport WORKERS, drop, hand_over, leave_room, take_room
from mainstem.kernels.lsm_memtable cimport Memtable, find
from mainstem.kernels.lsm_ranges cimport Ranges, covers
from mainstem.kernels.lsm_rows cimport Column, RowList, entry_of, gather, move, take
from mainstem.kernels.lsm_run cimport (
    Run, block_for, filter_line, last_key, passes, pin, unpin,
)
from mainstem.kernels.lsm_sort cimport Entry, sort_rows

cdef enum:
    _GROUP = 32
    _LOADS = 256  # blocks held at once that are not in the cache
    _INDEX_ROWS = 1024  # of a memtable in order, at least so many are indexed by a lookup
    _LEAST = 8  # keys that a worker takes at once from those whose blocks are not cached
    _MOST = 1024

cdef uint64_t _chance = 1  # what decides which blocks a full cache takes; under the GIL


# The filter and the greatest key of one file of a run.
cdef struct Part:
    const uint8_t* lines
    uint64_t line_count
    uint64_t seed
    int probes
    const uint8_t* last
    uint32_t last_size


cdef const Part* _owner(const Part* parts, Py_ssize_t count, const Row* row) noexcept nogil:
    """The part whose keys reach up to ``row``'s, or NULL."""
    cdef Py_ssize_t low = 0
    cdef Py_ssize_t high = count
    cdef Py_ssize_t middle
    while low < high:
        middle = (low + high) >> 1
        if compare(parts[middle].last, parts[middle].last_size, row.key, row.key_size) < 0:
            low = middle + 1
        else:
            high = middle
    return parts + low if low < count else NULL


cdef class Lookup:
    """Finds ``keys`` in layers given newest first; ``values`` then gives Arrow buffers.

    ``spec`` are the family's fold operations; rows stamped before ``expire_before`` (0: none)
    count as absent. ``pending`` says how many keys no layer has settled yet. Not thread-safe;
    other threads may write meanwhile. ``close`` when done, or blocks stay in memory.
    """

    cdef Column keys
    cdef bytes spec
    cdef Rules rules
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
    cdef int phase

    def __cinit__(self, Column keys not None, uint64_t seed, bytes spec, int64_t expire_before):
        cdef Py_ssize_t i, count = keys.length
        cdef int64_t size
        self.phase = -1
        self.keys = keys
        self.spec = spec
        self.rules.folds = spec
        self.rules.fields = len(spec)
        self.rules.expire_before = expire_before
        self.seed = seed
        if count >= <Py_ssize_t>1 << 31:
            raise ValueError(f"{count} keys at once are too many: split them")
        self.wanted = RowList()
        self.wanted.reserve(count)
        self.found = RowList()
        self.found.reserve(count)
        self.found.count = count
        self.hashes = <uint64_t*>malloc(28 * count + 8)
        if self.hashes == NULL:
            raise MemoryError(f"no memory to look {count} keys up")
        self.views = <const BlockView**>(self.hashes + count)
        self.waiting = <uint32_t*>(self.views + count)
        self.chosen = self.waiting + count
        self.blocks = self.chosen + count
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

    def close(self):
        """Let go of the blocks read. Buffers from ``values`` stay valid."""
        if self.phase >= 0:
            unpin(self.phase)
            self.phase = -1

    cdef void record(self, uint32_t index, const Row* row) noexcept nogil:
        """Take an older row of key ``index`` into account."""
        if not record(&self.rules, &self.found.rows[index], row, &self.found.space):
            self.found.count = -1

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
        if table.indexed + _INDEX_ROWS // 4 < <uint64_t>mark:
            table.index_some(_INDEX_ROWS + 8 * self.pending)
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
        cdef Py_ssize_t start = 0, end, chosen, at
        cdef uint32_t size
        cdef const uint8_t* last
        cdef Part* parts
        if self.pending == 0:
            return 0
        parts = <Part*>malloc((len(runs) + 1) * sizeof(Part))
        if parts == NULL:
            raise MemoryError(f"no memory for {len(runs)} files of a run")
        for at, part in enumerate(runs):
            parts[at].lines = part.lines
            parts[at].line_count = part.line_count
            parts[at].seed = part.seed
            parts[at].probes = part.probes
            parts[at].last = last_key(part, part.block_count - 1, &parts[at].last_size)
        at = len(runs)
        with nogil:
            chosen = self._filter(parts, at)
        free(parts)
        if chosen == 0:
            return self.pending
        self._sort(chosen)
        for part in runs:
            if start >= chosen:
                break
            last = last_key(part, part.block_count - 1, &size)
            end = self._beyond(last, size, start, chosen)
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

    cdef Py_ssize_t _filter(self, const Part* parts, Py_ssize_t count) noexcept nogil:
        """Choose the keys that the filter of the file they belong to lets pass."""
        cdef Py_ssize_t i, j, chosen = 0
        cdef uint64_t[_GROUP] hashes
        cdef (const Part*)[_GROUP] owners
        cdef const Row* row
        i = 0
        while i < self.pending:
            for j in range(min(self.pending - i, <Py_ssize_t>_GROUP)):
                row = &self.wanted.rows[self.waiting[i + j]]
                owners[j] = parts if count == 1 else _owner(parts, count, row)
                hashes[j] = self.hashes[self.waiting[i + j]]
                if owners[j] == NULL or owners[j].probes == 0:
                    continue
                if owners[j].seed != self.seed:
                    hashes[j] = hash_key(row.key, row.key_size, owners[j].seed)
                prefetch(filter_line(owners[j].lines, owners[j].line_count, hashes[j]))
            for j in range(min(self.pending - i, <Py_ssize_t>_GROUP)):
                self.chosen[chosen] = self.waiting[i + j]
                chosen += owners[j] != NULL and passes(
                    owners[j].lines, owners[j].line_count, owners[j].probes, hashes[j])
            i += _GROUP
        return chosen

    cdef int _sort(self, Py_ssize_t count) except -1:
        """Order the keys that were chosen."""
        cdef Entry* entries = <Entry*>malloc((2 * count + 1) * sizeof(Entry))
        cdef Py_ssize_t i
        if entries == NULL:
            raise MemoryError(f"no memory to sort {count} keys")
        with nogil:
            for i in range(count):
                entries[i].row = self.chosen[i]
            sort_rows(self.wanted.rows, entries, entries + count, count)
            for i in range(count):
                self.chosen[i] = entries[i].row
        free(entries)
        return 0

    cdef Py_ssize_t _beyond(
        self, const uint8_t* key, uint32_t size, Py_ssize_t low, Py_ssize_t high
    ) noexcept:
        """The first chosen position from ``low`` whose key is above ``key``."""
        cdef Py_ssize_t middle
        cdef Row* row
        while low < high:
            middle = (low + high) >> 1
            row = &self.wanted.rows[self.chosen[middle]]
            if compare(row.key, row.key_size, key, size) <= 0:
                low = middle + 1
            else:
                high = middle
        return low

    cdef int _probe(self, Run run, Py_ssize_t start, Py_ssize_t end, load) except -1:
        """Look for chosen keys ``start`` to ``end``, in order, which are this file's."""
        cdef Py_ssize_t first, i
        cdef uint32_t block = 0
        cdef Row* row
        with nogil:
            for i in range(start, end):
                row = &self.wanted.rows[self.chosen[i]]
                block = block_for(run, row.key, row.key_size, block)
                self.blocks[i] = block  # not behind the last: no key is above the last one's
        self.found.keep.append(run)
        first = end - self._part(run, start, end)
        with nogil:
            self._search(run, start, first, False)
        if first < end and run.file.descriptor >= 0:
            self._read(run, first, end, load)
            return 0
        while first < end:
            first = self._load(run, first, end, load, _LOADS)
        return 0

    cdef Py_ssize_t _part(self, Run run, Py_ssize_t start, Py_ssize_t end) noexcept:
        """Put keys whose blocks are not cached behind the others; returns how many they are."""
        cdef Py_ssize_t i, hits = start, lost = 0
        cdef uint64_t* pairs = <uint64_t*>self.views  # free where no view was put yet
        for i in range(start, end):
            # Here and not before: only now nobody else can change the run's views.
            if run.views[self.blocks[i]] != NULL:
                self.views[hits] = run.views[self.blocks[i]]
                self.chosen[hits] = self.chosen[i]
                self.blocks[hits] = self.blocks[i]
                hits += 1
            else:
                lost += 1
                pairs[end - lost] = <uint64_t>self.blocks[i] << 32 | self.chosen[i]
        for i in range(lost):
            self.blocks[hits + i] = <uint32_t>(pairs[end - 1 - i] >> 32)
            self.chosen[hits + i] = <uint32_t>pairs[end - 1 - i]
        return lost

    cdef int _read(self, Run run, Py_ssize_t first, Py_ssize_t end, load) except -1:
        """Look for keys in blocks that are read from the file here."""
        cdef Hunt hunt
        cdef uint8_t* room = take_room()
        memset(&hunt, 0, sizeof(Hunt))
        hunt.file = &run.file
        hunt.wanted = self.wanted.rows
        hunt.hashes = self.hashes
        hunt.seed = run.seed
        hunt.same = run.seed == self.seed
        hunt.found = self.found.rows
        hunt.chosen = self.chosen
        hunt.blocks = self.blocks
        hunt.begin = first
        hunt.next = first
        hunt.end = end
        hunt.stretch = max(_LEAST, min(_MOST, (end - first) // (8 * WORKERS)))
        hunt.rules = self.rules
        hunt.workers[0].room = room
        try:
            while hunt.next < end:
                self._allow(run, &hunt)
                with nogil:
                    search(&hunt)
                self._collect(run, &hunt, load)
        finally:
            for i in range(WORKERS):
                move(&hunt.workers[i].values, &self.found.space)
                drop(&hunt.workers[i].keeper)
            leave_room(room)
        return 0

    cdef int _allow(self, Run run, Hunt* hunt) except -1:
        """Tell every worker how much of what it reads the cache would take."""
        global _chance
        cdef Py_ssize_t most, i
        hunt.free_bytes, most = run.room()
        for i in range(WORKERS):
            _chance = _chance * 6364136223846793005U + 1442695040888963407U
            hunt.workers[i].keeper.free_bytes = &hunt.free_bytes
            hunt.workers[i].keeper.most = most
            hunt.workers[i].keeper.state = _chance | 1
        return 0

    cdef int _collect(self, Run run, Hunt* hunt, load) except -1:
        """Take what the workers have made; what they could not have, Python loads."""
        cdef Py_ssize_t i
        cdef Worker* worker
        for i in range(WORKERS):
            worker = &hunt.workers[i]
            if worker.starved:
                raise MemoryError("no memory for the values found")
            self.blocks_read += worker.read
            hand_over(&worker.keeper, run, worker.read)
            worker.read = 0
            while worker.stuck < worker.until:  # it finds out why, and says so
                worker.stuck = self._load(run, worker.stuck, worker.until, load, 1)
        return 0

    cdef Py_ssize_t _load(
        self, Run run, Py_ssize_t first, Py_ssize_t end, load, Py_ssize_t most
    ) except -1:
        """Look for keys in up to ``most`` blocks that ``load`` gives; returns where it ends."""
        cdef Py_ssize_t i = first
        cdef list missing = [], loaded
        while i < end:
            if i == first or self.blocks[i] != self.blocks[i - 1]:
                if len(missing) == most:
                    break
                missing.append(self.blocks[i])
            i += 1
        loaded = load(run, missing)
        self.blocks_read += len(missing)
        self._use(missing, loaded, first, i)
        with nogil:
            self._search(run, first, i, True)
        return i

    cdef int _use(self, list missing, list loaded, Py_ssize_t first, Py_ssize_t end) except -1:
        """Point at the blocks that were loaded for this stretch."""
        cdef Py_ssize_t i, at = 0
        cdef Block block
        if len(loaded) != len(missing):
            raise ValueError("the loader returned another number of blocks than it was asked for")
        for i in range(first, end):
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
            out = take(&self.found.space, row.value_size)
            if out == NULL:
                self.found.count = -1
                return
            copy(out, row.value, row.value_size)
            row.value = out
        self.record(index, row)
