"""What can be appended, and where it goes."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest

import mainstem as ms
from mainstem.client.lanes import Batch
from mainstem.client.retry import Deadline
from mainstem.client.sent import Sent
from mainstem.kernels import murmur2
from mainstem.wire import encode_batches

MakeTopic = Callable[..., ms.Topic]
UTC = datetime.UTC


def read(topic: ms.Topic, **options: Any) -> pa.Table:
    return pa.Table.from_batches(topic.read(**options))


class Relation:
    """As DuckDB's: it has a ``type`` of its own, which is not Arrow's."""

    type = None

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return pa.table({"value": ["a", "b"]}).__arrow_c_stream__(requested_schema)


class Series:
    """As those of Polars and pandas: one column, a stream of chunks that are no structs."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return pa.chunked_array([["a"], ["b"]]).__arrow_c_stream__(requested_schema)


class Column:
    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        return pa.array(["a", "b"]).__arrow_c_array__(requested_schema)


@pytest.mark.parametrize(
    "data",
    [
        Relation(),
        Series(),
        Column(),
        pa.array(["a", "b"]),
        pa.chunked_array([[], ["a", "b"], []], pa.string()),
        pa.array([{"value": "a"}, {"value": "b"}]),
        pa.table({"value": [b"a", b"b"]}),
        pa.record_batch({"value": [b"a", b"b"]}),
        pa.table({"value": pa.chunked_array([["a"], ["b"]])}),
        pa.table({"value": pa.array(["a", "b"]).dictionary_encode()}),
        pa.table({"value": pa.array([b"a", b"b"], pa.large_binary())}),
        pa.table({"value": pa.array(["a", "b"], pa.string_view())}),
        pa.table({"value": [b"x", b"a", b"b", b"y"]}).slice(1, 2),
        {"value": ["a", "b"]},
        [b"a", b"b"],
        ("a", "b"),
        [{"value": b"a"}, {"value": b"b"}],
    ],
    ids=lambda data: type(data).__name__,
)
def test_anything_with_rows_can_be_appended(make_topic: MakeTopic, data: Any) -> None:
    topic = make_topic()
    assert topic.append(data) == ms.Appended(2, {0: ms.Written(0, 1, 2)})
    assert read(topic)["value"].to_pylist() == [b"a", b"b"]


def test_a_stream_is_read_as_it_is_sent(make_topic: MakeTopic) -> None:
    schema = pa.schema([("value", pa.binary())])
    batches = (pa.record_batch([[b"%d" % n]], schema=schema) for n in range(5))

    class Stream:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            reader = pa.RecordBatchReader.from_batches(schema, batches)
            return reader.__arrow_c_stream__(requested_schema)

    topic = make_topic()
    assert topic.append(Stream()).rows == 5
    assert read(topic)["value"].to_pylist() == [b"0", b"1", b"2", b"3", b"4"]


def test_nothing_is_nothing(make_topic: MakeTopic) -> None:
    assert make_topic().append(pa.table({"value": pa.array([], pa.binary())})) == ms.Appended(0)


def test_every_part_of_a_record_comes_back(make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    moment = datetime.datetime(2024, 2, 29, 12, 30, 15, 123000, UTC)
    rows = {
        "value": [b"one", None, b""],
        "_key": [b"k", None, b""],
        "_timestamp": pa.array([moment] * 3, pa.timestamp("us", "UTC")),
        "_headers": pa.array(
            [[{"key": "a", "value": b"1"}, {"key": "a", "value": None}], [], None],
            pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())])),
        ),
        "_partition": [1, 1, 1],
    }
    topic.append(rows)
    found = read(topic)
    assert found.column_names == [
        "_topic", "_partition", "_offset", "_timestamp", "_key", "_headers", "value",
    ]  # fmt: skip
    assert found["_topic"].to_pylist() == [topic.name] * 3
    assert found["_partition"].to_pylist() == [1, 1, 1]
    assert found["_offset"].to_pylist() == [0, 1, 2]
    assert found["_timestamp"].to_pylist() == [moment] * 3
    assert found["_key"].to_pylist() == [b"k", None, b""]
    assert found["value"].to_pylist() == [b"one", None, b""]
    assert found["_headers"].to_pylist() == [
        [{"key": "a", "value": b"1"}, {"key": "a", "value": None}], [], [],
    ]  # fmt: skip


def test_what_was_read_can_be_appended_elsewhere(make_topic: MakeTopic) -> None:
    source, target = make_topic(3), make_topic(3)
    source.append([{"value": f"v{n}", "_key": f"k{n}"} for n in range(50)])
    for batch in source.read():
        target.append(batch)
    names = ["_partition", "_offset", "_timestamp", "_key", "value"]
    one, other = (read(topic).select(names).sort_by([("_partition", "ascending"),
                                                     ("_offset", "ascending")])
                  for topic in (source, target))  # fmt: skip
    assert one.equals(other)


@pytest.mark.parametrize("partitions", [1, 2, 3, 7])
def test_keys_go_where_kafkas_own_clients_put_them(make_topic: MakeTopic, partitions: int) -> None:
    topic = make_topic(partitions)
    keys = [f"key-{number}".encode() for number in range(200)]
    topic.append([{"value": b"", "_key": key} for key in keys])
    found = read(topic)
    where = dict(zip(found["_key"].to_pylist(), found["_partition"].to_pylist(), strict=True))
    assert where == {key: (murmur2(key) & 0x7FFFFFFF) % partitions for key in keys}


def test_rows_of_a_partition_keep_their_order(make_topic: MakeTopic) -> None:
    topic = make_topic(4)
    rows = [{"value": f"{number:06}", "_key": f"{number % 37}"} for number in range(20_000)]
    topic.append(rows)
    found = read(topic)
    for partition in range(4):
        mine = found.filter(pa.compute.equal(found["_partition"], partition))
        assert mine["value"].to_pylist() == sorted(mine["value"].to_pylist())
    assert found.num_rows == 20_000


@pytest.mark.parametrize(
    ("column", "key"),
    [
        (pa.array([7]), b"7"),
        (pa.array(["é"]), "é".encode()),
        (pa.array([b"\xff"]), b"\xff"),
        (pa.array(["x"]).dictionary_encode(), b"x"),
        (pa.array([b"ab"], pa.binary(2)), b"ab"),
        (pa.array([1.5]), b"1.5"),
        (pa.array([datetime.date(2020, 1, 2)]), b"2020-01-02"),
        (pa.array([None], pa.string()), None),
    ],
    ids=str,
)
def test_a_named_column_becomes_the_key(make_topic: MakeTopic, column: Any, key: Any) -> None:
    topic = make_topic()
    topic.append(pa.table({"value": [b"v"], "k": column}), key="k")
    assert read(topic)["_key"].to_pylist() == [key]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1_000]),
        pa.array([1_000_000], pa.timestamp("us")),
        pa.array([1_000], pa.timestamp("ms", "Europe/Berlin")),
        pa.array([1], pa.timestamp("s", "UTC")),
    ],
    ids=lambda column: str(column.type),
)
def test_a_named_column_becomes_the_timestamp(make_topic: MakeTopic, column: Any) -> None:
    topic = make_topic()
    topic.append(pa.table({"value": [b"v"], "t": column}), timestamp="t")
    assert read(topic)["_timestamp"].cast(pa.int64()).to_pylist() == [1_000]


def test_rows_without_a_key_go_to_the_partitions_in_turn(make_topic: MakeTopic) -> None:
    topic = make_topic(3)
    went = [list(topic.append([b"x", b"y"]).partitions) for _ in range(6)]
    assert went == [[0], [1], [2], [0], [1], [2]]


def test_a_partition_may_be_named(make_topic: MakeTopic) -> None:
    topic = make_topic(3)
    assert list(topic.append([b"x"], partition=2).partitions) == [2]


def test_rows_that_name_no_partition_go_by_their_key(make_topic: MakeTopic) -> None:
    topic = make_topic(8)
    rows = [{"value": b"", "_key": "b", "_partition": None}, {"value": b"", "_partition": 5}]
    by_key = (murmur2(b"b") & 0x7FFFFFFF) % 8
    assert set(topic.append(rows).partitions) == {5, by_key}


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd", "none"])
def test_every_compression_comes_back(make_topic: MakeTopic, codec: str) -> None:
    topic = make_topic()
    values = [b"%d" % (number % 9) * 50 for number in range(3000)]
    topic.append(values, compression=codec)
    assert read(topic)["value"].to_pylist() == values


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
def test_a_compression_has_levels(make_topic: MakeTopic, codec: str) -> None:
    rows = [b"%d, as it is" % (number % 97) * 3 for number in range(5000)]
    for level in (1, 9):
        topic = make_topic()
        topic.append(rows, compression=codec, compression_level=level)
        assert [v for batch in topic.read() for v in batch["value"].to_pylist()] == rows


@pytest.mark.parametrize(
    ("codec", "level"),
    [("gzip", 10), ("gzip", 0), ("lz4", 13), ("zstd", 23), ("zstd", "9"), ("snappy", 1), (None, 1)],
)
def test_a_level_that_a_codec_lacks_is_invalid(
    make_topic: MakeTopic, codec: Any, level: Any
) -> None:
    with pytest.raises(ms.Invalid, match="compression_level="):
        make_topic().append([b"x"], compression=codec, compression_level=level)


@pytest.mark.parametrize("acks", ["all", 1, 0])
def test_every_level_of_acks_arrives(make_topic: MakeTopic, acks: Any) -> None:
    topic = make_topic()
    written = topic.append([b"a", b"b"], acks=acks).partitions[0]
    assert written.first_offset == (0 if acks else -1)
    topic.append([b"c"])  # behind it on the same connection
    assert read(topic)["value"].to_pylist() == [b"a", b"b", b"c"]


def test_a_large_append_is_split_into_batches_and_requests(make_topic: MakeTopic) -> None:
    topic = make_topic(2)
    table = pa.table({"value": pa.array([b"%07d" % n + bytes(393) for n in range(60_000)])})
    written = topic.append(table)
    assert written.rows == 60_000
    assert sum(part.rows for part in written.partitions.values()) == 60_000
    assert set(written.partitions) == {0, 1}
    assert sorted(read(topic)["value"].to_pylist()) == table["value"].to_pylist()


def test_a_record_of_900_kilobytes_fits(make_topic: MakeTopic) -> None:
    topic = make_topic()
    topic.append([b"x" * 900_000, b"y"])
    assert [len(value) for value in read(topic)["value"].to_pylist()] == [900_000, 1]


def test_a_record_over_the_limit_is_invalid_and_the_topic_goes_on(make_topic: MakeTopic) -> None:
    topic = make_topic(max_message_bytes=10_000)
    with pytest.raises(ms.Invalid, match=r"max\.message\.bytes") as caught:
        topic.append([b"x" * 20_000])
    assert caught.value.code == 10
    assert topic.append([b"small"]).partitions[0].first_offset == 0


def test_an_error_names_the_rows_that_failed(make_topic: MakeTopic) -> None:
    topic = make_topic(max_message_bytes=10_000)
    rows = [b"x" * 500] * 200
    rows[57] = b"y" * 20_000
    with pytest.raises(ms.Invalid, match=r"\[row 57 failed; \d+ rows were acknowledged\]"):
        topic.append(rows, batch_bytes=5000)
    with pytest.raises(ms.Invalid, match=r"\[rows 0 to 199 failed; 0 rows were acknowledged\]"):
        topic.append(rows)
    stream = pa.RecordBatchReader.from_batches(
        pa.schema([("value", pa.binary())]),
        (pa.record_batch({"value": pa.array(part, pa.binary())}) for part in (rows[:50], rows)),
    )
    with pytest.raises(ms.Invalid, match=r"\[row 107 failed; "):
        topic.append(stream, batch_bytes=5000)


def test_an_error_names_the_rows_of_a_partition(make_topic: MakeTopic) -> None:
    topic = make_topic(2, max_message_bytes=10_000)
    rows = [{"value": b"x" * 500, "_partition": n % 2} for n in range(30)]
    rows[23]["value"] = b"y" * 20_000
    with pytest.raises(ms.Invalid, match=r"partition 1.*\[of rows 1 to 29 those of partition 1 f"):
        topic.append(rows)
    with pytest.raises(ms.Invalid, match=r"\[row 23 failed; "):
        topic.append(rows, batch_bytes=2000)


def test_records_of_many_rows_are_not_taken_for_rows(make_topic: MakeTopic) -> None:
    topic = make_topic(max_message_bytes=10_000)
    with pytest.raises(ms.Invalid, match=r"\[\d+ rows were acknowledged\]"):
        topic.append(pa.table({"n": range(10_000)}), format=ms.Arrow())


def test_rows_of_a_stream_are_there_before_the_next_ones_come(make_topic: MakeTopic) -> None:
    topic = make_topic()
    schema = pa.schema([("value", pa.binary())])

    def batches() -> Iterator[pa.RecordBatch]:
        for number in range(4):
            yield pa.record_batch([pa.array([b"%d" % number] * 1000)], schema=schema)
            seen = 0
            while seen < 1000 * (number + 1):
                seen = sum(batch.num_rows for batch in topic.read())

    topic.append(pa.RecordBatchReader.from_batches(schema, batches()))


TABLE = pa.table({"value": [b"v"], "tailnum": ["N1"], "time": [1]})


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (TABLE, {"key": "tailnumber"}, "no column 'tailnumber': did you mean 'tailnum'"),
        (TABLE, {"timestamp": "when"}, "no column 'when': there are 'value', 'tailnum', 'time'"),
        (TABLE, {}, "column 'tailnum' has no place in a raw record"),
        ({"a": [1]}, {}, "raw records need a column 'value', there are 'a'"),
        ({"value": [[b"x"]]}, {}, "column value is list"),
        ({"value": [1]}, {}, "column value is int64"),
        ({"value": ["v"], "_timestamp": ["x"]}, {}, "timestamp is string"),
        ({"value": ["v"], "_headers": ["x"]}, {}, "headers is string"),
        ({"value": ["v"], "_partition": ["x"]}, {}, "'_partition' is string"),
        ({"value": ["v"], "_partition": [1]}, {}, "has no partition 1: it has 1"),
        ({"value": ["v"], "_partition": [-2]}, {}, "has no partition -2"),
        ({"value": ["v"], "k": [[1]]}, {"key": "k"}, "'k' is list.* cannot be a key"),
        ([b"x"], {"partition": 4}, "has no partition 4: it has 1, from 0 to 0"),
        ([b"x"], {"partition": -1}, "partition=-1 is not valid"),
        ([b"x"], {"acks": 2}, "acks=2 is not valid"),
        ([b"x"], {"compression": "zip"}, "compression='zip' is not valid"),
        ([b"x"], {"batch_bytes": 1}, "batch_bytes=1 is not valid: give 1024"),
        ([b"x"], {"format": "json"}, "format='json' is not a format"),
        ([1, 2], {}, "a list of rows holds a int"),
        ([{"value": b"x"}, b"x"], {}, "a list of rows holds a bytes"),
        (42, {}, "a int cannot be appended"),
        ({"value": [b"x", 1]}, {}, "cannot become Arrow columns: 'value': Expected bytes"),
        ([{"a": 1, "b": 1}, {"a": 2, "b": "x"}], {"format": ms.Json()}, "columns: 'b': .* 'x'"),
        ({"a": [2**70]}, {"format": ms.Json()}, "columns: 'a': .*too large"),
        (pa.RecordBatch.from_struct_array(pa.array([{}], pa.struct([]))), {}, "there are none"),
        ([b"x"], {"partition": 2**31}, "partition=2147483648 is not valid"),
        ([b"x"], {"batch_bytes": 2**70}, "batch_bytes=1180591620717411303424 is not valid"),
        (
            {"value": ["v"], "_timestamp": pa.array([2**62], pa.timestamp("s"))},
            {},
            "timestamp.s. cannot become timestamp.ms.: .* out of bounds timestamp: 46116",
        ),
    ],
)
def test_wrong_input_is_invalid_and_says_what(
    make_topic: MakeTopic, data: Any, options: Any, message: str
) -> None:
    topic = make_topic()
    with pytest.raises(ms.Invalid, match=message):
        topic.append(data, **options)
    assert topic.offsets() == ({0: 0}, {0: 0})


def test_a_column_that_occurs_twice_is_invalid(make_topic: MakeTopic) -> None:
    twice = pa.Table.from_arrays([pa.array([b"a"])] * 2, ["value", "value"])
    with pytest.raises(ms.Invalid, match="'value' occurs more than once"):
        make_topic().append(twice)


@pytest.mark.parametrize("kind", [pa.string_view(), pa.binary_view()], ids=str)
def test_a_dictionary_of_views_as_polars_has_it_is_appended(
    make_topic: MakeTopic, kind: Any
) -> None:
    """pyarrow 26 cannot decode those; they are Polars' categories and enums."""
    numbers = pa.array([1, None, 0, 1], pa.uint32())
    column = pa.DictionaryArray.from_arrays(numbers, pa.array(["a", "b"]).cast(kind))
    topic, text = make_topic(), ["b", None, "a", "b"]
    topic.append({"value": column, "_key": column})
    found = read(topic)
    expected = [None if word is None else word.encode() for word in text]
    assert (found["value"].to_pylist(), found["_key"].to_pylist()) == (expected, expected)
    if kind == pa.string_view():
        other = make_topic()
        other.append({"word": column, "list": pa.array([1, 2, 3, 4])}, format=ms.Json())
        assert read(other, format=ms.Json())["word"].to_pylist() == text


def test_text_as_polars_has_it_is_appended_to_many_partitions(make_topic: MakeTopic) -> None:
    """Views cannot be taken by rows (pyarrow 26), which putting rows into partitions does."""
    topic = make_topic(3)
    header = pa.large_list(pa.struct([("key", pa.string_view()), ("value", pa.binary_view())]))
    table = pa.table(
        {
            "value": pa.array(["a", "b", None, "d"], pa.string_view()),
            "_key": pa.array(["k", None, "l", "m"], pa.string_view()),
            "_headers": pa.array([[{"key": "h", "value": b"x"}], None, [], None], header),
        }
    )
    topic.append(table)
    found = pa.Table.from_batches(topic.read()).sort_by("value")
    assert found["value"].to_pylist() == [b"a", b"b", b"d", None]
    assert found["_key"].to_pylist() == [b"k", None, b"m", b"l"]
    assert found["_headers"].to_pylist() == [[{"key": "h", "value": b"x"}], [], [], []]


def test_taking_back_a_batch_that_was_not_sent_is_no_cancellation() -> None:
    """Rows that raised while there was one such batch came out as CancelledError."""

    async def main() -> None:
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        batch = Batch(memoryview(b""), 1, 0, Deadline(1), done)
        sent = Sent()
        sent.add(0, batch, (0, 0), known=True)
        await sent.settle(cancel=True)
        assert done.cancelled()
        assert str(sent.partial(ms.Invalid("mine"))) == "mine [0 rows were acknowledged]"

    asyncio.run(main())


@pytest.mark.parametrize("batches", [1, 2])
def test_the_error_of_a_source_of_rows_is_raised_as_it_is(
    make_topic: MakeTopic, batches: int
) -> None:
    def rows() -> Iterator[Any]:
        for _ in range(batches):
            yield pa.record_batch({"value": [b"a"]})
        raise LookupError("the source is gone")

    schema = pa.schema([("value", pa.binary())])
    topic = make_topic()
    with pytest.raises(LookupError, match="the source is gone") as caught:
        topic.append(pa.RecordBatchReader.from_batches(schema, rows()))
    topic.append([b"b"])
    written = len(read(topic)) - 1
    assert f"{written} rows were acknowledged" in caught.value.__notes__[0]


@pytest.mark.parametrize("table", [{"value": [b"x"], "_partition": [2]}, [b"x"]], ids=type)
def test_a_partition_that_was_added_meanwhile_is_known(
    stem: ms.Stem, make_topic: MakeTopic, table: Any
) -> None:
    """It was refused until the metadata were ``metadata_max_age`` old."""
    topic = make_topic()
    topic.append([b"a"])
    with ms.connect(stem.address) as other:
        other.alter_topic(topic.name, partitions=3)
    partition = 2 if isinstance(table, list) else None
    assert topic.append(table, partition=partition).partitions == {2: ms.Written(0, 0, 1)}
    with pytest.raises(ms.Invalid, match="has no partition 3: it has 3, from 0 to 2"):
        topic.append([b"x"], partition=3)


def test_a_level_reaches_the_codec(make_topic: MakeTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    """That bytes come back does not show it."""
    sizes: list[int] = []

    def watched(*columns: Any, **options: Any) -> Iterator[memoryview]:
        for batch in encode_batches(*columns, **options):
            sizes.append(len(batch))
            yield batch

    monkeypatch.setattr("mainstem.client.append.encode_batches", watched)
    text = " ".join(f"{n * n % 9973:x}" for n in range(40_000)).encode()
    topic = make_topic()
    for level in (1, 19):
        topic.append([text], compression="zstd", compression_level=level)
    assert sizes[1] < sizes[0]
