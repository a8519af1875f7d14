"""Every client writes every kind of record with every codec, and reads back the same bytes."""

from __future__ import annotations

import pytest

from interop.clients import Administrator, Client
from interop.corpus import LARGE, Record, large, plain, tricky

ALL = ["confluent", "aio", "kafka_python", "kcat", "java"]
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def every(names: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("client", names, indirect=True)


@every(ALL)
@pytest.mark.parametrize("codec", CODECS)
def test_reads_back_what_it_wrote(client: Client, topic: str, codec: str) -> None:
    records = [record for record in tricky() if client.can_write(record)]
    places = client.produce(topic, records, codec=codec)
    assert places == [(0, offset) for offset in range(len(records))]
    found = client.read(topic, len(records))
    assert [each.offset for each in found] == list(range(len(records)))
    assert [each.record.content for each in found] == [record.content for record in records]
    if client.name != "kcat":  # it cannot set timestamps
        assert [each.record.timestamp for each in found] == [each.timestamp for each in records]


@every(ALL)
def test_idempotent_producer_is_accepted_in_order(client: Client, topic: str) -> None:
    records = plain(300)
    client.produce(topic, records, idempotent=True)
    client.produce(topic, records, idempotent=True, codec="lz4")
    found = [each.record.content for each in client.read(topic, 600)]
    assert found == [record.content for record in records] * 2


@every(ALL)
def test_same_key_always_lands_in_the_same_partition(
    client: Client, admin: Administrator, name: str
) -> None:
    admin.create_topic(name, 4)
    records = plain(100)
    places = client.produce(name, records, partition=None)
    found = [
        each
        for partition in range(4)
        for each in client.read(name, admin.bounds(name, partition)[1], partition=partition)
    ]
    assert len({partition for partition, _ in places}) > 1
    homes: dict[bytes | None, set[int]] = {}
    for each in found:
        homes.setdefault(each.record.key, set()).add(each.partition)
    assert all(len(partitions) == 1 for partitions in homes.values()), homes
    assert sorted(each.record.value or b"" for each in found) == sorted(
        record.value or b"" for record in records
    )


@every(ALL)
def test_large_records_survive(client: Client, topic: str) -> None:
    record = large(seed=1)
    if client.can_write(record):
        records = [record, Record(b"after", b"small", (), record.timestamp), large(seed=2)]
    else:
        records = [Record(None, b"x" * LARGE), Record(None, b"small"), Record(None, b"y" * LARGE)]
    client.produce(topic, records)
    found = client.read(topic, 3)
    assert [each.record.content for each in found] == [record.content for record in records]


@every(ALL)
def test_reading_starts_in_the_middle_of_a_batch(client: Client, topic: str) -> None:
    records = [Record(None, b"%d" % number, (), None) for number in range(50)]
    client.produce(topic, records, codec="gzip")
    found = client.read(topic, 13, start=37)
    assert [(each.offset, each.record.value) for each in found] == [
        (number, b"%d" % number) for number in range(37, 50)
    ]
