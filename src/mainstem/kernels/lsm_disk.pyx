"""Blocks of a run's file, read, checked and offered to the cache without a Python call for each.

A lookup that misses the cache reads block after block into one piece of memory, which stays in
the processor's cache: ``pread``, CRC-32C, the checks of lsm_blocks.pyx, and the search. Only
blocks that the cache is to keep are copied. Whatever is not as it should be, and every block that
is compressed, is left to Python, which reads it again and says what is wrong.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from mainstem.kernels.checksum cimport crc_without_gil
from mainstem.kernels.lsm_blocks cimport Block, BlockView, adopt, parse_block, share
from mainstem.kernels.lsm_core cimport align
from mainstem.kernels.lsm_run cimport Extent, Run, block_entry

cdef extern from "<unistd.h>" nogil:
    Py_ssize_t pread(int, void*, size_t, long long)

cdef extern from *:
    """
    static inline int lsm_spend(Py_ssize_t* left, Py_ssize_t size) {
        if (__atomic_load_n(left, __ATOMIC_RELAXED) < size) return 0;
        return __atomic_sub_fetch(left, size, __ATOMIC_RELAXED) >= 0;
    }
    """
    bint spend "lsm_spend"(Py_ssize_t*, Py_ssize_t) noexcept nogil

cdef enum:
    _KEPT = 1024           # blocks copied for the cache before it is asked to take them
    _KEPT_BYTES = 8 << 20
    _OVERHEAD = 200        # as cache.py reckons it
    _HEAD = 64             # of a run's file; blocks begin behind it
    _ONE_IN = 16           # blocks that a full cache takes


cdef uint32_t stored_size(const Extent* file, uint32_t block) noexcept nogil:
    """Bytes that ``block`` takes in the file, padding and all."""
    return <uint32_t>align(block_entry(file, block)[2], 64)


cdef Py_ssize_t read_stretch(
    const Extent* file, const uint32_t* blocks, Py_ssize_t count, uint8_t* room, Py_ssize_t size
) noexcept nogil:
    """Read the first of ascending ``blocks``, and those wanted that follow it in the file.

    Returns how many different blocks now lie in ``room`` of ``size`` bytes, one behind the other;
    0 when even the first cannot be had this way.
    """
    cdef Py_ssize_t i, need = 0, found = 0, got
    cdef uint64_t offset, start = 0
    cdef const uint32_t* entry
    cdef uint32_t block = 0
    for i in range(count):
        if found and blocks[i] == block:
            continue
        if found and blocks[i] != block + 1:
            break
        block = blocks[i]
        entry = block_entry(file, block)
        offset = <uint64_t>entry[0] | <uint64_t>entry[1] << 32
        if not found:
            start = offset
        if (offset - start != <uint64_t>need or offset < _HEAD or offset & 63
                or entry[2] != entry[3] or entry[2] & 63 or entry[2] == 0
                or offset > file.data_end or entry[2] > file.data_end - offset
                or entry[2] > <uint64_t>(size - need)):
            break
        need += entry[2]
        found += 1
    if not found:
        return 0
    got = pread(file.descriptor, room, need, <long long>start)
    return found if got == need else 0


cdef bint sound(
    const Extent* file, uint32_t block, const uint8_t* data, uint32_t size, BlockView* view
) noexcept nogil:
    """Whether a block that was read is what the index says; then ``view`` points at it."""
    cdef const uint32_t* entry = block_entry(file, block)
    return (crc_without_gil(data, size, 0) == entry[5]
            and parse_block(data, size, view) == NULL and view.rows == entry[4])


cdef bint full(const Keeper* keeper) noexcept nogil:
    return keeper.count == _KEPT or keeper.bytes >= _KEPT_BYTES


cdef void offer(
    Keeper* keeper, uint32_t block, const uint8_t* data, uint32_t size
) noexcept nogil:
    """Take a copy if the cache should have the block; without memory it goes without.

    A cache that has room takes every block. A full one takes one in 16, drawn by chance: each
    costs a copy and the loss of another, which pays only for blocks that are asked for again and
    again; and of a set of blocks larger than the cache, read in turn, some stay.
    """
    cdef Kept* kept
    if <Py_ssize_t>size + _OVERHEAD > keeper.most or full(keeper):
        return
    if not spend(keeper.free_bytes, size + _OVERHEAD):
        keeper.state ^= keeper.state << 13
        keeper.state ^= keeper.state >> 7
        keeper.state ^= keeper.state << 17
        if (keeper.state >> 32) & (_ONE_IN - 1):
            return
    if keeper.items == NULL:
        keeper.items = <Kept*>malloc(_KEPT * sizeof(Kept))
        if keeper.items == NULL:
            return
    kept = &keeper.items[keeper.count]
    kept.data = <uint8_t*>malloc(size)
    if kept.data == NULL:
        return
    memcpy(kept.data, data, size)
    kept.block = block
    kept.size = size
    keeper.bytes += size
    keeper.count += 1


cdef int hand_over(Keeper* keeper, Run run, Py_ssize_t read) except -1:
    """Give the run's cache what was kept; ``read`` blocks were read in all."""
    cdef Py_ssize_t i
    cdef list numbers = []
    cdef list blocks = []
    cdef uint8_t* data
    for i in range(keeper.count):
        data = keeper.items[i].data
        keeper.items[i].data = NULL
        blocks.append(adopt(data, keeper.items[i].size))
        numbers.append(keeper.items[i].block)
    keeper.count = 0
    keeper.bytes = 0
    if read:
        run.keep(numbers, blocks, read)
    return 0


cdef void drop(Keeper* keeper) noexcept nogil:
    """Free what was not handed over."""
    cdef Py_ssize_t i
    for i in range(keeper.count):
        free(keeper.items[i].data)
    free(keeper.items)
    keeper.items = NULL
    keeper.count = 0


def blocks_of(Run run not None, data not None, uint32_t first, uint32_t end, bint copies):
    """Blocks ``first`` to ``end``, not compressed, that lie in ``data`` one behind the other.

    ``copies`` gives each its own memory, else they share ``data``. ``None`` when one is damaged or
    lies elsewhere: whoever reads them one by one finds out what is wrong.
    """
    cdef Py_buffer buffer
    cdef list found = []
    cdef Py_ssize_t at = 0, i, count
    cdef const uint8_t* start
    cdef const uint32_t* entry = block_entry(&run.file, first)
    cdef uint64_t begin
    cdef uint32_t size
    cdef bint bad = False
    cdef BlockView* views
    if not first < end <= run.block_count:
        raise IndexError(f"blocks {first} to {end} of {run.block_count}")
    begin = <uint64_t>entry[0] | <uint64_t>entry[1] << 32
    count = end - first
    views = <BlockView*>malloc(count * sizeof(BlockView))
    if views == NULL:
        raise MemoryError(f"no memory for {count} blocks")
    try:
        PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)
        try:
            start = <const uint8_t*>buffer.buf
            with nogil:  # once for all: what a block takes is less than to get the GIL back
                for i in range(count):
                    entry = block_entry(&run.file, first + i)
                    size = stored_size(&run.file, first + i)
                    bad = ((<uint64_t>entry[0] | <uint64_t>entry[1] << 32) - begin != <uint64_t>at
                           or entry[2] != entry[3] or <Py_ssize_t>size > buffer.len - at
                           or not sound(&run.file, first + i, start + at, size, &views[i]))
                    if bad:
                        break
                    at += size
            if bad:
                return None
            for i in range(count):
                found.append(copied(start, stored_size(&run.file, first + i)) if copies else share(
                    data, &views[i], stored_size(&run.file, first + i)))
                start += stored_size(&run.file, first + i)
        finally:
            PyBuffer_Release(&buffer)
    finally:
        free(views)
    return found


cdef Block copied(const uint8_t* data, uint32_t size):
    cdef uint8_t* own = <uint8_t*>malloc(size)
    if own == NULL:
        raise MemoryError(f"no memory for a block of {size} bytes")
    memcpy(own, data, size)
    return adopt(own, size)


# Memory to read into, a piece for each worker, waits here for the next lookup. Under the GIL.
cdef uint8_t* _room = NULL


cdef uint8_t* take_room() except NULL:
    """``ROOM`` bytes for each of ``WORKERS``; give them back to ``leave_room``."""
    global _room
    cdef uint8_t* room = _room
    _room = NULL
    if room == NULL:
        room = <uint8_t*>malloc(ROOM * WORKERS)
    if room == NULL:
        raise MemoryError("no memory to read blocks into")
    return room


cdef void leave_room(uint8_t* room) noexcept:
    global _room
    if _room == NULL:
        _room = room
    else:
        free(room)
