"""Transactions against Apache Kafka, in both versions of its protocol (KIP-98 and KIP-890)."""

# ruff: noqa: ARG001, PT012, SIM117 # blocks that fail are what is tested here
from __future__ import annotations

import asyncio
import itertools
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from interop.client.failover import ask, until
from interop.clients import confluent
from interop.kafka_cluster import KafkaCluster

import mainstem as ms
from mainstem.wire import Message

_numbers = itertools.count()
UPDATE_FEATURES, API_VERSIONS, ALREADY_SO = 57, 18, 95  # INVALID_UPDATE_VERSION


@pytest.fixture(scope="module", params=[2, 1])
def kafka(request: pytest.FixtureRequest, three: KafkaCluster) -> Iterator[Any]:
    """The cluster, with each transaction.version in turn."""
    change_version(three, request.param)
    yield three, request.param
    change_version(three, 2)


def change_version(three: KafkaCluster, level: int) -> None:
    """Upgrade or downgrade to this ``transaction.version``, and wait until all nodes know."""
    upgrade, safe_downgrade = 1, 2
    change = Message(
        feature="transaction.version",
        max_version_level=level,
        upgrade_type=upgrade if level == 2 else safe_downgrade,
    )
    with ms.connect(three.address) as stem:
        request = {"timeout_ms": 30_000, "feature_updates": [change], "validate_only": False}
        answer = ask(stem, UPDATE_FEATURES, **request)
        assert answer.error_code in {0, ALREADY_SO}, answer.error_message
        for node in three.nodes:
            until(lambda node=node: version(stem, node) == level, f"node {node} to change")


def version(stem: ms.Stem, node: int) -> int:
    """The ``transaction.version`` that a node tells its clients."""
    answer = ask(stem, API_VERSIONS, node, client_software_name="t", client_software_version="1")
    levels = {found.name: found.max_version_level for found in answer.finalized_features}
    return int(levels["transaction.version"])


@pytest.fixture
def stem(kafka: tuple[KafkaCluster, int]) -> Iterator[ms.Stem]:
    with ms.connect(kafka[0].address) as found:
        yield found


@pytest.fixture
def name() -> str:
    return f"x{next(_numbers)}"


@pytest.fixture
def topic(stem: ms.Stem, name: str) -> ms.Topic:
    return stem.create_topic(name, 2)


def read(topic: ms.Topic, **options: Any) -> list[str]:
    options = {"isolation": "read_committed"} | options
    return sorted(
        value.decode() for batch in topic.read(**options) for value in batch["value"].to_pylist()
    )


def settled(topic: ms.Topic, **options: Any) -> list[str]:
    """As ``read``, when no transaction is open: markers come a moment after the commit."""
    until(lambda: topic.offsets() == topic.offsets(committed=True), "the markers")
    return read(topic, **options)


def rows(word: str, count: int) -> list[bytes]:
    return [f"{word}{n}".encode() for n in range(count)]


def test_the_version_of_the_cluster_is_used(
    stem: ms.Stem, kafka: tuple[KafkaCluster, int], name: str
) -> None:
    with stem.transactions(name) as transactions:
        assert transactions.check().client.version == kafka[1]


def test_commit_counts_and_abort_does_not(stem: ms.Stem, topic: ms.Topic, name: str) -> None:
    with stem.transactions(name) as transactions:
        with transactions.begin() as transaction:
            transaction.append(name, rows("a", 10))
        with pytest.raises(ZeroDivisionError), transactions.begin() as transaction:
            transaction.append(name, rows("b", 10))
            raise ZeroDivisionError
        transaction = transactions.begin()
        transaction.append(name, rows("c", 10), partition=1)
        until(lambda: read(topic) == [f"a{n}" for n in range(10)], "the first marker")
        transaction.abort()
        with transactions.begin() as transaction:
            transaction.append(name, rows("d", 3))
    assert settled(topic) == [f"a{n}" for n in range(10)] + ["d0", "d1", "d2"]
    assert len(read(topic, isolation="read_uncommitted")) == 33


def test_others_see_the_same(stem: ms.Stem, kafka: tuple[KafkaCluster, int], name: str) -> None:
    """Random transactions of three ids and plain appends, interleaved; librdkafka agrees."""
    seed = random.randrange(2**32)
    source = random.Random(seed)
    topic = stem.create_topic(name, 1)
    expected: list[str] = []
    clients = [stem.transactions(f"{name}-{n}") for n in range(3)]
    running: dict[int, tuple[ms.Transaction, list[str]]] = {}
    for turn in range(60):
        who = source.randrange(4)
        words = [f"{turn}-{n}" for n in range(source.randrange(1, 20))]
        if who == 3:
            topic.append([word.encode() for word in words], compression="zstd")
            expected += words
            continue
        if who not in running:
            running[who] = clients[who].begin(), []
        transaction, said = running[who]
        transaction.append(name, [word.encode() for word in words], compression="lz4")
        said += words
        if source.random() < 0.4:
            del running[who]
            if source.random() < 0.5:
                transaction.commit()
                expected += said
            else:
                transaction.abort()
    for transaction, _ in running.values():
        transaction.abort()
    for client in clients:
        client.close()
    found = settled(topic)
    assert found == sorted(expected), f"seed {seed}"
    assert read(topic, batch_rows=7) == found, f"seed {seed}"
    theirs = confluent.Adapter(kafka[0].address)
    placed = theirs.read(name, len(expected))
    theirs.close()
    assert sorted(each.record.value.decode() for each in placed) == found, f"seed {seed}"  # type: ignore[union-attr]


def test_a_committed_read_ends_before_an_open_transaction(
    stem: ms.Stem, topic: ms.Topic, name: str
) -> None:
    topic.append(rows("a", 1), partition=0)
    with stem.transactions(name) as transactions:
        transaction = transactions.begin()
        transaction.append(name, rows("b", 1), partition=0)
        topic.append(rows("c", 1), partition=0)
        assert read(topic) == ["a0"]
        assert topic.offsets()[1][0] == 3
        assert topic.offsets(committed=True)[1][0] == 1
        transaction.commit()
        assert settled(topic) == ["a0", "b0", "c0"]


def test_consume_process_produce_exactly_once(stem: ms.Stem, topic: ms.Topic, name: str) -> None:
    """With failures at every stage, and the whole worker opened anew in between."""
    seed = random.randrange(2**32)
    source = random.Random(seed)
    target = stem.create_topic(f"{name}-out", 2)
    topic.append([{"value": f"{n}", "_partition": n % 2} for n in range(2000)])
    failures = 0
    consumer_options: dict[str, Any] = {
        "auto_commit": None, "isolation": "read_committed", "batch_rows": 150,
    }  # fmt: skip
    done = False
    while not done:
        with (
            stem.transactions(name) as transactions,
            stem.consumer(name, name, **consumer_options) as consumer,
        ):
            while not done and source.random() < 0.9:
                batch = consumer.poll(2.0)
                if batch is None:
                    done = bool(consumer.assignment) and not any(consumer.lag().values())
                    continue
                try:
                    with transactions.begin(consumer) as transaction:
                        if source.random() < 0.2:
                            raise ZeroDivisionError
                        transaction.append(f"{name}-out", batch["value"].to_pylist())
                        if source.random() < 0.2:
                            raise ZeroDivisionError
                        transaction.send_offsets(consumer)
                        if source.random() < 0.2:
                            raise ZeroDivisionError
                except ZeroDivisionError:
                    failures += 1
    found = [int(value) for value in settled(target)]
    assert sorted(found) == list(range(2000)), f"seed {seed}"
    assert failures, f"seed {seed}: nothing failed"


KILLED = """
import sys
import mainstem as ms
with ms.connect(sys.argv[1]) as stem, stem.transactions(sys.argv[2]) as transactions:
    with transactions.begin() as transaction:
        transaction.append(sys.argv[2], [b"done"])
    transaction = transactions.begin()
    transaction.append(sys.argv[2], [b"lost"] * 100)
    print("open", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_producer_left_is_aborted_by_the_next(
    stem: ms.Stem, kafka: tuple[KafkaCluster, int], topic: ms.Topic, name: str
) -> None:
    command = [sys.executable, "-c", KILLED, kafka[0].address, name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    until(lambda: read(topic) == ["done"], "the first marker")
    with stem.transactions(name) as transactions, transactions.begin() as transaction:
        transaction.append(name, [b"next"])
    assert settled(topic) == ["done", "next"]
    assert topic.offsets() == topic.offsets(committed=True), "nothing hangs"


LEFT = """
import os, sys
import mainstem as ms
stem = ms.connect(sys.argv[1])
transactions = stem.transactions(sys.argv[2])
transaction = transactions.begin()
transaction.append(sys.argv[2], [b"left"] * 10)
child = os.fork()
if child == 0:
    for use in (transaction.commit, transactions.begin, lambda: transaction.append("t", [b"x"])):
        try:
            use()
        except ms.Closed as error:
            print(error, flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("end", flush=True)
"""


def test_an_interpreter_that_ends_in_a_transaction_does_not_hang_and_it_never_counts(
    stem: ms.Stem, kafka: tuple[KafkaCluster, int], topic: ms.Topic, name: str
) -> None:
    command = [sys.executable, "-W", "error", "-c", LEFT, kafka[0].address, name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("opened before a fork: open it again") == 3
    assert done.stdout.endswith("end\n")
    with stem.transactions(name) as transactions, transactions.begin() as transaction:
        transaction.append(name, [b"next"])
    assert settled(topic) == ["next"]


def test_a_zombie_is_fenced(stem: ms.Stem, topic: ms.Topic, name: str) -> None:
    with stem.transactions(name) as zombie:
        transaction = zombie.begin()
        transaction.append(name, rows("z", 5))
        with stem.transactions(name) as successor:
            for work in (
                lambda: transaction.append(name, rows("z", 5)),
                transaction.commit,
                zombie.begin,
            ):
                with pytest.raises(ms.Conflict, match=r"newer producer|only be aborted"):
                    work()
            with successor.begin() as another:
                another.append(name, rows("s", 2))
    assert settled(topic) == ["s0", "s1"]


def test_a_transaction_open_for_too_long_is_aborted_and_says_so(
    stem: ms.Stem, topic: ms.Topic, name: str
) -> None:
    with stem.transactions(name, timeout=1.0) as transactions:
        transaction = transactions.begin()
        transaction.append(name, rows("slow", 1))
        until(lambda: topic.offsets() == topic.offsets(committed=True), "the time-out")
        with pytest.raises(ms.Conflict, match="longer than its timeout"):
            transaction.commit()
    assert settled(topic) == []
    with stem.transactions(name) as transactions, transactions.begin() as transaction:
        transaction.append(name, rows("quick", 1))
    assert settled(topic) == ["quick0"]


def test_offsets_of_a_consumer_that_lost_its_partitions_are_refused(
    stem: ms.Stem, topic: ms.Topic, name: str
) -> None:
    target = stem.create_topic(f"{name}-out", 1)
    topic.append(rows("a", 4))
    options: dict[str, Any] = {
        "auto_commit": None, "protocol": "classic", "instance_id": "one", "heartbeat_interval": 0.1,
    }  # fmt: skip
    with stem.transactions(name) as transactions, stem.consumer(name, name, **options) as first:
        batch = first.poll(30)
        with stem.consumer(name, name, **options) as second:
            until(lambda: second.poll(0.1) is not None, "the second holder")
            with pytest.raises(ms.Conflict), transactions.begin(first) as transaction:
                transaction.append(f"{name}-out", batch["value"].to_pylist())
    assert settled(target) == []


def test_bad_rows_leave_only_abort(stem: ms.Stem, topic: ms.Topic, name: str) -> None:
    with stem.transactions(name) as transactions:
        transaction = transactions.begin()
        transaction.append(name, rows("a", 1))
        with pytest.raises(ms.Invalid):
            transaction.append(name, [{"wrong": 1}])
        with pytest.raises(ms.Conflict, match="only be aborted"):
            transaction.commit()
        with pytest.raises(ms.Conflict, match="only be aborted"):
            transaction.append(name, rows("a", 1))
        transaction.abort()
        with transactions.begin() as transaction:
            transaction.append(name, rows("b", 1))
    assert settled(topic) == ["b0"]


def test_too_large_rows_leave_only_abort(stem: ms.Stem, name: str) -> None:
    topic = stem.create_topic(name, 1, config={"max.message.bytes": 2000})
    with stem.transactions(name) as transactions:
        with pytest.raises(ms.Invalid), transactions.begin() as transaction:
            transaction.append(name, rows("a", 1))
            transaction.append(name, [b"x" * 5000, *rows("b", 5)], batch_bytes=1024)
        for _ in range(3):  # sequence numbers are right again
            with transactions.begin() as transaction:
                transaction.append(name, rows("c", 2))
    assert settled(topic) == sorted(["c0", "c1"] * 3)


def test_order_of_use_is_checked(stem: ms.Stem, topic: ms.Topic, name: str) -> None:
    transactions = stem.transactions(name)
    transaction = transactions.begin()
    with pytest.raises(ms.Conflict, match="end it first"):
        transactions.begin()
    transaction.commit()  # an empty one
    for work in (transaction.commit, transaction.abort, lambda: transaction.append(name, [b"x"])):
        with pytest.raises(ms.Closed, match="is over"):
            work()
    with stem.consumer(name, name) as consumer:
        with pytest.raises(ms.Invalid, match="auto_commit=None"):
            transactions.begin(consumer)
    transactions.close()
    transactions.close()
    with pytest.raises(ms.Closed):
        transactions.begin()


def test_what_is_no_consumer_is_refused(stem: ms.Stem, name: str) -> None:
    wrong: Any = 7
    with stem.transactions(name) as transactions:
        with pytest.raises(ms.Invalid, match="consumer=7 is not valid: give a Consumer"):
            transactions.begin(wrong)
        with (
            transactions.begin() as transaction,
            pytest.raises(ms.Invalid, match="consumer=7 is not valid: give a Consumer"),
        ):
            transaction.send_offsets(wrong)


def test_a_long_series_of_transactions(stem: ms.Stem, topic: ms.Topic, name: str) -> None:
    with stem.transactions(name) as transactions:
        for turn in range(60):
            with transactions.begin() as transaction:
                transaction.append(name, rows(f"{turn}-", 2))
    assert len(settled(topic)) == 120


def test_a_plain_consumer_gets_past_markers(stem: ms.Stem, topic: ms.Topic, name: str) -> None:
    """What is left at the end is a marker: there is no lag, and the commit is behind it."""
    with stem.transactions(name) as transactions, transactions.begin() as transaction:
        transaction.append(name, rows("a", 4), partition=0)
    with stem.consumer(name, name, isolation="read_committed", auto_commit=None) as consumer:
        batch = consumer.poll(30)
        assert batch.num_rows == 4
        until(lambda: consumer.poll(0.1) is None and not consumer.lag()[name, 0], "no lag")
        consumer.commit()
    assert stem.committed(name)[name, 0] == 5


def test_the_async_twin(stem: ms.Stem, topic: ms.Topic, name: str) -> None:
    async def main() -> None:
        async with await ms.aconnect(stem.address) as astem:
            async with astem.transactions(name) as transactions:
                async with await transactions.begin() as transaction:
                    await asyncio.gather(
                        *(transaction.append(name, rows(f"{n}-", 3)) for n in range(5))
                    )
                with pytest.raises(ZeroDivisionError):
                    async with await transactions.begin() as transaction:
                        await transaction.append(name, rows("no", 3))
                        raise ZeroDivisionError

    asyncio.run(main())
    assert len(settled(topic)) == 15


def test_the_example_runs(kafka: tuple[KafkaCluster, int], stem: ms.Stem) -> None:
    for used in {"words", "lengths"} & set(stem.topics()):
        stem.delete_topic(used)
    example = Path(__file__).parents[2] / "examples" / "exactly_once.py"
    command = [sys.executable, "-W", "error", str(example), kafka[0].address]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "aborted, the same words come again" in done.stdout
    assert "[b'log 3', b'stream 6', b'river 5']" in done.stdout
