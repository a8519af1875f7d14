"""An Avro schema as the kernels run it (see avro_plan.pyx)."""

from libc.stdint cimport int32_t

cdef enum:
    # Operations; kept in step with mainstem/client/avro_plan.py.
    AVRO_NULL = 0
    AVRO_BOOLEAN = 1
    AVRO_INT = 2
    AVRO_LONG = 3
    AVRO_FLOAT = 4
    AVRO_DOUBLE = 5
    AVRO_BYTES = 6
    AVRO_STRING = 7
    AVRO_FIXED = 8            # a: size
    AVRO_ENUM = 9             # a: symbols
    AVRO_RECORD = 10
    AVRO_ARRAY = 11           # a: bytes an item needs at least
    AVRO_MAP = 12             # a: column of the entries, b: column of the keys
    AVRO_OPTION = 13          # a: branch of null
    AVRO_UNION = 14           # a: branch of null or -1
    AVRO_DECIMAL_BYTES = 15   # a: digits
    AVRO_DECIMAL_FIXED = 16   # a: digits, b: size
    AVRO_LAST_OP = 16

    AVRO_WIDEST_DECIMAL = 32

cdef struct AvroOp:
    int32_t kind
    int32_t column
    int32_t a
    int32_t b
    int32_t first_child
    int32_t child_count


cdef class AvroPlan:
    cdef AvroOp* ops
    cdef int32_t* children
    cdef int32_t count
    cdef readonly list shapes
    cdef bint _fits(self, int32_t index, list shapes) except -1
