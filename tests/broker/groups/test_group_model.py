"""Many virtual clients against the group state machine, in random order, with a failing disk.

Whatever happens: nobody is answered twice (the harness checks), no generation has two leaders,
no partition has two owners in a generation, and nobody waits for ever.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import pytest
from group_harness import Harness, subscription
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mainstem.broker.groups.effects import State
from mainstem.broker.groups.joining import NEW_MEMBER_JOIN_TIMEOUT_MS

PARTITIONS = 7
SESSION_MS = 10_000
REBALANCE_MS = 30_000
MAX_SIZE = 6


@dataclass
class Client:
    """A consumer as librdkafka and the Java client behave, one step at a time."""

    group: Harness
    instance: str | None = None
    member_id: str = ""
    generation: int = -1
    topics: tuple[str, ...] = ("t",)
    owned: tuple[int, ...] = ()
    join_call: int | None = None
    sync_call: int | None = None
    stopped: bool = False
    told: list[tuple[int, str]] = field(default_factory=list)

    @property
    def waiting(self) -> bool:
        return any(c in self.group.parked for c in (self.join_call, self.sync_call) if c)

    def join(self) -> None:
        self.owned = ()
        self.sync_call = None
        self.join_call = self.group.join(
            self.member_id,
            instance=self.instance,
            protocols={"range": subscription(*self.topics)},
            session_ms=SESSION_MS,
            rebalance_ms=REBALANCE_MS,
        )

    def step(self) -> None:
        if self.stopped or self.waiting:
            return
        if self.join_call is not None:
            self.joined()
        elif self.sync_call is not None:
            self.synced()
        else:
            error = self.group.group.heartbeat(self.member_id, self.instance, self.generation)
            self.react(int(error))

    def joined(self) -> None:
        answer = self.group.answers[self.join_call]
        self.join_call = None
        if answer.error:
            self.react(int(answer.error), answer.member_id)
            return
        self.member_id, self.generation = answer.member_id, answer.generation
        self.told.append((answer.generation, answer.leader))
        assignments = {}
        if answer.members and not answer.skip_assignment:
            names = [member.member_id for member in answer.members]
            assert len(set(names)) == len(names)
            for at, name in enumerate(names):
                mine = range(at, PARTITIONS, len(names))
                assignments[name] = struct.pack(f">{len(mine)}i", *mine)
        self.sync_call = self.group.sync(
            self.member_id, self.generation, assignments, instance=self.instance
        )

    def synced(self) -> None:
        answer = self.group.answers[self.sync_call]
        self.sync_call = None
        if answer.error:
            self.react(int(answer.error))
        else:
            data = answer.assignment
            self.owned = struct.unpack(f">{len(data) // 4}i", data)

    def react(self, error: int, promised: str = "") -> None:
        match error:
            case 0:
                return
            case 79:
                self.member_id = promised
                self.join()
            case 27 | 15:
                self.join()
            case 22 | 25:
                self.member_id = ""
                self.join()
            case 81 | 82:
                self.stopped = True
                self.owned = ()
            case _:
                raise AssertionError(f"error {error} is not one a client expects")


class Clients(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.group = Harness(max_size=MAX_SIZE, hold_disk=True)
        self.clients: list[Client] = []
        self.leaders: dict[int, str] = {}
        self.last_generation = 0

    def pick(self, index: int) -> Client:
        return self.clients[index % len(self.clients)]

    @precondition(lambda self: len(self.clients) < MAX_SIZE + 2)
    @rule(instance=st.sampled_from([None, None, "a", "b"]))
    def start(self, instance):
        client = Client(self.group, instance)
        self.clients.append(client)
        client.join()

    @precondition(lambda self: self.clients)
    @rule(index=st.integers(0, 99), steps=st.integers(1, 4))
    def step(self, index, steps):
        for _ in range(steps):
            self.pick(index).step()

    @rule()
    def step_all(self):
        for client in self.clients:
            client.step()

    @precondition(lambda self: self.clients)
    @rule(index=st.integers(0, 99))
    def crash(self, index):
        self.clients.remove(self.pick(index))

    @precondition(lambda self: self.clients)
    @rule(index=st.integers(0, 99))
    def leave(self, index):
        client = self.pick(index)
        self.clients.remove(client)
        if client.member_id:
            self.group.group.leave([(client.member_id, client.instance)])

    @precondition(lambda self: self.clients)
    @rule(index=st.integers(0, 99), topics=st.sampled_from([("t",), ("t", "u"), ("u",)]))
    def resubscribe(self, index, topics):
        client = self.pick(index)
        if not client.stopped and not client.waiting and client.member_id:
            client.topics = topics
            client.join()

    @precondition(lambda self: self.clients)
    @rule(index=st.integers(0, 99))
    def repeat_join(self, index):
        """A client that lost its connection asks again while the first call is parked."""
        client = self.pick(index)
        if client.waiting and client.member_id and client.sync_call is None:
            client.join()

    @precondition(lambda self: self.group.disk)
    @rule(works=st.sampled_from([True, True, True, False]))
    def disk(self, works):
        self.group.write(works=works, count=1)

    @rule(milliseconds=st.sampled_from([1, 500, 3_000, SESSION_MS - 1, SESSION_MS, 31_000]))
    def advance(self, milliseconds):
        self.group.advance(milliseconds)

    @invariant()
    def one_leader_for_each_generation(self):
        for client in self.clients:
            for generation, leader in client.told:
                known = self.leaders.setdefault(generation, leader)
                restarted = leader.split("-")[0] == known.split("-")[0] in {"a", "b"}
                assert known == leader or restarted, f"generation {generation}: {known}, {leader}"
            client.told.clear()

    @invariant()
    def generations_only_grow(self):
        assert self.group.group.generation >= self.last_generation
        self.last_generation = self.group.group.generation

    @invariant()
    def partitions_have_one_owner(self):
        group = self.group.group
        current = [
            client
            for client in self.clients
            if client.generation == group.generation
            and client.member_id in group.roster.members
            and not client.stopped
        ]
        owned = [partition for client in current for partition in client.owned]
        assert len(owned) == len(set(owned)), owned
        everyone = {client.member_id for client in current if client.owned}
        if group.state is State.STABLE and everyone == set(group.roster.members):
            assert sorted(owned) == list(range(PARTITIONS))

    @invariant()
    def what_is_kept_belongs_to_members(self):
        roster = self.group.group.roster
        parked = {
            call
            for member in roster.members.values()
            for call in (member.join_call, member.sync_call)
            if call is not None
        }
        assert parked == self.group.parked
        # As in Kafka, those that rejoin count, not those that may yet: at worst a set of each.
        assert roster.joined_count <= MAX_SIZE
        assert len(roster.members) <= 2 * MAX_SIZE
        assert roster.size == sum(member.size for member in roster.members.values())
        protocols = {name for member in roster.members.values() for name in member.protocols}
        assert set(roster._support) == protocols
        joined = {name for name, m in roster.members.items() if m.join_call is not None}
        assert roster.joined_count == len(joined)
        assert set(roster.static_ids.values()) <= roster.members.keys()
        assert (roster.leader in roster.members) == bool(roster.members)
        syncing = self.group.group.state in {State.COMPLETING, State.STABLE}
        assert roster.pending_syncs <= (roster.members.keys() if syncing else set())
        for timer in self.group.timers:
            if timer.kind == "session":
                assert timer.member_id in roster.members
            elif timer.kind == "pending":
                assert timer.member_id in roster.pending_joins

    @invariant()
    def a_waiting_group_has_something_to_wait_for(self):
        group = self.group.group
        kinds = {timer.kind for timer in self.group.timers}
        if group.state is State.PREPARING:
            assert "join" in kinds
        if group.state is State.COMPLETING:
            assert "sync" in kinds or self.group.disk

    def teardown(self):
        """Everyone goes silent: all calls are answered and the group empties."""
        while self.group.disk:
            self.group.write()
        self.group.hold_disk = False
        self.group.advance(NEW_MEMBER_JOIN_TIMEOUT_MS + 3 * REBALANCE_MS + 2 * SESSION_MS)
        assert self.group.parked == set()
        assert self.group.group.state is State.EMPTY
        assert self.group.timers == {}
        assert self.group.group.roster.pending_joins == set()


_QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much]


class TestClientsBriefly(Clients.TestCase):
    settings = settings(
        max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=_QUIET
    )


@pytest.mark.slow
class TestClientsAtLength(Clients.TestCase):
    settings = settings(
        max_examples=700, stateful_step_count=100, deadline=None, suppress_health_check=_QUIET
    )


def test_clients_left_alone_come_to_rest_in_one_generation():
    """Liveness: clients that only follow the protocol balance, from any number at once."""
    for count in range(1, 7):
        group = Harness(max_size=MAX_SIZE)
        clients = [Client(group, f"i{n}" if n % 2 else None) for n in range(count)]
        for client in clients:
            client.join()
        for _ in range(40):
            for client in clients:
                client.step()
            group.advance(100)
        assert group.group.state is State.STABLE
        assert {client.generation for client in clients} == {group.group.generation}
        assert sorted(p for client in clients for p in client.owned) == list(range(PARTITIONS))
