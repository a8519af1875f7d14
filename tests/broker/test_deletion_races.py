"""Topics that go while somebody reads or writes them."""

from __future__ import annotations

import threading
import time

import pytest

from mainstem.testing import RawConnection, running_broker
from mainstem.wire import Message
from reference.produce import batch, create, fetch_message, produce, produce_message


@pytest.fixture
def broker(tmp_path):
    with running_broker(tmp_path, auto_create_topics=False) as running:
        yield running


@pytest.fixture
def connection(broker):
    with RawConnection(broker.address) as raw:
        yield raw


def delete(connection, *names) -> list[int]:
    topics = [Message(name=name, topic_id=None) for name in names]
    answer = connection.call(20, 6, Message(topics=topics, timeout_ms=10_000))
    return [each.error_code for each in answer.responses]


def poll(broker, reader, topic, *, version=11, **options):
    """Send a Fetch that waits, and return once the broker waits with it."""
    reader.send(1, version, fetch_message(topic, 0, max_wait_ms=15_000, **options))
    deadline = time.monotonic() + 10
    while not broker.call(lambda: len(broker.broker.waiters)):
        assert time.monotonic() < deadline, "the broker never waited"


def test_a_fetch_that_waits_is_woken_when_its_topic_goes(broker, connection):
    create(connection, "t")
    with RawConnection(broker.address) as reader:
        poll(broker, reader, "t")
        began = time.monotonic()
        assert delete(connection, "t") == [0]
        assert reader.receive().responses[0].partitions[0].error_code == 3
        assert time.monotonic() - began < 10
    assert broker.call(lambda: len(broker.broker.waiters)) == 0


def test_a_fetch_by_id_that_waits_is_told_that_the_id_is_unknown(broker, connection):
    create(connection, "t")
    with RawConnection(broker.address) as reader:
        message = fetch_message("t", 0, max_wait_ms=15_000)
        message.topics[0].topic_id = broker.broker.topics.get("t").id
        reader.send(1, 13, message)
        deadline = time.monotonic() + 10
        while not broker.call(lambda: len(broker.broker.waiters)):
            assert time.monotonic() < deadline, "the broker never waited"
        assert delete(connection, "t") == [0]
        assert reader.receive().responses[0].partitions[0].error_code == 100


def test_a_fetch_of_another_topic_goes_on_waiting(broker, connection):
    create(connection, "gone")
    create(connection, "stays")
    with RawConnection(broker.address) as reader:
        poll(broker, reader, "stays")
        assert delete(connection, "gone") == [0]
        assert produce(connection, "stays", batch(b"a")).error_code == 0
        part = reader.receive().responses[0].partitions[0]
        assert (part.error_code, part.high_watermark) == (0, 1)


def test_a_topic_made_again_is_not_the_one_that_was_waited_for(broker, connection):
    create(connection, "t")
    with RawConnection(broker.address) as reader:
        poll(broker, reader, "t")
        delete(connection, "t")
        create(connection, "t")
        assert reader.receive().responses[0].partitions[0].error_code == 3


@pytest.mark.slow
def test_writers_and_a_deleter_never_meet_an_unexpected_error(broker, connection):
    """Writes meet a topic that is there, one that is not, or one that goes under them."""
    names = [f"race-{i}" for i in range(4)]
    stop = threading.Event()
    seen: set[int] = set()
    failures: list[BaseException] = []

    def write(name: str) -> None:
        try:
            with RawConnection(broker.address) as writer:
                while not stop.is_set():
                    for _ in range(5):
                        writer.send(0, 9, produce_message(name, batch(b"a" * 100)))
                    for _ in range(5):
                        part = writer.receive().responses[0].partition_responses[0]
                        seen.add(part.error_code)
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(name,)) for name in names]
    for writer in writers:
        writer.start()
    for _ in range(150):
        for name in names:
            create(connection, name)
        for name in names:
            assert delete(connection, name) == [0]
    stop.set()
    for writer in writers:
        writer.join()
    assert not failures
    assert seen == {0, 3}
