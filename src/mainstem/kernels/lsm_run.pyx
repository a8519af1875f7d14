"""What memory holds of a sorted run: block index, Bloom filter, and the blocks that are cached.

Index, little-endian: blocks u32, key bytes u32, then per block (offset u64, stored bytes u32, raw
bytes u32, rows u32, crc32c u32), key offsets u32[blocks + 2], the run's first key and the last
key of each block. Filter: lines of 64 bytes; a key's line is ``(hash >> 32) * lines >> 32``, its
bits there are the top nine of ``h = hash % 2^32`` and of ``h * 0x9e3779b9 % 2^32`` and so on.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from mainstem.kernels.columns cimport Memory, allocate
from mainstem.kernels.lsm_blocks cimport Block, BlockView
from mainstem.kernels.lsm_core cimport compare, hash_key, prefetch, prefix_of

cdef enum:
    _ENTRY = 24

# Blocks taken out of a table may still be read by kernels that run without the GIL. They are
# kept until every reader that began before has ended: two phases, as in epoch reclamation. All
# of this is touched under the GIL only.
cdef int _phase = 0
cdef Py_ssize_t[2] _readers
cdef list _retired = [[], []]


cdef int pin() noexcept:
    """Blocks in tables now stay alive until ``unpin`` of what this returns."""
    _readers[_phase] += 1
    return _phase


cdef void unpin(int phase) noexcept:
    global _phase
    _readers[phase] -= 1
    if _readers[1 - _phase] == 0 and (_retired[0] or _retired[1]):
        gone = _retired[1 - _phase]
        _retired[1 - _phase] = []
        _phase = 1 - _phase
        del gone
        # Nobody reads at all: nothing has to wait for a next reader.
        if _readers[0] == 0 and _readers[1] == 0:
            _retired[0] = []
            _retired[1] = []


cdef void _retire(Block block):
    if _readers[0] or _readers[1]:
        (<list>_retired[_phase]).append(block)


def retired_blocks():
    """How many evicted blocks wait for readers: for tests and statistics."""
    return len(_retired[0]) + len(_retired[1])


cdef class Run:
    """``index`` and ``bits`` (the filter) are kept; ``probes`` is 0 where there is no filter.

    Raises ``ValueError`` when a count or offset cannot be. Reading is safe from any thread;
    ``install`` and ``evict`` may run beside it.
    """

    def __cinit__(self, bytes index not None, bytes bits not None, int probes, uint64_t seed):
        cdef const uint8_t* data = index
        cdef uint64_t size = len(index)
        cdef uint64_t key_bytes, need
        cdef uint32_t i
        if size < 8:
            raise ValueError("the index is cut short")
        self.index = index
        self.filter = bits
        self.lines = bits
        self.line_count = len(bits) >> 6
        self.probes = probes
        self.seed = seed
        self.file.descriptor = -1
        self.block_count = (<const uint32_t*>data)[0]
        key_bytes = (<const uint32_t*>data)[1]
        need = 8 + <uint64_t>self.block_count * (_ENTRY + 4) + 8 + key_bytes
        if self.block_count == 0 or need != size or len(bits) & 63:
            raise ValueError(f"an index of {size} bytes cannot hold {self.block_count} blocks")
        if not 0 <= probes <= 16 or (probes == 0) != (self.line_count == 0):
            raise ValueError(f"a filter of {self.line_count} lines cannot have {probes} probes")
        self.file.entries = data + 8
        self.key_offsets = <const uint32_t*>(self.file.entries + <uint64_t>self.block_count * _ENTRY)
        self.keys = <const uint8_t*>(self.key_offsets + self.block_count + 2)
        if self.key_offsets[0] != 0 or self.key_offsets[self.block_count + 1] != key_bytes:
            raise ValueError("the index points outside its keys")
        for i in range(self.block_count + 1):
            if self.key_offsets[i + 1] < self.key_offsets[i]:
                raise ValueError("the index points outside its keys")
        self.blocks = [None] * self.block_count
        self.views = <const BlockView**>calloc(self.block_count, sizeof(BlockView*))
        self.touched = <uint8_t*>calloc(self.block_count, 1)
        self.last_prefixes = <uint64_t*>calloc(self.block_count, 8)
        if self.views == NULL or self.touched == NULL or self.last_prefixes == NULL:
            raise MemoryError(f"no memory for {self.block_count} blocks")
        self._prepare()

    cdef void _prepare(self):
        """Prefixes of the blocks' last keys, behind what the first and last key share."""
        cdef uint32_t size, first_size = self.key_offsets[1]
        cdef const uint8_t* last = last_key(self, self.block_count - 1, &size)
        cdef uint32_t i
        while self.shared < size and self.shared < first_size and (
                last[self.shared] == self.keys[self.shared]):
            self.shared += 1
        for i in range(self.block_count):
            last = last_key(self, i, &size)
            self.last_prefixes[i] = prefix_of(last, size, self.shared)

    def __dealloc__(self):
        free(self.views)
        free(self.touched)
        free(self.last_prefixes)

    @property
    def min_key(self):
        return self.keys[:self.key_offsets[1]]

    @property
    def max_key(self):
        return self.key_after(self.block_count - 1)

    def key_after(self, uint32_t block):
        """The last key of ``block``."""
        cdef uint32_t size
        cdef const uint8_t* key
        if block >= self.block_count:
            raise IndexError(f"block {block} of {self.block_count}")
        key = last_key(self, block, &size)
        return key[:size]

    def entry(self, uint32_t block):
        """(offset, stored bytes, raw bytes, rows, crc32c) of ``block``."""
        cdef const uint32_t* p
        if block >= self.block_count:
            raise IndexError(f"block {block} of {self.block_count}")
        p = block_entry(&self.file, block)
        return <uint64_t>p[0] | <uint64_t>p[1] << 32, p[2], p[3], p[4], p[5]

    def block_at(self, const uint8_t[::1] key not None):
        """The first block whose last key is not below ``key``; ``block_count`` if none."""
        if key.shape[0] == 0:
            return 0
        return block_for(self, &key[0], <uint32_t>key.shape[0], 0)

    def may_contain(self, const uint8_t[::1] key not None):
        """Whether the filter lets ``key`` pass."""
        return passes(self.lines, self.line_count, self.probes, hash_key(
            &key[0] if key.shape[0] else NULL, key.shape[0], self.seed))

    def read_from(self, int descriptor, uint64_t data_end):
        """Let kernels read blocks that are not compressed from ``descriptor`` themselves.

        Blocks end at ``data_end``; the descriptor has to stay open as long as the run lives.
        """
        self.file.descriptor = descriptor
        self.file.data_end = data_end

    def keep(self, numbers, blocks, read):
        """Called when a kernel read ``read`` blocks: ``blocks`` are for the cache."""
        for number, block in zip(numbers, blocks, strict=True):
            self.install(number, block)

    def room(self):
        """(bytes that the cache has left, bytes of the largest block it would take)."""
        return 0, 0

    def get(self, uint32_t block):
        """The cached ``Block``, or ``None``."""
        return self.blocks[block]

    def install(self, uint32_t block, Block content not None):
        """Keep ``content`` for reading until it is evicted."""
        if block >= self.block_count:
            raise IndexError(f"block {block} of {self.block_count}")
        install_block(self, block, content)

    def evict(self, uint32_t block):
        """Forget a block; memory goes when the last kernel reading it has ended."""
        if block >= self.block_count:
            raise IndexError(f"block {block} of {self.block_count}")
        evict_block(self, block)


cdef int install_block(Run run, uint32_t block, Block content) except -1:
    evict_block(run, block)
    run.blocks[block] = content
    run.touched[block] = 1
    run.views[block] = &content.view
    return 0


cdef int evict_block(Run run, uint32_t block) except -1:
    if run.views[block] != NULL:
        run.views[block] = NULL
        _retire(run.blocks[block])
        run.blocks[block] = None
    return 0


cdef uint32_t block_for(
    Run run, const uint8_t* key, uint32_t size, uint32_t start
) noexcept nogil:
    """The first block from ``start`` whose last key is not below ``key``; found by galloping."""
    cdef uint32_t low = start, step = 1, high, middle
    cdef uint64_t prefix
    cdef int order
    cdef uint32_t both = size if size < run.shared else run.shared
    order = compare(key, both, run.keys, both)
    if order < 0 or (order == 0 and size < run.shared):
        return start
    if order > 0:
        return run.block_count
    prefix = prefix_of(key, size, run.shared)
    high = low
    while high < run.block_count and _below(run, high, prefix, key, size):
        low = high + 1
        high += step
        step *= 2
    if high > run.block_count:
        high = run.block_count
    while low < high:
        middle = low + ((high - low) >> 1)
        if _below(run, middle, prefix, key, size):
            low = middle + 1
        else:
            high = middle
    return low


cdef inline bint _below(
    Run run, uint32_t block, uint64_t prefix, const uint8_t* key, uint32_t size
) noexcept nogil:
    cdef uint32_t last_size
    cdef const uint8_t* last
    if run.last_prefixes[block] != prefix:
        return run.last_prefixes[block] < prefix
    last = last_key(run, block, &last_size)
    return compare(last, last_size, key, size) < 0


def build_filter(list hashes not None, double bits_per_key):
    """The Bloom filter of all keys whose ``hashes`` (u64 memories) are given: (bytes, probes)."""
    cdef Memory part
    cdef uint64_t keys = 0, lines, i, hashed
    cdef int probes, probe
    cdef Memory memory
    cdef uint8_t* line
    cdef uint32_t bits, bit
    for part in hashes:
        keys += part.size >> 3
    if bits_per_key <= 0 or keys == 0:
        return b"", 0
    probes = max(1, min(16, <int>(bits_per_key * 0.6 + 0.5)))
    lines = max(<uint64_t>1, <uint64_t>((keys * bits_per_key + 511) / 512))
    memory = allocate(lines * 64)
    memset(memory.data, 0, lines * 64)
    for part in hashes:
        with nogil:
            for i in range(<uint64_t>part.size >> 3):
                if i + 16 < <uint64_t>part.size >> 3:
                    hashed = (<uint64_t*>part.data)[i + 16]
                    prefetch(memory.data + (((hashed >> 32) * lines) >> 32) * 64)
                hashed = (<uint64_t*>part.data)[i]
                line = memory.data + (((hashed >> 32) * lines) >> 32) * 64
                bits = <uint32_t>hashed
                for probe in range(probes):
                    bit = bits >> 23
                    line[bit >> 3] |= <uint8_t>(1 << (bit & 7))
                    bits *= 0x9E3779B9U
    return bytes(memory), probes
