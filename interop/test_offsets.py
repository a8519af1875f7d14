"""Looking offsets up by time and by end, and moving the start of the log."""

from __future__ import annotations

import pytest

from interop.clients import Administrator, Client, Refused
from interop.corpus import BASE_TIME, plain

ADMINS = ["confluent", "aio", "kafka_python", "java"]
ALL = [*ADMINS, "kcat"]


@pytest.mark.parametrize("client", ALL, indirect=True)
@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_offset_by_time_is_exact_to_the_record(
    client: Client, admin: Administrator, topic: str, codec: str
) -> None:
    admin.produce(topic, plain(50), codec=codec)
    asked = {
        0: 0,  # before all
        BASE_TIME: 0,
        BASE_TIME + 10_000: 10,  # exactly there
        BASE_TIME + 10_001: 11,  # between two
        BASE_TIME + 49_000: 49,
        BASE_TIME + 49_001: None,  # after all
    }
    found = {time: client.offset_at(topic, 0, time) for time in asked}
    assert found == asked


@pytest.mark.parametrize("client", ADMINS, indirect=True)
def test_bounds_follow_writes_and_deleted_records(client: Administrator, topic: str) -> None:
    assert client.bounds(topic, 0) == (0, 0)
    client.produce(topic, plain(30))
    assert client.bounds(topic, 0) == (0, 30)
    client.delete_records(topic, 0, 12)
    assert client.bounds(topic, 0) == (12, 30)
    assert [each.offset for each in client.read(topic, 18, start=12)] == list(range(12, 30))
    client.delete_records(topic, 0, -1)  # all of them
    assert client.bounds(topic, 0) == (30, 30)


@pytest.mark.parametrize("client", ALL, indirect=True)
@pytest.mark.parametrize("start", [3, 1000])
def test_reading_outside_the_log_is_refused(
    client: Client, admin: Administrator, topic: str, start: int
) -> None:
    admin.produce(topic, plain(20))
    admin.delete_records(topic, 0, 10)
    with pytest.raises(Refused) as refused:
        client.read(topic, 1, start=start)
    assert refused.value.code == 1  # OFFSET_OUT_OF_RANGE


@pytest.mark.parametrize("client", ADMINS, indirect=True)
def test_deleting_records_that_do_not_exist_is_refused(client: Administrator, topic: str) -> None:
    client.produce(topic, plain(5))
    with pytest.raises(Refused) as refused:
        client.delete_records(topic, 0, 6)
    assert refused.value.code == 1
    assert client.bounds(topic, 0) == (0, 5)
