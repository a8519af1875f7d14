"""Arrow payloads: many rows a record, the same rows back, and nothing from strangers unchecked."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import ipc

import mainstem as ms
from mainstem.client.arrow_messages import read_rows
from mainstem.client.arrow_runs import run_edges

MakeTopic = Callable[..., ms.Topic]


def message(batch: Any, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, batch.schema, options=ipc.IpcWriteOptions(**options)) as stream:
        stream.write_batch(batch)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def place(row: int) -> str:
    return f"row {row}"


def read(topic: ms.Topic, payload: Any = None, **options: Any) -> pa.Table:
    return pa.Table.from_batches(topic.read(format=payload or ms.Arrow(), **options))


TABLE = pa.table(
    {
        "n": pa.array(range(1000), pa.int32()),
        "s": pa.array([None if n % 7 == 0 else f"text {n}" for n in range(1000)]),
        "d": pa.array([f"kind {n % 3}" for n in range(1000)]).dictionary_encode(),
        "l": pa.array([list(range(n % 4)) for n in range(1000)]),
        "v": pa.array([f"a long string of characters {n}" for n in range(1000)], pa.string_view()),
    }
)


def test_a_table_is_one_record_and_comes_back_whole(make_topic: MakeTopic) -> None:
    topic = make_topic()
    written = topic.append(TABLE, format=ms.Arrow())
    assert written.rows == 1
    found = read(topic)
    assert found.select(TABLE.column_names).equals(TABLE)
    assert set(found["_offset"].to_pylist()) == {0}
    assert found["_topic"].to_pylist() == [topic.name] * 1000


def test_rows_of_one_key_share_a_record_and_others_do_not(make_topic: MakeTopic) -> None:
    topic = make_topic()
    keys = ["a"] * 3 + ["b"] * 2 + [None] * 2 + ["a"]
    table = pa.table({"n": range(8), "_key": keys})
    assert topic.append(table, format=ms.Arrow()).rows == 4
    found = read(topic)
    assert found["n"].to_pylist() == list(range(8))
    assert found["_key"].to_pylist() == [key and key.encode() for key in keys]
    assert found["_offset"].to_pylist() == [0, 0, 0, 1, 1, 2, 2, 3]


def test_bookkeeping_columns_come_back_as_they_went(make_topic: MakeTopic) -> None:
    topic = make_topic(3)
    headers = [None, [], [("h", b"1")], [("h", b"1")], None, None]
    kind = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
    table = pa.table(
        {
            "n": range(6),
            "_key": pa.array([b"k"] * 6),
            "_timestamp": pa.array([1, 1, 1, 1, 2, 2], pa.timestamp("ms", "UTC")),
            "_headers": pa.array(
                [h and [{"key": k, "value": v} for k, v in h] for h in headers], kind
            ),
            "_partition": pa.array([2, 2, 2, 2, 2, 1], pa.int32()),
        }
    )
    assert topic.append(table, format=ms.Arrow()).rows == 5
    found = read(topic).sort_by("n")
    for name in ("n", "_key", "_timestamp", "_partition"):
        assert found[name].to_pylist() == table[name].to_pylist()
    assert [len(row) for row in found["_headers"].to_pylist()] == [0, 0, 1, 1, 0, 0]


@pytest.mark.parametrize("step", [1, 7, 100])
def test_records_stay_below_the_size_that_was_asked_for(step: int, make_topic: MakeTopic) -> None:
    topic = make_topic()
    payload = ms.Arrow(record_bytes=6000)
    topic.append(TABLE, format=payload)
    sizes = [len(v) for batch in topic.read() for v in batch["value"].to_pylist()]
    assert max(sizes) <= 6000
    assert len(sizes) > 10
    assert read(topic, batch_rows=step).select(TABLE.column_names).equals(TABLE)


def test_a_slice_of_a_view_is_written_without_the_rest() -> None:
    wide = pa.record_batch({"v": pa.array(["x" * 1000] * 1000, pa.string_view())})
    for _, value in zip(*ms.Arrow(record_bytes=20_000).pack(wide, [None], used=frozenset()),
                        strict=True):  # fmt: skip
        assert len(value.as_py()) <= 20_000


def test_a_dictionary_is_cut_to_what_a_record_uses() -> None:
    texts = pa.array([f"value number {n} of many" for n in range(5000)]).dictionary_encode()
    starts, values = ms.Arrow(record_bytes=20_000).pack(
        pa.record_batch({"d": texts}), [None], used=frozenset()
    )
    assert len(starts) < 40
    assert max(len(value.as_py()) for value in values) <= 20_000


def test_rows_without_any_bytes_are_no_more_than_bytes(make_topic: MakeTopic) -> None:
    topic = make_topic()
    table = pa.table({"nothing": pa.nulls(50_000)})
    topic.append(table, format=ms.Arrow())
    assert read(topic)["nothing"].null_count == 50_000


def test_records_without_a_value_are_rows_of_nulls(make_topic: MakeTopic) -> None:
    topic = make_topic()
    topic.append(pa.table({"n": [1, 2]}), format=ms.Arrow())
    topic.append(pa.table({"value": pa.nulls(1, pa.binary()), "_key": ["gone"]}))
    found = read(topic)
    assert found["n"].to_pylist() == [1, 2, None]
    assert found["_key"].to_pylist() == [None, None, b"gone"]


def test_a_batch_without_rows_has_none(make_topic: MakeTopic) -> None:
    topic = make_topic()
    topic.append([message(TABLE.to_batches()[0].slice(0, 0))])
    topic.append(pa.table({"n": pa.array([5], pa.int32())}), format=ms.Arrow())
    assert read(topic)["n"].to_pylist() == [5]


def test_a_commit_covers_whole_records(make_topic: MakeTopic, stem: ms.Stem) -> None:
    topic = make_topic()
    for first in (0, 3, 6):
        topic.append(pa.table({"n": range(first, first + 3)}), format=ms.Arrow())
    options: Any = {"format": ms.Arrow(), "batch_rows": 1, "auto_commit": None}
    group = f"{topic.name}-group"
    with stem.consumer(group, topic.name, start="earliest", **options) as consumer:
        assert next(consumer)["n"].to_pylist() == [0, 1, 2]
        consumer.commit()
    assert stem.committed(group) == {(topic.name, 0): 1}
    with stem.consumer(group, topic.name, **options) as consumer:
        assert next(consumer)["n"].to_pylist() == [3, 4, 5]


# --- schemas -------------------------------------------------------------------------------------


def test_columns_of_several_schemas_come_together(make_topic: MakeTopic) -> None:
    topic = make_topic()
    topic.append(pa.table({"a": pa.array([1], pa.int32())}), format=ms.Arrow())
    topic.append(pa.table({"b": ["x"], "a": pa.array([2], pa.int64())}), format=ms.Arrow())
    assert read(topic).select(["a", "b"]).to_pylist() == [
        {"a": 1, "b": None},
        {"a": 2, "b": "x"},
    ]


def test_columns_that_do_not_go_together_are_an_error(make_topic: MakeTopic) -> None:
    topic = make_topic()
    topic.append(pa.table({"a": [1]}), format=ms.Arrow())
    topic.append(pa.table({"a": ["x"]}), format=ms.Arrow())
    with pytest.raises(ms.Corrupt, match=r"offset 1: .*do not go with those before"):
        read(topic)


def test_a_schema_says_what_is_written_and_read(make_topic: MakeTopic) -> None:
    topic = make_topic()
    schema = pa.schema([("a", pa.int64()), ("b", pa.string())])
    topic.append(pa.table({"a": pa.array([1], pa.int8())}), format=ms.Arrow(schema))
    topic.append(pa.table({"b": ["x"], "more": [1]}), format=ms.Arrow())
    found = read(topic, ms.Arrow(schema)).select(["a", "b"])
    assert found.schema.equals(schema)
    assert found.to_pylist() == [{"a": 1, "b": None}, {"a": None, "b": "x"}]
    with pytest.raises(ms.Invalid, match="'more' is not in the schema"):
        topic.append(pa.table({"more": [1]}), format=ms.Arrow(schema))
    with pytest.raises(ms.Invalid, match="do not fit the schema"):
        topic.append(pa.table({"a": ["text"]}), format=ms.Arrow(schema))


def test_a_value_that_does_not_fit_the_schema_is_never_another(make_topic: MakeTopic) -> None:
    topic = make_topic()
    topic.append(pa.table({"a": [2**40]}), format=ms.Arrow())
    with pytest.raises(ms.Corrupt, match="offset 0"):
        read(topic, ms.Arrow(pa.schema([("a", pa.int32())])))


def laid_out(word: str) -> pa.Array:
    """``[[1, 2], None, [3, 4]]``; the views lie in another order than the rows."""
    lists = [[1, 2], None, [3, 4]]
    if word == "fixed":
        return pa.array(lists, pa.list_(pa.int32(), 2))
    if not word.endswith("view"):
        return pa.array(lists, getattr(pa, word)(pa.int32()))
    wide = word.startswith("large")
    made = pa.LargeListViewArray if wide else pa.ListViewArray
    number = pa.int64() if wide else pa.int32()
    starts, sizes = pa.array([3, 0, 1], number), pa.array([2, 0, 2], number)
    values = pa.array([9, 3, 4, 1, 2], pa.int32())
    return made.from_arrays(starts, sizes, values, mask=pa.array([False, True, False]))


LAYOUTS = ["list_", "large_list", "fixed", "list_view", "large_list_view"]


@pytest.mark.parametrize("entries", [pa.int32(), pa.int64()], ids=str)
@pytest.mark.parametrize("wanted", LAYOUTS)
@pytest.mark.parametrize("written", LAYOUTS)
def test_lists_are_read_in_the_layout_of_the_schema(
    written: str, wanted: str, entries: pa.DataType, make_topic: MakeTopic
) -> None:
    kind = pa.list_(entries, 2) if wanted == "fixed" else getattr(pa, wanted)(entries)
    topic = make_topic()
    topic.append([message(pa.record_batch({"l": laid_out(written)}))])
    found = read(topic, ms.Arrow(pa.schema([("l", kind)])))
    found.validate(full=True)
    assert found.schema.field("l").type == kind
    assert found["l"].to_pylist() == [[1, 2], None, [3, 4]]


def test_lists_of_another_layout_inside_a_struct_are_an_error(make_topic: MakeTopic) -> None:
    topic = make_topic()
    inner = pa.StructArray.from_arrays([laid_out("list_view")], ["l"])
    topic.append([message(pa.record_batch({"s": inner}))])
    schema = pa.schema([("s", pa.struct([("l", pa.list_(pa.int32(), 2))]))])
    with pytest.raises(ms.Corrupt, match="laid out differently"):
        read(topic, ms.Arrow(schema))


def test_lists_that_overlap_are_not_multiplied(make_topic: MakeTopic) -> None:
    topic = make_topic()
    numbers = pa.array([0] * 1000, pa.int32())
    sizes = pa.array([1000] * 1000, pa.int32())
    lists = pa.ListViewArray.from_arrays(numbers, sizes, pa.array(range(1000), pa.int32()))
    topic.append([message(pa.record_batch({"l": lists}))])
    with pytest.raises(ms.Corrupt, match="overlap"):
        read(topic, ms.Arrow(pa.schema([("l", pa.list_(pa.int32()))])))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"schema": {"a": "int"}}, r"takes a pyarrow\.Schema"),
        ({"schema": pa.schema([("a", pa.int8()), ("a", pa.int8())])}, "two columns 'a'"),
        ({"record_bytes": 10}, "too small"),
        ({"on_error": "null"}, "on_error='null'"),
        ({"on_error": "side"}, "belong together"),
    ],
)
def test_bad_options_are_invalid(options: Any, reason: str) -> None:
    with pytest.raises(ms.Invalid, match=reason):
        ms.Arrow(**options)


# --- strangers -----------------------------------------------------------------------------------

BATCH = TABLE.to_batches()[0]
GOOD = message(BATCH)


def two_batches() -> bytes:
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, BATCH.schema) as stream:
        stream.write_batch(BATCH)
        stream.write_batch(BATCH)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def damaged_text() -> bytes:
    good = message(pa.record_batch({"s": pa.array(["hello", ""])}))
    assert struct.pack("<3i", 0, 5, 5) in good
    return good.replace(struct.pack("<3i", 0, 5, 5), struct.pack("<3i", 0, 5, 1 << 30))


def buffers_between_words() -> bytes:
    """A schema's message that is four bytes longer: the batch behind it lies askew."""
    data = message(pa.record_batch({"a": pa.array([1, 2, 3], pa.int64())}))
    (size,) = struct.unpack_from("<i", data, 4)
    return data[:4] + struct.pack("<i", size + 4) + data[8 : 8 + size] + bytes(4) + data[8 + size :]


STRANGE = {
    "empty": b"",
    "junk": b"junk",
    "json": b'{"a":1}',
    "schema only": BATCH.schema.serialize().to_pybytes(),
    "batch only": pa.record_batch({"a": [1]}).serialize().to_pybytes(),
    "two batches": two_batches(),
    "bytes behind": GOOD + b"junk behind it",
    "cut": GOOD[:-40],
    "no length": b"\xff\xff\xff\xff\x00\x00\x00\x7f",
    "lz4": message(pa.record_batch({"a": [0] * 10_000}), compression="lz4"),
    "zstd": message(pa.record_batch({"a": [0] * 10_000}), compression="zstd"),
    "zstd dictionary": message(
        pa.record_batch({"a": pa.array(["x" * 9000]).dictionary_encode()}), compression="zstd"
    ),
    "buffers between words": buffers_between_words(),
    "text outside": damaged_text(),
    "bad utf-8": message(pa.record_batch({"s": ["hello"]})).replace(b"hello", b"he\xfflo"),
    "rows for nothing": message(pa.record_batch({"n": pa.nulls(1_000_000)})),
    "rows of no columns": message(pa.record_batch({"n": pa.nulls(1 << 30)}).select([])),
    "two of a name": message(pa.record_batch([pa.array([1]), pa.array([2])], names=["a", "a"])),
}  # fmt: skip


@pytest.mark.parametrize("case", STRANGE)
def test_what_is_not_one_whole_batch_is_corrupt(case: str, make_topic: MakeTopic) -> None:
    topic = make_topic()
    topic.append([GOOD, STRANGE[case]])
    with pytest.raises(ms.Corrupt, match=r"partition 0 offset 1: .*Raw") as found:
        read(topic)
    assert found.value.code == 87


def test_what_is_strange_goes_aside(make_topic: MakeTopic) -> None:
    topic, letters = make_topic(), make_topic()
    topic.append([GOOD, *STRANGE.values(), GOOD])
    found = read(topic, ms.Arrow(on_error="side", side=letters.append))
    assert found.num_rows == 2000
    assert sorted(set(found["_offset"].to_pylist())) == [0, len(STRANGE) + 1]
    values = [value for batch in letters.read() for value in batch["value"].to_pylist()]
    assert values == list(STRANGE.values())


def test_a_key_for_every_row_is_bounded(make_topic: MakeTopic) -> None:
    topic = make_topic()
    value = message(pa.record_batch({"n": pa.array([1] * 20_000, pa.int8())}))
    topic.append(pa.table({"value": [value], "_key": ["k" * 60_000]}))
    with pytest.raises(ms.Corrupt, match="read fewer records"):
        read(topic)


@pytest.mark.slow
def test_damaged_messages_are_corrupt_or_harmless() -> None:
    source = random.Random(20)
    refused = 0
    for _ in range(2500):
        data = bytearray(GOOD[:6000] if source.random() < 0.1 else GOOD)
        for _ in range(source.randint(1, 4)):
            data[source.randrange(min(len(data), 3000))] = source.choice(
                [0, 1, 0x7F, 0x80, 0xFF, source.randrange(256)]
            )
        try:
            batch = read_rows(bytes(data))
        except ms.Corrupt:
            refused += 1
            continue
        batch.validate(full=True)
        assert batch.num_rows <= len(data)
        batch.to_pylist()
    assert refused > 500


def test_rows_run_together_where_all_parts_agree() -> None:
    key = pa.array(["a", "a", None, None, "b", "b"])
    number = pa.array([1, 1, 1, 1, 1, 2])
    assert run_edges([key, None, number], 6) == [0, 2, 4, 5, 6]
    assert run_edges([key.dictionary_encode()], 6) == [0, 2, 4, 6]
    assert run_edges([], 6) == [0, 6]
    assert run_edges([key.slice(0, 0)], 0) == [0]
    assert run_edges([pa.array([{"a": 1}, {"a": 1}])], 2) == [0, 1, 2]
