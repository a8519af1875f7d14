"""Produce: acknowledgement levels, errors, idempotence, over the wire."""

from __future__ import annotations

import pytest

from mainstem.kernels import read_batches
from mainstem.testing import RawConnection, running_broker
from mainstem.wire import Message, compress
from reference.produce import batch, create, fetch, fetch_message, produce, produce_message
from reference.record_batch import Record, batch_of, encode, encode_around

NOW = 1_700_000_000_000


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


@pytest.mark.parametrize("acks", [1, -1])
@pytest.mark.parametrize("version", range(3, 13))
def test_offsets_are_given_in_order(connection, topic, version, acks):
    first = produce(connection, topic, batch(b"a", b"b"), version=version, acks=acks)
    second = produce(connection, topic, batch(b"c"), version=version, acks=acks)
    assert (first.error_code, first.base_offset) == (0, 0)
    assert (second.error_code, second.base_offset) == (0, 2)


def test_version_13_names_the_topic_by_its_id(broker, connection, topic):
    topic_id = broker.broker.topics.get(topic).id
    message = produce_message(topic, batch(b"a"))
    message.topic_data[0].topic_id = topic_id
    answer = connection.call(0, 13, message)
    assert answer.responses[0].topic_id == topic_id
    assert answer.responses[0].partition_responses[0].base_offset == 0


def test_acks_0_is_answered_with_nothing(connection, topic):
    connection.send(0, 9, produce_message(topic, batch(b"silent"), acks=0))
    connection._asked.pop()
    assert produce(connection, topic, batch(b"loud")).base_offset == 1


def test_acks_0_to_an_unknown_topic_costs_the_connection(connection):
    connection.send(0, 9, produce_message("nowhere", batch(b"a"), acks=0))
    assert connection.is_closed_by_peer()


@pytest.mark.parametrize(
    ("code", "topic_name", "partition"), [(3, "nowhere", 0), (3, "there", 9), (3, "there", -1)]
)
def test_a_place_that_does_not_exist(broker, connection, code, topic_name, partition):
    if broker.broker.topics.get("there") is None:
        create(connection, "there")
    answer = produce(connection, topic_name, batch(b"a"), partition=partition)
    assert (answer.error_code, answer.base_offset) == (code, -1)
    assert answer.error_message


def test_acks_other_than_0_1_and_all_are_refused(connection, topic):
    assert produce(connection, topic, batch(b"a"), acks=2).error_code == 21


def test_a_batch_over_the_limit_is_refused_and_nothing_is_kept(connection):
    create(connection, "small", max_message_bytes="1000")
    assert produce(connection, "small", batch(b"x" * 2000)).error_code == 10
    assert produce(connection, "small", batch(b"x" * 100)).base_offset == 0


def test_a_flipped_bit_is_refused(connection, topic):
    for position in (16, 30, 70):
        bad = bytearray(batch(b"x" * 100))
        bad[position] ^= 1
        assert produce(connection, topic, bytes(bad)).error_code in (2, 43, 87)
    assert produce(connection, topic, batch(b"good")).base_offset == 0


@pytest.mark.parametrize(
    "records",
    [None, b"", b"short", b"\0" * 61, b"\xff" * 200],
    ids=["null", "empty", "short", "zeros", "ones"],
)
def test_records_that_are_none_are_refused(connection, topic, records):
    assert produce(connection, topic, records).error_code in (2, 42, 43, 87)


def test_a_good_partition_is_kept_beside_a_bad_one(connection, topic):
    message = produce_message(topic, batch(b"good"))
    message.topic_data[0].partition_data.append(Message(index=5, records=batch(b"a")))
    rows = connection.call(0, 9, message).responses[0].partition_responses
    assert [row.error_code for row in rows] == [0, 3]


def test_a_duplicate_gets_the_first_answer_again(connection, topic):
    producer = {"producer_id": 4_000, "producer_epoch": 0}
    sent = batch(b"a", b"b", base_sequence=0, **producer)
    assert produce(connection, topic, sent).base_offset == 0
    assert produce(connection, topic, batch(b"c", base_sequence=2, **producer)).base_offset == 2
    again = produce(connection, topic, sent)
    assert (again.error_code, again.base_offset) == (0, 0)
    assert produce(connection, topic, batch(b"d")).base_offset == 3


def test_a_gap_in_the_sequence_is_refused(connection, topic):
    producer = {"producer_id": 4_001, "producer_epoch": 0}
    produce(connection, topic, batch(b"a", base_sequence=0, **producer))
    assert produce(connection, topic, batch(b"c", base_sequence=2, **producer)).error_code == 45


def test_an_older_producer_epoch_is_fenced(connection, topic):
    produce(connection, topic, batch(b"a", base_sequence=0, producer_id=4_002, producer_epoch=5))
    late = batch(b"b", base_sequence=0, producer_id=4_002, producer_epoch=4)
    assert produce(connection, topic, late).error_code == 47


def test_log_append_time_is_stamped_and_told(connection):
    create(connection, "stamped", message_timestamp_type="LogAppendTime")
    answer = produce(connection, "stamped", batch(b"a", base_timestamp=5))
    assert answer.log_append_time_ms > NOW
    assert fetch(connection, "stamped", 0).records[22] & 8


def test_pipelined_requests_are_answered_in_order(connection, topic):
    for index in range(300):
        connection.send(0, 9, produce_message(topic, batch(b"x"), acks=-1 if index % 3 else 1))
    offsets = [
        connection.receive().responses[0].partition_responses[0].base_offset for _ in range(300)
    ]
    assert offsets == list(range(300))


def test_an_acknowledged_batch_is_on_disk(broker, connection, topic):
    produce(connection, topic, batch(b"a"), acks=-1)
    assert broker.broker.topics.get(topic).partition(0).durable_offset == 1


def test_flush_os_answers_without_a_sync(broker, connection):
    create(connection, "lazy", mainstem_flush="os")
    assert produce(connection, "lazy", batch(b"a"), acks=-1).error_code == 0
    assert broker.broker.topics.get("lazy").partition(0).durable_offset == 0


def test_flush_always_syncs_even_for_acks_1(broker, connection):
    create(connection, "eager", mainstem_flush="always")
    assert produce(connection, "eager", batch(b"a"), acks=1).error_code == 0
    assert broker.broker.topics.get("eager").partition(0).durable_offset == 1


def test_version_2_is_advertised_and_refused(connection):
    connection.socket.sendall(
        bytes.fromhex("0000000e") + bytes.fromhex("0000000200000001ffff") + bytes(4)
    )
    assert connection.is_closed_by_peer()


def test_a_fetch_waiting_on_the_same_connection_lets_a_produce_pass(broker, connection, topic):
    connection.send(1, 11, fetch_message(topic, 0, max_wait_ms=15_000))
    connection.send(0, 9, produce_message(topic, batch(b"wakes it")))
    fetched = connection.receive().responses[0].partitions[0]
    assert b"wakes it" in fetched.records
    assert connection.receive().responses[0].partition_responses[0].base_offset == 0


def test_a_transactional_batch_is_refused_for_there_are_no_transactions(connection, topic):
    data = batch(b"a", attributes=16, producer_id=1, producer_epoch=0, base_sequence=0)
    assert produce(connection, topic, data).error_code == 53
    assert produce(connection, topic, batch(b"a")).base_offset == 0


@pytest.mark.parametrize("codec", range(5))
@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
def test_a_compacted_topic_takes_no_record_without_a_key(connection, request, policy, codec):
    name = request.node.name.replace("[", ".").replace("]", "").replace(",", ".")
    create(connection, name, cleanup_policy=policy)
    keyed, empty, keyless = Record(b"a", b"k"), Record(None, b""), Record(b"a")

    def send(*records: Record) -> int:
        data = batch_of(list(records), attributes=codec)
        packed = encode(data, lambda body: bytes(compress(codec, body)))
        return produce(connection, name, packed).error_code

    assert send(keyed, empty) == 0
    assert send(keyless) == 87
    assert send(keyed, keyed, keyless) == 87
    assert send(keyed) == 0
    assert fetch(connection, name, 0).high_watermark == 3


def test_records_that_cannot_be_read_have_no_place_in_a_compacted_topic(connection):
    create(connection, "compacted", cleanup_policy="compact")
    for attributes, body in ((0, b"junk"), (0, b""), (1, b"junk"), (4, b"junk")):
        data = encode_around(batch_of([Record(b"a", b"k")], attributes=attributes), body)
        assert produce(connection, "compacted", data).error_code == 87


def test_a_client_does_not_decide_whose_time_a_topic_keeps(connection, topic):
    """Bit 3 of a batch sent to a CreateTime topic is cleared, as in Kafka."""
    data = batch(b"a", b"b", attributes=8 | 64, base_timestamp=NOW, max_timestamp=NOW + 9)
    assert produce(connection, topic, data).log_append_time_ms == -1
    (stored,) = read_batches(fetch(connection, topic, 0).records)  # the CRC is right again
    assert (stored.attributes, stored.base_timestamp, stored.max_timestamp) == (64, NOW, NOW + 9)
