"""Avro's binary encoding: every type against fastavro, damaged input, and what bounds it."""

from __future__ import annotations

import datetime
import random
from typing import Any

import avro_cases
import pyarrow as pa
import pytest

from mainstem.client.arrow_shapes import binary_array, binary_column
from mainstem.client.avro_plan import Compiled, compile_schema
from mainstem.client.avro_schema import parse
from mainstem.kernels import AvroPlan, decode_avro, encode_avro


def decode(compiled: Compiled, values: Any, *, skip: int = 0, stop: bool = True) -> Any:
    finished, faults = decode_avro(compiled.plan, binary_column(values), skip, stop)
    assert not faults, faults
    batch = pa.RecordBatch.from_arrays(compiled.columns.arrays(finished), schema=compiled.schema)
    batch.validate(full=True)
    return batch


def faults_of(schema: Any, values: list[bytes], *, stop: bool = False) -> list[Any]:
    compiled = compile_schema(parse(schema))
    column = binary_column(pa.array(values, pa.binary()))
    finished, faults = decode_avro(compiled.plan, column, 0, stop)
    if finished:
        for array in compiled.columns.arrays(finished):
            array.validate(full=True)
            assert len(array) == len(values)
    return [(row, fault) for row, fault, _ in faults]


def encode(compiled: Compiled, batch: Any, head: bytes = b"") -> Any:
    sources = compiled.columns.sources(batch.columns, batch.schema.names)
    return binary_array(*encode_avro(compiled.plan, sources, batch.num_rows, head), batch.num_rows)


def check_against_fastavro(seed: int) -> None:
    source = random.Random(seed)
    cases = avro_cases.Schemas(source)
    schema = cases.record()
    rows = [cases.value(schema) for _ in range(source.choice([1, 2, 9, 300]))]
    values = avro_cases.write(schema, rows)
    compiled = compile_schema(parse(schema))
    batch = decode(compiled, values)
    found = [avro_cases.plain(schema, row) for row in batch.to_pylist()]
    assert found == avro_cases.read(schema, values), f"seed {seed}: {schema}"
    # What was read is written as the same bytes, also from the middle of an array.
    assert encode(compiled, batch).equals(values), f"seed {seed}: {schema}"
    middle = batch.slice(len(rows) // 3, len(rows) // 2)
    written = encode(compiled, middle)
    assert written.equals(values.slice(len(rows) // 3, len(rows) // 2)), f"seed {seed}: {schema}"
    assert decode(compiled, values.slice(1)).equals(batch.slice(1)), f"seed {seed}: {schema}"


@pytest.mark.parametrize("seed", range(60))
def test_random_schemas_read_and_write_as_fastavro_does(seed: int) -> None:
    check_against_fastavro(seed)


@pytest.mark.slow
def test_many_random_schemas_read_and_write_as_fastavro_does() -> None:
    for seed in range(1000, 1600):
        check_against_fastavro(seed)


def test_damaged_records_never_do_worse_than_a_fault() -> None:
    for seed in range(40):
        source = random.Random(seed)
        cases = avro_cases.Schemas(source)
        schema = cases.record()
        good = avro_cases.write(schema, [cases.value(schema) for _ in range(20)]).to_pylist()
        bad = [_damage(source, value) for value in good for _ in range(4)]
        faults_of(schema, bad)
        faults_of(schema, bad, stop=True)


def _damage(source: random.Random, value: bytes) -> bytes:
    changed = bytearray(value)
    for _ in range(source.randint(0, 3)):
        if changed:
            changed[source.randrange(len(changed))] = source.choice([0, 1, 0x7F, 0x80, 0xFF])
    return bytes(changed[: source.randint(0, len(changed))]) + source.randbytes(
        source.choice([0, 0, 3])
    )


def record(kind: Any) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": [{"name": "f", "type": kind}]}


def decimal(precision: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision}


LONGEST = b"\xff" * 9 + b"\x01"  # -2^63


@pytest.mark.parametrize(
    ("kind", "value", "fault"),
    [
        ("long", b"", 3),
        ("long", b"\x80" * 10 + b"\x01", 3),
        ("int", b"\xff\xff\xff\xff\x7f", 3),
        ("long", b"\x02\x02", 2),
        ("string", b"\x04a", 4),
        ("string", b"\x01", 4),
        ("string", LONGEST, 4),
        ("string", b"\x02\xff", 5),
        ("string", b"\x06\xed\xa0\x80", 5),
        ("string", b"\x08\xf4\x90\x80\x80", 5),
        ("string", b"\x04\xc0\x80", 5),
        ("bytes", b"\x06ab", 4),
        ("boolean", b"\x02", 6),
        ("boolean", b"", 1),
        ("double", b"1234567", 1),
        ("float", b"123", 1),
        ({"type": "fixed", "name": "F", "size": 4}, b"123", 1),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, b"\x04", 7),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, b"\x01", 7),
        (["null", "long"], b"\x04", 8),
        (["null", "long"], b"\x01", 8),
        (["null", "long", "string"], b"\x06", 8),
        (["long", "string"], b"\x01", 8),
        ({"type": "array", "items": "long"}, b"\x06\x02\x02", 4),
        ({"type": "array", "items": "long"}, LONGEST + b"\x00", 4),
        ({"type": "array", "items": "long"}, b"\x01\x7f\x02\x00", 4),
        ({"type": "array", "items": "double"}, b"\x02" + bytes(7), 1),
        ({"type": "array", "items": "null"}, b"\x82\x80\x80\x01\x00", 4),
        ({"type": "map", "values": "long"}, b"\x02\x04a", 4),
        ({"type": "map", "values": "long"}, b"\x02\x02\xff\x02\x00", 5),
        (decimal(2), b"\x02\x64", 9),
        (decimal(2), b"\x22" + bytes(16) + b"\x64", 9),
        (decimal(38), b"\x22\x01" + bytes(16), 9),
        (decimal(38), b"\x22\x00\x80" + bytes(15), 9),
    ],
)  # fmt: skip
def test_what_is_not_valid_is_a_fault_and_the_rest_is_read(
    kind: Any, value: bytes, fault: int
) -> None:
    schema = record(kind)
    assert faults_of(schema, [value]) == [(0, fault)]
    assert faults_of(schema, [value, value], stop=True) == [(0, fault)]


def test_a_bad_row_leaves_nothing_behind_in_nested_columns() -> None:
    inner = {"type": "array", "items": {"type": "map", "values": ["null", "string", "boolean"]}}
    schema = {"type": "record", "name": "R", "fields": [
        {"name": "a", "type": inner}, {"name": "b", "type": "boolean"},
        {"name": "c", "type": ["null", "string"]}]}  # fmt: skip
    rows = [
        {"a": [{"x": "y", "z": None}, {"w": True}], "b": True, "c": "text"},
        {"a": [], "b": False, "c": None},
    ]
    good = avro_cases.write(schema, rows).to_pylist()
    values: list[Any] = []
    for cut in range(len(good[0])):
        values += [good[0][:cut], good[0], None, good[1]]
    compiled = compile_schema(parse(schema))
    column = binary_column(pa.array(values, pa.binary()))
    finished, faults = decode_avro(compiled.plan, column, 0, False)
    batch = pa.RecordBatch.from_arrays(compiled.columns.arrays(finished), schema=compiled.schema)
    batch.validate(full=True)
    assert [row for row, _, _ in faults] == list(range(0, len(values), 4))
    found = batch.to_pylist()
    empty = {"a": None, "b": None, "c": None}
    whole = decode(compiled, pa.array(good, pa.binary())).to_pylist()
    assert found == [empty, whole[0], empty, whole[1]] * len(good[0])


def test_blocks_with_their_size_are_read() -> None:
    compiled = compile_schema(parse(record({"type": "array", "items": "long"})))
    # Two blocks: -2 items in 2 bytes, then one item without a size.
    batch = decode(compiled, pa.array([b"\x03\x04\x02\x04\x02\x06\x00"], pa.binary()))
    assert batch.to_pylist() == [{"f": [1, 2, 3]}]


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0200"), (127, "027f"), (128, "040080"), (-128, "0280"), (-129, "04ff7f"), (-1, "02ff")],
)
def test_decimals_are_as_short_as_javas(value: int, written: str) -> None:
    """BigInteger.toByteArray: the fewest bytes that hold the sign, too. fastavro's are longer."""
    compiled = compile_schema(parse(record(decimal(9))))
    batch = pa.record_batch({"f": pa.array([value], pa.decimal128(9, 0))})
    assert encode(compiled, batch)[0].as_py().hex() == written
    padded = b"\x22" + value.to_bytes(17, "big", signed=True)
    assert decode(compiled, pa.array([padded], pa.binary())).equals(batch)


def test_a_header_is_skipped_and_written() -> None:
    compiled = compile_schema(parse(record("long")))
    values = encode(compiled, pa.record_batch({"f": pa.array([7, -8])}), b"\0\0\0\0\x05")
    assert values.to_pylist() == [b"\0\0\0\0\x05\x0e", b"\0\0\0\0\x05\x0f"]
    assert decode(compiled, values, skip=5).to_pylist() == [{"f": 7}, {"f": -8}]
    column = binary_column(pa.array([b"1234"], pa.binary()))
    assert decode_avro(compiled.plan, column, 5, True)[1] == [(0, 1, 0)]


def test_a_column_that_outgrows_its_memory_moves() -> None:
    compiled = compile_schema(parse(record({"type": "array", "items": "string"})))
    lists = [[f"{row}-{at}" * 3 for at in range(row % 50)] for row in range(3000)]
    batch = pa.record_batch({"f": pa.array(lists)})
    assert decode(compiled, encode(compiled, batch)).to_pylist() == batch.to_pylist()


@pytest.mark.parametrize(
    ("kind", "column", "fault"),
    [
        ("long", pa.array([1, None]), 10),
        ({"type": "array", "items": "long"}, pa.array([[1], [None]]), 10),
        (
            ["long", "string"],
            pa.array([{"long": 1, "string": None}, {"long": 1, "string": "x"}]),
            8,
        ),
        (["long", "string"], pa.array([{"long": 1, "string": None}, {}]), 8),
        (
            {
                "type": "fixed",
                "name": "F",
                "size": 1,
                "logicalType": "decimal",
                "precision": 2,
            },
            pa.array([1, -99], pa.decimal128(2, 0)),
            None,
        ),
    ],
)
def test_rows_the_schema_does_not_allow_are_named(kind: Any, column: Any, fault: Any) -> None:
    compiled = compile_schema(parse(record(kind)))
    batch = pa.record_batch({"f": column})
    if fault is None:
        assert decode(compiled, encode(compiled, batch)).column(0).equals(column)
        return
    with pytest.raises(ValueError, match=r"\(1, ") as found:
        encode(compiled, batch)
    assert found.value.args[:2] == (1, fault)


def test_a_damaged_array_is_refused() -> None:
    compiled = compile_schema(parse(record("string")))
    offsets = pa.py_buffer(b"\0\0\0\0\x64\0\0\0\3\0\0\0")  # 0, 100, 3
    broken = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"abc")])
    with pytest.raises(ValueError, match="points outside"):
        encode(compiled, pa.record_batch({"f": broken}))
    with pytest.raises(ValueError, match="points outside"):
        decode_avro(compiled.plan, binary_column(broken), 0, True)


@pytest.mark.parametrize(
    "ops",
    [
        [],
        [(99, 0, 0, 0, [])],
        [(3, 1, 0, 0, [])],
        [(2, 0, 0, 0, [])],
        [(3, 0, 0, 0, [0])],
        [(11, 0, 1, 0, [1]), (3, 0, 0, 0, [])],
        [(13, 0, 0, 0, [])],
    ],
)
def test_a_plan_that_does_not_fit_its_columns_is_refused(ops: Any) -> None:
    with pytest.raises(ValueError, match=r"operation|plan"):
        AvroPlan(ops, [(2, 8, [])])


def test_logical_types_mean_what_they_say() -> None:
    fields = [
        {"name": "d", "type": {"type": "int", "logicalType": "date"}},
        {"name": "t", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
        {"name": "u", "type": {"type": "string", "logicalType": "uuid"}},
    ]
    compiled = compile_schema(parse({"type": "record", "name": "R", "fields": fields}))
    assert compiled.schema.types == [pa.date32(), pa.timestamp("ns", "UTC"), pa.string()]
    batch = decode(compiled, pa.array([b"\x02\x04\x02x"], pa.binary()))
    assert batch.column("d").to_pylist() == [datetime.date(1970, 1, 2)]
    assert batch.column("t").cast(pa.int64()).to_pylist() == [2]
