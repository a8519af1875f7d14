"""Protocol Buffers' wire format: every type against Google's package, and damaged input."""

from __future__ import annotations

import random
from typing import Any

import protobuf_cases
import pyarrow as pa
import pytest

from mainstem.client.arrow_shapes import binary_array, binary_column
from mainstem.client.protobuf_plan import CompiledMessage, compile_message
from mainstem.client.protobuf_schema import file_from, message_at
from mainstem.kernels import ProtobufPlan, decode_protobuf, encode_protobuf


def compiled(text: str) -> CompiledMessage:
    return compile_message(message_at(file_from(text, "t.proto", {}), [0]))


def decode(plan: CompiledMessage, values: Any) -> Any:
    finished, faults = decode_protobuf(plan.plan, binary_column(values), 0, True)
    assert not faults, faults
    arrays = plan.columns.arrays(finished)
    batch = pa.RecordBatch.from_arrays(arrays, schema=plan.schema)
    batch.validate(full=True)
    return batch


def encode(plan: CompiledMessage, batch: Any, head: bytes = b"") -> Any:
    sources = plan.columns.sources(batch.columns, batch.schema.names)
    return binary_array(*encode_protobuf(plan.plan, sources, batch.num_rows, head), batch.num_rows)


def rows_of(batch: Any) -> list[Any]:
    """Rows as ``protobuf_cases.plain`` has them; times are cast before Python rounds them."""
    schema = pa.schema([pa.field(f.name, _numbers(f.type)) for f in batch.schema])
    cast = pa.RecordBatch.from_arrays(
        [
            column.cast(kind) if column.type != kind else column
            for column, kind in zip(batch.columns, schema.types, strict=True)
        ],
        schema=schema,
    )
    struct = pa.struct(list(schema))
    return [protobuf_cases.simple(struct, row) for row in cast.to_pylist()]


def _numbers(kind: Any) -> Any:
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        return pa.int64()
    if pa.types.is_map(kind):
        return pa.map_(kind.key_type, _numbers(kind.item_type))
    if pa.types.is_list(kind):
        return pa.list_(_numbers(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(member.name, _numbers(member.type)) for member in kind])
    return kind


def check_against_google(seed: int) -> None:
    source = random.Random(seed)
    text = protobuf_cases.Files(source).text()
    kind = protobuf_cases.message_class(text)
    plan = compile_message(kind.DESCRIPTOR)
    count = source.choice([1, 3, 40])
    messages = [protobuf_cases.fill(source, kind()) for _ in range(count)]
    values = pa.array([each.SerializeToString() for each in messages], pa.binary())
    batch = decode(plan, values)
    wanted = [protobuf_cases.plain(each) for each in messages]
    assert rows_of(batch) == wanted, f"seed {seed}: {text}"
    written = encode(plan, batch)
    assert [len(value) for value in written.to_pylist()] == [
        len(value) for value in values.to_pylist()
    ], f"seed {seed}: {text}"
    assert [kind.FromString(value) for value in written.to_pylist()] == messages, f"seed {seed}"
    if "map<" not in text:  # whose order nobody promises
        assert written.equals(values), f"seed {seed}: {text}"
    middle = batch.slice(count // 3, count // 2)
    assert encode(plan, middle).equals(written.slice(count // 3, count // 2)), f"seed {seed}"


@pytest.mark.parametrize("seed", range(60))
def test_random_messages_read_and_write_as_googles_do(seed: int) -> None:
    check_against_google(seed)


@pytest.mark.slow
def test_many_random_messages_read_and_write_as_googles_do() -> None:
    for seed in range(1000, 1500):
        check_against_google(seed)


def test_pieces_in_any_order_and_number_mean_what_google_says() -> None:
    """Fields repeated, split and shuffled: last one wins, messages merge, oneofs clear."""
    for seed in range(150):
        source = random.Random(seed)
        text = protobuf_cases.Files(source).text()
        kind = protobuf_cases.message_class(text)
        plan = compile_message(kind.DESCRIPTOR)
        pieces = [
            protobuf_cases.fill(source, kind()).SerializeToString()
            for _ in range(source.randint(1, 4))
        ]
        value = b"".join(pieces)
        (written,) = encode(plan, decode(plan, pa.array([value], pa.binary()))).to_pylist()
        # Compared as messages: what stays bytes is merged, but not normalised.
        assert kind.FromString(written) == kind.FromString(value), f"seed {seed}: {text}"


def test_damaged_messages_are_faults_or_what_google_reads() -> None:
    for seed in range(60):
        source = random.Random(seed)
        text = protobuf_cases.Files(source).text()
        kind = protobuf_cases.message_class(text)
        plan = compile_message(kind.DESCRIPTOR)
        values = []
        for _ in range(60):
            good = bytearray(protobuf_cases.fill(source, kind()).SerializeToString())
            for _ in range(source.randint(0, 2)):
                if good:
                    good[source.randrange(len(good))] = source.randrange(256)
            values.append(bytes(good[: source.randint(0, len(good))]))
        column = binary_column(pa.array(values, pa.binary()))
        finished, faults = decode_protobuf(plan.plan, column, 0, False)
        batch = pa.RecordBatch.from_arrays(plan.columns.arrays(finished), schema=plan.schema)
        batch.validate(full=True)
        bad = {row for row, _, _ in faults}
        for row, (value, found) in enumerate(zip(values, rows_of(batch), strict=True)):
            if row in bad:
                continue
            message = kind.FromString(value)  # what we can read, Google can
            if "map<" not in text and "Color" not in text:
                assert found == protobuf_cases.plain(message), f"seed {seed} row {row}: {text}"


SIMPLE = """syntax = "proto3";
message M {
  int32 a = 1; string b = 2; M2 c = 3; repeated sint32 d = 4; fixed32 e = 5; fixed64 f = 6;
  bool g = 7; map<string, int32> h = 8; google.protobuf.Timestamp i = 9;
  oneof o { int32 j = 10; M2 k = 11; }
}
message M2 { optional int32 x = 1; optional string y = 2; repeated int32 z = 3; }
import "google/protobuf/timestamp.proto";
"""


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (b"\x08", 3),
        (b"\x08" + b"\xff" * 10 + b"\x01", 3),
        (b"\x0a\x00", 11),
        (b"\x00\x00", 11),
        (b"\x80\x80\x80\x80\x80\x01", 11),
        (b"\x12\x05abc", 4),
        (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 4),
        (b"\x12\x01\xff", 5),
        (b"\x1a\x02\x08", 4),
        (b"\x1a\x01\x08", 3),
        (b"\x22\x02\x01", 4),
        (b"\x22\x01\x80", 3),
        (b"\x2d\x00\x00\x00", 1),
        (b"\x31" + bytes(7), 1),
        (b"\x0d" + bytes(4), 11),
        (b"\x42\x04\x0a\x05ab", 4),
        (b"\x4a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x10", 15),
        (b"\x4a\x06\x10\x80\xa8\xd6\xb9\x07", 15),
        (b"\xa3\x06", 11),
        (b"\xa3\x06\xac\x06", 11),
        (b"\xa4\x06", 11),
        (b"\xa7\x06", 11),
        (b"\xa3\x06" * 101 + b"\xa4\x06" * 101, 11),
    ],
)
def test_what_is_not_valid_is_a_fault_and_the_rest_is_read(value: bytes, fault: int) -> None:
    plan = compiled(SIMPLE)
    good = b"\x08\x05\x12\x01x\x1a\x02\x08\x07\x22\x02\x01\x02\x42\x05\x0a\x01k\x10\x09"
    column = binary_column(pa.array([good, value, good + value, good], pa.binary()))
    finished, faults = decode_protobuf(plan.plan, column, 0, False)
    assert [(row, what) for row, what, _ in faults] == [(1, fault), (2, fault)]
    batch = pa.RecordBatch.from_arrays(plan.columns.arrays(finished), schema=plan.schema)
    batch.validate(full=True)
    first, *bad, last = batch.to_pylist()
    assert first == last
    assert first["d"] == [-1, 1]
    assert bad == [dict.fromkeys(plan.schema.names)] * 2


def test_unknown_fields_and_groups_are_passed_over() -> None:
    plan = compiled(SIMPLE)
    unknown = (
        b"\xa0\x06\x05\xa1\x06" + bytes(8) + b"\xa2\x06\x02ab\xa5\x06" + bytes(4)
        + b"\xa3\x06\x08\x01\xab\x06\x0d" + bytes(4) + b"\xac\x06\xa4\x06"
    )  # fmt: skip
    (row,) = decode(plan, pa.array([unknown + b"\x08\x05"], pa.binary())).to_pylist()
    assert row["a"] == 5


def test_packed_and_unpacked_are_both_read() -> None:
    plan = compiled(SIMPLE)
    value = b"\x20\x01\x22\x02\x02\x03\x20\x04\x22\x00"
    (row,) = decode(plan, pa.array([value], pa.binary())).to_pylist()
    assert row["d"] == [-1, 1, -2, 2]


def test_messages_in_many_pieces_cost_no_more_than_their_size() -> None:
    plan = compiled(SIMPLE)
    piece = b"\x1a\x04\x08\x01\x18\x02"
    value = piece * 100_000
    (row,) = decode(plan, pa.array([value], pa.binary())).to_pylist()
    assert row["c"] == {"x": 1, "y": None, "z": [2] * 100_000}


def test_of_a_oneof_the_last_member_stays_and_starts_afresh() -> None:
    plan = compiled(SIMPLE)
    message, number = b"\x5a\x02\x18\x01", b"\x50\x07"
    kind = protobuf_cases.message_class(SIMPLE)
    for value in (
        message + number,
        number + message,
        message + number + message,
        message + message + number + message + message,
        number + number + message + number,
    ):
        wanted = protobuf_cases.plain(kind.FromString(value))
        assert rows_of(decode(plan, pa.array([value], pa.binary()))) == [wanted]


def test_two_members_of_a_oneof_cannot_be_written() -> None:
    plan = compiled(SIMPLE)
    batch = decode(plan, pa.array([b"", b""], pa.binary()))
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    columns["j"] = pa.array([1, 2], pa.int32())
    columns["k"] = pa.array([None, {"x": 1, "y": None, "z": []}], batch.schema.field("k").type)
    with pytest.raises(ValueError, match=r"\(1, 8, "):
        encode(plan, pa.RecordBatch.from_arrays(list(columns.values()), schema=plan.schema))


def test_nulls_in_lists_and_required_fields_cannot_be_written() -> None:
    plan = compiled("message M { required int32 a = 1; repeated int32 b = 2; }")
    for columns in (
        {"a": pa.array([1, None], pa.int32()), "b": pa.array([[1], [1]], pa.list_(pa.int32()))},
        {"a": pa.array([1, 2], pa.int32()), "b": pa.array([[1], [None]], pa.list_(pa.int32()))},
    ):
        with pytest.raises(ValueError, match=r"\(1, 10, "):
            encode(plan, pa.record_batch(columns))


def test_numbers_without_a_name_keep_their_digits() -> None:
    plan = compiled('syntax="proto3"; enum E { A = 0; B = 1; } message M { E e = 1; }')
    values = pa.array([b"\x08\x01", b"\x08\x63", b""], pa.binary())
    batch = decode(plan, values)
    assert batch.column(0).to_pylist() == ["B", "99", "A"]
    assert encode(plan, batch).equals(values)


def test_a_message_that_contains_itself_is_bytes_from_there() -> None:
    plan = compiled('syntax="proto3"; message M { int32 v = 1; M next = 2; repeated M all = 3; }')
    assert plan.schema.field("next").type == pa.binary()
    values = pa.array([b"\x08\x01\x12\x02\x08\x02\x1a\x00\x1a\x02\x08\x03"], pa.binary())
    batch = decode(plan, values)
    assert batch.to_pylist() == [{"v": 1, "next": b"\x08\x02", "all": [b"", b"\x08\x03"]}]
    assert encode(plan, batch).equals(values)


@pytest.mark.parametrize(
    "tables",
    [
        [],
        [[(1, 99, 0, 0, -1, -1, -1)]],
        [[(1, 10, 0, 0, -1, -1, -1)]],
        [[(1, 3, 0, 1, -1, -1, -1)]],
        [[(1, 5, 0, 0, -1, -1, -1)]],
        [[(0, 3, 0, 0, -1, -1, -1)]],
        [[(2, 3, 0, 0, -1, -1, -1), (1, 3, 0, 0, -1, -1, -1)]],
        [[(1, 3, 2, 0, 0, -1, -1)]],
        [[(1, 3, 0, 0, -1, 0, -1)]],
        [[(1, 3, 0, 0, -1, -1, 4)]],
        [[]],
    ],
)
def test_a_plan_that_does_not_fit_its_columns_is_refused(tables: Any) -> None:
    with pytest.raises(ValueError, match=r"field|plan|table|oneof|message"):
        ProtobufPlan(tables, [(2, 8, [])])
