"""A compiled JSON schema, checked so that running it needs no checks of its own."""

from libc.stdint cimport int32_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free

from mainstem.kernels.payload_columns cimport BINARY, BITS, FIXED, LIST, NULLS, STRUCT


cdef class JsonPlan:
    """A compiled schema. ``ops`` are (kind, column, a, b, children), the root object first;
    ``names`` has a member's name in UTF-8 for every operation. Immutable, so threads may share.
    """

    def __cinit__(self, list ops not None, list names not None, list shapes not None):
        cdef int32_t at = 0, slot = 0, index
        cdef uint32_t size
        cdef Op* op
        self.count = <int32_t>len(ops)
        self.shapes = shapes
        if not ops or self.count > 1 << 16 or len(names) != self.count or ops[0][0] != JSON_OBJECT:
            raise ValueError(f"a plan of {self.count} operations")
        self._texts = [bytes(name) for name in names]
        self.ops = <Op*>calloc(self.count, sizeof(Op))
        self.names = <Name*>calloc(self.count, sizeof(Name))
        self.children = <int32_t*>calloc(self.count + 1, sizeof(int32_t))
        self.slots = <int32_t*>calloc(4 * self.count + 8 * self.count, sizeof(int32_t))
        if self.ops == NULL or self.names == NULL or self.children == NULL or self.slots == NULL:
            raise MemoryError
        used = set()
        for index in range(self.count):
            op = &self.ops[index]
            op.kind, op.column, op.a, op.b, members = ops[index]
            self.names[index].text = <const uint8_t*>(<bytes>self._texts[index])
            self.names[index].size = len(<bytes>self._texts[index])
            self.names[index].plain = all(
                code >= 32 and code != 34 and code != 92 for code in <bytes>self._texts[index])
            op.first_child, op.child_count = at, <int32_t>len(members)
            for child in members:
                if not index < child < self.count or child in used:
                    raise ValueError(f"operation {child} cannot be part of operation {index}")
                used.add(child)
                self.children[at] = child
                at += 1
            _check_op(op, index, shapes, [ops[child][1] for child in members])
        for index in range(self.count):
            op = &self.ops[index]
            if op.kind != JSON_OBJECT:
                continue
            size = 4
            while size < 2 * <uint32_t>op.child_count:
                size *= 2
            op.first_slot, op.slot_mask = slot, size - 1
            slot += size
            self._fill_slots(op)

    cdef int _fill_slots(self, Op* op) except -1:
        cdef int32_t at, child
        cdef uint32_t place
        for at in range(op.slot_mask + 1):
            self.slots[op.first_slot + at] = -1
        for at in range(op.child_count):
            child = self.children[op.first_child + at]
            place = name_hash(self.names[child].text, self.names[child].size) & op.slot_mask
            while self.slots[op.first_slot + place] >= 0:
                place = (place + 1) & op.slot_mask
            self.slots[op.first_slot + place] = child
        return 0

    def __dealloc__(self):
        free(self.ops)
        free(self.children)
        free(self.slots)
        free(self.names)


cdef int _check_op(Op* op, int32_t index, list shapes, list parts) except -1:
    """An operation fits its column, and its members the column's children."""
    wanted = {
        JSON_NULL: (NULLS, 0), JSON_BOOLEAN: (BITS, 0), JSON_INTEGER: (FIXED, op.a // 8), JSON_DOUBLE: (FIXED, 8),
        JSON_FLOAT: (FIXED, 4), JSON_STRING: (BINARY, 0), JSON_TEXT: (BINARY, 0), JSON_BASE64: (BINARY, 0),
        JSON_MOMENT: (FIXED, 8), JSON_DATE: (FIXED, 4), JSON_TIME: (FIXED, 4 if op.a < 6 else 8),
        JSON_DECIMAL: (FIXED, 16), JSON_LIST: (LIST, 0), JSON_OBJECT: (STRUCT, 0), JSON_MAP: (LIST, 0),
    }
    good = 0 <= op.kind <= JSON_LAST_KIND and (0 <= op.column < len(shapes) or index == 0)
    if good and index == 0:
        inner = {child for shape in shapes for child in shape[2]}
        good = sorted(parts) == [at for at in range(len(shapes)) if at not in inner]
    elif good:
        shape = shapes[op.column]
        good = tuple(shape[:2]) == wanted[op.kind]
        if op.kind == JSON_INTEGER:
            good = good and op.a in (8, 16, 32, 64)
        elif op.kind == JSON_MOMENT or op.kind == JSON_TIME:
            good = good and op.a in (0, 3, 6, 9)
        elif op.kind == JSON_DECIMAL:
            good = good and 1 <= op.a <= 38 and 0 <= op.b <= op.a
        elif op.kind == JSON_MAP:
            good = (
                good and list(shape[2]) == [op.a] and shapes[op.a][0] == STRUCT
                and len(parts) == 1 and list(shapes[op.a][2]) == [op.b, *parts]
                and shapes[op.b][0] == BINARY
            )
        elif op.kind == JSON_LIST or op.kind == JSON_OBJECT:
            good = good and list(shape[2]) == parts
    if not good or (parts and op.kind < JSON_LIST):
        raise ValueError(f"operation {index} of kind {op.kind} does not fit its column")
    return 0
