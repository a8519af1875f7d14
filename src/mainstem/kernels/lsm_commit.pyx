"""What every commit changes in memory, without a line of Python for each step.

Control-C cannot come between these steps, and nobody else's Python code either.
"""

from mainstem.kernels.lsm_arena cimport Piece
from mainstem.kernels.lsm_batch cimport OP_RANGE, Operation
from mainstem.kernels.lsm_memtable cimport Memtable

cdef extern from *:
    """
    /* A named tuple of two: what its class does, without the calls. */
    static inline PyObject* lsm_pair(PyObject* kind, PyObject* first, PyObject* second) {
        PyObject* pair = ((PyTypeObject*)kind)->tp_alloc((PyTypeObject*)kind, 2);
        if (pair == NULL) return NULL;
        Py_INCREF(first);
        Py_INCREF(second);
        PyTuple_SET_ITEM(pair, 0, first);
        PyTuple_SET_ITEM(pair, 1, second);
        return pair;
    }
    """
    bint PyType_HasFeature(type, unsigned long)
    enum: Py_TPFLAGS_TUPLE_SUBCLASS
    object pair_of "lsm_pair"(object, object, object)


def insert_rows(
    Piece record not None, Py_ssize_t position, list operations not None, dict active not None,
    dict specs not None,
):
    """Add rows of ``operations``, of which ``record`` was made, to the memtables of ``active``.

    The first begins at ``position``; those before ``record.inserted`` were added before. Returns
    ``None`` when all are, else the operation that its caller has to deal with first, and where it
    begins: a range delete, or rows of a family without a memtable. Raises as ``Memtable.insert``.
    """
    cdef Operation operation
    cdef Py_ssize_t end
    cdef Memtable memtable
    cdef list layers
    for operation in operations:
        end = position + operation.size
        if end > record.inserted:
            layers = None if operation.kind == OP_RANGE else active.get(operation.family)
            if layers is None:
                return operation, position
            memtable = layers[0].memtable
            memtable.add(
                record, record.data, record.size, position, specs[operation.family])
            record.inserted = end
        position = end
    return None


cpdef tuple marks_of(list layers):
    """Each of ``layers`` with the number of rows it has now."""
    if len(layers) == 1:
        layer = layers[0]
        return ((layer, (<Memtable>layer.memtable).rows),)
    return tuple([(layer, (<Memtable>layer.memtable).rows) for layer in layers])


def show(
    dict view not None, list operations not None, dict active not None, dict marks not None,
    dict sealed not None, dict disk not None, type kind not None,
):
    """Set ``marks`` to all rows of the families of ``operations``, and give a new ``view``.

    The view has for each family a ``kind``, which is a named tuple, of its memtables, those that
    are ``sealed`` last, and its ``disk``.
    """
    cdef Operation operation
    cdef tuple memory, older
    cdef dict result = view.copy()
    if not PyType_HasFeature(kind, Py_TPFLAGS_TUPLE_SUBCLASS):
        raise TypeError(f"a view is a named tuple, not {kind}")
    for operation in operations:
        family = operation.family
        memory = marks_of(active[family])
        marks[family] = memory
        older = sealed[family]
        result[family] = pair_of(
            kind, memory + older if older else memory, disk[family])
    return result


def bytes_held(dict active not None):
    """Bytes that the memtables of ``active`` hold."""
    cdef Py_ssize_t size = 0
    cdef list layers
    for layers in active.values():
        for layer in layers:
            size += (<Memtable>layer.memtable).memory
    return size
