"""Keys looked up in blocks that are not cached, by as many threads as help.

Each takes a stretch of keys at a time, reads their blocks into memory of its own that stays in
its processor's cache, checks them and looks the keys up. Rows found are written where they
belong; what else a worker makes (values, blocks for the cache) is its own until all are done.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from mainstem.kernels.lsm_blocks cimport HASH_SHIFT, BlockView, block_key, block_row
from mainstem.kernels.lsm_core cimport (
    ABSENT, DELETE, PUT, Row, copy, equal, expired, fold, hash_key,
)
from mainstem.kernels.lsm_crew cimport Task, close_task, helpers, open_task
from mainstem.kernels.lsm_disk cimport (
    ROOM, WORKERS, full, offer, read_stretch, sound, stored_size,
)
from mainstem.kernels.lsm_rows cimport Scratch, take

cdef extern from *:
    """
    static inline Py_ssize_t lsm_claim(Py_ssize_t* next, Py_ssize_t count) {
        return __atomic_fetch_add(next, count, __ATOMIC_RELAXED);
    }
    """
    Py_ssize_t claim "lsm_claim"(Py_ssize_t*, Py_ssize_t) noexcept nogil

cdef enum:
    _WORTH_HELP = 48  # keys: what fewer of them take is over before a helper is awake


cdef bint record(
    const Rules* rules, Row* held, const Row* row, Scratch* space
) noexcept nogil:
    """Take an older row of the key of ``held`` into account. False: no memory."""
    cdef uint8_t* out
    cdef Py_ssize_t size = 8 * rules.fields
    if held.kind == ABSENT:
        held[0] = row[0]
        if expired(row.stamp, rules.expire_before):
            held.kind = DELETE
    elif expired(row.stamp, rules.expire_before) or row.kind == DELETE or (
            row.value_size != size or held.value_size != size):
        held.kind = PUT
    else:
        out = take(space, size)
        if out == NULL:
            held.kind = ABSENT
            return False
        fold(rules.folds, rules.fields, row.value, held.value, out)
        held.value = out
        held.kind = row.kind
    return True


cdef void search(Hunt* hunt) noexcept nogil:
    """Look keys up from ``next`` on until none is left or every worker is full or stuck."""
    cdef Task task
    cdef int wanted = helpers()
    if hunt.end - hunt.next < _WORTH_HELP or wanted == 0:
        _work(hunt, 0)
    else:
        task.work = _work
        task.argument = hunt
        open_task(&task, wanted if wanted < WORKERS else WORKERS - 1)
        _work(hunt, 0)
        close_task(&task)
    if hunt.next > hunt.end:
        hunt.next = hunt.end


cdef void _work(void* argument, int number) noexcept nogil:
    cdef Hunt* hunt = <Hunt*>argument
    cdef Worker* worker = &hunt.workers[number]
    cdef Py_ssize_t first, end
    worker.room = hunt.workers[0].room + number * ROOM
    while not full(&worker.keeper) and worker.stuck == worker.until and not worker.starved:
        first = claim(&hunt.next, hunt.stretch)
        if first >= hunt.end:
            return
        end = min(first + hunt.stretch, hunt.end)
        # Whoever has a block's first key has all of that block.
        while hunt.begin < first < end and hunt.blocks[first] == hunt.blocks[first - 1]:
            first += 1
        if first == end:
            continue
        while end < hunt.end and hunt.blocks[end] == hunt.blocks[end - 1]:
            end += 1
        worker.stuck = _keys(hunt, worker, first, end)
        worker.until = end


cdef Py_ssize_t _keys(
    Hunt* hunt, Worker* worker, Py_ssize_t first, Py_ssize_t end
) noexcept nogil:
    """Look for keys ``first`` to ``end``; returns where it met a block it cannot have."""
    cdef Py_ssize_t i, at, count
    cdef uint32_t block, size, index
    cdef uint64_t hashed
    cdef const Row* wanted
    cdef BlockView view
    while first < end:
        count = read_stretch(hunt.file, hunt.blocks + first, end - first, worker.room, ROOM)
        if count == 0:
            break
        at = 0
        for i in range(count):
            block = hunt.blocks[first]
            size = stored_size(hunt.file, block)
            if not sound(hunt.file, block, worker.room + at, size, &view):
                return first
            worker.read += 1
            offer(&worker.keeper, block, worker.room + at, size)
            while first < end and hunt.blocks[first] == block:
                index = hunt.chosen[first]
                wanted = &hunt.wanted[index]
                hashed = hunt.hashes[index] if hunt.same else hash_key(
                    wanted.key, wanted.key_size, hunt.seed)
                _find(hunt, worker, &view, index, hashed)
                first += 1
            at += size
    return first


cdef void _find(
    Hunt* hunt, Worker* worker, const BlockView* view, uint32_t index, uint64_t hashed
) noexcept nogil:
    """Look for a key in a block that goes soon."""
    cdef const Row* wanted = &hunt.wanted[index]
    cdef uint32_t size, slot = (hashed >> HASH_SHIFT) & view.mask
    cdef uint32_t row = view.table[slot]
    cdef const uint8_t* key
    cdef uint8_t* value
    cdef Row held
    while row:
        key = block_key(view, row - 1, &size)
        if equal(key, size, wanted.key, wanted.key_size):
            block_row(view, row - 1, &held)
            if held.kind != DELETE and held.value_size:
                value = take(&worker.values, held.value_size)
                if value == NULL:
                    worker.starved = True
                    return
                copy(value, held.value, held.value_size)
                held.value = value
            if not record(&hunt.rules, &hunt.found[index], &held, &worker.values):
                worker.starved = True
            return
        slot = (slot + 1) & view.mask
        row = view.table[slot]
