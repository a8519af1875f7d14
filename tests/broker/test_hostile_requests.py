"""Small requests whose answers could be huge: what they may cost is bounded."""

from __future__ import annotations

import resource
import struct

import pytest

from mainstem.testing import RawConnection, running_broker
from mainstem.wire import Message, request_frame
from reference.produce import batch, create, fetch, produce

MEBIBYTE = 1 << 20
#: A name whose every character takes four in an error message.
LONG_NAME = "\x01" * 32_000


@pytest.fixture
def broker(tmp_path):
    with running_broker(tmp_path, auto_create_topics=False) as running:
        yield running


@pytest.fixture
def connection(broker):
    with RawConnection(broker.address) as raw:
        yield raw


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def produce_body(name: str, partitions: int) -> bytes:
    """Produce v3 to that many partitions, none with records."""
    head = struct.pack(">hhi", -1, -1, 1_000) + struct.pack(">ih", 1, len(name)) + name.encode()
    parts = b"".join(struct.pack(">ii", index, 0) for index in range(partitions))
    return head + struct.pack(">i", partitions) + parts


@pytest.mark.parametrize("acks", [-1, 5])
def test_errors_of_many_partitions_do_not_repeat_a_long_name_for_each(connection, acks):
    before = peak_bytes()
    body = bytearray(produce_body(LONG_NAME, 50_000))
    struct.pack_into(">h", body, 2, acks)
    connection.socket.sendall(request_frame(0, 8, 1, None, bytes(body)))
    frame = connection.receive_frame()
    assert len(frame) < 4 * MEBIBYTE
    assert peak_bytes() - before < 100 * MEBIBYTE


def test_one_wrong_partition_is_explained_in_full(connection):
    answer = produce(connection, "missing", batch(b"a"))
    assert answer.error_message == "topic 'missing' does not exist; create it first"


def test_a_produce_request_of_too_many_partitions_costs_the_connection(connection):
    connection.socket.sendall(request_frame(0, 3, 1, None, produce_body("t", 200_001)))
    assert connection.is_closed_by_peer()


@pytest.mark.parametrize("api_key", [43, 61])
def test_an_error_message_repeats_a_long_name_only_in_part(connection, api_key):
    before, many = peak_bytes(), list(range(20_000))
    elect = Message(
        timeout_ms=1, topic_partitions=[Message(topic=LONG_NAME, partitions=many)], election_type=0
    )
    describe = Message(topics=[Message(name=LONG_NAME, partition_indexes=many)])
    connection.send(api_key, 0, elect if api_key == 43 else describe)
    assert len(connection.receive_frame()) < 20_000 * 500 + len(LONG_NAME) + 1_000
    assert peak_bytes() - before < 150 * MEBIBYTE


def test_a_resource_described_many_times_is_answered_once(connection):
    create(connection, "t")
    one = Message(resource_type=2, resource_name="t", configuration_keys=None)
    answer = connection.call(
        32, 4, Message(resources=[one] * 20_000, include_synonyms=True, include_documentation=True)
    )
    assert [result.resource_name for result in answer.results] == ["t"]


def test_groups_asked_for_many_times_are_answered_once(connection):
    answer = connection.call(
        15, 5, Message(groups=["g"] * 20_000, include_authorized_operations=False)
    )
    assert [group.group_id for group in answer.groups] == ["g"]
    one = Message(group_id="g", member_id=None, member_epoch=-1, topics=None)
    answer = connection.call(9, 9, Message(groups=[one] * 20_000, require_stable=False))
    assert [group.group_id for group in answer.groups] == ["g"]


@pytest.mark.parametrize("waits", [False, True])
def test_answers_that_nobody_reads_do_not_pile_up(broker, connection, waits):
    """Behind a long poll they wait among the replies, else among the output."""
    create(connection, "many")
    for i in range(9):
        create(connection, f"another-{i}")
    if waits:
        poll = Message(
            replica_id=-1, max_wait_ms=15_000, min_bytes=1, max_bytes=1, isolation_level=0,
            forgotten_topics_data=[], topics=[Message(topic="many", partitions=[Message(
                partition=0, current_leader_epoch=-1, fetch_offset=0, partition_max_bytes=1)])],
        )  # fmt: skip
        connection.send(1, 11, poll)
    described = [
        Message(resource_type=2, resource_name=name, configuration_keys=None)
        for name in ("many", *(f"another-{i}" for i in range(9)))
    ]
    asked = Message(resources=described, include_synonyms=True, include_documentation=True)
    before = broker.call(queued_bytes(broker))
    connection.socket.setblocking(False)
    for _ in range(600):
        try:
            connection.send(32, 4, asked)
        except BlockingIOError:
            break
    with RawConnection(broker.address) as healthy:
        for _ in range(20):  # the broker has read what it will
            assert healthy.call(18, 0, Message()).error_code == 0
        assert broker.call(queued_bytes(broker)) - before < 6 * MEBIBYTE
        assert produce(healthy, "many", batch(b"a")).error_code == 0
        assert fetch(healthy, "many", 0).high_watermark == 1


def queued_bytes(broker):
    """A function that counts what all connections hold of answers not yet sent."""

    def total() -> int:
        parts = []
        for connection in broker.broker._server._connections:
            parts += connection._output
            for reply in connection._replies:
                parts += reply.parts or []
        return sum(len(part) for part in parts if isinstance(part, bytes | memoryview))

    return total
