"""The records of record batches v2 into Arrow-layout columns: one call, one pass, no GIL.

Source: Apache Kafka, DefaultRecord. One record is::

    length varint | attributes 1 | timestamp delta varlong | offset delta varint
    | key size varint, key | value size varint, value | header count varint, headers

and one header ``key size varint, key | value size varint, value``. A size of -1 is null; a
header's key is never null. Key and value bytes together cannot exceed the bytes that hold
them, so buffers of that size are enough and nothing is counted beforehand.
"""

from cpython.buffer cimport Py_buffer
from cpython.memoryview cimport PyMemoryView_GET_BUFFER
from libc.stdint cimport INT32_MAX, INT64_MAX, int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memset

from mainstem.kernels.batches import BatchError

from mainstem.kernels.batches cimport BatchHeader
from mainstem.kernels.columns cimport Memory, allocate, copy_bytes
from mainstem.kernels.varints cimport read_varint, read_varlong

cdef enum:
    _HEADER = 61
    _LEAST_RECORD = 7  # seven fields of one byte each

cdef enum Fault:
    OK = 0
    RESTART_WITH_HEADERS
    LENGTH
    FIELDS
    KEY
    VALUE
    HEADER_COUNT
    HEADER
    RECORD_END
    OFFSET
    LEFTOVER

_MESSAGES = {
    LENGTH: "its length is not a number or more than is left of the batch",
    FIELDS: "it ends inside its attributes, timestamp or offset",
    KEY: "its key size is not a number, below -1 or more than is left of the record",
    VALUE: "its value size is not a number, below -1 or more than is left of the record",
    HEADER_COUNT: "its header count is not a number, negative or more than can be there",
    HEADER: "one of its headers has a null key, or a size that cannot be",
    RECORD_END: "it ends before its length says",
    OFFSET: "its offset does not follow the one before, or is beyond the batch's last",
    LEFTOVER: "bytes are left over behind it",
}

cdef struct Section:
    const uint8_t* start
    const uint8_t* end
    int64_t base_offset
    int64_t base_timestamp
    int64_t max_timestamp
    int32_t last_offset_delta
    int32_t count
    bint append_time
    int64_t skip_below  # offset deltas: the rows wanted are from here ...
    int64_t skip_from   # ... to before here
    Py_ssize_t rows_behind  # how many rows there are once it is decoded

cdef struct Record:
    int64_t timestamp_delta
    int32_t offset_delta
    int32_t key_size
    int32_t value_size
    int32_t header_count
    const uint8_t* key
    const uint8_t* value
    const uint8_t* headers

cdef struct Totals:
    Py_ssize_t count
    Py_ssize_t key_bytes
    Py_ssize_t value_bytes

cdef struct Rows:
    Py_ssize_t count
    Py_ssize_t key_bytes
    Py_ssize_t value_bytes
    Py_ssize_t key_nulls
    Py_ssize_t value_nulls
    int64_t* offsets
    int64_t* timestamps
    int32_t* key_offsets
    int32_t* value_offsets
    uint8_t* keys
    uint8_t* values
    uint8_t* key_validity
    uint8_t* value_validity
    const uint8_t** header_starts  # NULL until a record with headers has been seen
    const uint8_t** header_limits
    int32_t* header_ends
    Totals headers
    Py_ssize_t failed_record


cdef inline const uint8_t* _parse(
    const uint8_t* p, const uint8_t* end, Record* record, const uint8_t** record_end, int* fault
) noexcept nogil:
    """One record up to its headers; NULL with ``fault`` set when it cannot be one."""
    cdef int32_t size = 0
    p = read_varint(p, end, &size)
    if p == NULL or size < 0 or size > end - p:
        fault[0] = LENGTH
        return NULL
    end = p + size
    record_end[0] = end
    p = read_varlong(p + 1, end, &record.timestamp_delta)  # one byte of unused attributes
    if p != NULL:
        p = read_varint(p, end, &record.offset_delta)
    if p == NULL:
        fault[0] = FIELDS
        return NULL
    p = read_varint(p, end, &record.key_size)
    if p == NULL or record.key_size < -1 or record.key_size > end - p:
        fault[0] = KEY
        return NULL
    record.key = p
    if record.key_size > 0:
        p += record.key_size
    p = read_varint(p, end, &record.value_size)
    if p == NULL or record.value_size < -1 or record.value_size > end - p:
        fault[0] = VALUE
        return NULL
    record.value = p
    if record.value_size > 0:
        p += record.value_size
    p = read_varint(p, end, &record.header_count)
    if p == NULL or record.header_count < 0 or record.header_count > (end - p) >> 1:
        fault[0] = HEADER_COUNT
        return NULL
    record.headers = p
    return p


cdef const uint8_t* _count_headers(
    const uint8_t* p, const uint8_t* end, int32_t count, Totals* totals
) noexcept nogil:
    """Check ``count`` headers and add up their sizes; the byte behind them, or NULL."""
    cdef int32_t size = 0
    totals.count += count
    while count > 0:
        p = read_varint(p, end, &size)
        if p == NULL or size < 0 or size > end - p:
            return NULL
        p += size
        totals.key_bytes += size
        p = read_varint(p, end, &size)
        if p == NULL or size < -1 or size > end - p:
            return NULL
        if size > 0:
            p += size
            totals.value_bytes += size
        count -= 1
    return p


cdef int _decode(const Section* section, Rows* rows) noexcept nogil:
    """Append the wanted records of one batch to ``rows``."""
    cdef const uint8_t* p = section.start
    cdef const uint8_t* end = section.end
    cdef const uint8_t* record_end = NULL
    cdef uint8_t* keys = rows.keys
    cdef uint8_t* values = rows.values
    cdef Py_ssize_t row = rows.count
    cdef Py_ssize_t key_bytes = rows.key_bytes
    cdef Py_ssize_t value_bytes = rows.value_bytes
    cdef int64_t least_delta = 0
    cdef int64_t skip_below = section.skip_below
    cdef int64_t skip_from = section.skip_from
    cdef Record record
    cdef Totals totals
    cdef int fault = OK
    cdef int32_t index
    for index in range(section.count):
        if least_delta >= skip_from:
            p = end  # whoever wants the rest checks the rest
            break
        rows.failed_record = index
        p = _parse(p, end, &record, &record_end, &fault)
        if p == NULL:
            return fault
        if record.offset_delta < least_delta or record.offset_delta > section.last_offset_delta:
            return OFFSET
        least_delta = <int64_t>record.offset_delta + 1
        if record.header_count != 0:
            if rows.header_starts == NULL:
                return RESTART_WITH_HEADERS
            totals = rows.headers
            p = _count_headers(p, record_end, record.header_count, &totals)
            if p == NULL:
                return HEADER
        if p != record_end:
            return RECORD_END
        if record.offset_delta < skip_below:
            continue
        if record.offset_delta >= skip_from:
            p = end
            break
        rows.offsets[row] = section.base_offset + record.offset_delta
        if section.append_time:
            rows.timestamps[row] = section.max_timestamp
        else:  # wraps around as Java's long does
            rows.timestamps[row] = <int64_t>(
                <uint64_t>section.base_timestamp + <uint64_t>record.timestamp_delta)
        if record.key_size >= 0:
            copy_bytes(keys + key_bytes, record.key, record.key_size, end - record.key)
            key_bytes += record.key_size
        else:
            rows.key_validity[row >> 3] &= <uint8_t>~(1 << (row & 7))
            rows.key_nulls += 1
        if record.value_size >= 0:
            copy_bytes(values + value_bytes, record.value, record.value_size, end - record.value)
            value_bytes += record.value_size
        else:
            rows.value_validity[row >> 3] &= <uint8_t>~(1 << (row & 7))
            rows.value_nulls += 1
        if rows.header_starts != NULL:
            rows.header_starts[row] = record.headers
            rows.header_limits[row] = record_end
            if record.header_count != 0:
                rows.headers = totals
            rows.header_ends[row] = <int32_t>rows.headers.count
        row += 1
        rows.key_offsets[row] = <int32_t>key_bytes
        rows.value_offsets[row] = <int32_t>value_bytes
    if p != end:
        return LEFTOVER
    rows.count = row
    rows.key_bytes = key_bytes
    rows.value_bytes = value_bytes
    return OK


cdef struct HeaderRows:
    int32_t* key_offsets
    int32_t* value_offsets
    uint8_t* keys
    uint8_t* values
    uint8_t* value_validity
    Py_ssize_t value_nulls
    uint8_t all_key_bits


cdef bint _fill_headers(const Rows* rows, HeaderRows* out) noexcept nogil:
    """Second pass, over headers only. False if the bytes changed since they were counted."""
    cdef Py_ssize_t row, index = 0
    cdef int64_t key_bytes = 0
    cdef int64_t value_bytes = 0
    cdef int32_t size = 0
    cdef int32_t byte
    cdef const uint8_t* p
    cdef const uint8_t* limit
    for row in range(rows.count):
        p = rows.header_starts[row]
        limit = rows.header_limits[row]
        while index < rows.header_ends[row]:
            p = read_varint(p, limit, &size)
            if (p == NULL or size < 0 or size > limit - p
                    or size > rows.headers.key_bytes - key_bytes):
                return False
            copy_bytes(out.keys + key_bytes, p, size, limit - p)
            for byte in range(size):
                out.all_key_bits |= p[byte]
            p += size
            key_bytes += size
            p = read_varint(p, limit, &size)
            if (p == NULL or size < -1 or size > limit - p
                    or size > rows.headers.value_bytes - value_bytes):
                return False
            if size >= 0:
                copy_bytes(out.values + value_bytes, p, size, limit - p)
                p += size
                value_bytes += size
            else:
                out.value_validity[index >> 3] &= <uint8_t>~(1 << (index & 7))
                out.value_nulls += 1
            index += 1
            out.key_offsets[index] = <int32_t>key_bytes
            out.value_offsets[index] = <int32_t>value_bytes
    return True


cdef class HeaderColumns:
    """Record headers: ``list<struct<key: string, value: binary>>`` taken apart.

    ``offsets`` (of the list, one more than records), ``key_offsets`` and ``value_offsets`` (one
    more than ``count`` headers) are int32. ``ascii_keys`` is false when some key must be checked to be UTF-8.
    """

    cdef readonly Py_ssize_t count
    cdef readonly Memory offsets
    cdef readonly Memory key_offsets
    cdef readonly Memory keys
    cdef readonly Memory value_offsets
    cdef readonly Memory values
    cdef readonly Memory value_validity
    cdef readonly Py_ssize_t value_nulls
    cdef readonly bint ascii_keys


cdef class RecordColumns:
    """``count`` records as Arrow buffers.

    ``offsets`` and ``timestamps`` (milliseconds) are int64; ``key_offsets`` and
    ``value_offsets`` int32, one more than records; validity bitmaps mean something only when
    the number of nulls is not zero. ``headers`` is None when no record has any.
    """

    cdef readonly Py_ssize_t count
    cdef readonly Memory offsets
    cdef readonly Memory timestamps
    cdef readonly Memory key_offsets
    cdef readonly Memory keys
    cdef readonly Memory key_validity
    cdef readonly Py_ssize_t key_nulls
    cdef readonly Memory value_offsets
    cdef readonly Memory values
    cdef readonly Memory value_validity
    cdef readonly Py_ssize_t value_nulls
    cdef readonly HeaderColumns headers


cdef Memory _bitmap(Py_ssize_t count):
    cdef Memory bitmap = allocate((count + 7) >> 3)
    memset(bitmap.data, 0xFF, bitmap.size)
    return bitmap


cdef Memory _offsets(Py_ssize_t count):
    cdef Memory offsets = allocate((count + 1) * 4)
    (<int32_t*>offsets.data)[0] = 0
    return offsets


cdef int _locate(
    Section* section, BatchHeader header, const uint8_t* start, Py_ssize_t size,
    int64_t from_offset, int64_t to_offset
) except -1:
    """Point ``section`` at the records of one batch, ``size`` bytes from ``start``."""
    section.start = start
    section.end = start + size
    section.base_offset = header.base_offset
    section.base_timestamp = header.base_timestamp
    section.max_timestamp = header.max_timestamp
    section.last_offset_delta = header.last_offset_delta
    section.count = header.record_count
    section.append_time = (header.attributes & 8) != 0
    if header.base_offset < 0 or header.base_offset > INT64_MAX - INT32_MAX - 1:
        raise BatchError(
            f"record batch at byte {header.position} has base offset {header.base_offset}",
            "count", header.position)
    if header.record_count < 0 or header.record_count > size // _LEAST_RECORD:
        raise BatchError(
            f"record batch at byte {header.position} counts {header.record_count} records, "
            f"too many for its {size} bytes", "count", header.position)
    section.skip_below = from_offset - header.base_offset
    section.skip_from = to_offset - header.base_offset
    return 0


cdef _allocate(RecordColumns columns, Rows* rows, Py_ssize_t count, Py_ssize_t size):
    columns.offsets = allocate(count * 8)
    columns.timestamps = allocate(count * 8)
    columns.key_offsets = _offsets(count)
    columns.value_offsets = _offsets(count)
    columns.keys = allocate(size)
    columns.values = allocate(size)
    columns.key_validity = _bitmap(count)
    columns.value_validity = _bitmap(count)
    rows.offsets = <int64_t*>columns.offsets.data
    rows.timestamps = <int64_t*>columns.timestamps.data
    rows.key_offsets = <int32_t*>columns.key_offsets.data
    rows.value_offsets = <int32_t*>columns.value_offsets.data
    rows.keys = columns.keys.data
    rows.values = columns.values.data
    rows.key_validity = columns.key_validity.data
    rows.value_validity = columns.value_validity.data


cdef _trim(RecordColumns columns, const Rows* rows):
    columns.count = rows.count
    columns.key_nulls = rows.key_nulls
    columns.value_nulls = rows.value_nulls
    columns.offsets.truncate(rows.count * 8)
    columns.timestamps.truncate(rows.count * 8)
    columns.key_offsets.truncate((rows.count + 1) * 4)
    columns.value_offsets.truncate((rows.count + 1) * 4)
    columns.keys.truncate(rows.key_bytes)
    columns.values.truncate(rows.value_bytes)
    columns.key_validity.truncate((rows.count + 7) >> 3)
    columns.value_validity.truncate((rows.count + 7) >> 3)


cdef HeaderColumns _headers(const Rows* rows, Memory ends):
    cdef HeaderColumns columns = HeaderColumns.__new__(HeaderColumns)
    cdef HeaderRows out
    cdef Py_ssize_t count = rows.headers.count
    cdef bint unchanged
    columns.count = count
    columns.key_offsets = _offsets(count)
    columns.value_offsets = _offsets(count)
    columns.keys = allocate(rows.headers.key_bytes)
    columns.values = allocate(rows.headers.value_bytes)
    columns.value_validity = _bitmap(count)
    out.key_offsets = <int32_t*>columns.key_offsets.data
    out.value_offsets = <int32_t*>columns.value_offsets.data
    out.keys = columns.keys.data
    out.values = columns.values.data
    out.value_validity = columns.value_validity.data
    out.value_nulls = 0
    out.all_key_bits = 0
    with nogil:
        unchanged = _fill_headers(rows, &out)
    if not unchanged:
        raise BatchError("record headers changed while they were read", "record", 0)
    ends.truncate((rows.count + 1) * 4)  # only now: rows.header_ends points into it
    columns.offsets = ends
    columns.value_nulls = out.value_nulls
    columns.ascii_keys = out.all_key_bits < 0x80
    return columns


def decode_records(data, list headers not None, list bodies=None, int64_t from_offset=0):
    """The records of several batches, at or after ``from_offset``, as ``RecordColumns``.

    ``data`` holds the batches that ``headers`` (from ``read_batches``) describe. ``bodies``,
    when given, has one entry per batch: its decompressed records, or None when they are in
    ``data`` as they are. Timestamps are the batch's maximum where the broker set them
    (LogAppendTime). Everything is checked: sizes against what is left, offsets to increase
    within the batch, the count against the bytes. Raises ``BatchError`` (``"record"``,
    ``"count"``, or ``"limit"`` beyond 2 GiB in one call). Thread-safe while nobody writes to
    ``data``.
    """
    return decode_runs([(data, headers, bodies, from_offset, INT64_MAX)])[0]


def decode_runs(list runs not None):
    """The records of batches in several buffers as one ``RecordColumns``, and rows by run.

    A run is ``(data, headers, bodies, from_offset, to_offset)``: as for ``decode_records``, with
    records at ``to_offset`` and behind it left out, unread.
    Returns ``(columns, rows)`` with one number of rows for each run. Errors as there.
    """
    cdef Py_ssize_t batches = 0
    cdef list views = []  # keeps the buffers until the end
    cdef list all_headers = []
    cdef list ends = []
    cdef list headers, bodies, frozen = []
    cdef RecordColumns columns = RecordColumns.__new__(RecordColumns)
    cdef Memory memory
    for data, headers, bodies, from_offset, to_offset in runs:
        if headers is None:
            raise TypeError("headers must be a list, not None")
        # Copies: buffers and numbers may be objects whose Python code changes the lists.
        headers, bodies = headers[:], None if bodies is None else bodies[:]
        frozen.append((data, headers, bodies, from_offset, to_offset))
        all_headers += headers
    memory = allocate(len(all_headers) * sizeof(Section))
    for data, headers, bodies, from_offset, to_offset in frozen:
        _locate_run(
            <Section*>memory.data + batches, views, data, headers, bodies, from_offset, to_offset)
        batches += len(headers)
        ends.append(batches)
    return columns, _run(columns, <Section*>memory.data, all_headers, ends)


cdef int _locate_run(
    Section* sections, list views, data, list headers, list bodies, int64_t from_offset,
    int64_t to_offset
) except -1:
    """Point one section to each batch of a run."""
    cdef object view = memoryview(data).cast("B")
    cdef Py_buffer* whole = PyMemoryView_GET_BUFFER(view)
    cdef Py_buffer* part
    cdef BatchHeader header
    cdef Py_ssize_t index
    views.append(view)
    if bodies is not None and len(bodies) != len(headers):
        raise ValueError(f"{len(bodies)} bodies for {len(headers)} batches")
    if from_offset < 0 or to_offset < 0:
        raise ValueError(f"no record is at offset {min(from_offset, to_offset)}")
    for index in range(len(headers)):
        header = headers[index]
        if header is None:
            raise TypeError("headers must be BatchHeader, not None")
        if bodies is not None and bodies[index] is not None:
            body = memoryview(bodies[index]).cast("B")
            views.append(body)
            part = PyMemoryView_GET_BUFFER(body)
            _locate(&sections[index], header, <const uint8_t*>part.buf, part.len, from_offset,
                    to_offset)
        elif (header.position < 0 or header.size < _HEADER
                or header.size > whole.len - header.position):
            raise BatchError(
                f"no record batch of {header.size} bytes at byte {header.position}", "size",
                header.position)
        else:
            _locate(&sections[index], header,
                    <const uint8_t*>whole.buf + header.position + _HEADER, header.size - _HEADER,
                    from_offset, to_offset)
    return 0


cdef Py_ssize_t _most_rows(const Section* section) noexcept:
    """How many rows a batch can give: offsets increase, so no more than are between bounds."""
    cdef int64_t wanted = min(<int64_t>section.last_offset_delta + 1, section.skip_from)
    wanted -= max(<int64_t>0, section.skip_below)
    return <Py_ssize_t>max(<int64_t>0, min(wanted, <int64_t>section.count))


cdef list _run(RecordColumns columns, Section* sections, list headers, list ends):
    """Decode all sections; the rows of each run, whose sections end at ``ends``."""
    cdef Rows rows
    cdef Py_ssize_t index, batches = len(headers)
    cdef Py_ssize_t count = 0, size = 0
    cdef int fault = OK
    cdef Memory starts = None, limits = None, header_ends = None
    for index in range(batches):
        count += _most_rows(&sections[index])
        size += sections[index].end - sections[index].start
    if size > INT32_MAX:
        raise BatchError(f"{size} bytes of records are more than 2 GiB: decode fewer batches "
                         "in one call", "limit", 0)
    memset(&rows, 0, sizeof(Rows))
    _allocate(columns, &rows, count, size)
    index = 0
    with nogil:
        while index < batches:
            fault = _decode(&sections[index], &rows)
            if fault == RESTART_WITH_HEADERS:
                with gil:
                    starts = allocate(count * sizeof(void*))
                    limits = allocate(count * sizeof(void*))
                    header_ends = _offsets(count)
                    _restart(&rows, starts, limits, header_ends, count)
                index = 0
                continue
            if fault != OK:
                break
            sections[index].rows_behind = rows.count
            index += 1
    if fault != OK:
        position = (<BatchHeader>headers[index]).position
        raise BatchError(
            f"record {rows.failed_record} of the batch at byte {position} is damaged: "
            f"{_MESSAGES[fault]}", "record", position)
    _trim(columns, &rows)
    if header_ends is not None:
        columns.headers = _headers(&rows, header_ends)
    return _rows_of_runs(sections, ends)


cdef list _rows_of_runs(const Section* sections, list ends):
    cdef Py_ssize_t end, behind, before = 0
    cdef list found = []
    for end in ends:
        behind = sections[end - 1].rows_behind if end else 0
        found.append(behind - before)
        before = behind
    return found


cdef _restart(Rows* rows, Memory starts, Memory limits, Memory ends, Py_ssize_t count):
    """Begin again, this time with room for headers; most batches never come here."""
    rows.count = rows.key_bytes = rows.value_bytes = 0
    rows.key_nulls = rows.value_nulls = 0
    memset(rows.key_validity, 0xFF, (count + 7) >> 3)
    memset(rows.value_validity, 0xFF, (count + 7) >> 3)
    rows.header_starts = <const uint8_t**>starts.data
    rows.header_limits = <const uint8_t**>limits.data
    rows.header_ends = <int32_t*>ends.data + 1
