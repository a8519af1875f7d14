"""Tables of any type for ``test_round_trips``, and what it means that one came back."""

from __future__ import annotations

import math
import string
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import reject
from hypothesis import strategies as st

import mainstem as ms

CODECS = [None, "none", "gzip", "snappy", "lz4", "zstd"]
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
BYTES = st.binary(max_size=12)
YEARS = 62_135_596_800  # seconds from the year 1 to 1970
LAST = 253_402_300_799  # the last second of the year 9999


# --- types and values ----------------------------------------------------------------------------


def integers(kind: Any) -> st.SearchStrategy[int]:
    bits = kind.bit_width
    if pa.types.is_signed_integer(kind):
        return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)
    return st.integers(0, (1 << bits) - 1)


def seconds(kind: Any) -> st.SearchStrategy[int]:
    factor = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
    if kind.unit == "ns":
        return st.integers(-(2**63), 2**63 - 1)
    return st.integers(-YEARS * factor, (LAST + 1) * factor - 1)


def day_time(kind: Any) -> st.SearchStrategy[int]:
    factor = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
    return st.integers(0, 86_400 * factor - 1)


def floats(kind: Any) -> st.SearchStrategy[float]:
    return st.floats(width=kind.bit_width)  # NaN and the infinities, too


def fixed(kind: Any) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=kind.byte_width, max_size=kind.byte_width)


def decimals(kind: Any) -> st.SearchStrategy[Decimal]:
    most = 10**kind.precision - 1
    return st.integers(-most, most).map(lambda digits: Decimal(f"{digits}E{-kind.scale}"))


def values(kind: Any) -> st.SearchStrategy[Any]:
    """What a column of this type may hold, null aside; times as their numbers."""
    types = pa.types
    for word, found in (
        ("integer", integers), ("floating", floats), ("fixed_size_binary", fixed),
        ("decimal", decimals), ("timestamp", seconds), ("time", day_time),
    ):  # fmt: skip
        if getattr(types, f"is_{word}")(kind):
            return found(kind)
    if types.is_dictionary(kind):
        return values(kind.value_type)
    if types.is_struct(kind):
        return st.fixed_dictionaries({field.name: nullable(field) for field in kind})
    if types.is_map(kind):
        entries = st.dictionaries(values(kind.key_type), nullable(kind.item_field), max_size=3)
        return entries.map(lambda found: list(found.items()))
    if hasattr(kind, "value_field"):
        size = getattr(kind, "list_size", None) if types.is_fixed_size_list(kind) else None
        return st.lists(nullable(kind.value_field), min_size=size or 0, max_size=size or 3)
    plain = {
        "null": st.none(), "bool": st.booleans(), "date32[day]": st.integers(-719_162, 2_932_896),
        "date64[ms]": st.integers(-719_162, 2_932_896).map(lambda day: day * 86_400_000),
    }  # fmt: skip
    if str(kind) in plain:
        return plain[str(kind)]
    if types.is_interval(kind):
        parts = (st.integers(-(2**31), 2**31 - 1),) * 2 + (st.integers(-(2**63), 2**63 - 1),)
        return st.tuples(*parts).map(pa.MonthDayNano)
    if types.is_duration(kind):
        return st.integers(-(2**62), 2**62)
    return BYTES if "binary" in str(kind) else TEXT


def nullable(field: Any) -> st.SearchStrategy[Any]:
    found = values(field.type)
    return st.none() | found if field.nullable else found


NUMBERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(),
           pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.bool_(), pa.decimal32(5, 2),
           pa.decimal64(18, 7), pa.decimal128(9, 4), pa.decimal128(38, 10)]  # fmt: skip
TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(),
         pa.binary_view(), pa.binary(5), pa.dictionary(pa.int32(), pa.string()),
         pa.list_view(pa.int16()), pa.large_list_view(pa.string())]  # fmt: skip
TIMES = [pa.date32(), pa.time32("ms"), pa.time64("us"), pa.timestamp("ms"), pa.timestamp("us"),
         pa.timestamp("ms", "UTC"), pa.timestamp("us", "UTC"), pa.timestamp("ns", "UTC"),
         pa.null()]  # fmt: skip
MORE_TIMES = [pa.date64(), pa.time32("s"), pa.time64("ns"), pa.timestamp("s"),
              pa.timestamp("s", "UTC"), pa.timestamp("us", "Asia/Tokyo")]  # fmt: skip
WIDE = [pa.decimal256(70, 3), pa.decimal256(39, 39)]
ONLY_ARROW = [pa.duration("us"), pa.duration("ns"), pa.month_day_nano_interval(),
              pa.decimal128(5, -2), pa.map_(pa.int32(), pa.string()),
              pa.dictionary(pa.int8(), pa.binary())]  # fmt: skip
NAMES = st.text(string.ascii_letters, min_size=1, max_size=6)


def nested(plain: list[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.sampled_from(plain),
        lambda inner: st.one_of(
            inner.map(pa.list_),
            inner.map(pa.large_list),
            inner.map(lambda kind: pa.list_(kind, 2)),
            inner.map(lambda kind: pa.map_(pa.string(), kind)),
            st.lists(st.tuples(NAMES, inner), min_size=1, max_size=3, unique_by=lambda e: e[0]).map(
                pa.struct
            ),
        ),
        max_leaves=4,
    )


#: Types of which pyarrow makes no arrays of Python's values: they are made of their parts.
MEMBERS = [pa.int16(), pa.float64(), pa.string(), pa.list_(pa.string()), pa.decimal128(9, 4)]
RUNS = [pa.int64(), pa.string(), pa.binary(), pa.float32(), pa.bool_(), pa.timestamp("us", "UTC")]


def unions(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = st.lists(st.tuples(NAMES, inner), min_size=1, max_size=3, unique_by=lambda e: e[0])
    made = fields.map(lambda found: [pa.field(*one) for one in found])
    return st.builds(pa.union, made, st.sampled_from(["sparse", "dense"]))


def odd() -> st.SearchStrategy[Any]:
    """Unions and run-end-encoded types, alone, in each other, in lists and in structs."""
    runs = st.builds(
        pa.run_end_encoded,
        st.sampled_from([pa.int16(), pa.int32(), pa.int64()]),
        st.sampled_from(RUNS),
    )
    plain = unions(st.sampled_from(MEMBERS)) | runs
    return st.one_of(
        plain,
        unions(st.sampled_from(MEMBERS) | plain),
        plain.map(pa.list_),
        st.lists(st.tuples(NAMES, plain), min_size=1, max_size=2, unique_by=lambda e: e[0]).map(
            pa.struct
        ),
    )


def is_odd(kind: Any) -> bool:
    children = [kind.field(at) for at in range(kind.num_fields)]
    return (
        pa.types.is_union(kind)
        or pa.types.is_run_end_encoded(kind)
        or any(is_odd(child.type) for child in children)
    )


def column(draw: st.DrawFn, field: Any, rows: int) -> Any:
    """An array of a field's type; of an odd one, from arrays of its parts."""
    kind, types = field.type, pa.types
    if not is_odd(kind):
        return pa.array(draw(st.lists(nullable(field), min_size=rows, max_size=rows)), kind)
    if types.is_run_end_encoded(kind):
        ends = sorted(draw(st.sets(st.integers(1, rows), max_size=4)) | {rows}) if rows else []
        found = column(draw, pa.field("", kind.value_type), len(ends))
        return pa.RunEndEncodedArray.from_arrays(pa.array(ends, kind.run_end_type), found, kind)
    if types.is_struct(kind):
        mask = draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
        parts = [column(draw, member, rows) for member in kind]
        return pa.StructArray.from_arrays(parts, fields=list(kind), mask=pa.array(mask, pa.bool_()))
    if types.is_list(kind):
        sizes = draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows))
        offsets = [sum(sizes[:at]) for at in range(rows + 1)]
        found = column(draw, kind.value_field, offsets[-1])
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), found, type=kind)
    return union(draw, kind, rows)


def union(draw: st.DrawFn, kind: Any, rows: int) -> Any:
    fields = [kind.field(at) for at in range(kind.num_fields)]
    codes = draw(st.lists(st.integers(0, len(fields) - 1), min_size=rows, max_size=rows))
    tags, names = pa.array(codes, pa.int8()), [field.name for field in fields]
    if kind.mode == "sparse":
        parts = [column(draw, field, rows) for field in fields]
        return pa.UnionArray.from_sparse(tags, parts, names)
    places = [codes[:at].count(code) for at, code in enumerate(codes)]
    parts = [column(draw, field, codes.count(at)) for at, field in enumerate(fields)]
    return pa.UnionArray.from_dense(tags, pa.array(places, pa.int32()), parts, names)


@dataclass(frozen=True)
class Case:
    """A table in pieces, some of them empty, and how it travels."""

    batches: list[Any]
    partitions: list[int]
    codec: str | None
    batch_bytes: int
    batch_rows: int
    flush: bool


@st.composite
def tables(draw: st.DrawFn, kinds: st.SearchStrategy[Any], fixed: Any = None) -> Case:
    schema = fixed
    if schema is None:
        names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
        schema = pa.schema([(name, draw(kinds)) for name in names])
    rows = draw(st.integers(0, 12))
    arrays = [column(draw, field, rows) for field in schema]
    whole = pa.RecordBatch.from_arrays(arrays, schema=schema)
    try:
        whole.validate(full=True)
    except pa.ArrowInvalid:  # pyarrow makes dictionaries in null structs wrong
        reject()
    cuts = sorted(draw(st.lists(st.integers(0, rows), max_size=3)))
    batches = [whole.slice(a, b - a) for a, b in zip([0, *cuts], [*cuts, rows], strict=True)]
    return Case(
        batches=batches,
        partitions=draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows)),
        codec=draw(st.sampled_from(CODECS)),
        batch_bytes=draw(st.sampled_from([1024, 4096, 1_000_000])),
        batch_rows=draw(st.sampled_from([1, 3, 65_536])),
        flush=draw(st.booleans()),
    )


# --- there and back ------------------------------------------------------------------------------


def as_it_was(scalar: Any) -> Any:
    return as_plain(scalar)


def without_nan(scalar: Any) -> Any:
    """What JSON has for it: null, for what is not finite."""
    return as_plain(scalar, lambda number: number if math.isfinite(number) else None)


def travel(
    topic: ms.Topic,
    case: Case,
    write: Any,
    read: Any,
    meant: Callable[[Any], Any] = as_it_was,
) -> None:
    """Append in one go or batch by batch; each partition holds its rows, in order.

    ``meant`` says which Python value a scalar comes back as.
    """
    _, start = topic.offsets()
    schema = case.batches[0].schema
    wanted = pa.Table.from_batches(case.batches)
    place, sent = 0, []
    for batch in case.batches:
        parts = pa.array(case.partitions[place : place + batch.num_rows], pa.int32())
        sent.append(batch.append_column("_partition", parts))
        place += batch.num_rows
    whole = pa.RecordBatchReader.from_batches(sent[0].schema, sent)
    for data in sent if case.flush else [whole]:
        topic.append(data, format=write, compression=case.codec, batch_bytes=case.batch_bytes)
    batches = list(topic.read(start, format=read, batch_rows=case.batch_rows))
    assert sum(batch.num_rows for batch in batches) == wanted.num_rows
    found = pa.Table.from_batches(batches) if batches else wanted.slice(0, 0)
    # What was read, not what is made of it below: pyarrow's own array() gives the dictionary of a
    # null struct an index that it has not.
    found.validate(full=True)
    homes = found["_partition"].to_pylist() if batches else []
    for partition in range(3):
        here, expected = (
            rows_at(found, homes, partition),
            rows_at(wanted, case.partitions, partition),
        )
        for name, kind in zip(schema.names, schema.types, strict=True):
            chunks = [as_type(chunk, kind) for chunk in here.column(name).chunks]
            column = pa.chunked_array(chunks, kind)
            assert same(column, expected.column(name), meant), (name, column, expected.column(name))


def same(found: Any, wanted: Any, meant: Callable[[Any], Any]) -> bool:
    """Two dictionaries of other orders hold the same values, and one NaN is like another."""
    if found.equals(wanted):
        return True
    return plain(found) == [meant(scalar) for scalar in wanted]


def plain(column: Any) -> list[Any]:
    """Python's values; nanoseconds, which Python's datetime does not have, as integers."""
    return [as_plain(scalar) for scalar in column]


def number(value: float) -> Any:
    """As something that equals itself."""
    return "NaN" if math.isnan(value) else value


def as_plain(scalar: Any, real: Callable[[float], Any] = number) -> Any:
    kind, types = scalar.type, pa.types
    if types.is_union(kind):
        value = scalar.value  # no scalar where it is null
        return (scalar.type_code, None if value is None else as_plain(value, real))
    if not scalar.is_valid:
        return None
    if types.is_floating(kind):
        return real(scalar.as_py())
    if types.is_timestamp(kind) or types.is_duration(kind) or types.is_time(kind):
        return scalar.value
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return as_plain(scalar.value, real)
    if types.is_struct(kind):
        return {name: as_plain(scalar[name], real) for name in scalar}
    if types.is_map(kind):
        return [(as_plain(one["key"], real), as_plain(one["value"], real)) for one in scalar.values]
    if types.is_nested(kind):
        return [as_plain(one, real) for one in scalar.values]
    return scalar.as_py()


def rows_at(table: Any, homes: list[int], partition: int) -> Any:
    """Not all types can be filtered."""
    rows = [table.slice(row, 1) for row, home in enumerate(homes) if home == partition]
    return pa.concat_tables([table.slice(0, 0), *rows])


def as_type(column: Any, kind: Any) -> Any:
    """Formats have fewer types than Arrow; a cast must give the very values back."""
    if column.type.equals(kind):
        return column
    if pa.types.is_struct(kind):
        parts = [
            as_type(part, field.type) for part, field in zip(column.flatten(), kind, strict=True)
        ]
        return pa.StructArray.from_arrays(parts, fields=list(kind), mask=column.is_null())
    if pa.types.is_map(kind) or pa.types.is_nested(kind):
        return pa.array([as_plain(scalar, float) for scalar in column], kind)
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type).dictionary_encode().cast(kind)
    return column.cast(kind)
