"""Between Arrow arrays and the kernels' columns: shapes, buffers and nesting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mainstem.client.arrow_lists import decoded, plain_list
from mainstem.errors import Invalid
from mainstem.kernels import BinaryColumn, Sources

NULLS, BITS, FIXED, BINARY, LIST, STRUCT = range(6)
ENUM: Final = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True, slots=True)
class Hooks:
    """From what the kernel filled to what users see, and back (with the column's name)."""

    after: Callable[[Any], Any]
    before: Callable[[Any, str], Any]


class Columns:
    """Columns by number, each with its storage and its Arrow type. Filled by a compiler."""

    def __init__(self) -> None:
        self.shapes: list[Any] = []
        self.types: list[Any] = []
        self.roots: list[int] = []
        self._physical: dict[int, Any] = {}
        self._hooks: dict[int, Hooks] = {}

    def reserve(self) -> int:
        """A number for a column that is described later, before its children's."""
        self.shapes.append(None)
        self.types.append(None)
        return len(self.shapes) - 1

    def _set(self, column: int, storage: int, width: int, children: list[int], kind: Any) -> None:
        self.shapes[column] = (storage, width, children)
        self.types[column] = kind

    def plain(self, kind: Any) -> int:
        """A column of a type without children."""
        column = self.reserve()
        self.describe(column, kind)
        return column

    def describe(self, column: int, kind: Any) -> None:
        """Describe a reserved column as one of a type without children."""
        if pa.types.is_null(kind):
            self._set(column, NULLS, 0, [], kind)
        elif pa.types.is_boolean(kind):
            self._set(column, BITS, 0, [], kind)
        elif pa.types.is_binary(kind) or pa.types.is_string(kind):
            self._set(column, BINARY, 0, [], kind)
        else:
            self._set(column, FIXED, kind.bit_width // 8, [], kind)

    def fixed(self, kind: Any, width: int) -> int:
        """A column of ``width`` bytes an entry."""
        column = self.reserve()
        self._set(column, FIXED, width, [], kind)
        return column

    def hook(self, column: int, kind: Any, hooks: Hooks) -> None:
        """Have users see another type than the kernel fills."""
        self._physical[column] = self.types[column]
        self._hooks[column] = hooks
        self.types[column] = kind

    def symbols(self, names: Sequence[str]) -> int:
        """A column of numbers into ``names``."""
        column = self.plain(pa.int32())
        symbols = pa.array(names, pa.string())
        self.hook(column, ENUM, Hooks(
            lambda numbers: pa.DictionaryArray.from_arrays(numbers, symbols, safe=False),
            lambda array, name: _numbers(array, symbols, name),
        ))  # fmt: skip
        return column

    def struct(self, column: int, names: Sequence[str], children: list[int]) -> None:
        """Describe a reserved column as a struct."""
        fields = [pa.field(name, self.types[at]) for name, at in zip(names, children, strict=True)]
        self._set(column, STRUCT, 0, children, pa.struct(fields))

    def list_of(self, column: int, child: int) -> None:
        """Describe a reserved column as a list."""
        self._set(column, LIST, 0, [child], pa.list_(self.types[child]))

    def map_of(self, column: int, entries: int, keys: int, values: int) -> None:
        """Describe two reserved columns as a map and its entries."""
        kind = pa.map_(self.types[keys], self.types[values])
        fields = [pa.field("key", self.types[keys], nullable=False), kind.item_field]
        self._set(entries, STRUCT, 0, [keys, values], pa.struct(fields))
        self._set(column, LIST, 0, [entries], kind)

    # --- kernel to Arrow ---------------------------------------------------------------------

    def arrays(self, finished: list[Any]) -> list[Any]:
        """The top-level arrays of what a kernel filled, sharing its memory."""
        return [self._array(column, finished) for column in self.roots]

    def _array(self, column: int, finished: list[Any]) -> Any:
        storage, _, children = self.shapes[column]
        kind = self._physical.get(column, self.types[column])
        length, nulls, *buffers = finished[column]
        if storage == NULLS:
            return pa.nulls(length)
        validity, values, data = (None if b is None else pa.py_buffer(b) for b in buffers)
        parts = [self._array(child, finished) for child in children]
        own = [validity]
        if storage != STRUCT:
            own.append(values)
        if storage == BINARY:
            own.append(data)
        found = pa.Array.from_buffers(kind, length, own, nulls, children=parts)
        if pa.types.is_decimal256(kind):
            found.validate(full=True)  # its digits; the kernel counts those of decimal128
        hooks = self._hooks.get(column)
        return found if hooks is None else hooks.after(found)

    # --- Arrow to kernel ---------------------------------------------------------------------

    def sources(self, arrays: Sequence[Any], names: Sequence[str]) -> Sources:
        """The kernel's view of one array per top-level column, cast to the column's type.

        Raises ``Invalid`` naming the column whose values do not fit.
        """
        shapes: list[Any] = [None] * len(self.shapes)
        for column, array, name in zip(self.roots, arrays, names, strict=True):
            self._source(column, array, name, shapes)
        return Sources(shapes)

    def _source(self, column: int, array: Any, name: str, shapes: list[Any]) -> None:
        storage, width, children = self.shapes[column]
        kind = self._physical.get(column, self.types[column])
        if storage == NULLS:
            if array.null_count < len(array):
                raise Invalid(f"column {name!r} must be null in every row, as its schema says")
            shapes[column] = (NULLS, 0, [], 0, len(array), None, None, None)
            return
        if column in self._hooks:
            array = self._hooks[column].before(array, name)
        if storage in {LIST, STRUCT}:
            self._nested(column, array, name, shapes)
            return
        if array.type != kind:
            array = convert(array, kind, name)
        validity, values, *data = array.buffers()
        body = data[0] if data else None
        if array.null_count == 0:
            validity = None
        shapes[column] = (
            storage, width, children, array.offset, len(array), validity, values, body
        )  # fmt: skip

    def _nested(self, column: int, array: Any, name: str, shapes: list[Any]) -> None:
        storage, width, children = self.shapes[column]
        types = pa.types
        kind = self._physical.get(column, self.types[column])
        if types.is_null(array.type):
            array = pa.nulls(len(array), kind)
        if storage == STRUCT:
            if not types.is_struct(array.type):
                raise misfit(name, array.type, kind)
            self._members(column, array, name, shapes)
        else:
            array = _as_list(array, name, kind)
            if types.is_map(kind):
                (entries,) = children
                inner = array.values
                self._source(entries, inner, name, shapes)
            else:
                self._source(children[0], array.values, f"{name}[]", shapes)
        buffers = array.buffers()
        validity = buffers[0] if array.null_count else None
        values = None if storage == STRUCT else buffers[1]
        shapes[column] = (
            storage, width, children, array.offset, len(array), validity, values, None
        )  # fmt: skip

    def _members(self, column: int, array: Any, name: str, shapes: list[Any]) -> None:
        """A struct's members by name; one that is missing is null, one too many an error."""
        wanted = [field.name for field in self._physical.get(column, self.types[column])]
        there = [field.name for field in array.type]
        if pa.types.is_map(array.type) or set(there) == {"key", "value"} == set(wanted):
            there = ["key", "value"]
        for extra in set(there) - set(wanted):
            raise Invalid(f"column {name!r} has a member {extra!r} that its schema does not have")
        for child, member in zip(self.shapes[column][2], wanted, strict=True):
            part = array.field(there.index(member)) if member in there else pa.nulls(len(array))
            self._source(child, part, f"{name}.{member}", shapes)


def _numbers(array: Any, symbols: Any, name: str) -> Any:
    array = convert(array, pa.string(), name)
    numbers = pc.index_in(array, symbols)
    if numbers.null_count > array.null_count:
        raise unknown_symbol(array, numbers, symbols, name)
    return numbers


def unknown_symbol(array: Any, numbers: Any, symbols: Any, name: str) -> Invalid:
    """A column holds a text that its enum does not have: the error."""
    strange = array.filter(pc.and_(numbers.is_null(), array.is_valid()))[0]
    allowed = ", ".join(symbols.to_pylist()[:8])
    return Invalid(f"column {name!r} holds {str(strange)!r}: its enum has {allowed}")


def convert(array: Any, kind: Any, name: str) -> Any:
    """``array`` as ``kind``, with every value kept. Raises ``Invalid`` where one cannot be."""
    if pa.types.is_dictionary(array.type):
        array = decoded(array)
    if array.type == kind:
        return array
    if not _compatible(array.type, kind):
        raise misfit(name, array.type, kind)
    try:
        found = array.cast(kind)
    except (pa.ArrowException, ValueError) as error:
        raise Invalid(f"column {name!r} does not fit {kind}: {error}") from error
    if pa.types.is_floating(kind) and (
        pa.types.is_integer(array.type) or _narrower(kind, array.type)
    ):
        back = found.cast(array.type, safe=False)
        same = pc.or_kleene(pc.equal(back, array), _both_nan(back, array))
        if not pc.all(pc.fill_null(same, True)).as_py():
            raise Invalid(f"column {name!r} holds numbers that {kind} cannot hold exactly")
    return found


def _both_nan(left: Any, right: Any) -> Any:
    if not pa.types.is_floating(right.type):
        return pa.scalar(False)
    return pc.and_(pc.is_nan(left), pc.is_nan(right))


def _narrower(kind: Any, than: Any) -> bool:
    return bool(pa.types.is_floating(than) and kind.bit_width < than.bit_width)


def _family(kind: Any) -> str:
    types = pa.types
    if types.is_integer(kind) or types.is_floating(kind):
        return "number"
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    if (
        types.is_binary(kind) or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind) or types.is_binary_view(kind)
    ):  # fmt: skip
        return "bytes"
    if types.is_timestamp(kind):
        return "instant" if kind.tz else "local time"
    for name in ("date", "time", "decimal", "boolean", "duration", "null"):
        if getattr(types, f"is_{name}")(kind):
            return name
    return str(kind)


_ALLOWED: Final = frozenset(
    {("null", "*"), ("date", "local time"), ("number", "decimal"), ("bytes", "text"),
     ("text", "bytes"), ("local time", "date")}
)  # fmt: skip


def _compatible(found: Any, wanted: Any) -> bool:
    """Whether a cast means the same thing: numbers do not become times, nor text numbers."""
    pair = _family(found), _family(wanted)
    if pa.types.is_floating(found) and pa.types.is_integer(wanted):
        return False
    if pair == ("number", "decimal") and pa.types.is_floating(found):
        return False
    return pair[0] == pair[1] or pair in _ALLOWED or pair[0] == "null"


def misfit(name: str, found: Any, wanted: Any) -> Invalid:
    """A column's type is not what the schema needs: the error."""
    return Invalid(f"column {name!r} is {found}, its schema needs {wanted}: cast it first")


def _as_list(array: Any, name: str, kind: Any) -> Any:
    types = pa.types
    wants_map, is_map = types.is_map(kind), types.is_map(array.type)
    if wants_map and is_map:
        return array
    listed = is_map or any(
        getattr(types, f"is_{word}")(array.type)
        for word in ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")
    )
    if not listed:
        raise misfit(name, array.type, kind)
    if types.is_list(array.type):
        return array
    try:
        return plain_list(array)
    except pa.ArrowException as error:
        raise Invalid(f"column {name!r} cannot become a list: {error}") from error


def binary_column(column: Any) -> BinaryColumn:
    """A ``binary`` or ``large_binary`` array, or text, as the kernels read it."""
    validity, offsets, data = column.buffers()
    wide = pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type)
    return BinaryColumn(offsets, data, validity, column.offset, len(column), wide)


def binary_array(offsets: Any, data: Any, rows: int) -> Any:
    """What an encoding kernel returned, as a ``binary`` array."""
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), rows, buffers, 0)
