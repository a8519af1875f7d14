"""A message type as the kernels run it (see protobuf_plan.pyx)."""

from libc.stdint cimport int32_t, uint32_t

from mainstem.kernels.payload_columns cimport BINARY, BITS, FIXED, STRUCT

cdef enum:
    # Kinds of fields: FieldDescriptorProto.Type, and three of ours.
    PROTO_DOUBLE = 1
    PROTO_FLOAT = 2
    PROTO_INT64 = 3
    PROTO_UINT64 = 4
    PROTO_INT32 = 5
    PROTO_FIXED64 = 6
    PROTO_FIXED32 = 7
    PROTO_BOOL = 8
    PROTO_STRING = 9
    PROTO_MESSAGE = 11
    PROTO_BYTES = 12
    PROTO_UINT32 = 13
    PROTO_ENUM = 14
    PROTO_SFIXED32 = 15
    PROTO_SFIXED64 = 16
    PROTO_SINT32 = 17
    PROTO_SINT64 = 18
    PROTO_RAW = 19        # a message that stays bytes
    PROTO_INSTANT = 20    # google.protobuf.Timestamp as nanoseconds
    PROTO_DURATION = 21   # google.protobuf.Duration as nanoseconds
    PROTO_LAST_KIND = 21

    # How often a field occurs, and what its absence means.
    PROTO_OPTIONAL = 0    # null
    PROTO_IMPLICIT = 1    # zero, or empty
    PROTO_REPEATED = 2
    PROTO_PACKED = 3      # as repeated; written packed
    PROTO_MAP = 4
    PROTO_REQUIRED = 5    # null when reading, an error when writing

    PROTO_NANOS = 1000000000

cdef struct ProtoField:
    uint32_t number
    int32_t kind
    int32_t mode
    int32_t column   # of the value; of the list, where there are many
    int32_t inner    # of an item; of a map's entries
    int32_t message  # the table of a sub-message or map entry, or -1
    int32_t oneof    # the first field of its oneof, or -1; `chosen` is kept there

cdef struct ProtoTable:
    int32_t first
    int32_t count


cdef class ProtobufPlan:
    cdef ProtoField* fields
    cdef ProtoTable* tables
    cdef int32_t field_count
    cdef int32_t table_count
    cdef readonly list shapes
    cdef int _check_nesting(self, ProtoField* field, list tables) except -1


cdef inline int wire_type_of(int32_t kind) noexcept nogil:
    if kind == PROTO_DOUBLE or kind == PROTO_FIXED64 or kind == PROTO_SFIXED64:
        return 1
    if kind == PROTO_FLOAT or kind == PROTO_FIXED32 or kind == PROTO_SFIXED32:
        return 5
    if kind == PROTO_STRING or kind == PROTO_BYTES or kind == PROTO_MESSAGE or kind >= PROTO_RAW:
        return 2
    return 0


cdef inline int32_t storage_of(int32_t kind, int32_t* width) noexcept:
    width[0] = 0
    if kind == PROTO_BOOL:
        return BITS
    if kind == PROTO_STRING or kind == PROTO_BYTES or kind == PROTO_RAW:
        return BINARY
    if kind == PROTO_MESSAGE:
        return STRUCT
    width[0] = 4
    if kind == PROTO_FLOAT or kind == PROTO_INT32 or kind == PROTO_FIXED32 or kind == PROTO_UINT32:
        return FIXED
    if kind == PROTO_ENUM or kind == PROTO_SFIXED32 or kind == PROTO_SINT32:
        return FIXED
    width[0] = 8
    return FIXED
