"""Access control lists, users and quotas: our administration and confluent-kafka's agree."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from interop.kafka import Kafka, java_command
from interop.secure import start_secure_kafka

import mainstem as ms
from mainstem.client import Quota, User


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    found, _ = start_secure_kafka(tmp_path_factory.mktemp("access"))
    yield found
    found.stop()


@pytest.fixture
def stem(kafka: Kafka) -> Iterator[ms.Stem]:
    with ms.connect(kafka.address) as found:
        yield found


def becomes(ask: Callable[[], object], wanted: object) -> None:
    """What the controller has taken reaches the broker asked a moment later."""
    deadline = time.monotonic() + 10
    while (found := ask()) != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    assert found == wanted


RULES = [
    ms.Acl("cluster", "kafka-cluster", "User:bob", "alter"),
    ms.Acl("group", "g-", "User:bob", "read", pattern="prefixed"),
    ms.Acl("topic", "flights", "User:alice", "read"),
    ms.Acl("topic", "flights", "User:eve", "all", "deny", "10.0.0.1"),
    ms.Acl("transactional_id", "*", "User:bob", "describe"),
    ms.Acl("user", "carol", "User:bob", "describe_tokens"),
]


def test_acls_are_made_found_and_deleted(stem: ms.Stem) -> None:
    access = stem.access
    access.create_acls(RULES)
    becomes(access.acls, RULES)
    becomes(lambda: access.acls(resource="topic"), RULES[2:4])
    becomes(lambda: access.acls(permission="deny"), [RULES[3]])
    becomes(lambda: access.acls(resource="group", name="g-7", pattern="match"), [RULES[1]])
    becomes(lambda: access.acls(principal="User:bob", operation="read"), [RULES[1]])
    assert access.delete_acls(name="flights") == RULES[2:4]
    assert access.delete_acls(host="*") == [*RULES[:2], *RULES[4:]]
    becomes(access.acls, [])


def test_acls_are_those_that_kafkas_own_tool_sees(kafka: Kafka, stem: ms.Stem) -> None:
    stem.access.create_acls([RULES[3]])
    command = java_command(
        "org.apache.kafka.tools.AclCommand", "--bootstrap-server", kafka.address, "--list"
    )
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "principal=User:eve, host=10.0.0.1, operation=ALL, permissionType=DENY" in text
    assert "resourceType=TOPIC, name=flights, patternType=LITERAL" in text
    stem.access.delete_acls(principal="User:eve")


def test_deleting_every_acl_by_accident_is_refused(stem: ms.Stem) -> None:
    with pytest.raises(ms.Invalid, match="name what to delete"):
        stem.access.delete_acls()


def test_words_that_acls_do_not_know_are_refused(stem: ms.Stem) -> None:
    with pytest.raises(ms.Invalid, match="'topics' is no resource"):
        stem.access.acls(resource="topics")
    with pytest.raises(ms.Invalid, match="no 'nam'"):
        stem.access.acls(nam="x")
    with pytest.raises(ms.Invalid, match="'alice' is no principal"):
        stem.access.create_acls([ms.Acl("topic", "t", "alice", "read")])


def test_users_are_made_listed_changed_and_deleted(stem: ms.Stem) -> None:
    access = stem.access
    access.set_password("ann", "one")
    access.set_password("ann", "two", mechanism="SCRAM-SHA-256", iterations=4096)
    access.set_password("ben", "three", iterations=10_000)
    both = User("ann", {"SCRAM-SHA-256": 4096, "SCRAM-SHA-512": 8192})
    becomes(access.users, [both, User("ben", {"SCRAM-SHA-512": 10_000})])
    becomes(lambda: access.users(["ann", "nobody"]), [both])
    access.delete_user("ann", mechanism="SCRAM-SHA-256")
    becomes(lambda: access.users(["ann"]), [User("ann", {"SCRAM-SHA-512": 8192})])
    access.delete_user("ann")
    access.delete_user("ben")
    becomes(access.users, [])
    with pytest.raises(ms.Invalid, match="no user 'ann'"):
        access.delete_user("ann")


def test_a_new_password_is_the_one_that_opens(kafka: Kafka, stem: ms.Stem) -> None:
    address = kafka.listeners["SASL_PLAINTEXT"]
    stem.access.set_password("dora", "old")
    stem.access.set_password("dora", "new", iterations=9000)
    becomes(lambda: stem.access.users(["dora"]), [User("dora", {"SCRAM-SHA-512": 9000})])
    with pytest.raises(ms.Denied):
        ms.connect(address, security=ms.Sasl("SCRAM-SHA-512", "dora", "old"))
    ms.connect(address, security=ms.Sasl("SCRAM-SHA-512", "dora", "new")).close()
    stem.access.delete_user("dora")


def test_few_iterations_are_refused_by_the_broker(stem: ms.Stem) -> None:
    with pytest.raises(ms.Invalid, match="user 'weak'"):
        stem.access.set_password("weak", "x", iterations=100)


def test_quotas_are_set_found_and_taken_away(stem: ms.Stem) -> None:
    access = stem.access
    access.alter_quotas({"user": "alice"}, {"producer_byte_rate": 1e6, "request_percentage": 50})
    access.alter_quotas({"user": "alice", "client-id": None}, {"consumer_byte_rate": 2e6})
    alice = Quota({"user": "alice"}, {"producer_byte_rate": 1e6, "request_percentage": 50.0})
    pair = Quota({"user": "alice", "client-id": None}, {"consumer_byte_rate": 2e6})
    becomes(access.quotas, [pair, alice])
    becomes(lambda: access.quotas({"user": "alice"}), [alice])
    becomes(lambda: access.quotas({"user": "alice", "client-id": None}), [pair])
    access.alter_quotas({"user": "alice"}, {"producer_byte_rate": None, "request_percentage": None})
    access.alter_quotas({"user": "alice", "client-id": None}, {"consumer_byte_rate": None})
    becomes(access.quotas, [])


def test_a_quota_slows_a_client_that_is_told_so(kafka: Kafka, stem: ms.Stem) -> None:
    """The broker says how long it will not listen, and nothing is sent meanwhile (KIP-219)."""
    entity = {"client-id": "slow"}
    limits = {"producer_byte_rate": 29_000.0}  # over ten seconds
    stem.access.alter_quotas(entity, limits)
    becomes(lambda: stem.access.quotas(entity), [Quota(entity, limits)])
    with ms.connect(kafka.address, client_id="slow", request_timeout=20.0) as slow:
        topic = slow.create_topic("slow", 1)
        rows = [os.urandom(1000) for _ in range(300)]
        for start in range(0, 300, 50):
            topic.append(rows[start : start + 50])
        found = [value for batch in topic.read() for value in batch["value"].to_pylist()]
        opened = [task.result() for task in slow._stem.cluster._open.values()]
        assert found == rows
        assert sum(connection.throttled for connection in opened) > 0
    stem.access.alter_quotas(entity, dict.fromkeys(limits))


def test_a_quota_that_does_not_exist_is_refused(stem: ms.Stem) -> None:
    with pytest.raises(ms.Invalid, match="producer_rate"):
        stem.access.alter_quotas({"user": "alice"}, {"producer_rate": 1.0})


def test_the_cluster_tells_its_brokers(kafka: Kafka, stem: ms.Stem) -> None:
    found = stem.access.describe_cluster()
    assert list(found.brokers.values()) == [kafka.address]
    assert found.id


def test_tasks_administer_access_as_well(kafka: Kafka) -> None:
    async def becomes_true(check: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(30):
            while not await check():
                await asyncio.sleep(0)

    async def main() -> None:
        async with await ms.aconnect(kafka.address) as stem:
            access = stem.access
            assert (await access.describe_cluster()).brokers
            rule = ms.Acl("topic", "async", "User:task", "read")
            await access.create_acls([rule])

            async def ruled() -> bool:
                return await access.acls(principal="User:task") == [rule]

            await becomes_true(ruled)
            assert await access.delete_acls(principal="User:task") == [rule]
            await access.set_password("task", "secret")

            async def known() -> bool:
                return [user.name for user in await access.users(["task"])] == ["task"]

            await becomes_true(known)
            await access.delete_user("task")
            entity: Any = {"client-id": "task"}
            await access.alter_quotas(entity, {"request_percentage": 50})

            async def limited() -> bool:
                return bool(await access.quotas(entity))

            await becomes_true(limited)
            await access.alter_quotas(entity, {"request_percentage": None})

    asyncio.run(main())
