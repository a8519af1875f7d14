"""Protocol messages decoded by a program compiled from their schema, every length checked.

A *program* describes one struct: ``Program(message_class, fields, tagged, flexible, defaults,
least_size)``. A *field* is ``(name, code, is_array, nullable, program or None)`` with ``code``
one of the ``*_CODE`` constants. Unknown tagged fields are skipped, as KIP-482 asks.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy
from uuid import UUID

from mainstem.kernels.bigendian cimport get_i16, get_i32, get_i64
from mainstem.kernels.produce import MessageError

INT8_CODE, INT16_CODE, INT32_CODE, INT64_CODE, UINT16_CODE, UINT32_CODE = 0, 1, 2, 3, 4, 5
FLOAT64_CODE, BOOL_CODE, STRING_CODE, BYTES_CODE, UUID_CODE = 6, 7, 8, 9, 10
ERROR_CODE, STRUCT_CODE, VIEW_CODE = 11, 12, 13

cdef enum:
    _INT8 = 0
    _INT16 = 1
    _INT32 = 2
    _INT64 = 3
    _UINT16 = 4
    _UINT32 = 5
    _FLOAT64 = 6
    _BOOL = 7
    _STRING = 8
    _BYTES = 9
    _UUID = 10
    _ERROR = 11
    _STRUCT = 12
    _VIEW = 13

cdef bytes _ZERO_UUID = bytes(16)


cdef class Field:
    """One field of a struct."""

    cdef readonly str name
    cdef int code
    cdef bint is_array
    cdef bint nullable
    cdef Program program

    def __init__(self, str name not None, int code, bint is_array, bint nullable, Program program):
        if code == _STRUCT and program is None:
            raise TypeError(f"{name}: a struct needs a program")
        self.name = name
        self.code = code
        self.is_array = is_array
        self.nullable = nullable
        self.program = program


cdef class Program:
    """How one struct is laid out. ``errors`` maps error codes to what a message shows."""

    cdef object message_class
    cdef list fields
    cdef dict tagged
    cdef bint flexible
    cdef object defaults
    cdef Py_ssize_t least_size
    cdef dict errors

    def __init__(self, message_class, list fields not None, dict tagged not None, bint flexible,
                 defaults, Py_ssize_t least_size, dict errors not None):
        if None in fields:
            raise TypeError("a program is made of fields, not of None")
        self.message_class = message_class
        self.fields = fields
        self.tagged = tagged
        self.flexible = flexible
        self.defaults = defaults
        self.least_size = max(1, least_size)
        self.errors = errors

    def decode(self, data not None, Py_ssize_t start, Py_ssize_t end, Py_ssize_t max_elements):
        """The message in ``data[start:end]`` and where it ends.

        Raises ``MessageError`` for bytes that are not such a message, or whose arrays have more
        than ``max_elements`` elements together (what a small message can make us allocate).
        """
        cdef const uint8_t[::1] view = data
        cdef _Reader reader = _Reader.__new__(_Reader)
        if start < 0 or end > view.shape[0] or start > end:
            raise MessageError(f"range {start}..{end} is outside a buffer of {view.shape[0]} bytes")
        reader.source = data
        reader.data = &view[0] if view.shape[0] else NULL
        reader.position = start
        reader.end = end
        reader.elements_left = max_elements
        message = reader.struct(self)
        return message, reader.position


cdef class _Reader:
    cdef object source
    cdef const uint8_t* data
    cdef Py_ssize_t position
    cdef Py_ssize_t end
    cdef Py_ssize_t elements_left

    cdef const uint8_t* take(self, Py_ssize_t size) except NULL:
        if size < 0 or size > self.end - self.position:
            raise MessageError(
                f"{size} bytes are expected at byte {self.position}, "
                f"{self.end - self.position} are left")
        self.position += size
        return self.data + self.position - size

    cdef int64_t varint(self) except? -1:
        cdef uint64_t value = 0
        cdef int shift = 0
        cdef uint8_t byte
        while shift < 35:
            byte = self.take(1)[0]
            value |= <uint64_t>(byte & 0x7F) << shift
            if byte < 0x80:
                return <int64_t>value
            shift += 7
        raise MessageError(f"an integer runs past five bytes at byte {self.position}")

    cdef Py_ssize_t length(self, bint flexible, bint short, bint nullable, str name) except? -2:
        """A length or count; -1 for null, where that is allowed."""
        cdef int64_t value
        if flexible:
            value = self.varint() - 1
        elif short:
            value = get_i16(self.take(2))
        else:
            value = get_i32(self.take(4))
        if value < -1 or (value == -1 and not nullable):
            raise MessageError(f"{name} has the length {value} at byte {self.position}")
        return value

    cdef object struct(self, Program program):
        cdef Field field
        cdef dict values = program.defaults()
        for field in program.fields:
            values[field.name] = self.value(field, program.flexible, program.errors)
        if program.flexible:
            self.tags(program, values)
        message = program.message_class.__new__(program.message_class)
        message.__dict__ = values
        return message

    cdef int tags(self, Program program, dict values) except -1:
        cdef int64_t count = self.varint()
        cdef Py_ssize_t size, stop, outer
        cdef Field field
        while count > 0:
            count -= 1
            tag = self.varint()
            size = self.varint()
            if size > self.end - self.position:
                raise MessageError(f"tagged field {tag} of {size} bytes is longer than its message")
            stop = self.position + size
            field = program.tagged.get(tag)
            if field is not None:
                outer = self.end
                self.end = stop
                values[field.name] = self.value(field, True, program.errors)
                self.end = outer
                if self.position != stop:
                    raise MessageError(f"tagged field {tag} ({field.name}) has bytes left over")
            self.position = stop
        return 0

    cdef object value(self, Field field, bint flexible, dict errors):
        cdef Py_ssize_t count, least, i
        if not field.is_array:
            return self.single(field, flexible, errors, field.nullable)
        count = self.length(flexible, False, field.nullable, field.name)
        if count < 0:
            return None
        least = 1 if field.program is None else field.program.least_size
        if count > (self.end - self.position) // least:
            raise MessageError(
                f"{field.name} claims {count} elements, {self.end - self.position} bytes are left")
        if count > self.elements_left:
            raise MessageError(f"{field.name} has {count} elements: too many for one message")
        self.elements_left -= count
        return [self.single(field, flexible, errors, False) for i in range(count)]

    cdef object single(self, Field field, bint flexible, dict errors, bint nullable):
        cdef int code = field.code
        cdef Py_ssize_t size
        cdef const uint8_t* at
        cdef double number
        cdef int64_t bits
        if code == _STRUCT:
            # A nullable struct is led by -1 (null) or 1 (KIP-893).
            if nullable and not field.is_array and <int8_t>self.take(1)[0] < 0:
                return None
            return self.struct(field.program)
        if code == _STRING:
            size = self.length(flexible, True, nullable, field.name)
            if size < 0:
                return None
            at = self.take(size) if size else self.data
            try:
                return PyUnicode_DecodeUTF8(<const char*>at, size, NULL) if size else ""
            except UnicodeDecodeError as error:
                raise MessageError(f"{field.name} is not UTF-8: {error}") from None
        if code == _BYTES:
            size = self.length(flexible, False, nullable, field.name)
            if size < 0:
                return None
            return PyBytes_FromStringAndSize(<const char*>self.take(size), size) if size else b""
        if code == _VIEW:  # large: shares the answer's memory instead of a copy
            size = self.length(flexible, False, nullable, field.name)
            if size < 0:
                return None
            if size:
                self.take(size)
            return memoryview(self.source)[self.position - size:self.position]
        if code == _INT32:
            return get_i32(self.take(4))
        if code == _INT64:
            return get_i64(self.take(8))
        if code == _INT16:
            return get_i16(self.take(2))
        if code == _ERROR:
            size = get_i16(self.take(2))
            return errors.get(size, size)
        if code == _BOOL:
            return self.take(1)[0] != 0
        if code == _INT8:
            return <int8_t>self.take(1)[0]
        if code == _UINT16:
            return <uint16_t>get_i16(self.take(2))
        if code == _UINT32:
            return <uint32_t>get_i32(self.take(4))
        if code == _UUID:
            raw = PyBytes_FromStringAndSize(<const char*>self.take(16), 16)
            return None if raw == _ZERO_UUID else UUID(bytes=raw)
        if code == _FLOAT64:
            bits = get_i64(self.take(8))
            memcpy(&number, &bits, 8)
            return number
        raise MessageError(f"{field.name} has the unknown type code {code}")
