"""Work that goes on while brokers move and die, and what must be true of it afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from interop.kafka_cluster import KafkaCluster

import mainstem as ms
from mainstem.face.loop import run
from mainstem.wire import Message

PARTITIONS = 3


def rows(partition: int, start: int, count: int) -> list[bytes]:
    """Values that say where they belong."""
    return [b"%d %07d" % (partition, n) + bytes(80) for n in range(start, start + count)]


def order(batches: list[Any]) -> dict[int, list[int]]:
    """The numbers of each partition, in the order they came."""
    found: dict[int, list[int]] = {n: [] for n in range(PARTITIONS)}
    for batch in batches:
        for value in batch["value"].to_pylist():
            partition, number = value[:9].split()
            found[int(partition)].append(int(number))
    return found


def whole(cluster: KafkaCluster) -> None:
    """Wait until all nodes are brokers of the cluster."""
    with ms.connect(cluster.address) as stem:
        until(lambda: len(stem.access.describe_cluster().brokers) == len(cluster.nodes), "all")


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Ask again and again; the asking itself takes a moment."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"gave up waiting for {what}"
        time.sleep(0.01)


def coordinator(stem: ms.Stem, name: str, kind: int = 0) -> int:
    """The node that coordinates a group, or with kind 1 a transactional id."""
    cluster = stem._stem.cluster
    return run(cluster.retrying, lambda deadline: cluster.coordinator(name, deadline, kind))


def move_leaders(stem: ms.Stem, topic: str) -> None:
    """Make the second replica of each partition its leader, and wait until it is."""
    wanted = {
        part.index: (*part.replicas[1:], part.replicas[0])
        for part in stem.describe_topic(topic).partitions
    }
    stem.placement.reassign(topic, wanted)
    deadline = time.monotonic() + 30
    while any(wanted[p.index][0] != p.leader for p in stem.describe_topic(topic).partitions):
        assert time.monotonic() < deadline, f"the leaders of {topic} do not move"
        stem.placement.elect_leaders(topic)


def ask(stem: ms.Stem, key: int, node: int | None = None, **fields: Any) -> Message:
    """One request that the public face does not have, to this node or any."""
    cluster = stem._stem.cluster
    message = Message(**fields)
    return run(cluster.retrying, lambda deadline: cluster.call(key, message, deadline, node=node))


class Task(threading.Thread):
    """Runs ``step`` again and again until it is told to stop; ``turns`` says how often it has."""

    def __init__(self, step: Callable[[], object]) -> None:
        super().__init__(daemon=True)  # a failed test must end, too
        self.turns = 0
        self.failure: BaseException | None = None
        self._step = step
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            while not self._over.is_set():
                self._step()
                self.turns += 1
        except BaseException as error:
            self.failure = error

    def progress(self, turns: int, seconds: float = 60) -> None:
        """Wait for so many more turns; raises what the work raised."""
        wanted, deadline = self.turns + turns, time.monotonic() + seconds
        while self.turns < wanted:
            if self.failure is not None:
                raise self.failure
            assert time.monotonic() < deadline, f"stuck after {self.turns} turns"
            time.sleep(0.01)

    def end(self) -> None:
        """Stop after the turn under way; raises what the work raised."""
        self._over.set()
        self.join(90)
        assert not self.is_alive(), f"stuck after {self.turns} turns"
        if self.failure is not None:
            raise self.failure


class Writer:
    """Appends numbered rows to one partition, a few at a time, over a client of its own."""

    def __init__(self, address: str, topic: str, partition: int) -> None:
        self.written = 0
        self._stem = ms.connect(address)
        self._topic = self._stem.topic(topic)
        self._partition = partition
        self.task = Task(self._append)

    def _append(self) -> None:
        new = rows(self._partition, self.written, 20)
        self._topic.append(new, partition=self._partition, batch_bytes=1024)
        self.written += len(new)

    def end(self) -> int:
        """Stop; how many rows were acknowledged."""
        try:
            self.task.end()
        finally:
            self._stem.close()
        return self.written


class Follower:
    """Reads a topic while it is written."""

    def __init__(self, address: str, topic: str) -> None:
        self.found: list[Any] = []
        self.rows = 0
        self._stem = ms.connect(address)
        self._batches = self._stem.topic(topic).read(follow=True)
        self.task = Task(self._take)

    def _take(self) -> None:
        batch = next(self._batches, None)
        if batch is not None:
            self.found.append(batch)
            self.rows += batch.num_rows

    def end(self, count: int) -> dict[int, list[int]]:
        """Read on to so many rows, then stop; what was read, by partition."""
        deadline = time.monotonic() + 60
        while self.rows < count and self.task.failure is None:
            assert time.monotonic() < deadline, f"{self.rows} of {count} rows"
            time.sleep(0.01)
        self._batches.close()
        self.task.end()
        self._stem.close()
        return order(self.found)


class Member:
    """A group of one that commits every batch."""

    def __init__(self, address: str, topic: str, group: str) -> None:
        self.found: list[Any] = []
        self._stem = ms.connect(address)
        self._consumer = self._stem.consumer(group, topic, auto_commit=None, batch_rows=500)
        self.task = Task(self._turn)

    def _turn(self) -> None:
        batch = self._consumer.poll(0.2)
        if batch is not None:
            self.found.append(batch)
            self._consumer.commit()

    def end(self, count: int) -> dict[int, list[int]]:
        """As ``Follower.end``."""
        deadline = time.monotonic() + 60
        while sum(b.num_rows for b in list(self.found)) < count and self.task.failure is None:
            assert time.monotonic() < deadline, "the group does not come to the end"
            time.sleep(0.01)
        self.task.end()
        self._consumer.close()
        self._stem.close()
        return order(self.found)


class Copier:
    """Consumes, and produces the same to another topic, exactly once."""

    def __init__(self, address: str, source: str, target: str, identity: str) -> None:
        self._target = target
        self._stem = ms.connect(address)
        self._consumer = self._stem.consumer(
            identity, source, auto_commit=None, isolation="read_committed", batch_rows=500
        )
        self._transactions = self._stem.transactions(identity)
        self.copied = 0
        self.task = Task(self._turn)

    def _turn(self) -> None:
        batch = self._consumer.poll(0.2)
        if batch is None:
            return
        with self._transactions.begin(self._consumer) as transaction:
            transaction.append(self._target, batch.select(["value", "_partition"]))
        self.copied += batch.num_rows

    def end(self, count: int) -> None:
        """Copy on to so many rows, then stop."""
        deadline = time.monotonic() + 60
        while self.copied < count and self.task.failure is None:
            assert time.monotonic() < deadline, f"{self.copied} of {count} rows copied"
            time.sleep(0.01)
        self.task.end()
        self._transactions.close()
        self._consumer.close()
        self._stem.close()
