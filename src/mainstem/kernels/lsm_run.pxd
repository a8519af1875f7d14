"""A run's index, filter and table of blocks in memory (C side; see lsm_run.pyx)."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from mainstem.kernels.lsm_blocks cimport Block, BlockView


# What reading a run's blocks from its file takes.
cdef struct Extent:
    const uint8_t* entries  # of the index
    int descriptor          # of the file, for kernels that read it themselves; -1: none
    uint64_t data_end       # where blocks end in it


cdef class Run:
    cdef object index
    cdef object filter
    cdef const uint8_t* lines
    cdef readonly uint64_t line_count
    cdef readonly int probes
    cdef readonly uint64_t seed
    cdef readonly uint32_t block_count
    cdef Extent file
    cdef const uint32_t* key_offsets
    cdef const uint8_t* keys
    cdef uint32_t shared           # leading bytes that all keys of the run have in common
    cdef uint64_t* last_prefixes   # of each block's last key, behind the shared bytes
    cdef const BlockView** views
    cdef uint8_t* touched
    cdef list blocks
    cdef object __weakref__
    cdef void _prepare(self)


cdef inline const uint32_t* block_entry(const Extent* file, uint32_t block) noexcept nogil:
    """(offset u64, stored bytes, raw bytes, rows, crc32c) of a block that there is."""
    return <const uint32_t*>(file.entries + <uint64_t>block * 24)


cdef inline const uint8_t* filter_line(
    const uint8_t* lines, uint64_t line_count, uint64_t hashed
) noexcept nogil:
    return lines + (((hashed >> 32) * line_count) >> 32) * 64


cdef inline bint passes(
    const uint8_t* lines, uint64_t line_count, int probes, uint64_t hashed
) noexcept nogil:
    """Whether a filter lets the key of this hash pass; without probes, every key."""
    cdef const uint8_t* line = filter_line(lines, line_count, hashed)
    cdef uint32_t bits = <uint32_t>hashed
    cdef int i
    for i in range(probes):
        if not (line[bits >> 26] >> ((bits >> 23) & 7)) & 1:
            return False
        bits *= 0x9E3779B9U
    return True


cdef uint32_t block_for(
    Run run, const uint8_t* key, uint32_t size, uint32_t start
) noexcept nogil
cdef inline const uint8_t* last_key(Run run, uint32_t block, uint32_t* size) noexcept nogil:
    size[0] = run.key_offsets[block + 2] - run.key_offsets[block + 1]
    return run.keys + run.key_offsets[block + 1]


cdef int install_block(Run run, uint32_t block, Block content) except -1
cdef int evict_block(Run run, uint32_t block) except -1
cdef int pin() noexcept
cdef void unpin(int phase) noexcept
