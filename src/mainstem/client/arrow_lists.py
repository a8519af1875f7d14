"""Lists in Arrow's several layouts, from one to the other without casts.

pyarrow 26 casts list views to lists that lack their last offset, slices of large lists to lists
whose members differ in length, and crashes on lists of views to lists of fixed size; of list
views it ignores the sizes (https://github.com/apache/arrow/pull/50976). So no cast here changes
how a list is laid out.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mainstem.errors import Corrupt

_LISTS: Final = ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")
_VIEWS: Final = ("list_view", "large_list_view")


def decoded(column: Any) -> Any:
    """A dictionary's column as its values; pyarrow 26 cannot where they are views, as Polars'."""
    kind, types = column.type.value_type, pa.types
    if types.is_string_view(kind) or types.is_binary_view(kind):
        plain = pa.large_string() if types.is_string_view(kind) else pa.large_binary()
        values = column.dictionary.cast(plain)
        column = pa.DictionaryArray.from_arrays(column.indices, values, ordered=column.type.ordered)
    return column.dictionary_decode()


def cast_lists(array: Any, kind: Any) -> Any:
    """``array.cast(kind)``, where lists may be laid out in another way than ``kind`` says.

    Raises ``Corrupt`` for lists that cannot be, and what Arrow's cast raises.
    """
    if array.type == kind:
        return array
    if _same_layout(array.type, kind):
        return array.cast(kind)
    if not (_is_any(array.type, _LISTS) and _is_any(kind, _LISTS)):
        raise Corrupt(f"{array.type} has lists inside that are laid out differently in {kind}")
    if _is_any(array.type, _VIEWS):
        total = pc.sum(pc.list_value_length(array)).as_py() or 0
        if total > len(array.values):  # a few bytes could ask for any amount of memory
            raise Corrupt(f"lists of {total} entries overlap in {len(array.values)}")
    lists = plain_list(array)
    entries = cast_lists(lists.values, kind.value_type)
    buffers = lists.buffers()[:2]
    made = pa.list_(kind.value_field)
    whole = pa.Array.from_buffers(made, len(lists), buffers, lists.null_count, children=[entries])
    return list_as(whole, kind)


def _is_any(kind: Any, names: tuple[str, ...]) -> bool:
    return any(getattr(pa.types, f"is_{name}")(kind) for name in names)


def _same_layout(found: Any, wanted: Any) -> bool:
    """Whether a cast need not touch how lists are laid out, at any depth."""
    types = pa.types
    if found == wanted or types.is_null(found):
        return True
    if isinstance(found, pa.BaseExtensionType):
        return _same_layout(found.storage_type, wanted)
    if isinstance(wanted, pa.BaseExtensionType):
        return _same_layout(found, wanted.storage_type)
    if types.is_map(found) and types.is_map(wanted):
        return _same_layout(found.key_type, wanted.key_type) and _same_layout(
            found.item_type, wanted.item_type
        )
    if (types.is_map(found) and types.is_list(wanted)) or (
        types.is_list(found) and types.is_map(wanted)
    ):
        return not (_holds_lists(found.field(0).type) or _holds_lists(wanted.field(0).type))
    if _is_any(found, _LISTS) or _is_any(wanted, _LISTS):
        alike = found.id == wanted.id and not _is_any(found, _VIEWS)
        if not alike or getattr(found, "list_size", 0) != getattr(wanted, "list_size", 0):
            return False
        return _same_layout(found.value_type, wanted.value_type)
    if types.is_struct(found) and types.is_struct(wanted):
        kinds = {field.name: field.type for field in wanted}
        return all(_same_layout(field.type, kinds.get(field.name, field.type)) for field in found)
    return not (_holds_lists(found) or _holds_lists(wanted))


def _holds_lists(kind: Any) -> bool:
    if _is_any(kind, _LISTS):
        return True
    return any(_holds_lists(kind.field(at).type) for at in range(kind.num_fields))


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
