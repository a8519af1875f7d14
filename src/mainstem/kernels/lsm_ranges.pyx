"""Ranges of deleted keys: sorted, disjoint, searched in logarithmic time."""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free

from mainstem.kernels.lsm_core cimport compare


cdef class Ranges:
    """The union of ``pairs`` (low, high); ``None`` as high is open. Empty ranges are dropped.

    Immutable, safe to share between threads.
    """

    def __cinit__(self, pairs):
        cdef list united = []
        cdef Py_ssize_t i
        cdef bytes low, high
        for low, high in sorted(pairs, key=_by_low):
            if high is not None and high <= low:
                continue
            if united:
                before, end = united.pop()
                if end is None or end >= low:
                    if end is not None and (high is None or high > end):
                        end = high
                    united.append((before, end))
                    continue
                united.append((before, end))
            united.append((low, high))
        self.pairs = tuple(united)
        self.count = len(united)
        self.items = <Range*>calloc(self.count + 1, sizeof(Range))
        if self.items == NULL:
            raise MemoryError(f"no memory for {self.count} ranges")
        for i in range(self.count):
            low, high = self.pairs[i]
            self.items[i].low = low
            self.items[i].low_size = <uint32_t>len(low)
            self.items[i].is_open = high is None
            if high is not None:
                self.items[i].high = high
                self.items[i].high_size = <uint32_t>len(high)

    def __dealloc__(self):
        free(self.items)

    def __len__(self):
        return self.count

    def contains(self, const uint8_t[::1] key not None):
        """Whether ``key`` is in one of the ranges."""
        return covers(self.items, self.count, &key[0] if key.shape[0] else NULL, <uint32_t>key.shape[0])


def _by_low(pair):
    return pair[0]


cdef bint covers(
    const Range* items, Py_ssize_t count, const uint8_t* key, uint32_t size
) noexcept nogil:
    """Whether one of the ranges holds ``key``."""
    cdef Py_ssize_t low = 0
    cdef Py_ssize_t high = count
    cdef Py_ssize_t middle
    cdef const Range* item
    while low < high:
        middle = (low + high) >> 1
        item = &items[middle]
        if compare(item.low, item.low_size, key, size) <= 0:
            low = middle + 1
        else:
            high = middle
    if low == 0:
        return False
    item = &items[low - 1]
    return item.is_open or compare(key, size, item.high, item.high_size) < 0
