"""Arrow columns to Protocol Buffers' wire format, a whole batch in a call.

Records are written back to front: a sub-message's length is known when it is written.
"""

from libc.limits cimport INT_MAX
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

from mainstem.kernels.columns cimport Memory, allocate
from mainstem.kernels.payload_columns cimport *
from mainstem.kernels.protobuf_plan cimport *


def encode_protobuf(
    ProtobufPlan plan not None, Sources sources not None, Py_ssize_t rows, bytes prefix not None
):
    """One message per row, each behind ``prefix``: ``(offsets, data)``, int32 and bytes.

    As ``encode_avro``; fields are written by rising number. Raises ``ValueError`` with the
    arguments ``(row, fault, field)`` for a row that the schema does not allow.
    """
    cdef Output out
    cdef Memory offsets
    cdef int32_t* ends
    cdef Py_ssize_t row
    cdef int32_t place = -1
    cdef int fault = 0
    cdef const uint8_t* head = <const uint8_t*>prefix
    cdef int64_t head_size = len(prefix)
    if rows < 0 or rows >= INT_MAX - 1:
        raise ValueError(f"{rows} rows cannot be encoded at once")
    sources.check(plan.shapes, rows)
    out = Output(rows * (16 + head_size))
    offsets = allocate((rows + 1) * 4)
    ends = <int32_t*>offsets.data
    row = rows
    with nogil:
        ends[rows] = 0
        while row > 0:
            row -= 1
            fault = _write_message(plan, sources, out, 0, row, &place)
            if not fault:
                fault = _front(out, head, head_size)
            if fault:
                break
            ends[row] = <int32_t>out.used
        if not fault:  # distances from the end become offsets from the beginning
            for row in range(rows + 1):
                ends[row] = <int32_t>out.used - ends[row]
            memmove(out.data, out.data + out.room - out.used, out.used)
    out.check(fault, row, place, "Protobuf")
    out.memory.truncate(out.used)
    return offsets, out.memory


cdef inline int _front(Output out, const uint8_t* start, int64_t size) noexcept nogil:
    """Bytes in front of what is there."""
    cdef int fault
    if out.used + size > out.room:
        fault = out.grow_front(size)
        if fault:
            return fault
    out.used += size
    memcpy(out.data + out.room - out.used, start, size)
    return 0


cdef inline int _front_varint(Output out, uint64_t value) noexcept nogil:
    cdef uint8_t[10] bytes_
    cdef int size = 0
    while value >= 0x80:
        bytes_[size] = <uint8_t>(value | 0x80)
        value >>= 7
        size += 1
    bytes_[size] = <uint8_t>value
    return _front(out, bytes_, size + 1)


cdef int _write_message(
    ProtobufPlan plan, Sources sources, Output out, int32_t index, int64_t row, int32_t* place
) noexcept nogil:
    """A message's fields, the last first."""
    cdef ProtoTable* table = &plan.tables[index]
    cdef ProtoField* field
    cdef int32_t at = table.first + table.count, other
    cdef Source* source
    cdef int fault = 0
    cdef bint valid
    while at > table.first and not fault:
        at -= 1
        field = &plan.fields[at]
        place[0] = at
        source = &sources.sources[field.column]
        valid = is_valid(source, row)
        if field.mode == PROTO_OPTIONAL or field.mode == PROTO_REQUIRED:
            if not valid:
                if field.mode == PROTO_REQUIRED:
                    return MISSING
                continue
            if field.oneof >= 0:
                for other in range(table.first, at):
                    if plan.fields[other].oneof == field.oneof and is_valid(
                        &sources.sources[plan.fields[other].column], row
                    ):
                        return BRANCH
            fault = _write_value(plan, sources, out, field, source, row, True, place)
        elif field.mode == PROTO_IMPLICIT:
            if valid and not _is_default(source, row):
                fault = _write_value(plan, sources, out, field, source, row, True, place)
        elif valid:
            fault = _write_many(plan, sources, out, at, row, place)
    return fault


cdef bint _is_default(Source* source, int64_t row) noexcept nogil:
    cdef int64_t cell = source.first + row
    if source.storage == BITS:
        return not (source.values[cell >> 3] >> (cell & 7)) & 1
    if source.storage == BINARY:
        return (<const int32_t*>source.values)[cell] == (<const int32_t*>source.values)[cell + 1]
    if source.storage == STRUCT:
        return False
    if source.width == 4:
        return (<const uint32_t*>source.values)[cell] == 0
    return (<const uint64_t*>source.values)[cell] == 0


cdef int _write_many(
    ProtobufPlan plan, Sources sources, Output out, int32_t at, int64_t row, int32_t* place
) noexcept nogil:
    cdef ProtoField* field = &plan.fields[at]
    cdef Source* items = &sources.sources[field.inner]
    cdef int64_t begin = 0, end = 0, mark = out.used
    cdef bint packed = field.mode == PROTO_PACKED
    cdef int fault
    if not source_list(sources, &sources.sources[field.column], row, &begin, &end):
        return DAMAGED
    if begin == end:
        return 0
    while end > begin:
        end -= 1
        place[0] = at
        if not is_valid(items, end):
            return MISSING
        if field.mode == PROTO_MAP:
            fault = _write_entry(plan, sources, out, field, end, place)
        else:
            fault = _write_value(plan, sources, out, field, items, end, not packed, place)
        if fault:
            return fault
    if not packed:
        return 0
    fault = _front_varint(out, <uint64_t>(out.used - mark))
    return fault if fault else _front_varint(out, <uint64_t>field.number << 3 | 2)


cdef int _write_entry(
    ProtobufPlan plan, Sources sources, Output out, ProtoField* field, int64_t row, int32_t* place
) noexcept nogil:
    """A map's entry: key and value are always there."""
    cdef int64_t mark = out.used
    cdef int32_t at = plan.tables[field.message].first + 2
    cdef ProtoField* part
    cdef int fault
    while at > plan.tables[field.message].first:
        at -= 1
        part = &plan.fields[at]
        place[0] = at
        if not is_valid(&sources.sources[part.column], row):
            return MISSING
        fault = _write_value(
            plan, sources, out, part, &sources.sources[part.column], row, True, place)
        if fault:
            return fault
    fault = _front_varint(out, <uint64_t>(out.used - mark))
    return fault if fault else _front_varint(out, <uint64_t>field.number << 3 | 2)


cdef int _write_value(
    ProtobufPlan plan, Sources sources, Output out, ProtoField* field, Source* source, int64_t row,
    bint tagged, int32_t* place,
) noexcept nogil:
    cdef int wire_type = wire_type_of(field.kind)
    cdef int64_t cell = source.first + row, size = 0, mark = out.used
    cdef const uint8_t* start = NULL
    cdef int fault
    if wire_type == 0:
        fault = _front_varint(out, _integer(field.kind, source, cell))
    elif wire_type != 2:
        fault = _front(out, source.values + cell * source.width, source.width)
    else:
        if field.kind == PROTO_MESSAGE:
            fault = _write_message(plan, sources, out, field.message, row, place)
        elif field.kind >= PROTO_INSTANT:
            fault = _write_time(out, field.kind, (<const int64_t*>source.values)[cell])
        elif not source_bytes(source, row, &start, &size):
            return DAMAGED
        else:
            fault = _front(out, start, size)
        if not fault:
            fault = _front_varint(out, <uint64_t>(out.used - mark))
    if fault or not tagged:
        return fault
    return _front_varint(out, <uint64_t>field.number << 3 | wire_type)


cdef inline uint64_t _integer(int32_t kind, Source* source, int64_t cell) noexcept nogil:
    cdef int64_t wide
    if kind == PROTO_BOOL:
        return (source.values[cell >> 3] >> (cell & 7)) & 1
    if kind == PROTO_UINT32:
        return (<const uint32_t*>source.values)[cell]
    if source.width == 4:
        wide = (<const int32_t*>source.values)[cell]  # negative ones take ten bytes
        if kind == PROTO_SINT32:
            return <uint32_t>((<uint32_t>wide << 1) ^ <uint32_t>(wide >> 31))
        return <uint64_t>wide
    wide = (<const int64_t*>source.values)[cell]
    if kind == PROTO_SINT64:
        return (<uint64_t>wide << 1) ^ <uint64_t>(wide >> 63)
    return <uint64_t>wide


cdef int _write_time(Output out, int32_t kind, int64_t value) noexcept nogil:
    """Timestamps count nanos forward from the second; a duration's have its sign."""
    cdef int64_t seconds = value // PROTO_NANOS  # towards zero, as C divides
    cdef int64_t nanos = value - seconds * PROTO_NANOS
    cdef int fault = 0
    if kind == PROTO_INSTANT and nanos < 0:
        nanos += PROTO_NANOS
        seconds -= 1
    if nanos:
        fault = _front_varint(out, <uint64_t>nanos)
        if not fault:
            fault = _front_varint(out, 16)
    if seconds and not fault:
        fault = _front_varint(out, <uint64_t>seconds)
        if not fault:
            fault = _front_varint(out, 8)
    return fault
