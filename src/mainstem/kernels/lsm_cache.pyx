"""Which cached blocks go: a ring of all of them with a second chance for those in use (CLOCK)."""

from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc

from mainstem.kernels.lsm_blocks cimport Block
from mainstem.kernels.lsm_run cimport Run, evict_block, install_block

cdef enum:
    _OVERHEAD = 200  # bytes a block costs besides its own
    _FIRST = 1 << 6


cdef struct Entry:
    PyObject* run
    uint32_t block
    Py_ssize_t size


cdef class Clock:
    """Blocks installed in runs, in the order they are looked at. Not thread-safe."""

    cdef Entry* ring
    cdef Py_ssize_t room, head, count
    cdef readonly Py_ssize_t used       # bytes of all blocks, with what they cost besides
    cdef readonly Py_ssize_t evictions

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.count):
            Py_DECREF(<object>self.ring[(self.head + i) & (self.room - 1)].run)
        free(self.ring)

    def __len__(self):
        return self.count

    def add(self, Run run not None, numbers, list blocks not None, Py_ssize_t budget):
        """Install ``blocks`` as blocks ``numbers`` of ``run``, within ``budget`` bytes."""
        cdef Block block
        cdef uint32_t number
        cdef Py_ssize_t at = 0, size
        for number in numbers:
            block = blocks[at]
            at += 1
            size = block.size + _OVERHEAD
            if number >= run.block_count:
                raise IndexError(f"block {number} of {run.block_count}")
            if size > budget or run.views[number] != NULL:
                continue
            self._append(run, number, size)
            install_block(run, number, block)
            self.used += size
        self.shrink(budget)

    def shrink(self, Py_ssize_t budget):
        """Evict blocks that were not used lately until the others fit into ``budget`` bytes."""
        cdef Entry entry
        cdef Run run
        while self.used > budget and self.count:
            entry = self.ring[self.head]
            run = <Run>entry.run
            if run.touched[entry.block]:
                run.touched[entry.block] = 0
                # The head's place is free for it if the ring is full, and behind the tail if not.
                self.head = (self.head + 1) & (self.room - 1)
                self.ring[(self.head + self.count - 1) & (self.room - 1)] = entry
                continue
            self.head = (self.head + 1) & (self.room - 1)
            self.count -= 1
            self.used -= entry.size
            self.evictions += 1
            evict_block(run, entry.block)
            Py_DECREF(run)

    def forget(self, Run run not None):
        """Drop every block of ``run``."""
        cdef Py_ssize_t i, kept = 0, count = self.count
        cdef Entry entry
        for i in range(count):
            entry = self.ring[(self.head + i) & (self.room - 1)]
            if <Run>entry.run is run:
                self.used -= entry.size
                evict_block(run, entry.block)
                Py_DECREF(run)  # not the last reference: the caller has one
            else:
                self.ring[(self.head + kept) & (self.room - 1)] = entry
                kept += 1
        self.count = kept

    cdef int _append(self, Run run, uint32_t block, Py_ssize_t size) except -1:
        cdef Entry* entry
        if self.count == self.room:
            self._grow()
        entry = &self.ring[(self.head + self.count) & (self.room - 1)]
        entry.run = <PyObject*>run
        entry.block = block
        entry.size = size
        Py_INCREF(run)
        self.count += 1
        return 0

    cdef int _grow(self) except -1:
        """Twice the ring; its room stays a power of two."""
        cdef Py_ssize_t i, room = max(2 * self.room, <Py_ssize_t>_FIRST)
        cdef Entry* ring = <Entry*>malloc(room * sizeof(Entry))
        if ring == NULL:
            raise MemoryError(f"no memory to keep {room} blocks in mind")
        for i in range(self.count):
            ring[i] = self.ring[(self.head + i) & (self.room - 1)]
        free(self.ring)
        self.ring = ring
        self.room = room
        self.head = 0
        return 0
