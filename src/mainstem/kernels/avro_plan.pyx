"""A compiled Avro schema, checked so that running it needs no checks of its own.

A schema is compiled in Python to operations: one per schema node, each naming the column it
fills, or -1 to skip what it reads. Schemas that contain themselves have no columns and never
get here, so recursion is as deep as the schema.
"""

from libc.stdint cimport int32_t
from libc.stdlib cimport calloc, free

from mainstem.kernels.payload_columns cimport BINARY, BITS, FIXED, LIST, NULLS, STRUCT


cdef class AvroPlan:
    """A compiled schema: ``ops`` are (kind, column, a, b, children) with the root first,
    ``shapes`` those of ``Columns``. Immutable, so threads may share one.
    """

    def __cinit__(self, list ops not None, list shapes not None):
        cdef int32_t total = 0, at = 0, index
        cdef AvroOp* op
        self.count = <int32_t>len(ops)
        if not ops or self.count > 1 << 16:
            raise ValueError(f"a plan of {self.count} operations")
        self.shapes = shapes
        self.ops = <AvroOp*>calloc(self.count, sizeof(AvroOp))
        edges = [child for op_ in ops for child in op_[4]]
        self.children = <int32_t*>calloc(len(edges) + 1, sizeof(int32_t))
        if self.ops == NULL or self.children == NULL:
            raise MemoryError
        for index in range(self.count):
            op = &self.ops[index]
            op.kind, op.column, op.a, op.b, members = ops[index]
            op.first_child, op.child_count = at, <int32_t>len(members)
            for child in members:
                if not index < child < self.count:
                    raise ValueError(f"operation {child} cannot be part of operation {index}")
                self.children[at] = child
                at += 1
            _check_op(op, index, shapes)
        for index in range(self.count):
            if not self._fits(index, shapes):
                raise ValueError(f"operation {index} fills columns that are not its own")

    cdef bint _fits(self, int32_t index, list shapes) except -1:
        """The members' columns are the children of the operation's column."""
        cdef AvroOp* op = &self.ops[index]
        cdef int32_t at
        parts = [
            self.ops[self.children[op.first_child + at]].column for at in range(op.child_count)
        ]
        if op.kind == AVRO_UNION:
            if not -1 <= op.a < op.child_count:
                return False
            parts = [part for at, part in enumerate(parts) if at != op.a]
        if op.column < 0:
            return index == 0 or all(part < 0 for part in parts)
        if op.kind == AVRO_OPTION:
            return parts == [op.column]
        if op.kind == AVRO_MAP:
            entries = list(shapes[op.column][2])
            return (
                entries == [op.a]
                and shapes[op.a][0] == STRUCT
                and list(shapes[op.a][2]) == [op.b, *parts]
                and shapes[op.b][0] == BINARY
            )
        used = [part for part in parts if part >= 0]
        return used == list(shapes[op.column][2])

    def __dealloc__(self):
        free(self.ops)
        free(self.children)


cdef int _check_op(AvroOp* op, int32_t index, list shapes) except -1:
    """An operation fits the column it fills: the loops below rely on it."""
    wanted = {
        AVRO_NULL: (NULLS, 0), AVRO_BOOLEAN: (BITS, 0), AVRO_INT: (FIXED, 4), AVRO_LONG: (FIXED, 8),
        AVRO_FLOAT: (FIXED, 4), AVRO_DOUBLE: (FIXED, 8), AVRO_BYTES: (BINARY, 0), AVRO_STRING: (BINARY, 0),
        AVRO_FIXED: (FIXED, op.a), AVRO_ENUM: (FIXED, 4), AVRO_RECORD: (STRUCT, 0), AVRO_ARRAY: (LIST, 0),
        AVRO_MAP: (LIST, 0), AVRO_UNION: (STRUCT, 0),
    }
    children = {AVRO_ARRAY: 1, AVRO_MAP: 1, AVRO_OPTION: 1}.get(op.kind)
    good = 0 <= op.kind <= AVRO_LAST_OP and -1 <= op.column < len(shapes)
    if good and op.column >= 0 and op.kind in wanted:
        good = tuple(shapes[op.column][:2]) == wanted[op.kind]
    if good and op.kind >= AVRO_DECIMAL_BYTES:
        width = 16 if op.a <= 38 else 32
        good = op.column < 0 or tuple(shapes[op.column][:2]) == (FIXED, width)
        good = good and 1 <= op.a <= 76 and 0 <= op.b <= AVRO_WIDEST_DECIMAL
    if not good or (children is not None and op.child_count != children):
        raise ValueError(f"operation {index} of kind {op.kind} does not fit its column")
    return 0
