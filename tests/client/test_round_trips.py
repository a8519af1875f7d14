"""Any table, appended and read, is the same table: all formats, types, codecs and batchings."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

import mainstem as ms
from mainstem.testing import RunningRegistry, running_registry

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
    return st.floats(width=kind.bit_width, allow_nan=False, allow_infinity=False)


def fixed(kind: Any) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=kind.byte_width, max_size=kind.byte_width)


def decimals(kind: Any) -> st.SearchStrategy[Decimal]:
    most = 10**kind.precision - 1
    return st.integers(-most, most).map(lambda digits: Decimal(f"{digits}E-{kind.scale}"))


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
    if types.is_duration(kind):
        return st.integers(-(2**62), 2**62)
    return BYTES if "binary" in str(kind) else TEXT


def nullable(field: Any) -> st.SearchStrategy[Any]:
    found = values(field.type)
    return st.none() | found if field.nullable else found


NUMBERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(),
           pa.uint64(), pa.float32(), pa.float64(), pa.bool_(), pa.decimal128(9, 4),
           pa.decimal128(38, 10)]  # fmt: skip
TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(),
         pa.binary_view(), pa.binary(5), pa.dictionary(pa.int32(), pa.string())]  # fmt: skip
TIMES = [pa.date32(), pa.time32("ms"), pa.time64("us"), pa.timestamp("ms"), pa.timestamp("us"),
         pa.timestamp("ms", "UTC"), pa.timestamp("us", "UTC"), pa.timestamp("ns", "UTC"),
         pa.null()]  # fmt: skip
MORE_TIMES = [pa.date64(), pa.time32("s"), pa.time64("ns"), pa.timestamp("s"),
              pa.timestamp("s", "UTC"), pa.timestamp("us", "Asia/Tokyo")]  # fmt: skip
ONLY_ARROW = [pa.duration("us"), pa.float16(), pa.decimal256(70, 3), pa.list_view(pa.int16()),
              pa.map_(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.binary())]  # fmt: skip
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
    arrays = [
        pa.array(draw(st.lists(nullable(field), min_size=rows, max_size=rows)), field.type)
        for field in schema
    ]
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


def travel(topic: ms.Topic, case: Case, write: Any, read: Any) -> None:
    """Append in one go or batch by batch; each partition holds its rows, in order."""
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
            assert same(column, expected.column(name)), (name, column, expected.column(name))


def same(found: Any, wanted: Any) -> bool:
    """Two dictionaries of other orders hold the same values."""
    return bool(found.equals(wanted) or plain(found) == plain(wanted))


def plain(column: Any) -> list[Any]:
    """Python's values; nanoseconds, which Python's datetime does not have, as integers."""
    return [as_plain(scalar) for scalar in column]


def as_plain(scalar: Any) -> Any:
    kind = scalar.type
    if not scalar.is_valid:
        return None
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind) or pa.types.is_time(kind):
        return scalar.value
    if pa.types.is_dictionary(kind):
        return as_plain(scalar.value)
    if pa.types.is_struct(kind):
        return {name: as_plain(scalar[name]) for name in scalar}
    if pa.types.is_map(kind):
        return [(as_plain(one["key"]), as_plain(one["value"])) for one in scalar.values]
    if pa.types.is_nested(kind):
        return [as_plain(one) for one in scalar.values]
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
        return pa.array(plain(column), kind)
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type).dictionary_encode().cast(kind)
    return column.cast(kind)


QUICK = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MANY = settings(QUICK, max_examples=100)


@pytest.fixture(scope="module")
def topic(stem: ms.Stem) -> ms.Topic:
    """One for all: a topic costs more than a table, and each test begins where it ends."""
    return stem.create_topic("round-trips", 3)


@pytest.fixture(scope="module")
def registry() -> Iterator[RunningRegistry]:
    with running_registry() as found:
        yield found


RAW = st.sampled_from(
    [
        pa.binary(),
        pa.large_binary(),
        pa.binary_view(),
        pa.binary(3),
        pa.dictionary(pa.int8(), pa.binary()),
    ]
)


@given(RAW.flatmap(lambda kind: tables(st.nothing(), pa.schema([("value", kind)]))))
@QUICK
def test_raw_tables_come_back(topic: ms.Topic, case: Case) -> None:
    travel(topic, case, ms.Raw(), ms.Raw())


JSON_TYPES = nested([*NUMBERS, *TEXTS, *TIMES, *MORE_TIMES, pa.decimal32(5, 2)])


def json_case(topic: ms.Topic, case: Case) -> None:
    travel(topic, case, ms.Json(), ms.Json(case.batches[0].schema))


@given(tables(JSON_TYPES))
@QUICK
def test_json_tables_come_back(topic: ms.Topic, case: Case) -> None:
    json_case(topic, case)


ARROW_TYPES = nested([*NUMBERS, *TEXTS, *TIMES, *MORE_TIMES, *ONLY_ARROW])


def arrow_case(topic: ms.Topic, case: Case) -> None:
    payload = ms.Arrow(record_bytes=max(1024, case.batch_bytes // 2))
    travel(topic, case, payload, ms.Arrow())


@given(tables(ARROW_TYPES))
@QUICK
def test_arrow_tables_come_back(topic: ms.Topic, case: Case) -> None:
    arrow_case(topic, case)


SUBJECTS = itertools.count()
AVRO_TYPES = nested([*NUMBERS, *TEXTS, *TIMES])


def avro_case(topic: ms.Topic, registry: RunningRegistry, case: Case) -> None:
    # A subject of its own for each: these schemas do not go together.
    payload = ms.Avro(registry.url, subject=lambda _topic, _record: f"s{next(SUBJECTS)}")
    travel(topic, case, payload, ms.Avro(registry.url))


@given(tables(AVRO_TYPES))
@QUICK
def test_avro_tables_come_back(topic: ms.Topic, registry: RunningRegistry, case: Case) -> None:
    avro_case(topic, registry, case)


MESSAGE = """syntax = "proto3";
import "google/protobuf/timestamp.proto";
message Inner { optional string s = 1; repeated sint32 n = 2; }
message Row {
  optional double d = 1; optional float f = 2; optional int64 i = 3; optional uint64 u = 4;
  optional sint32 w = 5; optional fixed32 x = 6; optional bool b = 7; optional string s = 8;
  optional bytes y = 9; repeated string l = 10; repeated fixed64 n = 11; map<string, int64> m = 12;
  google.protobuf.Timestamp t = 13; optional Inner inner = 14; repeated Inner many = 15;
  int32 plain = 16;
}
"""


def lists(kind: Any) -> Any:
    return pa.list_(pa.field("item", kind, nullable=False))


def whole(name: str, kind: Any) -> Any:
    return pa.field(name, kind, nullable=False)


INNER = pa.struct([pa.field("s", pa.string()), whole("n", lists(pa.int32()))])
COUNTS = pa.map_(pa.string(), pa.field("value", pa.int64(), nullable=False))
ROW = pa.schema(
    [
        ("d", pa.float64()), ("f", pa.float32()), ("i", pa.int64()), ("u", pa.uint64()),
        ("w", pa.int32()), ("x", pa.uint32()), ("b", pa.bool_()), ("s", pa.string()),
        ("y", pa.binary()), whole("l", lists(pa.string())), whole("n", lists(pa.uint64())),
        whole("m", COUNTS), ("t", pa.timestamp("ns", "UTC")), ("inner", INNER),
        whole("many", lists(INNER)), whole("plain", pa.int32()),
    ]
)  # fmt: skip


def protobuf_case(topic: ms.Topic, registry: RunningRegistry, case: Case) -> None:
    payload = ms.Protobuf(registry.url, MESSAGE, name="Row")
    travel(topic, case, payload, ms.Protobuf(registry.url))


@given(tables(st.nothing(), ROW))
@QUICK
def test_protobuf_tables_come_back(topic: ms.Topic, registry: RunningRegistry, case: Case) -> None:
    protobuf_case(topic, registry, case)


@pytest.mark.slow
@given(tables(JSON_TYPES))
@MANY
def test_many_json_tables_come_back(topic: ms.Topic, case: Case) -> None:
    json_case(topic, case)


@pytest.mark.slow
@given(tables(ARROW_TYPES))
@MANY
def test_many_arrow_tables_come_back(topic: ms.Topic, case: Case) -> None:
    arrow_case(topic, case)


@pytest.mark.slow
@given(tables(AVRO_TYPES))
@MANY
def test_many_avro_tables_come_back(topic: ms.Topic, registry: RunningRegistry, case: Case) -> None:
    avro_case(topic, registry, case)


@pytest.mark.slow
@given(tables(st.nothing(), ROW))
@MANY
def test_many_protobuf_tables_come_back(
    topic: ms.Topic, registry: RunningRegistry, case: Case
) -> None:
    protobuf_case(topic, registry, case)
