"""Any table, appended and read, is the same table: all formats, types, codecs and batchings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from any_table import (
    MORE_TIMES,
    NUMBERS,
    ONLY_ARROW,
    TEXTS,
    TIMES,
    WIDE,
    Case,
    nested,
    odd,
    tables,
    travel,
    without_nan,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mainstem as ms
from mainstem.testing import RunningRegistry, running_registry

QUICK = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MANY = settings(QUICK, max_examples=200)


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


JSON_TYPES = nested([*NUMBERS, *TEXTS, *TIMES, *MORE_TIMES])


def json_case(topic: ms.Topic, case: Case) -> None:
    travel(topic, case, ms.Json(), ms.Json(case.batches[0].schema), without_nan)


@given(tables(JSON_TYPES))
@QUICK
def test_json_tables_come_back(topic: ms.Topic, case: Case) -> None:
    json_case(topic, case)


ARROW_TYPES = nested([*NUMBERS, *TEXTS, *TIMES, *MORE_TIMES, *WIDE, *ONLY_ARROW]) | odd()


def arrow_case(topic: ms.Topic, case: Case) -> None:
    payload = ms.Arrow(record_bytes=max(1024, case.batch_bytes // 2))
    travel(topic, case, payload, ms.Arrow())


@given(tables(ARROW_TYPES))
@QUICK
def test_arrow_tables_come_back(topic: ms.Topic, case: Case) -> None:
    arrow_case(topic, case)


SUBJECTS = itertools.count()
AVRO_TYPES = nested([*NUMBERS, *TEXTS, *TIMES, *WIDE])


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
