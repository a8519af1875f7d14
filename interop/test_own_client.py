"""Mainstem's own client against the target: what it does on Mainstem it does on Apache Kafka."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest

import mainstem as ms
from interop.clients import Client
from interop.corpus import Record, tricky


@pytest.fixture
def stem(cluster: str) -> Iterator[ms.Stem]:
    with ms.connect(cluster) as found:
        yield found


@pytest.fixture
def topic(stem: ms.Stem) -> Iterator[ms.Topic]:
    name = f"own-{uuid.uuid4().hex[:12]}"
    yield stem.create_topic(name, 3, config={"retention.ms": -1})
    stem.delete_topic(name)


@pytest.mark.parametrize("acks", ["all", 1, 0])
@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
def test_every_codec_and_promise(topic: ms.Topic, codec: str | None, acks: Any) -> None:
    rows = [{"value": b"%d" % n * 20, "_key": b"%d" % (n % 40)} for n in range(2000)]
    topic.append(rows, compression=codec, acks=acks)
    topic.append([b"last"], partition=0)
    seen: list[bytes] = []
    with topic.read(follow=True) as batches:
        while len(seen) < 2001:  # what was not acknowledged may still be on its way
            seen += next(batches)["value"].to_pylist()
    assert sorted(seen) == sorted([row["value"] for row in rows] + [b"last"])


def test_a_million_rows_there_and_back(topic: ms.Topic) -> None:
    table = pa.table({"value": pa.array([b"%07d" % n for n in range(1_000_000)])})
    assert topic.append(table).rows == 1_000_000
    found = pa.Table.from_batches(topic.read())
    assert found["value"].sort().equals(table["value"])


def test_json_places_and_times(topic: ms.Topic) -> None:
    zero = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    minutes = [zero + datetime.timedelta(minutes=n) for n in range(60)]
    table = pa.table({"n": range(60), "at": pa.array(minutes, pa.timestamp("ms", "UTC"))})
    topic.append(table, timestamp="at", partition=1, format=ms.Json())
    found = topic.read(minutes[50], end=minutes[55], format=ms.Json(table.schema))
    assert [n for batch in found for n in batch["n"].to_pylist()] == [50, 51, 52, 53, 54]
    assert topic.offsets() == ({0: 0, 1: 0, 2: 0}, {0: 0, 1: 60, 2: 0})


def test_topics_and_groups_are_administered(stem: ms.Stem, topic: ms.Topic) -> None:
    topic.append([b"x"] * 10, partition=0)
    stem.alter_topic(topic.name, partitions=4, config={"retention.ms": None})
    assert len(topic.describe().partitions) == 4
    assert topic.describe().settings == ()
    group = f"own-{uuid.uuid4().hex[:12]}"
    stem.commit(group, {(topic.name, 0): 4})
    assert stem.describe_group(group).lag == 6
    assert stem.reset_group(group, topic.name, {0: "latest"}) == {0: (4, 10)}
    assert stem.committed(group) == {(topic.name, 0): 10}
    stem.delete_group(group)
    assert stem.delete_records(topic.name, {0: 7}) == {0: 7}


@pytest.mark.parametrize(
    ("use", "kind", "code"),
    [
        (lambda stem, topic: stem.create_topic(topic.name), ms.Conflict, 36),
        (lambda stem, _: stem.create_topic("a/b"), ms.Invalid, 17),
        (lambda stem, topic: stem.topic(topic.name + "x"), ms.Invalid, 3),
        (lambda stem, topic: stem.alter_topic(topic.name, config={"no": 1}), ms.Invalid, 40),
        (lambda stem, topic: stem.alter_topic(topic.name, partitions=1), ms.Invalid, 37),
        (lambda _, topic: topic.append([bytes(1_200_000)]), ms.Invalid, 10),
        (lambda _, topic: topic.read(5), ms.Invalid, 1),
        (lambda stem, _: stem.describe_group("nobody"), ms.Invalid, 69),
    ],
)
def test_errors_are_the_same_kinds(
    stem: ms.Stem,
    topic: ms.Topic,
    use: Callable[[ms.Stem, ms.Topic], object],
    kind: type[ms.MainstemError],
    code: int,
) -> None:
    with pytest.raises(kind) as caught:
        use(stem, topic)
    assert caught.value.code == code


OTHERS = ["confluent", "aio", "kafka_python", "java"]
HEADERS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))


def as_table(records: list[Record]) -> pa.Table:
    headers = [[{"key": k, "value": v} for k, v in record.headers] for record in records]
    return pa.table(
        {
            "value": pa.array([record.value for record in records], pa.binary()),
            "_key": pa.array([record.key for record in records], pa.binary()),
            "_timestamp": [record.timestamp for record in records],
            "_headers": pa.array(headers, HEADERS),
        }
    )


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("other", OTHERS)
def test_others_read_what_we_append(
    topic: ms.Topic, connect: Callable[[str], Client], other: str, codec: str
) -> None:
    client = connect(other)
    records = [record for record in tricky() if client.can_read(record)]
    topic.append(as_table(records), partition=2, compression=codec)
    found = client.read(topic.name, len(records), partition=2)
    assert [each.record.content for each in found] == [each.content for each in records]
    assert [each.record.timestamp for each in found] == [each.timestamp for each in records]


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("other", OTHERS)
def test_we_read_what_others_write(
    topic: ms.Topic, connect: Callable[[str], Client], other: str, codec: str
) -> None:
    client = connect(other)
    records = [record for record in tricky() if client.can_write(record)]
    client.produce(topic.name, records, partition=1, codec=codec)
    found = pa.Table.from_batches(topic.read())
    assert found["_partition"].to_pylist() == [1] * len(records)
    expected = as_table(records)
    for name in ("value", "_key", "_headers"):
        assert found[name].to_pylist() == expected[name].to_pylist()
    assert found["_timestamp"].cast(pa.int64()).to_pylist() == expected["_timestamp"].to_pylist()


@pytest.mark.parametrize("other", ["java", "kafka_python"])
def test_keys_go_where_the_other_client_puts_them(
    topic: ms.Topic, connect: Callable[[str], Client], other: str
) -> None:
    records = [record for record in tricky() if record.key and not record.headers]
    theirs = [
        partition for partition, _ in connect(other).produce(topic.name, records, partition=None)
    ]
    before = topic.offsets()[1]
    topic.append(as_table(records))
    ours = dict.fromkeys((record.key for record in records), -1)
    for batch in topic.read(before):
        ours |= dict(zip(batch["_key"].to_pylist(), batch["_partition"].to_pylist(), strict=True))
    assert [ours[record.key] for record in records] == theirs
