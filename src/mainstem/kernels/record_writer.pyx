"""Arrow columns into the records of one record batch v2: one call, one pass, no GIL.

The format is described in ``batches.pyx`` (header) and ``record_reader.pyx`` (records).
"""

from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport INT32_MAX, int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from mainstem.kernels.bigendian cimport get_i16, get_i32, put_i16, put_i32, put_i64
from mainstem.kernels.checksum cimport crc_after, crc_of
from mainstem.kernels.columns cimport BinaryColumn, Memory, allocate, column_entry, copy_bytes
from mainstem.kernels.varints cimport varint_size, varlong_size, write_varint, write_varlong

cdef enum:
    _HEADER = 61
    _PREFIX = 12
    _ROW = 36  # most bytes a record has besides key, value and headers
    _PAIR = 10  # most bytes a header has besides its key and value

cdef enum Fault:
    OK = 0
    FULL  # not an error: the next record belongs to the next batch
    OFFSETS
    NULL_HEADER_KEY
    TOO_LARGE

_MESSAGES = {
    OFFSETS: "its array offsets point outside the data: the array is damaged",
    NULL_HEADER_KEY: "one of its headers has a null key",
    TOO_LARGE: "it is larger than 2 GiB",
}


cdef class HeaderColumn:
    """A view of one Arrow ``list<struct<key: string, value: binary>>`` array.

    ``offsets`` (int32), ``validity``, ``first`` and ``length`` as for ``BinaryColumn``; a null
    list means no headers. ``keys`` and ``values`` are the struct's children.
    """

    cdef Py_buffer offsets_buffer
    cdef Py_buffer validity_buffer
    cdef const int32_t* offsets
    cdef const uint8_t* validity
    cdef Py_ssize_t first
    cdef readonly Py_ssize_t length
    cdef BinaryColumn keys
    cdef BinaryColumn values

    def __cinit__(
        self, offsets, validity, Py_ssize_t first, Py_ssize_t length,
        BinaryColumn keys not None, BinaryColumn values not None
    ):
        if first < 0 or length < 0 or first > (1 << 56) or length > (1 << 56):
            raise ValueError(f"an array cannot have offset {first} and length {length}")
        if len(keys) != len(values):
            raise ValueError(f"{len(keys)} header keys but {len(values)} header values")
        self.first = first
        self.length = length
        self.keys = keys
        self.values = values
        if length == 0:
            return
        PyObject_GetBuffer(offsets, &self.offsets_buffer, PyBUF_SIMPLE)
        self.offsets = <const int32_t*>self.offsets_buffer.buf
        if self.offsets_buffer.len < (first + length + 1) * 4:
            raise ValueError(f"list offsets have {self.offsets_buffer.len} bytes, {length} "
                             f"entries from {first} need {(first + length + 1) * 4}")
        if validity is not None:
            PyObject_GetBuffer(validity, &self.validity_buffer, PyBUF_SIMPLE)
            self.validity = <const uint8_t*>self.validity_buffer.buf
            if self.validity_buffer.len < (first + length + 7) >> 3:
                raise ValueError(f"list validity has {self.validity_buffer.len} bytes, {length} "
                                 f"entries from {first} need {(first + length + 7) >> 3}")

    def __dealloc__(self):
        PyBuffer_Release(&self.offsets_buffer)
        PyBuffer_Release(&self.validity_buffer)

    def __len__(self):
        return self.length


cdef struct Record:
    int64_t timestamp_delta
    int64_t key_size
    int64_t value_size
    int64_t body_size
    const uint8_t* key
    const uint8_t* value
    Py_ssize_t first_header
    Py_ssize_t end_header


cdef inline int64_t _sized(int64_t size) noexcept nogil:
    """Bytes that a key or value of ``size`` (-1 null) takes with its length."""
    return varint_size(<int32_t>size) + (size if size > 0 else 0)


cdef int _measure_headers(HeaderColumn headers, Py_ssize_t row, Record* record) noexcept nogil:
    cdef Py_ssize_t index = headers.first + row
    cdef const uint8_t* start = NULL
    cdef int64_t key_size = 0, value_size = 0
    record.first_header = record.end_header = 0
    if headers.validity != NULL and not (headers.validity[index >> 3] >> (index & 7)) & 1:
        return OK
    record.first_header = headers.offsets[index]
    record.end_header = headers.offsets[index + 1]
    if (record.first_header < 0 or record.end_header < record.first_header
            or record.end_header > headers.keys.length):
        return OFFSETS
    for index in range(record.first_header, record.end_header):
        if not column_entry(headers.keys, index, &start, &key_size):
            return OFFSETS
        if not column_entry(headers.values, index, &start, &value_size):
            return OFFSETS
        if key_size < 0:
            return NULL_HEADER_KEY
        record.body_size += _sized(key_size) + _sized(value_size)
        if record.body_size > INT32_MAX:  # here, so that no number of headers can overflow it
            return TOO_LARGE
    return OK


cdef inline int _measure(
    BinaryColumn values, BinaryColumn keys, HeaderColumn headers, Py_ssize_t row,
    int32_t offset_delta, Record* record
) noexcept nogil:
    """Locate one record's parts and compute its size; ``timestamp_delta`` is set already."""
    cdef int fault
    if not column_entry(values, row, &record.value, &record.value_size):
        return OFFSETS
    record.key_size = -1
    if keys is not None and not column_entry(keys, row, &record.key, &record.key_size):
        return OFFSETS
    record.body_size = (
        1 + varlong_size(record.timestamp_delta) + varint_size(offset_delta)
        + _sized(record.key_size) + _sized(record.value_size))
    record.first_header = record.end_header = 0
    if headers is not None:
        fault = _measure_headers(headers, row, record)
        if fault != OK:
            return fault
    record.body_size += varint_size(<int32_t>(record.end_header - record.first_header))
    if record.body_size > INT32_MAX - _HEADER - 5:
        return TOO_LARGE
    return OK


cdef inline uint8_t* _put(
    uint8_t* p, const uint8_t* source, int64_t size, const uint8_t* source_end
) noexcept nogil:
    p = write_varint(p, <int32_t>size)
    if size > 0:
        copy_bytes(p, source, size, source_end - source)
        p += size
    return p


cdef uint8_t* _write_headers(
    uint8_t* p, HeaderColumn headers, const Record* record
) noexcept nogil:
    cdef Py_ssize_t index
    cdef const uint8_t* start = NULL
    cdef int64_t size = 0
    for index in range(record.first_header, record.end_header):
        column_entry(headers.keys, index, &start, &size)
        p = _put(p, start, size, headers.keys.data + headers.keys.data_size)
        column_entry(headers.values, index, &start, &size)
        p = _put(p, start, size, headers.values.data + headers.values.data_size)
    return p


cdef struct Written:
    Py_ssize_t rows
    Py_ssize_t size
    int64_t base_timestamp
    int64_t max_timestamp


cdef int _encode(
    BinaryColumn values, BinaryColumn keys, HeaderColumn headers, const int64_t* timestamps,
    int64_t now, Py_ssize_t first, Py_ssize_t stop, uint8_t* out, Py_ssize_t capacity,
    Written* written
) noexcept nogil:
    """Records ``first`` to ``stop`` into ``out`` from byte 61 on, as many as ``capacity`` holds."""
    cdef uint8_t* p = out + _HEADER
    cdef uint8_t* limit = out + capacity
    cdef const uint8_t* values_end = values.data + values.data_size
    cdef const uint8_t* keys_end = NULL
    cdef int64_t base_timestamp, timestamp, max_timestamp
    cdef Record record
    cdef Py_ssize_t row
    cdef int fault = OK
    base_timestamp = max_timestamp = timestamps[first] if timestamps != NULL else now
    record.timestamp_delta = 0
    if keys is not None:
        keys_end = keys.data + keys.data_size
    for row in range(first, stop):
        if timestamps != NULL:
            timestamp = timestamps[row]
            if timestamp > max_timestamp:
                max_timestamp = timestamp
            record.timestamp_delta = <int64_t>(<uint64_t>timestamp - <uint64_t>base_timestamp)
        fault = _measure(values, keys, headers, row, <int32_t>(row - first), &record)
        if fault != OK:
            break
        if record.body_size + varint_size(<int32_t>record.body_size) > limit - p:
            fault = FULL
            break
        p = write_varint(p, <int32_t>record.body_size)
        p[0] = 0
        p = write_varlong(p + 1, record.timestamp_delta)
        p = write_varint(p, <int32_t>(row - first))
        p = _put(p, record.key, record.key_size, keys_end)
        p = _put(p, record.value, record.value_size, values_end)
        p = write_varint(p, <int32_t>(record.end_header - record.first_header))
        if record.end_header != record.first_header:
            p = _write_headers(p, headers, &record)
        written.max_timestamp = max_timestamp  # not of a record that did not fit
        written.rows += 1
    written.base_timestamp = base_timestamp
    written.size = p - out
    return fault


cdef Py_ssize_t _span(BinaryColumn column, Py_ssize_t first, Py_ssize_t stop) noexcept:
    """Data bytes between two rows; damaged offsets give some number within the buffer."""
    cdef int64_t begin, end
    if column is None or column.length == 0:
        return 0
    first += column.first
    stop += column.first
    if column.wide:
        begin = (<const int64_t*>column.offsets)[first]
        end = (<const int64_t*>column.offsets)[stop]
    else:
        begin = (<const int32_t*>column.offsets)[first]
        end = (<const int32_t*>column.offsets)[stop]
    return <Py_ssize_t>min(max(<int64_t>0, end - begin), <int64_t>column.data_size)


cdef Py_ssize_t _capacity(
    BinaryColumn values, BinaryColumn keys, HeaderColumn headers, Py_ssize_t first,
    Py_ssize_t stop, Py_ssize_t target
) noexcept:
    """Room for the whole range or ``target`` bytes, whichever is less, but for one record."""
    cdef Record record
    cdef Py_ssize_t bound = _HEADER + (stop - first) * _ROW
    bound += _span(values, first, stop) + _span(keys, first, stop)
    if headers is not None:
        bound += headers.keys.data_size + headers.values.data_size
        bound += headers.keys.length * _PAIR
    bound = min(bound, target)
    record.timestamp_delta = 0
    if _measure(values, keys, headers, first, 0, &record) == OK:
        bound = max(bound, _HEADER + varint_size(<int32_t>record.body_size) + record.body_size)
    return bound


def encode_records(
    BinaryColumn values not None,
    BinaryColumn keys,
    HeaderColumn headers,
    timestamps,
    int64_t now,
    Py_ssize_t first,
    Py_ssize_t stop,
    Py_ssize_t target,
):
    """Rows ``first`` to ``stop`` as one record batch, ``(batch, rows)``.

    ``batch`` is ``Memory`` of at most ``target`` bytes, or larger if the first record alone
    is; ``rows`` says how many went in, at least one. ``timestamps`` is a buffer of int64
    milliseconds whose entry 0 belongs to row 0, or None to give every record ``now``. The
    header is complete but for the CRC (see ``seal``); attributes are 0, producer fields -1.
    Raises ``ValueError`` for a damaged array, a null header key or a record beyond 2 GiB.
    Thread-safe.
    """
    cdef Py_buffer times
    cdef const int64_t* timestamps_data = NULL
    cdef Written written = Written(0, 0, 0, 0)
    cdef Memory batch
    cdef uint8_t* out
    cdef Py_ssize_t capacity
    cdef int fault
    _check_rows(values, keys, headers, first, stop)
    target = min(target, <Py_ssize_t>INT32_MAX)
    stop = min(stop, first + INT32_MAX)
    capacity = _capacity(values, keys, headers, first, stop, target)
    batch = allocate(capacity)
    out = batch.data
    if timestamps is not None:
        PyObject_GetBuffer(timestamps, &times, PyBUF_SIMPLE)
        if times.len < stop * 8:
            PyBuffer_Release(&times)
            raise ValueError(f"{times.len} bytes of timestamps for {stop} rows")
        timestamps_data = <const int64_t*>times.buf
    with nogil:
        fault = _encode(values, keys, headers, timestamps_data, now, first, stop, out, capacity,
                        &written)
    if timestamps is not None:
        PyBuffer_Release(&times)
    if fault != OK and fault != FULL:
        raise ValueError(f"row {first + written.rows} cannot be a record: {_MESSAGES[fault]}")
    if written.rows == 0:
        raise ValueError(f"row {first} changed while it was written")
    _put_header(out, &written)
    batch.truncate(written.size)
    return batch, written.rows


cdef _check_rows(
    BinaryColumn values, BinaryColumn keys, HeaderColumn headers, Py_ssize_t first, Py_ssize_t stop
):
    if first < 0 or stop <= first or stop > values.length:
        raise ValueError(f"rows {first} to {stop} are not in a column of {values.length}")
    if keys is not None and keys.length != values.length:
        raise ValueError(f"{keys.length} keys for {values.length} values")
    if headers is not None and headers.length != values.length:
        raise ValueError(f"{headers.length} header lists for {values.length} values")


cdef void _put_header(uint8_t* out, const Written* written) noexcept:
    put_i64(out, 0)
    put_i32(out + 8, <int32_t>(written.size - _PREFIX))
    put_i32(out + 12, -1)
    out[16] = 2
    put_i32(out + 17, 0)
    put_i16(out + 21, 0)
    put_i32(out + 23, <int32_t>(written.rows - 1))
    put_i64(out + 27, written.base_timestamp)
    put_i64(out + 35, written.max_timestamp)
    put_i64(out + 43, -1)
    put_i16(out + 51, -1)
    put_i32(out + 53, -1)
    put_i32(out + 57, <int32_t>written.rows)


def seal(
    uint8_t[::1] batch not None,
    int codec=0,
    *,
    int64_t producer_id=-1,
    int16_t producer_epoch=-1,
    int32_t base_sequence=-1,
    bint transactional=False,
):
    """Finish the header of a batch that fills ``batch``: length, codec, producer, CRC-32C.

    In place. Call it after compressing the records behind byte 61, before sending. Keeps the
    timestamps, the count and the other attributes. Raises ``ValueError`` when ``batch`` is
    shorter than a header or longer than 2 GiB.
    """
    cdef Py_ssize_t size = batch.shape[0]
    if size < _HEADER or size > INT32_MAX:
        raise ValueError(f"{size} bytes cannot be a record batch")
    if codec < 0 or codec > 4:
        raise ValueError(f"codec {codec} is unknown; 0 to 4 are none, gzip, snappy, lz4, zstd")
    put_i32(&batch[8], <int32_t>(size - _PREFIX))
    put_i16(&batch[21], (get_i16(&batch[21]) & ~7) | <int16_t>codec)
    _put_producer(&batch[0], producer_id, producer_epoch, base_sequence, transactional)
    cdef uint32_t crc = crc_of(&batch[21], size - 21, 0)
    put_i32(&batch[17], <int32_t>crc)


def number(
    uint8_t[::1] batch not None,
    *,
    int64_t producer_id,
    int16_t producer_epoch,
    int32_t base_sequence,
    bint transactional=False,
):
    """Give a sealed batch that fills ``batch`` its producer's numbers (KIP-98).

    In place, and its CRC follows from the one that it has: the records are not looked at. Raises
    ``ValueError`` when ``batch`` is shorter than a header.
    """
    cdef Py_ssize_t size = batch.shape[0]
    if size < _HEADER:
        raise ValueError(f"{size} bytes cannot be a record batch")
    cdef uint32_t before = crc_of(&batch[21], _HEADER - 21, 0)
    _put_producer(&batch[0], producer_id, producer_epoch, base_sequence, transactional)
    cdef uint32_t difference = before ^ crc_of(&batch[21], _HEADER - 21, 0)
    cdef uint32_t crc = <uint32_t>get_i32(&batch[17]) ^ crc_after(difference, size - _HEADER)
    put_i32(&batch[17], <int32_t>crc)


cdef void _put_producer(
    uint8_t* out, int64_t producer_id, int16_t epoch, int32_t sequence, bint transactional
) noexcept:
    put_i16(out + 21, (get_i16(out + 21) & ~16) | (16 if transactional else 0))
    put_i64(out + 43, producer_id)
    put_i16(out + 51, epoch)
    put_i32(out + 53, sequence)
