"""Produce, the hot request, read and answered without copying a record.

Source: ProduceRequest.json and ProduceResponse.json, versions 3 to 13. Flexible (KIP-482) from
version 9, topic ids instead of names from version 13 (KIP-516).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from mainstem.kernels.bigendian cimport get_i16, get_i32, put_i16, put_i32, put_i64


cdef enum:
    # As for other requests: what a hundred megabytes may make us allocate.
    _MAX_ELEMENTS = 200_000


class MessageError(ValueError):
    """Bytes that are not the message they claim to be."""


cdef class _Cursor:
    cdef const uint8_t* data
    cdef Py_ssize_t position
    cdef Py_ssize_t end

    cdef int need(self, Py_ssize_t size) except -1:
        if size < 0 or size > self.end - self.position:
            raise MessageError(
                f"produce request ends at byte {self.end}, but {size} bytes are expected at "
                f"byte {self.position}")
        return 0

    cdef int16_t i16(self) except? -1:
        self.need(2)
        self.position += 2
        return get_i16(self.data + self.position - 2)

    cdef int32_t i32(self) except? -1:
        self.need(4)
        self.position += 4
        return get_i32(self.data + self.position - 4)

    cdef int64_t varint(self) except? -1:
        cdef uint64_t value = 0
        cdef int shift = 0
        cdef uint8_t byte
        while shift < 35:
            self.need(1)
            byte = self.data[self.position]
            self.position += 1
            value |= <uint64_t>(byte & 0x7F) << shift
            if byte < 0x80:
                return <int64_t>value
            shift += 7
        raise MessageError("a variable-length integer runs past five bytes")

    cdef int64_t length(self, bint flexible, bint short) except? -2:
        """A length or count; -1 for null."""
        cdef int64_t value
        if flexible:
            value = self.varint() - 1
        elif short:
            value = self.i16()
        else:
            value = self.i32()
        if value < -1:
            raise MessageError(f"negative length {value} at byte {self.position}")
        return value

    cdef object text(self, bint flexible):
        cdef int64_t size = self.length(flexible, True)
        if size < 0:
            return None
        self.need(size)
        self.position += size
        return PyUnicode_DecodeUTF8(
            <const char*>(self.data + self.position - size), size, NULL)

    cdef int64_t count(self, bint flexible, Py_ssize_t least) except? -1:
        """An array's length; each element takes at least ``least`` bytes, so lies are caught."""
        cdef int64_t size = self.length(flexible, False)
        if size < 0:
            return 0
        if size > (self.end - self.position) // least:
            raise MessageError(
                f"an array of {size} elements cannot fit the {self.end - self.position} bytes left")
        return size

    cdef int tags(self) except -1:
        cdef int64_t count = self.varint()
        cdef int64_t size
        cdef int64_t i
        if count > self.end - self.position:
            raise MessageError(f"{count} tagged fields cannot fit the request")
        for i in range(count):
            self.varint()
            size = self.varint()
            self.need(size)
            self.position += size
        return 0


def read_produce_request(data not None, Py_ssize_t start, Py_ssize_t end, int version):
    """The body of a Produce request (after its header) in ``data[start:end]``.

    Returns ``(transactional_id, acks, timeout_ms, topics)``; ``topics`` is a list of
    ``(name or 16 id bytes, [(partition, records_start, records_end), ...])`` with positions in
    ``data`` (start == end for null records). Raises ``MessageError``.
    """
    cdef const uint8_t[::1] view = data
    cdef bint flexible = version >= 9
    cdef _Cursor cursor = _Cursor.__new__(_Cursor)
    cdef int64_t topic_count, partition_count, size, i, j
    cdef int64_t elements = 0
    cdef int32_t partition
    cdef list topics = []
    cdef list partitions
    if start < 0 or end > view.shape[0] or start >= end:
        raise MessageError(f"range {start}..{end} is outside a buffer of {view.shape[0]} bytes")
    cursor.data = &view[0]
    cursor.position = start
    cursor.end = end
    try:
        transactional_id = cursor.text(flexible)
        acks = cursor.i16()
        timeout_ms = cursor.i32()
        topic_count = elements = cursor.count(flexible, 2)
        for i in range(topic_count):
            if version >= 13:
                cursor.need(16)
                name = PyBytes_FromStringAndSize(<char*>(cursor.data + cursor.position), 16)
                cursor.position += 16
            else:
                name = cursor.text(flexible)
                if name is None:
                    raise MessageError("a topic name is null")
            partition_count = cursor.count(flexible, 5)
            elements += partition_count
            if elements > _MAX_ELEMENTS:
                raise MessageError(f"more than {_MAX_ELEMENTS} topics and partitions")
            partitions = []
            for j in range(partition_count):
                partition = cursor.i32()
                size = cursor.length(flexible, False)
                if size < 0:
                    size = 0
                cursor.need(size)
                partitions.append((partition, cursor.position, cursor.position + size))
                cursor.position += size
                if flexible:
                    cursor.tags()
            if flexible:
                cursor.tags()
            topics.append((name, partitions))
        if flexible:
            cursor.tags()
    except UnicodeDecodeError as error:
        raise MessageError(f"a name is not UTF-8: {error}") from None
    return transactional_id, acks, timeout_ms, topics


cdef inline Py_ssize_t _put_varint(uint8_t* out, uint64_t value) noexcept nogil:
    cdef Py_ssize_t size = 0
    while value >= 0x80:
        out[size] = <uint8_t>(value | 0x80)
        value >>= 7
        size += 1
    out[size] = <uint8_t>value
    return size + 1


cdef inline Py_ssize_t _put_count(uint8_t* out, Py_ssize_t count, bint flexible) noexcept nogil:
    if flexible:
        return _put_varint(out, <uint64_t>count + 1)
    put_i32(out, <int32_t>count)
    return 4


cdef inline Py_ssize_t _put_text(uint8_t* out, bytes text, bint flexible) noexcept:
    cdef Py_ssize_t size = len(text)
    cdef Py_ssize_t head
    if flexible:
        head = _put_varint(out, <uint64_t>size + 1)
    else:
        put_i16(out, <int16_t>size)
        head = 2
    memcpy(out + head, PyBytes_AS_STRING(text), size)
    return head + size


def write_produce_response(int version, int32_t correlation_id, list topics not None,
                           int32_t throttle_ms=0):
    """A whole Produce response frame, size included.

    ``topics``: ``[(name or 16 id bytes, [(partition, error_code, base_offset, log_append_time_ms,
    log_start_offset, error_message or None), ...]), ...]``. Returns ``bytes``.
    """
    cdef bint flexible = version >= 9
    cdef Py_ssize_t capacity = 64
    cdef bytes raw, message
    cdef list encoded = []
    for name, partitions in topics:
        raw = name if type(name) is bytes else (<str?>name).encode()
        if len(raw) > 32767:
            raise MessageError(f"a topic name of {len(raw)} bytes")
        capacity += 64 + len(raw)
        # Copies: what is measured here must be what is written below.
        rows = [tuple(row) for row in partitions]
        for row in rows:
            capacity += 96 + (0 if row[5] is None else 4 * len(<str?>row[5]))
        encoded.append((raw, rows))
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, capacity)
    cdef uint8_t* base = <uint8_t*>PyBytes_AS_STRING(frame)
    cdef uint8_t* out = base + 4
    put_i32(out, correlation_id)
    out += 4
    if flexible:
        out[0] = 0
        out += 1
    out += _put_count(out, len(encoded), flexible)
    for raw, partitions in encoded:
        if version >= 13:
            if len(raw) != 16:
                raise MessageError(f"a topic id of {len(raw)} bytes")
            memcpy(out, PyBytes_AS_STRING(<bytes>raw), 16)
            out += 16
        else:
            out += _put_text(out, raw, flexible)
        out += _put_count(out, len(partitions), flexible)
        for partition, error_code, base_offset, append_time, log_start, text in partitions:
            put_i32(out, partition)
            put_i16(out + 4, error_code)
            put_i64(out + 6, base_offset)
            put_i64(out + 14, append_time)
            out += 22
            if version >= 5:
                put_i64(out, log_start)
                out += 8
            if version >= 8:
                out += _put_count(out, 0, flexible)
                if text is None:
                    if flexible:
                        out[0] = 0
                        out += 1
                    else:
                        put_i16(out, -1)
                        out += 2
                else:
                    message = (<str>text).encode()[:4 * len(<str>text)][:32767]
                    out += _put_text(out, message, flexible)
            if flexible:
                out[0] = 0
                out += 1
        if flexible:
            out[0] = 0
            out += 1
    put_i32(out, throttle_ms)
    out += 4
    if flexible:
        out[0] = 0
        out += 1
    put_i32(base, <int32_t>(out - base - 4))
    return frame[:out - base]
