"""Lists in Arrow's several layouts, from one to the other without casts.

pyarrow 26 casts list views to lists that lack their last offset, slices of large lists to lists
whose members differ in length, and crashes on lists of views to lists of fixed size. What is
nested in lists is never touched here.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mainstem.errors import Corrupt


def plain_list(array: Any) -> Any:
    """Lists of another layout as ``pa.list_``."""
    sizes = pc.if_else(array.is_valid(), pc.list_value_length(array).cast(pa.int64()), 0)
    ends = pc.cumulative_sum(sizes).cast(pa.int32())
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    missing = array.is_null() if array.null_count else None
    kind = pa.list_(array.type.value_field)
    return pa.ListArray.from_arrays(offsets, array.flatten(), kind, mask=missing)


def list_as(array: Any, kind: Any) -> Any:
    """A whole ``pa.list_`` array, whose entries are right already, in the layout of ``kind``.

    Raises ``Corrupt`` where a list has not the size that ``kind`` says.
    """
    types = pa.types
    validity, offsets = array.buffers()[:2]
    numbers = pa.Array.from_buffers(pa.int32(), len(array) + 1, [None, offsets])
    values = array.values
    if types.is_fixed_size_list(kind):
        values = _padded(array, numbers, kind.list_size)
        buffers = [validity]
    elif types.is_list(kind):
        buffers = [validity, offsets]
    elif types.is_large_list(kind):
        buffers = [validity, numbers.cast(pa.int64()).buffers()[1]]
    else:
        wide = pa.int64() if types.is_large_list_view(kind) else pa.int32()
        starts = numbers.slice(0, len(array))
        sizes = pc.subtract(numbers.slice(1), starts).cast(wide)
        buffers = [validity, starts.cast(wide).buffers()[1], sizes.buffers()[1]]
    return pa.Array.from_buffers(kind, len(array), buffers, array.null_count, children=[values])


def _padded(array: Any, numbers: Any, size: int) -> Any:
    """The entries of lists of one size, with nulls where a list is null."""
    sizes = pc.filter(pc.list_value_length(array), array.is_valid())
    if not pc.all(pc.equal(sizes, size)).as_py() and len(sizes):
        wrong = sizes.filter(pc.not_equal(sizes, size))[0]
        raise Corrupt(f"a list has {wrong} entries where its type has {size}")
    values = array.values
    if not array.null_count:
        return values.slice(numbers[0].as_py(), len(array) * size)
    parts = []
    empty = pc.indices_nonzero(array.is_null()).to_pylist()
    for before, row in pairwise([-1, *empty, len(array)]):
        first = numbers[before + 1].as_py()
        parts.append(values.slice(first, (row - before - 1) * size))
        if row < len(array):
            parts.append(pa.nulls(size, values.type))
    return pa.concat_arrays(parts)
