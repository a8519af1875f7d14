"""Schema resolution (Avro specification 1.12): what one schema wrote, read as another.

Worked out once per pair of schemas; then it is column operations, whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from mainstem.client.avro_defaults import default_scalar, optional
from mainstem.client.avro_plan import Compiled, branch_names, compile_schema
from mainstem.client.avro_schema import NO_DEFAULT, Field, Node, parse
from mainstem.errors import Corrupt, Invalid

#: From an array as the writer's schema reads it to one of the reader's type.
Step = Callable[[Any], Any]
_PROMOTIONS: Final = {
    "int": {"long", "float", "double"}, "long": {"float", "double"}, "float": {"double"},
    "string": {"bytes"}, "bytes": {"string"},
}  # fmt: skip


def can_read(writer: str, reader: str) -> bool:
    """Whether what ``writer`` wrote can be read as ``reader``, both as JSON text.

    Raises ``Invalid`` for text that is no schema.
    """
    try:
        resolve(compile_schema(parse(writer)), compile_schema(parse(reader)))
    except _Mismatch:
        return False
    return True


class _Mismatch(Invalid):
    """The schemas do not fit each other."""


def resolve(writer: Compiled, reader: Compiled) -> Callable[[Sequence[Any]], list[Any]]:
    """A function from the writer's top-level columns to the reader's.

    Raises ``Invalid`` where the schemas do not fit. The function raises ``Corrupt`` for values
    that the reader has no place for, as null where it allows none.
    """
    old, new = writer.root, reader.root
    types = list(reader.schema.types)
    if old.kind == "record" and new.kind == "record":
        _same_name(old, new, "")
        steps = _field_steps(old, new, types, "")
        return lambda columns: [step(columns) for step in steps]
    if (old.kind == "record") != (new.kind == "record"):
        raise _Mismatch("one of the Avro schemas is a record, the other is none")
    single = _step(old, new, types[0], "value")
    return lambda columns: [single(columns[0])]


def _field_steps(
    old: Node, new: Node, types: Sequence[Any], path: str
) -> list[Callable[[Sequence[Any]], Any]]:
    places = {field.name: at for at, field in enumerate(old.fields)}
    steps: list[Callable[[Sequence[Any]], Any]] = []
    for field, kind in zip(new.fields, types, strict=True):
        name = next((n for n in (field.name, *field.aliases) if n in places), None)
        below = f"{path}.{field.name}" if path else field.name
        if name is None:
            steps.append(_default_step(field, kind, below))
            continue
        at = places[name]
        step = _step(old.fields[at].type, field.type, kind, below)
        steps.append(lambda columns, at=at, step=step: step(columns[at]))  # type: ignore[misc]
    return steps


def _default_step(field: Field, kind: Any, path: str) -> Callable[[Sequence[Any]], Any]:
    if field.default is NO_DEFAULT:
        raise _Mismatch(f"field {path!r} is not in what was written, and has no default")
    value = default_scalar(field.type, field.default, kind, path)
    return lambda columns: _repeat(value, len(columns[0]) if columns else 0)


def _repeat(value: Any, rows: int) -> Any:
    return pa.repeat(value, rows) if value.is_valid else pa.nulls(rows, value.type)


def _step(old: Node, new: Node, kind: Any, path: str) -> Step:
    allowed, target = optional(new)
    nullable, source = optional(old)
    if source.kind == "union":
        inner = _from_union(source, target, kind, path)
    elif target.kind == "union":
        inner = _into_union(source, target, kind, path)
    else:
        inner = _plain(source, target, kind, path, allowed)
    if not nullable or allowed:
        return inner

    def checked(array: Any) -> Any:
        if array.null_count:
            raise Corrupt(f"field {path!r} is null where the reader's schema allows no null")
        return inner(array)

    return checked


def _plain(old: Node, new: Node, kind: Any, path: str, allowed: bool) -> Step:
    if old.kind == "null":
        if not allowed:
            raise _Mismatch(f"field {path!r} was written as null, the reader allows no null")
        return lambda array: pa.nulls(len(array), kind)
    if old.kind == new.kind:
        if old.kind == "record":
            return _record(old, new, kind, path)
        if old.kind == "enum":
            return _enum(old, new, path)
        if old.kind == "array":
            step = _step(old.parts[0], new.parts[0], kind.value_type, f"{path}[]")
            return lambda array: _rebuilt(array, kind, [step(array.values)])
        if old.kind == "map":
            step = _step(old.parts[0], new.parts[0], kind.item_type, f"{path}{{}}")
            return lambda array: _rebuilt_map(array, kind, step)
        if old.kind == "fixed":
            _same_name(old, new, path)
            if old.size != new.size:
                raise _Mismatch(f"field {path!r} was fixed({old.size}), now fixed({new.size})")
        return _same(old, new, kind, path)
    if new.kind in _PROMOTIONS.get(old.kind, ()):
        return _promotion(old, new, kind, path)
    raise _Mismatch(f"field {path!r} was written as {old.name}, the reader wants {new.name}")


def _same(old: Node, new: Node, kind: Any, path: str) -> Step:
    if old.logical == new.logical:
        if old.logical == "decimal":
            if old.scale != new.scale or old.precision > new.precision:
                raise _Mismatch(f"field {path!r} was a decimal with other digits")
            return lambda array: array.cast(kind)
        return lambda array: array
    if "decimal" in {old.logical, new.logical}:
        raise _Mismatch(
            f"field {path!r} was {old.logical or old.kind}, now {new.logical or new.kind}"
        )
    if old.logical and new.logical and "uuid" not in {old.logical, new.logical}:
        if old.logical.rpartition("-")[0] != new.logical.rpartition("-")[0]:
            raise _Mismatch(f"field {path!r} was {old.logical}, the reader wants {new.logical}")

        def cast(array: Any) -> Any:
            try:
                return array.cast(kind)
            except pa.ArrowInvalid as error:
                raise Corrupt(f"field {path!r} does not fit {kind}: {error}") from error

        return cast
    return lambda array: array.view(kind) if array.type != kind else array


def _promotion(old: Node, new: Node, kind: Any, path: str) -> Step:
    if old.logical == "decimal" or new.logical == "decimal":
        raise _Mismatch(f"field {path!r} is a decimal on one side only")

    def promote(array: Any) -> Any:
        number = {"int": pa.int32(), "long": pa.int64()}.get(old.kind)
        plain = array.view(number) if number is not None and array.type != number else array
        wanted = {"long": pa.int64()}.get(new.kind, kind)
        try:
            found = plain.cast(wanted, safe=new.kind == "string")
            return found if found.type == kind else found.view(kind)
        except pa.ArrowInvalid as error:
            raise Corrupt(f"field {path!r} does not fit {kind}: {error}") from error

    return promote


def _record(old: Node, new: Node, kind: Any, path: str) -> Step:
    _same_name(old, new, path)
    steps = _field_steps(old, new, [member.type for member in kind], path)

    def step(array: Any) -> Any:
        # The members' own rows, as long as the struct, null where it is.
        columns = [array.field(at) for at in range(array.type.num_fields)]
        if not columns:  # its length is known from itself alone
            columns = [pa.nulls(len(array))]
        parts = [each(columns) for each in steps]
        mask = array.is_null() if array.null_count else None
        if not parts:
            return array
        return pa.StructArray.from_arrays(parts, fields=list(kind), mask=mask)

    # A default or a check must not see rows that are null as a whole.
    def only_valid(array: Any) -> Any:
        if not array.null_count:
            return step(array)
        rows = pc.fill_null(pc.cumulative_sum(array.is_valid().cast(pa.int32())), 0)
        packed = step(array.filter(array.is_valid()))
        places = pc.if_else(array.is_valid(), pc.subtract(rows, 1), pa.scalar(None, pa.int32()))
        return packed.take(places)

    return only_valid


def _enum(old: Node, new: Node, path: str) -> Step:
    _same_name(old, new, path)
    if set(old.symbols) <= set(new.symbols):
        return lambda array: array
    default = None if new.default is NO_DEFAULT else new.default

    def step(array: Any) -> Any:
        text = array.dictionary_decode()
        known = pc.is_in(text, pa.array(new.symbols, pa.string()))
        strange = text.filter(pc.and_(pc.invert(known), text.is_valid()))
        if len(strange) and default is None:
            raise Corrupt(
                f"field {path!r} holds {str(strange[0])!r}, which the reader's enum lacks"
            )
        chosen = pc.if_else(pc.or_(known, text.is_null()), text, pa.scalar(default, pa.string()))
        return chosen.dictionary_encode()

    return step


def _from_union(old: Node, new: Node, kind: Any, path: str) -> Step:
    """Each branch that fits is read; a value of one that does not is an error."""
    if new.kind == "union" and _same_branches(old, new):
        return _between_unions(old, new, kind, path)
    steps: list[tuple[str, Step | None]] = []
    for name, branch in zip(
        branch_names(old), [part for part in old.parts if part.kind != "null"], strict=True
    ):
        try:
            steps.append((name, _step(branch, new, kind, path)))
        except _Mismatch:
            steps.append((name, None))
    if all(step is None for _, step in steps):
        raise _Mismatch(f"field {path!r}: no branch of the writer's union fits the reader")

    def step(array: Any) -> Any:
        found = pa.nulls(len(array), kind)
        for at, (name, inner) in enumerate(steps):
            part = array.field(at)
            if part.null_count == len(part):
                continue
            if inner is None:
                raise Corrupt(f"field {path!r} holds a {name}, which the reader cannot take")
            packed = inner(part.filter(part.is_valid()))
            found = (
                pc.replace_with_mask(found, part.is_valid(), packed)
                if _flat(kind)
                else _scatter(found, part.is_valid(), packed)
            )
        return found

    return step


def _same_branches(old: Node, new: Node) -> bool:
    theirs = {part.name for part in new.parts}
    return all(part.name in theirs for part in old.parts if part.kind != "null")


def _between_unions(old: Node, new: Node, kind: Any, path: str) -> Step:
    places = {
        part.name: at for at, part in enumerate(part for part in old.parts if part.kind != "null")
    }
    steps: list[tuple[int, Step] | None] = []
    for part, member in zip((part for part in new.parts if part.kind != "null"), kind, strict=True):
        at = places.get(part.name)
        if at is None:
            steps.append(None)
            continue
        source = [p for p in old.parts if p.kind != "null"][at]
        nullable = Node("union", "union", [Node("null", "null"), source])
        target = Node("union", "union", [Node("null", "null"), part])
        steps.append((at, _step(nullable, target, member.type, path)))

    def step(array: Any) -> Any:
        parts = [
            pa.nulls(len(array), member.type) if found is None else found[1](array.field(found[0]))
            for found, member in zip(steps, kind, strict=True)
        ]
        mask = array.is_null() if array.null_count else None
        return pa.StructArray.from_arrays(parts, fields=list(kind), mask=mask)

    return step


def _into_union(old: Node, new: Node, kind: Any, path: str) -> Step:
    """The first branch of the same type, else the first it can be promoted to."""
    branches = [part for part in new.parts if part.kind != "null"]
    if old.kind == "null":
        if len(branches) == len(new.parts):
            raise _Mismatch(f"field {path!r} was written as null, the reader allows no null")
        return lambda array: pa.nulls(len(array), kind)
    order = sorted(range(len(branches)), key=lambda at: branches[at].name != old.name)
    for at in order:
        try:
            inner = _step(old, branches[at], kind[at].type, path)
        except _Mismatch:
            continue

        def step(array: Any, at: int = at, inner: Step = inner) -> Any:
            values = inner(array)
            parts = [
                values if place == at else pa.nulls(len(array), member.type)
                for place, member in enumerate(kind)
            ]
            mask = array.is_null() if array.null_count else None
            return pa.StructArray.from_arrays(parts, fields=list(kind), mask=mask)

        return step
    raise _Mismatch(f"field {path!r} was written as {old.name}, no branch of the reader takes it")


def _same_name(old: Node, new: Node, path: str) -> None:
    """Unqualified names must be equal, or an alias: what Java's and others' readers check."""
    names = {name.rpartition(".")[2] for name in (new.name, *new.aliases)}
    if old.name.rpartition(".")[2] not in names:
        where = f"field {path!r}" if path else "the record"
        raise _Mismatch(f"{where} was written as {old.name!r}, the reader wants {new.name!r}")


def _flat(kind: Any) -> bool:
    return not (pa.types.is_nested(kind) or pa.types.is_dictionary(kind))


def _scatter(base: Any, mask: Any, packed: Any) -> Any:
    both = pa.concat_arrays([base, packed])
    rank = pc.subtract(pc.cumulative_sum(mask.cast(pa.int64())), 1)
    place = pc.if_else(mask, pc.add(rank, len(base)), pa.array(range(len(base)), pa.int64()))
    return both.take(place)


def _rebuilt(array: Any, kind: Any, children: list[Any]) -> Any:
    validity, offsets = array.buffers()[:2]
    return pa.Array.from_buffers(
        kind, len(array), [validity, offsets], array.null_count, array.offset, children
    )


def _rebuilt_map(array: Any, kind: Any, step: Step) -> Any:
    entries = array.values
    values = step(entries.field(1))
    fields = [pa.field("key", pa.string(), nullable=False), kind.item_field]
    inner = pa.StructArray.from_arrays([entries.field(0), values], fields=fields)
    return _rebuilt(array, kind, [inner])
