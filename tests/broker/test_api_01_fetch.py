"""Fetch: limits, long poll, errors, over the wire."""

from __future__ import annotations

import os

import pytest

from mainstem.kernels import read_batches
from mainstem.testing import RawConnection, running_broker
from mainstem.wire import Message
from reference.produce import batch, create, fetch, fetch_message, produce


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with running_broker(tmp_path_factory.mktemp("data"), auto_create_topics=False) as running:
        yield running


@pytest.fixture
def connection(broker):
    with RawConnection(broker.address) as raw:
        yield raw


@pytest.fixture
def topic(connection, request):
    name = request.node.name.replace("[", ".").replace("]", "")[:200]
    create(connection, name)
    return name


@pytest.mark.parametrize("version", range(4, 13))
def test_what_was_produced_comes_back_with_its_offsets(connection, topic, version):
    produce(connection, topic, batch(b"a", b"b"))
    produce(connection, topic, batch(b"c"))
    part = fetch(connection, topic, 0, version=version)
    assert (part.error_code, part.high_watermark, part.last_stable_offset) == (0, 3, 3)
    assert [(h.base_offset, h.last_offset) for h in read_batches(part.records)] == [(0, 1), (2, 2)]


@pytest.mark.parametrize("version", [13, 15, 17, 18])
def test_topics_are_asked_for_by_id_from_version_13(broker, connection, topic, version):
    produce(connection, topic, batch(b"a"))
    message = fetch_message(topic, 0)
    message.topics[0].topic_id = broker.broker.topics.get(topic).id
    part = connection.call(1, version, message).responses[0].partitions[0]
    assert b"a" in part.records


def test_an_unknown_id_is_told(connection):
    message = fetch_message("x", 0)
    message.topics[0].topic_id = __import__("uuid").uuid4()
    assert connection.call(1, 13, message).responses[0].partitions[0].error_code == 100


def test_an_offset_inside_a_batch_gets_the_whole_batch(connection, topic):
    produce(connection, topic, batch(b"a", b"b", b"c"))
    (header,) = read_batches(fetch(connection, topic, 2).records)
    assert header.base_offset == 0


def test_the_first_batch_is_sent_even_if_it_is_over_the_limit(connection, topic):
    produce(connection, topic, batch(b"x" * 5000))
    produce(connection, topic, batch(b"y"))
    part = fetch(connection, topic, 0, partition_max_bytes=100, max_bytes=100)
    assert [h.base_offset for h in read_batches(part.records)] == [0]


def test_a_second_partition_waits_for_its_turn_when_the_first_fills_the_answer(connection):
    create(connection, "two", 2)
    for partition in (0, 1):
        produce(connection, "two", batch(b"x" * 5000), partition=partition)
    message = fetch_message("two", 0, max_bytes=100)
    message.topics[0].partitions.append(
        Message(partition=1, fetch_offset=0, partition_max_bytes=1 << 20)
    )
    first, second = connection.call(1, 11, message).responses[0].partitions
    assert first.records
    assert not second.records
    assert second.error_code == 0


def test_many_batches_are_cut_at_the_limit_on_a_batch_boundary(connection, topic):
    for _ in range(50):
        produce(connection, topic, batch(b"x" * 1000))
    part = fetch(connection, topic, 0, partition_max_bytes=10_000)
    headers = read_batches(part.records)
    assert 1 < len(headers) < 12
    assert [h.base_offset for h in headers] == list(range(len(headers)))


def test_large_answers_arrive_byte_for_byte(connection, topic):
    payload = os.urandom(900_000)
    for _ in range(8):
        produce(connection, topic, batch(payload))
    part = fetch(connection, topic, 0, max_bytes=50_000_000, partition_max_bytes=50_000_000)
    assert part.records.count(payload) == 8
    assert len(read_batches(part.records)) == 8


@pytest.mark.parametrize("offset", [-1, 1, 10**12])
def test_an_offset_outside_the_log_is_an_error(connection, topic, offset):
    assert fetch(connection, topic, offset).error_code == 1


def test_the_end_of_the_log_is_empty_and_no_error(connection, topic):
    part = fetch(connection, topic, 0)
    assert (part.error_code, part.records) == (0, b"")


def test_an_unknown_topic_and_partition_are_told(connection, topic):
    assert fetch(connection, "nowhere", 0).error_code == 3
    assert fetch(connection, topic, 0, partition=7).error_code == 3


def test_a_long_poll_is_answered_when_something_comes(broker, connection, topic):
    connection.send(1, 11, fetch_message(topic, 0, max_wait_ms=15_000))
    with RawConnection(broker.address) as other:
        produce(other, topic, batch(b"news"), acks=1)
    assert b"news" in connection.receive().responses[0].partitions[0].records


def test_a_long_poll_waits_for_min_bytes(broker, connection, topic):
    connection.send(1, 11, fetch_message(topic, 0, max_wait_ms=15_000, min_bytes=5_000))
    with RawConnection(broker.address) as other:
        for _ in range(6):
            produce(other, topic, batch(b"x" * 1000), acks=1)
    part = connection.receive().responses[0].partitions[0]
    assert len(part.records) >= 5_000


def test_a_long_poll_ends_empty_after_its_time(connection, topic):
    assert fetch(connection, topic, 0, max_wait_ms=30).records == b""


def test_a_waiting_client_that_leaves_is_forgotten(broker, topic):
    with RawConnection(broker.address) as leaving:
        leaving.send(1, 11, fetch_message(topic, 0, max_wait_ms=600_000))
    with RawConnection(broker.address) as other:
        produce(other, topic, batch(b"x"))
    assert broker.call(lambda: len(broker.broker.waiters)) == 0


def test_a_session_from_elsewhere_is_not_known(connection, topic):
    message = fetch_message(topic, 0)
    message.session_id, message.session_epoch = 77, 3
    assert connection.call(1, 11, message).error_code == 70


def test_a_new_session_is_declined(connection, topic):
    message = fetch_message(topic, 0)
    message.session_id, message.session_epoch = 0, 0
    assert connection.call(1, 11, message).session_id == 0


@pytest.mark.parametrize(("epoch", "code"), [(-1, 0), (0, 0), (7, 75)])
def test_a_leader_epoch_that_is_not_ours_is_told(connection, topic, epoch, code):
    assert fetch(connection, topic, 0, leader_epoch=epoch).error_code == code
