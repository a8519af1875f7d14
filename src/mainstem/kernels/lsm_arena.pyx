"""Memory for what memtables hold: slabs that are filled one behind the other and used again.

A memtable keeps tens of megabytes for less than a second. From the C library each page of that
would be fresh: a fault and 4 KiB of zeros written for 35 rows, as dear as the rest of a put. So
slabs of 4 MiB, on huge pages where the system has them, go back to a short list when their last
piece goes, and the next memtable takes them from there. All access is under the GIL.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdint cimport uint8_t
from libc.stdlib cimport free

cdef extern from *:
    """
    #include <stdlib.h>
    #include <sys/mman.h>
    static inline void* lsm_slab(size_t size) {
        void* p = NULL;
        if (posix_memalign(&p, 1 << 21, size)) return NULL;
    #ifdef MADV_HUGEPAGE
        madvise(p, size, MADV_HUGEPAGE);  /* a wish: without it pages are small */
    #endif
        return p;
    }
    static inline void lsm_lend(void* p, size_t size) {
    #ifdef MADV_FREE
        madvise(p, size, MADV_FREE);
    #endif
    }
    """
    void may_be_taken "lsm_lend"(void*, size_t) noexcept
    void* huge_pages "lsm_slab"(size_t) noexcept
    void* malloc(size_t) noexcept

cdef enum:
    _FIRST = 1 << 14   # a store that writes little holds little
    _SLAB = 1 << 22
    _HUGE = 1 << 21
    _KEPT = 64         # slabs on the list at most, and 256 MiB: what may wait for a flush
    _HELD = 24         # those above are the system's to take, should it run short

cdef struct Free:
    uint8_t* data
    Py_ssize_t size


cdef Free[_KEPT] _free
cdef int _count = 0
cdef Py_ssize_t _bytes = 0


cdef class Slab:
    def __dealloc__(self):
        global _count, _bytes
        if self.data == NULL:
            return
        if self.size >= _SLAB and _count < _KEPT and _bytes + self.size <= _KEPT * _SLAB:
            _free[_count].data = self.data
            _free[_count].size = self.size
            _count += 1
            _bytes += self.size
            if _count > _HELD:
                may_be_taken(self.data, self.size)
        else:
            free(self.data)


cdef Slab _slab(Py_ssize_t size):
    global _count, _bytes
    cdef Slab slab = Slab.__new__(Slab)
    cdef int i, best = -1
    if size >= _SLAB:
        for i in range(_count):  # the least that will do, and of equals the last
            if size <= _free[i].size <= 4 * size and (
                    best < 0 or _free[i].size <= _free[best].size):
                best = i
        if best >= 0:
            size = _free[best].size
            slab.data = _free[best].data
            _bytes -= size
            _count -= 1
            _free[best] = _free[_count]
    if slab.data == NULL:
        slab.data = <uint8_t*>(huge_pages(size) if size >= _HUGE else malloc(size))
    if slab.data == NULL:
        raise MemoryError(f"no memory for {size} bytes of a memtable")
    slab.size = size
    return slab


@cython.no_gc  # refers to nothing that could refer to it
cdef class Piece:
    """Part of a slab, as a writable buffer; the slab lives as long as one of its pieces.

    ``inserted``: of a record's bytes, how many are in memtables (`lsm_commit.pyx`).
    """

    def __len__(self):
        return self.size

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.data, self.size, 0, flags)


cdef class Arena:
    """Gives pieces that begin at multiples of 64 bytes. Let go of it when a memtable is sealed.

    Slabs grow from 16 KiB, unless much is ``expected``, as by whoever follows a full memtable.
    """

    def __init__(self, bint expected=False):
        self.least = _SLAB if expected else _FIRST

    cdef Piece take(self, Py_ssize_t size):
        cdef Piece piece = Piece.__new__(Piece)
        cdef Py_ssize_t room = (size + 63) & ~<Py_ssize_t>63
        piece.size = size
        if room > _SLAB // 4:
            piece.slab = _slab((room + _SLAB - 1) & ~<Py_ssize_t>(_SLAB - 1))
            piece.data = piece.slab.data
            return piece
        if self.slab is None or room > self.slab.size - self.used:
            self._next(room)
        piece.slab = self.slab
        piece.data = self.slab.data + self.used
        self.used += room
        return piece

    cdef int _next(self, Py_ssize_t room) except -1:
        """Another slab, four times the last one."""
        cdef Py_ssize_t size = self.least if self.slab is None else min(self.slab.size * 4, _SLAB)
        while size < room:
            size *= 4
        self.slab = _slab(size)
        self.used = 0
        return 0


def kept_bytes():
    """Bytes on the list, waiting for the next memtable."""
    return _bytes


def lend():
    """Let the system take what is on the list if it runs short; until then it stays ours."""
    cdef int i
    for i in range(_count):
        may_be_taken(_free[i].data, _free[i].size)


def trim():
    """Give what is on the list back to the system."""
    global _count, _bytes
    while _count:
        _count -= 1
        free(_free[_count].data)
    _bytes = 0
