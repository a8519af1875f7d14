"""Keys looked up in blocks that are not cached (C side; see lsm_cold.pyx)."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from mainstem.kernels.lsm_core cimport Row
from mainstem.kernels.lsm_disk cimport WORKERS, Keeper
from mainstem.kernels.lsm_rows cimport Scratch
from mainstem.kernels.lsm_run cimport Extent


# How rows of one key are put together.
cdef struct Rules:
    const uint8_t* folds
    Py_ssize_t fields
    int64_t expire_before


cdef struct Worker:
    uint8_t* room
    Keeper keeper
    Scratch values
    Py_ssize_t read         # blocks
    Py_ssize_t stuck, until # keys whose blocks it could not have
    bint starved            # there was no memory


# Keys that are looked for in one file: positions up to ``end`` of ``chosen``, in key order.
cdef struct Hunt:
    const Extent* file
    const Row* wanted
    const uint64_t* hashes
    uint64_t seed           # of the run, where that is not the hashes'
    bint same
    Row* found
    const uint32_t* chosen  # of wanted and found
    const uint32_t* blocks  # by position
    Py_ssize_t begin        # the first position of all
    Py_ssize_t next         # position that nobody has claimed yet
    Py_ssize_t end
    Py_ssize_t stretch      # positions claimed at once
    Rules rules
    Py_ssize_t free_bytes   # that the cache has left
    Worker[WORKERS] workers


cdef bint record(
    const Rules* rules, Row* held, const Row* row, Scratch* space
) noexcept nogil
cdef void search(Hunt* hunt) noexcept nogil
