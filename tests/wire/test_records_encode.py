"""Arrow columns to batches: the types users bring, splitting, and clear refusals."""

from __future__ import annotations

import datetime
import random
from typing import Any

import pyarrow as pa
import pytest

from mainstem.errors import Invalid
from mainstem.kernels import read_batches, read_header
from mainstem.wire import Squeeze, decompress, encode_batch, encode_batches
from reference.record_batch import Record, decode

VALUES = [b"one", None, b"", b"four" * 30]
PAIR = pa.struct([("key", pa.string()), ("value", pa.binary())])


def written(value: Any, *rest: Any, **options: Any) -> tuple[Record, ...]:
    return decode(bytes(encode_batch(value, *rest, now_ms=1000, **options))).records


@pytest.mark.parametrize(
    "kind",
    [
        pa.binary(),
        pa.large_binary(),
        pa.binary_view(),
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int32(), pa.binary()),
        pa.dictionary(pa.int8(), pa.string()),
    ],
    ids=str,
)
def test_every_type_of_bytes_and_text(kind: pa.DataType) -> None:
    text = pa.types.is_string(getattr(kind, "value_type", kind)) or "string" in str(kind)
    plain = [v.decode() if v is not None and text else v for v in VALUES]
    array = pa.array([*plain, *plain], kind)
    assert [r.value for r in written(array.slice(1, 5), array.slice(2, 5))] == (VALUES * 2)[1:6]
    assert [r.key for r in written(array.slice(1, 5), array.slice(2, 5))] == (VALUES * 2)[2:7]


def test_fixed_size_binary() -> None:
    array = pa.array([b"abcd", None, b"efgh"], pa.binary(4))
    assert [r.value for r in written(array)] == [b"abcd", None, b"efgh"]


def test_column_of_nothing_but_nulls() -> None:
    assert [r.value for r in written(pa.nulls(2), pa.nulls(2), pa.nulls(2), pa.nulls(2))] == [
        None
    ] * 2


def test_extension_type_is_its_storage() -> None:
    array = pa.ExtensionArray.from_storage(
        pa.uuid(), pa.array([b"0123456789abcdef"], pa.binary(16))
    )
    assert [r.value for r in written(array)] == [b"0123456789abcdef"]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_string(), pa.string_view()], ids=str)
def test_chunked_columns(kind: pa.DataType) -> None:
    chunks = pa.chunked_array([["a", "b"], [], [None, "c"]], kind)
    assert [r.value for r in written(chunks, chunks)] == [b"a", b"b", None, b"c"]


def test_python_list_is_taken_as_a_column() -> None:
    assert [r.value for r in written([b"a", None])] == [b"a", None]


MOMENT = datetime.datetime(2013, 1, 1, 10, tzinfo=datetime.UTC)
MILLISECONDS = int(MOMENT.timestamp() * 1000)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_timestamps_of_every_unit(unit: str, zone: str | None) -> None:
    array = pa.array([None, MOMENT, None, MOMENT], pa.timestamp(unit, tz=zone)).slice(1)
    batch = decode(bytes(encode_batch(pa.array(VALUES[:3]), None, array, now_ms=5)))
    assert batch.base_timestamp == MILLISECONDS
    assert [r.timestamp_delta for r in batch.records] == [0, 5 - MILLISECONDS, 0]
    assert batch.max_timestamp == MILLISECONDS


def test_a_time_that_no_millisecond_is_is_refused_and_not_another_time() -> None:
    with pytest.raises(Invalid, match="out of bounds"):
        encode_batch([b"a"], None, pa.array([2**62], pa.timestamp("s")), now_ms=5)


@pytest.mark.parametrize("kind", [pa.int64(), pa.int32(), pa.uint16()], ids=str)
def test_integers_are_milliseconds(kind: pa.DataType) -> None:
    batch = decode(bytes(encode_batch([b"a", b"b"], None, pa.array([7, None], kind), now_ms=9)))
    assert (batch.base_timestamp, batch.max_timestamp) == (7, 9)


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()], ids=str)
def test_dates_are_midnight(kind: pa.DataType) -> None:
    array = pa.array([datetime.date(1970, 1, 2)], kind)
    assert decode(bytes(encode_batch([b"a"], None, array, now_ms=9))).base_timestamp == 86_400_000


def test_no_timestamp_column_means_now() -> None:
    batch = decode(bytes(encode_batch([b"a", b"b"], now_ms=77)))
    assert (batch.base_timestamp, batch.max_timestamp) == (77, 77)


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(PAIR),
        pa.large_list(PAIR),
        pa.map_(pa.string(), pa.binary()),
        pa.list_(pa.struct([("key", pa.large_string()), ("value", pa.string())])),
    ],
    ids=str,
)
def test_headers_of_every_shape(kind: pa.DataType) -> None:
    rows: list[Any] = [[("skipped", b"")], [("a", b"1"), ("b", None)], None, [], [("c", b"")]]
    if not pa.types.is_map(kind):
        rows = [r and [{"key": k, "value": v} for k, v in r] for r in rows]
    headers = pa.array(rows, kind).slice(1)
    found = [r.headers for r in written(pa.array(VALUES), None, None, headers)]
    assert found == [(("a", b"1"), ("b", None)), (), (), (("c", b""),)]


@pytest.mark.parametrize(
    ("column", "array", "message"),
    [
        ("value", pa.array([1]), "column value is int64"),
        ("value", pa.array([1.5]), "column value is double"),
        ("value", pa.array([[b"a"]]), "column value is list"),
        ("value", object(), "column value is not an Arrow array"),
        ("key", pa.array([True]), "column key is bool"),
        ("key", pa.array([b"a", b"b"]), "column key has 2 rows but value has 1"),
        ("timestamp", pa.array([1.5]), "column timestamp is double"),
        ("timestamp", pa.array(["2013"]), "column timestamp is string"),
        ("timestamp", pa.array([2**63], pa.uint64()), "cannot become int64"),
        ("timestamp", pa.array([], pa.int64()), "column timestamp has 0 rows"),
        ("headers", pa.array(["a"]), "column headers is string"),
        ("headers", pa.array([[1]]), "cannot become list"),
        ("headers", pa.array([[{"key": None, "value": b""}]], pa.list_(PAIR)), "null key"),
        ("headers", pa.array([[None]], pa.list_(PAIR)), "null key"),
    ],
)  # fmt: skip
def test_wrong_column_is_refused_by_name(column: str, array: Any, message: str) -> None:
    columns = {"value": pa.array([b"a"]), column: array}
    with pytest.raises(Invalid, match=message):
        encode_batch(**columns, now_ms=0)


def test_batch_of_no_rows_is_refused() -> None:
    with pytest.raises(Invalid, match="at least one row"):
        encode_batch(pa.array([], pa.binary()), now_ms=0)


def test_more_than_fits_into_one_batch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest batch is 2 GiB; with that number lowered the test needs no such memory."""
    monkeypatch.setattr("mainstem.wire.encoding._LARGEST_BATCH", 61 + 2 * 17)
    assert read_header(encode_batch([b"v" * 10] * 2, now_ms=0)).record_count == 2
    with pytest.raises(Invalid, match="split them after row 2") as caught:
        encode_batch([b"v" * 10] * 3, now_ms=0)
    assert caught.value.code == 10


def test_no_rows_are_no_batches() -> None:
    nothing = pa.array([], pa.binary())
    times = pa.array([], pa.timestamp("us"))
    headers = pa.array([], pa.list_(PAIR))
    assert list(encode_batches(nothing, nothing, times, headers, batch_bytes=100, now_ms=0)) == []


def test_columns_are_checked_before_the_first_batch_is_asked_for() -> None:
    with pytest.raises(Invalid):
        encode_batches(pa.array([1]), batch_bytes=100, now_ms=0)


@pytest.mark.parametrize("codec", [-1, 5])
def test_unknown_codec_is_refused(codec: int) -> None:
    with pytest.raises(Invalid, match="codec"):
        encode_batch([b"a"], codec=codec, now_ms=0)


@pytest.mark.parametrize("codec", range(5))
def test_producer_fields_and_attributes(codec: int) -> None:
    batch = encode_batch(
        [b"a", b"b"], codec=codec, producer_id=2**40, producer_epoch=9, base_sequence=5,
        transactional=True, now_ms=0,
    )  # fmt: skip
    (header,) = read_batches(batch)
    assert (header.codec, header.transactional, header.control) == (codec, True, False)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (2**40, 9, 5)
    assert (header.base_offset, header.leader_epoch) == (0, -1)


def test_sequences_go_on_and_wrap_to_zero() -> None:
    batches = encode_batches(
        [b"v" * 10] * 6, batch_bytes=61 + 2 * 17, producer_id=1, producer_epoch=0,
        base_sequence=2**31 - 3, now_ms=0,
    )  # fmt: skip
    assert [read_header(b).base_sequence for b in batches] == [2**31 - 3, 2**31 - 1, 1]


def test_record_larger_than_the_target_gets_its_own_batch() -> None:
    values = [b"small", b"x" * 5000, b"small"]
    batches = list(encode_batches(values, batch_bytes=200, now_ms=0))
    assert [read_header(b).record_count for b in batches] == [1, 1, 1]
    assert [decode(bytes(b)).records[0].value for b in batches] == values


def sizes_of(values: list[bytes], squeeze: Squeeze, codec: int) -> list[tuple[int, int]]:
    """Of each batch, its bytes before and after compression; all rows are in them."""
    batches = list(
        encode_batches(values, batch_bytes=10_000, codec=codec, squeeze=squeeze, now_ms=0)
    )
    found = [decode(bytes(batch), lambda body: bytes(decompress(codec, body))) for batch in batches]
    assert [record.value for batch in found for record in batch.records] == values
    plain = [sum(len(record.value or b"") for record in batch.records) for batch in found]
    return list(zip(plain, map(len, batches), strict=True))


@pytest.mark.parametrize("codec", range(1, 5))
def test_compressed_batches_grow_to_three_times_as_much_before_compression(codec: int) -> None:
    values = [b"%05d and the same words again" % n for n in range(5_000)]
    squeeze = Squeeze()
    (first, _), *later = sizes_of(values, squeeze, codec)
    assert first < 10_000, "nothing is known yet"
    assert 15_000 < max(plain for plain, _ in later) < 30_000
    assert all(packed <= 10_000 for _, packed in later)
    again = sizes_of(values, squeeze, codec)
    assert again[0][0] > 12_000, "what was learnt is kept"


@pytest.mark.parametrize("codec", range(1, 5))
def test_a_batch_that_compresses_worse_than_those_before_is_cut(codec: int) -> None:
    """None is larger on the wire than a batch without a codec may be, but for its framing."""
    rng, squeeze = random.Random(codec), Squeeze()
    squeeze.learn(40_000, 1_000)
    sizes = sizes_of([rng.randbytes(100) for _ in range(1_000)], squeeze, codec)
    assert all(packed <= 10_100 for _, packed in sizes)
    assert squeeze.times == 1


def test_batches_without_a_codec_learn_nothing() -> None:
    values = [b"the same words again"] * 5_000
    batches = list(encode_batches(values, batch_bytes=10_000, now_ms=0))
    assert max(map(len, batches)) <= 10_000
