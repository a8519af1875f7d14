"""Topics, configurations and groups through every client that can manage them."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from interop.clients import Administrator, Client, Refused, until
from interop.corpus import Record, plain

ADMINS = ["confluent", "aio", "kafka_python", "java"]
every_admin = pytest.mark.parametrize("client", ADMINS, indirect=True)


def refusal(act: Callable[[], object]) -> int:
    with pytest.raises(Refused) as refused:
        act()
    return refused.value.code


@every_admin
def test_topic_lives_from_creation_to_deletion(client: Administrator, name: str) -> None:
    client.create_topic(name, 3, {"retention.ms": "123456", "cleanup.policy": "compact"})
    until(lambda: name in client.topics(), name)
    assert client.partitions(name) == 3
    config = client.topic_config(name)
    assert (config["retention.ms"], config["cleanup.policy"]) == ("123456", "compact")
    client.add_partitions(name, 5)
    until(lambda: client.partitions(name) == 5, lambda: client.partitions(name))
    client.produce(name, plain(3), partition=4)
    assert len(client.read(name, 3, partition=4)) == 3
    client.delete_topic(name)
    until(lambda: name not in client.topics(), name)


@every_admin
def test_deleted_topic_comes_back_empty(client: Administrator, name: str) -> None:
    client.create_topic(name)
    client.produce(name, plain(10))
    client.delete_topic(name)
    until(lambda: name not in client.topics(), name)
    client.create_topic(name)
    until(lambda: name in client.topics(), name)
    assert client.bounds(name, 0) == (0, 0)
    client.produce(name, plain(2))
    assert [each.offset for each in client.read(name, 2)] == [0, 1]


@every_admin
def test_configuration_is_altered_and_read_back(client: Administrator, topic: str) -> None:
    client.alter_config(topic, {"retention.ms": "60000", "max.message.bytes": "2000000"})
    until(lambda: client.topic_config(topic)["retention.ms"] == "60000", topic)
    config = client.topic_config(topic)
    assert config["max.message.bytes"] == "2000000"
    assert config["cleanup.policy"] == "delete"  # defaults are listed too
    assert config["segment.bytes"] == str(1 << 30)


@every_admin
def test_wrong_administration_gets_kafkas_codes(client: Administrator, name: str) -> None:
    if client.name != "aio":  # it asks for metadata in a way that creates the topic
        assert refusal(lambda: client.partitions("no-such-topic-" + name)) == 3
    assert refusal(lambda: client.delete_topic("no-such-topic-" + name)) == 3
    client.create_topic(name, 2)
    until(lambda: name in client.topics(), name)
    assert refusal(lambda: client.create_topic(name, 2)) == 36  # TOPIC_ALREADY_EXISTS
    assert refusal(lambda: client.create_topic("no spaces!", 1)) == 17  # INVALID_TOPIC
    assert refusal(lambda: client.add_partitions(name, 1)) == 37  # INVALID_PARTITIONS
    wrong = {"retention.ms": "a week"}
    assert refusal(lambda: client.create_topic(name + "-b", 1, wrong)) == 40  # INVALID_CONFIG
    assert refusal(lambda: client.alter_config(name, wrong)) == 40
    assert refusal(lambda: client.alter_config(name, {"no.such.config": "1"})) == 40


@pytest.mark.parametrize("client", [*ADMINS, "kcat"], indirect=True)
def test_record_over_the_limit_is_refused_and_the_next_accepted(
    client: Client, admin: Administrator, name: str
) -> None:
    admin.create_topic(name, 1, {"max.message.bytes": "2000"})
    noise = random.Random(4).randbytes(3000).replace(b"\x1e", b" ").replace(b"\x1f", b" ")
    assert refusal(lambda: client.produce(name, [Record(None, noise * 3)])) == 10
    assert client.produce(name, [Record(None, b"fits")])[0] == (0, 0)
    assert [each.record.value for each in client.read(name, 1)] == [b"fits"]


@every_admin
def test_groups_are_listed_and_described(client: Administrator, topic: str) -> None:
    assert topic not in client.groups()
    client.produce(topic, plain(1))
    member = client.join(topic, topic)
    until(lambda: member.poll() or member.assignment(), "an assignment")
    assert topic in client.groups()
    assert client.group_size(topic) == 1
    member.commit({0: 1})
    member.close()
    assert client.group_size(topic) == 0
    assert topic in client.groups()
    assert client.committed(topic, topic, 0) == 1


@pytest.mark.parametrize("client", [*ADMINS, "kcat"], indirect=True)
def test_writing_to_an_unknown_topic_creates_it(
    client: Client, admin: Administrator, name: str
) -> None:
    if client.name == "kcat":  # its adapter asks for the end first, which creates nothing
        client._run("-P", "-t", name, "-p", "0", stdin=b"first\n")  # type: ignore[attr-defined]
    else:
        client.produce(name, [Record(None, b"first")])
    assert admin.partitions(name) >= 1
    assert [each.record.value for each in admin.read(name, 1)] == [b"first"]
