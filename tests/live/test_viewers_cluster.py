"""Several nodes and the compacted topic between them."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mainstem.errors import Corrupt, Invalid
from mainstem.live.viewers import NodeViewers, ViewerSettings, WorkerViewers
from mainstem.live.viewers.node import MOST_RECORDS
from mainstem.live.viewers.records import RecordKey, encode, read_key
from mainstem.live.viewers.users import EXACT_USERS

SETTINGS = ViewerSettings(grace=0.0)


class Cluster:
    """Nodes with one worker each; a topic that all read in order, and may be compacted."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.topic: list[tuple[bytes, bytes | None]] = []
        self.nodes: dict[str, NodeViewers] = {}
        self.workers: dict[str, WorkerViewers] = {}
        self.read: dict[str, int] = {}
        self.cut_off: set[str] = set()
        self.epoch = 1

    def start(self, name: str) -> NodeViewers:
        self.epoch += 1
        self.nodes[name] = NodeViewers(name, self.epoch, SETTINGS)
        self.workers[name] = WorkerViewers(SETTINGS)
        self.read[name] = 0
        return self.nodes[name]

    def kill(self, name: str) -> None:
        for table in (self.nodes, self.workers, self.read):
            del table[name]  # type: ignore[attr-defined]
        self.cut_off.discard(name)

    def compact(self) -> None:
        """Keep the last record of each key; readers are at the end anyway."""
        assert all(at == len(self.topic) for at in self.read.values())
        last = {key: place for place, (key, _) in enumerate(self.topic)}
        self.topic = [self.topic[place] for place in sorted(last.values())]
        self.topic = [record for record in self.topic if record[1] is not None]
        self.read = dict.fromkeys(self.read, len(self.topic))

    def step(self, seconds: float = 0.5) -> None:
        self.now += seconds
        for name, node in self.nodes.items():
            payload = self.workers[name].changes(self.now)
            if payload is not None:
                node.report(0, payload, self.now)
            if name not in self.cut_off:
                self.topic += node.records(self.now)
        for name, node in self.nodes.items():
            if name not in self.cut_off:
                for key, value in self.topic[self.read[name] :]:
                    node.remote(key, value, self.now)
                self.read[name] = len(self.topic)
            node.tick(self.now)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 2)):
            self.step()

    def join(self, node: str, user: str | None, name: str = "42") -> None:
        self.workers[node].joined([name], user, self.now)

    def leave(self, node: str, user: str | None, name: str = "42") -> None:
        self.workers[node].left([name], user, self.now)

    def counts(self, name: str = "42") -> set[tuple[int, int]]:
        """(connections, users) as the nodes see them."""
        found = (node.count(name) for node in self.nodes.values())
        return {(each.connections, each.users) for each in found}


def cluster(*names: str) -> Cluster:
    made = Cluster()
    for name in names:
        made.start(name)
    return made


def test_nodes_agree_on_connections_and_users() -> None:
    site = cluster("a", "b", "c")
    for node in "abc":
        site.join(node, "ann")
        site.join(node, f"only {node}")
        site.join(node, None)
    site.run(10)
    assert site.counts() == {(9, 7)}


def test_viewers_elsewhere_are_announced_here() -> None:
    site = cluster("a", "b")
    assert b'"connections":0' in site.nodes["a"].watch("viewers:42", site.now)
    site.join("b", "ann")
    site.run(10)
    assert b'"connections":1' in site.nodes["a"].watch("viewers:42", site.now)


def test_who_left_is_taken_back_with_a_tombstone() -> None:
    site = cluster("a", "b")
    site.join("b", "ann")
    site.run(10)
    site.leave("b", "ann")
    site.run(10)
    assert site.counts() == {(0, 0)}
    site.compact()
    assert {read_key(key).id for key, _ in site.topic} == {None}
    assert all(len(node) == 0 for node in site.nodes.values())


def test_who_looks_in_for_less_than_a_second_is_not_written() -> None:
    site = cluster("a", "b")
    site.run(5)
    for number in range(100):
        site.workers["a"].joined([str(number)], None, site.now)
        site.step(0.1)
        site.workers["a"].left([str(number)], None, site.now)
        site.step(0.1)
    site.run(5)
    assert {read_key(key).id for key, _ in site.topic} == {None}


def test_a_silent_node_is_counted_out_and_tidied_up_by_one_of_the_others() -> None:
    site = cluster("a", "b", "c")
    for node in "abc":
        site.join(node, f"user {node}")
    site.run(10)
    site.kill("b")
    site.run(4.5)
    assert site.counts() == {(3, 3)}  # not yet: 7 s without a heartbeat it takes
    written = len(site.topic)
    site.run(4)
    assert site.counts() == {(2, 2)}
    assert site.topic[written:].count((RecordKey("b", "42").encode(), None)) == 1
    site.run(1)
    site.compact()
    assert not [key for key, _ in site.topic if read_key(key).node == "b"]


def test_a_node_that_says_goodbye_is_counted_out_at_once() -> None:
    site = cluster("a", "b")
    site.join("b", "ann")
    site.run(10)
    site.topic += site.nodes["b"].farewell()
    site.kill("b")
    site.step(0.1)
    assert site.counts() == {(0, 0)}


def test_records_of_nodes_long_dead_do_not_count() -> None:
    site = cluster("a", "b")
    site.join("b", "ann")
    site.run(60)
    site.kill("b")
    site.kill("a")
    site.now += 3600
    site.start("c")  # reads the uncompacted topic with all of their heartbeats in one go
    for _ in range(30):
        site.step(0.5)
        assert site.counts() == {(0, 0)}
    site.compact()
    assert not [key for key, _ in site.topic if read_key(key).node != "c"]


def test_a_node_that_starts_hears_of_the_living_within_two_heartbeats() -> None:
    site = cluster("a")
    site.join("a", "ann")
    site.run(10)
    site.start("b")
    site.run(4.5)
    assert site.counts() == {(1, 1)}


def test_a_restarted_node_is_not_counted_with_what_it_was() -> None:
    site = cluster("a", "b")
    site.join("b", "ann")
    site.join("b", "bob", name="43")
    site.run(10)
    site.kill("b")
    site.start("b")
    site.join("b", "cas")
    site.run(10)
    assert site.counts() == {(1, 1)}
    assert site.counts("43") == {(0, 0)}
    site.compact()
    left = {read_key(key) for key, _ in site.topic}
    assert {key for key in left if key.node == "b"} == {RecordKey("b", "42"), RecordKey("b", None)}


def test_an_old_incarnation_that_still_writes_is_not_listened_to() -> None:
    site = cluster("a", "b")
    site.run(5)
    old = site.nodes["b"]
    site.start("b")
    site.run(5)
    worker = WorkerViewers(SETTINGS)
    worker.joined(["42"], "ghost", site.now)
    payload = worker.changes(site.now)
    assert payload is not None
    old.report(0, payload, site.now)
    late = old.records(site.now) + old.records(site.now + 5)
    assert any(read_key(key).id == "42" for key, _ in late)
    for key, value in late:
        site.nodes["a"].remote(key, value, site.now)
    assert site.nodes["a"].count("42").connections == 0


def test_a_node_that_was_cut_off_comes_back_whole() -> None:
    site = cluster("a", "b")
    site.join("a", "ann")
    site.join("b", "bob")
    site.run(10)
    site.cut_off.add("b")
    site.run(20)  # a took it for dead, and wrote tombstones over its records
    assert site.nodes["a"].count("42").connections == 1
    site.cut_off.clear()
    site.run(15)
    assert site.counts() == {(2, 2)}


def test_ten_thousand_over_two_nodes_are_exact_and_more_are_not() -> None:
    site = cluster("a", "b")
    for number in range(EXACT_USERS):
        site.join("ab"[number % 2], f"user {number}")
    site.run(15)
    for node in site.nodes.values():
        count = node.count("42")
        assert (count.users, count.error) == (EXACT_USERS, 0.0)
    for number in range(EXACT_USERS, 30_000):
        site.join("ab"[number % 2], f"user {number}")
    site.run(15)
    for node in site.nodes.values():
        count = node.count("42")
        assert count.connections == 30_000
        assert count.error == pytest.approx(0.008125)
        assert abs(count.users / 30_000 - 1) < 4 * count.error


@pytest.mark.parametrize("seed", range(40))
def test_nodes_that_come_and_go_agree_in_the_end(seed: int) -> None:
    source = random.Random(seed)
    site = cluster("a", "b", "c")
    open_connections: list[tuple[str, str | None, str]] = []
    for _ in range(120):
        choice = source.random()
        node = source.choice("abc")
        if choice < 0.45 and node in site.nodes:
            one = (node, source.choice(["ann", "bob", "cas", None]), source.choice(["42", "43"]))
            site.join(*one)
            open_connections.append(one)
        elif choice < 0.75 and open_connections:
            site.leave(*open_connections.pop(source.randrange(len(open_connections))))
        elif choice < 0.80 and len(site.nodes) > 1 and node in site.nodes:
            site.kill(node)
            open_connections = [each for each in open_connections if each[0] != node]
        elif choice < 0.90 and node not in site.nodes:
            site.start(node)
        elif choice < 0.93 and len(site.cut_off) < 1:
            site.cut_off.add(node)
        elif choice < 0.97:
            site.cut_off.clear()
        site.step(source.choice([0.0, 0.1, 0.5, 2.0]))
    site.cut_off.clear()
    site.run(30)
    for name in ("42", "43"):
        mine = [(node, user) for node, user, channel in open_connections if channel == name]
        users = {user for _, user in mine if user is not None}
        expected = (len(mine), len(users) + sum(user is None for _, user in mine))
        assert site.counts(name) == {expected}, f"seed {seed}, id {name}"
    site.compact()
    left = {read_key(key) for key, _ in site.topic}
    expected_keys = {RecordKey(node, None) for node in site.nodes} | {
        RecordKey(node, channel) for node, _, channel in open_connections
    }
    assert left == expected_keys, f"seed {seed}"


def test_records_come_in_bounded_portions() -> None:
    site = cluster("a")
    site.workers["a"].joined(map(str, range(3 * MOST_RECORDS)), None, site.now)
    written = 0
    for _ in range(20):
        before = len(site.topic)
        site.step(0.5)
        assert len(site.topic) - before <= MOST_RECORDS
        written = len({key for key, _ in site.topic})
    assert written == 3 * MOST_RECORDS + 1


@pytest.mark.parametrize("name", ["", "a/b", "a b", "é", "x" * 101, "a\n"])
def test_a_node_name_stands_between_slashes(name: str) -> None:
    with pytest.raises(Invalid):
        NodeViewers(name, 1)


def test_keys_keep_ids_of_any_kind() -> None:
    for name in ("42", "a/b", "é ✓", "n/x"):
        assert read_key(RecordKey("node-1", name).encode()) == RecordKey("node-1", name)


@pytest.mark.parametrize(
    "key",
    [b"", b"n/", b"n/a/b", b"v/a", b"v/a/", b"v//x", b"x/a/b", b"\xff", b"v/a/" + b"x" * 2000],
)
def test_a_key_that_no_node_writes_is_refused(key: bytes) -> None:
    with pytest.raises(Corrupt):
        NodeViewers("z", 1).remote(key, None, 0.0)


NODE_RECORD: list[Any] = [1, [2, 1, [["ann"], None, None]]]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x90",
        encode(None),
        encode([1]),
        encode([1, [2, 1, None]]),
        encode([1, [1, 2, [[], None, None]]]),
        encode([1, [-1, -1, [[], None, None]]]),
        encode([1, [1 << 60, 0, [[], None, None]]]),
        encode([1, [1, 0, [["ann"], b"", None]]]),
        encode([1, [1, 0, [None, None, b"short"]]]),
        encode([1, [1, 0, [None, b"1234", None]]]),
        encode(["1", [1, 0, [[], None, None]]]),
    ],
)
def test_a_damaged_record_is_refused_and_changes_nothing(value: bytes) -> None:
    node = NodeViewers("z", 1, SETTINGS)
    good = encode(NODE_RECORD)
    for now in (0.0, 2.0):
        node.remote(b"n/a", encode([1]), now)
    node.remote(b"v/a/42", good, 2.0)
    with pytest.raises(Corrupt):
        node.remote(b"v/a/42", value, 2.0)
    assert (node.count("42").connections, node.count("42").users) == (2, 2)
