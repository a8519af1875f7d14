"""Merging sorted sources, newest first, into one list of rows: for scans, flushes and merges.

The next row is the least of the sources' heads, compared by eight bytes behind what all keys
share; whole keys are compared on ties only. A stretch that comes from one source is taken
without looking at the others. Equal keys become one row: the newest, or operands folded into it.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from mainstem.kernels.lsm_blocks cimport Block, BlockView, block_bound, block_row
from mainstem.kernels.lsm_core cimport (
    DELETE, MERGE, PUT, Row, compare, expired, fold, prefix_of,
)
from mainstem.kernels.lsm_ranges cimport Range, Ranges, covers
from mainstem.kernels.lsm_rows cimport RowList, take

cdef enum:
    _READY = 0
    _NEEDS = 1
    _DONE = 2

cdef struct Cursor:
    Row head
    uint64_t prefix
    const BlockView* view
    const Row* rows
    Py_ssize_t position
    Py_ssize_t end
    int state
    int group
    const Range* mask
    Py_ssize_t masked


cdef class Merger:
    """Merges sources added newest first; then ``next_rows`` gives the result piece by piece.

    ``low`` is the first key wanted and ``high`` the first not wanted (``None``: no bound); both
    hold for ``reverse``, too, which gives keys in falling order. ``shared`` leading bytes must be
    equal in all keys of all sources. With ``drop_deletes`` deletes and what has expired are left
    out and operands without a base become values: right when no older source exists. ``rows_in``
    counts rows read, ``rows_out`` rows given. Not thread-safe.
    """

    cdef Cursor* cursors
    cdef int count, room
    cdef list feeds, held, masks
    cdef bytes low, high, spec
    cdef const uint8_t* folds
    cdef Py_ssize_t fields
    cdef int64_t expire_before
    cdef bint reverse, drop_deletes
    cdef uint32_t shared
    cdef readonly Py_ssize_t rows_in, rows_out

    def __cinit__(
        self, int sources, uint32_t shared, bytes low, bytes high, bint reverse,
        bint drop_deletes, bytes spec not None, int64_t expire_before,
    ):
        self.cursors = <Cursor*>calloc(sources + 1, sizeof(Cursor))
        if self.cursors == NULL:
            raise MemoryError(f"no memory for {sources} sources")
        self.room = sources
        self.shared = shared
        self.low = low
        self.high = high
        self.reverse = reverse
        self.drop_deletes = drop_deletes
        self.spec = spec
        self.folds = spec
        self.fields = len(spec)
        self.expire_before = expire_before
        self.feeds = []
        self.held = []
        self.masks = []

    def __dealloc__(self):
        free(self.cursors)

    def add(self, feed, Ranges mask not None, int group):
        """Add an older source: an iterator of ``Block`` or ``RowList`` in the order wanted.

        Rows in ``mask`` were deleted by somebody newer. Of sources of one ``group`` the newest
        row of a key says it all: a memtable's rows include what they supersede.
        """
        cdef Cursor* cursor
        if self.count == self.room:
            raise ValueError(f"{self.room} sources were announced")
        cursor = &self.cursors[self.count]
        cursor.state = _NEEDS
        cursor.group = group
        cursor.mask = mask.items
        cursor.masked = mask.count
        self.count += 1
        self.feeds.append(feed)
        self.held.append(None)
        self.masks.append(mask)

    cdef int _fetch(self, int index, RowList out) except -1:
        """Give cursor ``index`` its next piece, or mark it done."""
        cdef Cursor* cursor = &self.cursors[index]
        cdef Py_ssize_t start, end
        cdef const uint8_t* bound
        while cursor.state == _NEEDS:
            piece = next(self.feeds[index], None)
            if piece is None:
                cursor.state = _DONE
                self.held[index] = None
                return 0
            self.held[index] = piece
            if isinstance(piece, Block):
                cursor.view = &(<Block>piece).view
                cursor.rows = NULL
                start = 0
                end = cursor.view.rows
                if self.low is not None:
                    bound = self.low
                    start = block_bound(cursor.view, bound, <uint32_t>len(self.low))
                if self.high is not None:
                    bound = self.high
                    end = block_bound(cursor.view, bound, <uint32_t>len(self.high))
            else:
                cursor.rows = (<RowList?>piece).rows
                cursor.view = NULL
                start, end = (<RowList>piece).rows_in(self.low or b"", self.high)
            if start >= end:
                continue
            out.keep.append(piece)
            cursor.position = end - 1 if self.reverse else start
            cursor.end = start - 1 if self.reverse else end
            cursor.state = _READY
            self._load(cursor)
        return 0

    cdef void _load(self, Cursor* cursor) noexcept nogil:
        """Read the row at the cursor's position, or ask for the next piece."""
        if cursor.position == cursor.end:
            cursor.state = _NEEDS
            return
        if cursor.rows != NULL:
            cursor.head = cursor.rows[cursor.position]
        else:
            block_row(cursor.view, cursor.position, &cursor.head)
        cursor.prefix = prefix_of(cursor.head.key, cursor.head.key_size, self.shared)
        if self.reverse:
            cursor.prefix = ~cursor.prefix

    cdef inline void _step(self, Cursor* cursor) noexcept nogil:
        self.rows_in += 1
        cursor.position += -1 if self.reverse else 1
        self._load(cursor)

    cdef int _least(self, uint64_t* second) noexcept nogil:
        """The cursor with the least head, the newest of equals; and the next prefix after it."""
        cdef int best = -1
        cdef int i, order
        cdef Cursor* a
        cdef Cursor* b
        second[0] = 0xFFFFFFFFFFFFFFFFU
        for i in range(self.count):
            a = &self.cursors[i]
            if a.state != _READY:
                continue
            if best < 0:
                best = i
                continue
            b = &self.cursors[best]
            order = 0
            if a.prefix < b.prefix:
                order = -1
            elif a.prefix == b.prefix:
                order = compare(a.head.key, a.head.key_size, b.head.key, b.head.key_size)
                order = -order if self.reverse else order
            if order < 0:
                second[0] = b.prefix
                best = i
            elif a.prefix < second[0]:
                second[0] = a.prefix
        return best

    cdef bint _masked(self, int index, const Row* row) noexcept nogil:
        cdef Cursor* cursor = &self.cursors[index]
        return covers(cursor.mask, cursor.masked, row.key, row.key_size)

    cdef int _emit(self, Row* row, RowList out) noexcept nogil:
        if row.kind == MERGE and self.drop_deletes:
            row.kind = PUT
        if expired(row.stamp, self.expire_before):
            row.kind = DELETE
        if row.kind == DELETE:
            if self.drop_deletes:
                return 0
            row.value_size = 0
        out.rows[out.count] = row[0]
        out.count += 1
        self.rows_out += 1
        return 1 if row.kind == DELETE else row.value_size + 1

    cdef int _combine(self, Row* newer, const Row* older, RowList out) noexcept nogil:
        """Fold operand ``newer`` onto ``older``. 1: settled, 0: go on, -1: no memory."""
        cdef uint8_t* target
        cdef uint32_t size = <uint32_t>(8 * self.fields)
        if older.kind == DELETE or expired(older.stamp, self.expire_before) or (
                older.value_size != size or newer.value_size != size):
            newer.kind = PUT
            return 1
        target = take(&out.space, size)
        if target == NULL:
            return -1
        fold(self.folds, self.fields, older.value, newer.value, target)
        newer.value = target
        newer.kind = older.kind
        return 0 if older.kind == MERGE else 1

    cdef Py_ssize_t _group(self, int best, bint masks, RowList out) noexcept nogil:
        """Settle the key at cursor ``best`` and every older row of it. -1: no memory."""
        cdef Cursor* cursor = &self.cursors[best]
        cdef Row row = cursor.head
        cdef int group = cursor.group
        cdef uint64_t prefix = cursor.prefix
        cdef bint settled, gone
        cdef int i, outcome
        gone = masks and self._masked(best, &row)
        settled = gone or row.kind != MERGE
        self._step(cursor)
        for i in range(best + 1, self.count):
            cursor = &self.cursors[i]
            if cursor.state != _READY or cursor.prefix != prefix or compare(
                    cursor.head.key, cursor.head.key_size, row.key, row.key_size) != 0:
                continue
            if not settled and cursor.group != group:
                if masks and self._masked(i, &cursor.head):
                    row.kind = PUT
                    settled = True
                else:
                    outcome = self._combine(&row, &cursor.head, out)
                    if outcome < 0:
                        return -1
                    settled = outcome == 1
                    group = cursor.group
            self._step(cursor)
        return 0 if gone else self._emit(&row, out)

    cdef int _run(
        self, RowList out, Py_ssize_t max_rows, Py_ssize_t max_bytes, bint masks,
        Py_ssize_t* taken,
    ) noexcept nogil:
        """Merge until ``out`` is full (1), a cursor needs a piece (0) or all is done (2).

        ``taken`` counts the bytes of ``out``, from piece to piece.
        """
        cdef uint64_t second
        cdef Py_ssize_t more
        cdef int best, i
        cdef Cursor* cursor
        while True:
            for i in range(self.count):
                if self.cursors[i].state == _NEEDS:
                    return 0
            if out.count >= max_rows or taken[0] >= max_bytes:
                return 1
            best = self._least(&second)
            if best < 0:
                return 2
            cursor = &self.cursors[best]
            if masks or cursor.prefix >= second:
                more = self._group(best, masks, out)
                if more < 0:
                    return -1
                taken[0] += more + 32
                continue
            while cursor.state == _READY and cursor.prefix < second and (
                    out.count < max_rows and taken[0] < max_bytes):
                taken[0] += cursor.head.key_size + self._emit(&cursor.head, out)
                self._step(cursor)

    def next_rows(self, Py_ssize_t max_rows, Py_ssize_t max_bytes):
        """Up to ``max_rows`` rows or about ``max_bytes`` of them; an empty list at the end.

        The list keeps what its rows point into. Raises what a source raises.
        """
        cdef RowList out = RowList()
        cdef int i, outcome
        cdef Py_ssize_t taken = 0
        cdef bint masks = False
        out.reserve(max_rows)
        for i in range(self.count):
            if self.held[i] is not None:
                out.keep.append(self.held[i])
            masks = masks or (<Ranges?>self.masks[i]).count > 0
        while True:
            for i in range(self.count):
                if self.cursors[i].state == _NEEDS:
                    self._fetch(i, out)
            with nogil:
                outcome = self._run(out, max_rows, max_bytes, masks, &taken)
            if outcome < 0:
                raise MemoryError("no memory to combine merge operands")
            if outcome == 1 and out.count == 0:
                # Everything so far was deleted: go on, without keeping what it pointed into.
                out.keep = [piece for piece in self.held if piece is not None]
                taken = 0
                continue
            if outcome > 0:
                return out
