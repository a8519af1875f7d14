"""A compiled message type, checked so that running it needs no checks of its own.

A message type is compiled in Python to fields, one table per place it is used in, each field
naming the column it fills. Types that contain themselves stay bytes, so recursion is as deep as
the compiled schema.
"""

from libc.stdint cimport int32_t
from libc.stdlib cimport calloc, free

from mainstem.kernels.payload_columns cimport LIST


cdef class ProtobufPlan:
    """A compiled message type. ``tables`` are lists of fields, the root's first, each field
    (number, kind, mode, column, inner, table, oneof) by rising number; ``shapes`` those of
    ``Columns``. Immutable, so threads may share one.
    """

    def __cinit__(self, list tables not None, list shapes not None):
        cdef int32_t at = 0, index
        self.table_count = <int32_t>len(tables)
        self.field_count = <int32_t>sum(len(table) for table in tables)
        if not tables or self.field_count > 1 << 16 or self.table_count > 1 << 16:
            raise ValueError(f"a plan of {self.table_count} tables, {self.field_count} fields")
        self.shapes = shapes
        self.fields = <ProtoField*>calloc(self.field_count + 1, sizeof(ProtoField))
        self.tables = <ProtoTable*>calloc(self.table_count, sizeof(ProtoTable))
        if self.fields == NULL or self.tables == NULL:
            raise MemoryError
        used = set()
        for index in range(self.table_count):
            self.tables[index].first = at
            self.tables[index].count = <int32_t>len(tables[index])
            before = 0
            for field in tables[index]:
                if not before < field[0] < 1 << 29:
                    raise ValueError(f"field numbers must rise, {field[0]} follows {before}")
                before = field[0]
                _take_field(&self.fields[at], field, shapes)
                if field[5] >= 0 and (not index < field[5] < self.table_count or field[5] in used):
                    raise ValueError(f"table {field[5]} cannot be part of table {index}")
                used.add(field[5])
                if not -1 <= field[6] < self.tables[index].count:
                    raise ValueError(f"there is no oneof {field[6]}")
                self.fields[at].oneof = field[6] + self.tables[index].first if field[6] >= 0 else -1
                at += 1
        inner = {child for shape in shapes for child in shape[2]}
        roots = [column for column in range(len(shapes)) if column not in inner]
        if sorted(field[3] for field in tables[0]) != roots:
            raise ValueError("the root message does not fill the top-level columns")
        for index in range(self.field_count):
            self._check_nesting(&self.fields[index], tables)

    cdef int _check_nesting(self, ProtoField* field, list tables) except -1:
        """The columns of a sub-message are the children of its struct: the loops rely on it."""
        if field.message < 0:
            return 0
        holder = field.column if field.mode in (PROTO_OPTIONAL, PROTO_IMPLICIT, PROTO_REQUIRED) else field.inner
        inside = [entry[3] for entry in tables[field.message]]
        if sorted(self.shapes[holder][2]) != sorted(inside):
            raise ValueError(f"field {field.number} fills columns that are not its own")
        if field.mode == PROTO_MAP and [entry[0] for entry in tables[field.message]] != [1, 2]:
            raise ValueError(f"map {field.number} needs a key and a value")
        return 0

    def __dealloc__(self):
        free(self.fields)
        free(self.tables)


cdef int _take_field(ProtoField* field, tuple source, list shapes) except -1:
    cdef int32_t width = 0, storage
    field.number, field.kind, field.mode, field.column, field.inner, field.message = source[:6]
    count = len(shapes)
    many = PROTO_REPEATED <= field.mode <= PROTO_MAP
    if not (1 <= field.kind <= PROTO_LAST_KIND and field.kind != 10 and 0 <= field.mode <= PROTO_REQUIRED):
        raise ValueError(f"field {field.number} has kind {field.kind} and mode {field.mode}")
    if not 0 <= field.column < count or (many and not 0 <= field.inner < count):
        raise ValueError(f"field {field.number} names a column that does not exist")
    if (field.kind == PROTO_MESSAGE) != (field.message >= 0) or (field.mode == PROTO_MAP and field.message < 0):
        raise ValueError(f"field {field.number} lacks its message")
    storage = storage_of(field.kind, &width)
    holder = field.inner if many else field.column
    if tuple(shapes[holder][:2]) != (storage, width):
        raise ValueError(f"field {field.number} does not fit its column")
    if many and (shapes[field.column][0] != LIST or list(shapes[field.column][2]) != [field.inner]):
        raise ValueError(f"field {field.number} does not fit its list")
    if field.mode == PROTO_PACKED and wire_type_of(field.kind) == 2:
        raise ValueError(f"field {field.number} cannot be packed")
    return 0
