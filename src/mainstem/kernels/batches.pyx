"""Record batch v2 as an opaque unit: read its header, check it, stamp it.

Source: Apache Kafka, DefaultRecordBatch. All integers are big-endian::

    0  base_offset           8     27  base_timestamp    8
    8  length                4     35  max_timestamp     8
    12 partition_leader_epoch 4    43  producer_id       8
    16 magic (2)             1     51  producer_epoch    2
    17 crc32c                4     53  base_sequence     4
    21 attributes            2     57  record_count      4
    23 last_offset_delta     4     61  records

``length`` counts from byte 12. The CRC covers byte 21 to the end, so base offset and leader
epoch may be stamped without computing it again.
"""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint32_t

from mainstem.kernels.bigendian cimport get_i16, get_i32, get_i64, put_i32, put_i64
from mainstem.kernels.checksum cimport crc_of
from mainstem.kernels.varints cimport read_varint, read_varlong

HEADER_SIZE = 61

cdef enum:
    _HEADER = 61
    _PREFIX = 12


class BatchError(ValueError):
    """A record batch that must not be trusted.

    ``position`` is where in the buffer the bad batch begins; ``reason`` is one of ``"size"``
    (truncated or a length that cannot be), ``"magic"`` (not version 2), ``"crc"``, ``"count"``
    (record count and offsets disagree), ``"record"`` (a record inside does not parse),
    ``"codec"`` (does not decompress) and ``"limit"`` (more bytes than the caller allows).
    """

    def __init__(self, message, reason, position):
        super().__init__(message)
        self.reason = reason
        self.position = position


cdef class BatchHeader:
    """One batch's header; ``position`` and ``size`` (in bytes, header included) place it."""

    @property
    def last_offset(self):
        return self.base_offset + self.last_offset_delta

    @property
    def codec(self):
        """0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd; 5 to 7 are undefined."""
        return self.attributes & 7

    @property
    def log_append_time(self):
        return bool(self.attributes & 8)

    @property
    def transactional(self):
        return bool(self.attributes & 16)

    @property
    def control(self):
        return bool(self.attributes & 32)

    def __repr__(self):
        return (
            f"BatchHeader(position={self.position}, size={self.size}, "
            f"offsets={self.base_offset}..{self.last_offset}, "
            f"count={self.record_count}, producer={self.producer_id})"
        )


cdef BatchHeader _read(const uint8_t* p, Py_ssize_t position, Py_ssize_t available):
    """The header at ``p``; the caller has checked that 61 bytes are there."""
    cdef int64_t size = <int64_t>get_i32(p + 8) + _PREFIX
    cdef int8_t magic = <int8_t>p[16]
    cdef BatchHeader header
    if magic != 2:
        raise BatchError(
            f"record batch at byte {position} has magic {magic}; only version 2 is supported",
            "magic", position)
    if size < _HEADER:
        raise BatchError(
            f"record batch at byte {position} gives its length as {size - _PREFIX}; "
            f"the least is {_HEADER - _PREFIX}", "size", position)
    header = BatchHeader.__new__(BatchHeader)
    header.position = position
    header.size = <Py_ssize_t>size
    header.base_offset = get_i64(p)
    header.leader_epoch = get_i32(p + 12)
    header.crc = <uint32_t>get_i32(p + 17)
    header.attributes = get_i16(p + 21)
    header.last_offset_delta = get_i32(p + 23)
    header.base_timestamp = get_i64(p + 27)
    header.max_timestamp = get_i64(p + 35)
    header.producer_id = get_i64(p + 43)
    header.producer_epoch = get_i16(p + 51)
    header.base_sequence = get_i32(p + 53)
    header.record_count = get_i32(p + 57)
    return header


def read_header(const uint8_t[::1] data not None, Py_ssize_t position=0):
    """The header of the batch that begins at ``position``; its body need not be there.

    For scanning files: reads 61 bytes, checks magic and length, not CRC or counts.
    Raises ``BatchError``.
    """
    if position < 0 or data.shape[0] - position < _HEADER:
        raise BatchError(
            f"record batch at byte {position} is cut short: "
            f"{max(0, data.shape[0] - position)} of {_HEADER} header bytes", "size", position)
    return _read(&data[position], position, data.shape[0] - position)


def read_batches(
    data not None,
    Py_ssize_t start=0,
    Py_ssize_t end=-1,
    bint verify_crc=True,
    *,
    bint whole=True,
    bint dense=True,
):
    """Headers of all batches in ``data[start:end]``.

    ``data`` is any contiguous buffer. Checks length, magic, CRC-32C, and that the record count
    agrees with the offsets. With ``whole=False`` a batch cut off by the end is left out, as
    Fetch may cut the last one; with ``dense=False`` a batch may hold fewer records than
    offsets, or none, as compaction leaves it. Returns a list of ``BatchHeader``. Raises
    ``BatchError`` at the first bad one. Safe to call from any thread.
    """
    cdef const uint8_t[::1] view = memoryview(data).cast("B")
    cdef Py_ssize_t position = start
    cdef Py_ssize_t total = view.shape[0]
    cdef BatchHeader header
    cdef list found = []
    if end < 0:
        end = total
    if start < 0 or end > total or start > end:
        raise BatchError(f"range {start}..{end} is outside a buffer of {total} bytes", "size", start)
    while position < end:
        if end - position < _HEADER:
            if not whole:
                break
            raise BatchError(
                f"record batch at byte {position} is cut short: {end - position} of "
                f"{_HEADER} header bytes", "size", position)
        header = _read(&view[position], position, end - position)
        if header.size > end - position:
            if not whole:
                break
            raise BatchError(
                f"record batch at byte {position} is {header.size} bytes long but "
                f"{end - position} are there", "size", position)
        if not _counts_agree(header, dense):
            raise BatchError(
                f"record batch at byte {position} counts {header.record_count} records but its "
                f"last offset delta is {header.last_offset_delta}", "count", position)
        if verify_crc and crc_of(&view[position + 21], header.size - 21, 0) != header.crc:
            raise BatchError(
                f"record batch at byte {position} fails its CRC-32C check", "crc", position)
        found.append(header)
        position += header.size
    return found


def check_crcs(data not None, list headers not None):
    """Check the CRC-32C of the batches that ``headers`` (from ``read_batches``) find in ``data``.

    Raises ``BatchError``: ``"crc"``, or ``"size"`` where there is no such batch. Thread-safe.
    """
    cdef const uint8_t[::1] view = memoryview(data).cast("B")
    cdef Py_ssize_t total = view.shape[0]
    cdef BatchHeader header
    for header in headers:
        if (header is None or header.position < 0 or header.size < _HEADER
                or header.size > total - header.position):
            raise BatchError(f"there is no record batch as {header} says", "size", 0)
        if crc_of(&view[header.position + 21], header.size - 21, 0) != header.crc:
            raise BatchError(
                f"record batch at byte {header.position}, offset {header.base_offset}, fails its "
                "CRC-32C check", "crc", header.position)


cdef bint _counts_agree(BatchHeader header, bint dense) noexcept:
    cdef int64_t most = <int64_t>header.last_offset_delta + 1
    if most < 1:
        return False
    if dense:
        return header.record_count == most
    return 0 <= header.record_count <= most


def stamp(uint8_t[::1] data not None, Py_ssize_t position, int64_t base_offset, int32_t leader_epoch):
    """Write base offset and leader epoch into the batch at ``position``, in place."""
    if position < 0 or data.shape[0] - position < _HEADER:
        raise BatchError(f"no batch header at byte {position}", "size", position)
    put_i64(&data[position], base_offset)
    put_i32(&data[position + 12], leader_epoch)


def stamp_append_time(uint8_t[::1] data not None, Py_ssize_t position, int64_t timestamp):
    """Set the LogAppendTime bit and the max timestamp, and compute the CRC-32C again."""
    cdef int64_t size = _whole_size(data, position)
    data[position + 22] |= 8
    put_i64(&data[position + 35], timestamp)
    _seal(data, position, size)


def clear_append_time(uint8_t[::1] data not None, Py_ssize_t position):
    """Take the LogAppendTime bit away and compute the CRC-32C again."""
    cdef int64_t size = _whole_size(data, position)
    data[position + 22] &= <uint8_t>~8
    _seal(data, position, size)


cdef int64_t _whole_size(uint8_t[::1] data, Py_ssize_t position) except -1:
    """The size of the batch at ``position``, all of which is there."""
    if position < 0 or data.shape[0] - position < _HEADER:
        raise BatchError(f"no batch header at byte {position}", "size", position)
    cdef int64_t size = <int64_t>get_i32(&data[position + 8]) + _PREFIX
    if size < _HEADER or size > data.shape[0] - position:
        raise BatchError(
            f"record batch at byte {position} has an impossible length", "size", position)
    return size


cdef int _seal(uint8_t[::1] data, Py_ssize_t position, int64_t size) except -1:
    cdef uint32_t crc = crc_of(&data[position + 21], size - 21, 0)
    put_i32(&data[position + 17], <int32_t>crc)
    return 0


def first_without_key(const uint8_t[::1] records not None, int32_t count):
    """Which of ``count`` uncompressed records is the first with a null key; -1 for none.

    Raises ``BatchError`` ("record") where they do not parse.
    """
    cdef const uint8_t* p = NULL
    cdef const uint8_t* end
    cdef const uint8_t* record_end
    cdef const uint8_t* field
    cdef int32_t size = 0, key_size = 0, offset_delta = 0, i
    cdef int64_t timestamp_delta = 0
    if records.shape[0]:
        p = &records[0]
    end = p + records.shape[0]
    for i in range(count):
        field = read_varint(p, end, &size)
        # A record has at least attributes, two deltas, a key size, a value size, a header count.
        if field == NULL or size < 6 or size > end - field:
            raise BatchError(f"record {i} does not fit its batch", "record", 0)
        record_end = field + size
        field = read_varlong(field + 1, record_end, &timestamp_delta)
        if field != NULL:
            field = read_varint(field, record_end, &offset_delta)
        if field != NULL:
            field = read_varint(field, record_end, &key_size)
        if field == NULL or key_size > record_end - field:
            raise BatchError(f"record {i} has fields that do not fit it", "record", 0)
        if key_size < 0:
            return i
        p = record_end
    return -1
