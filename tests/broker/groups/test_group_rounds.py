"""SyncGroup, Heartbeat, LeaveGroup, sessions: from a joined generation to the next."""

from __future__ import annotations

import pytest
from group_harness import REBALANCE_MS, SESSION_MS, Harness, subscription

from mainstem.broker.groups import machine
from mainstem.broker.groups.effects import State, Timer


@pytest.fixture
def group():
    return Harness()


def test_followers_wait_for_the_leaders_assignment(group):
    first, second = group.stable(2)
    group.join(first)
    group.join(second)
    follower = group.sync(second)
    assert follower in group.parked
    group.sync(first, assignments={first: b"1", second: b"2"})
    assert group.answers[follower].assignment == b"2"
    assert group.answers[follower].protocol_name == "range"


def test_sync_is_answered_after_the_assignment_is_stored():
    group = Harness(hold_disk=True)
    first, _ = group.enter()
    call = group.sync(first, assignments={first: b"1"})
    assert call in group.parked
    group.write()
    assert group.answers[call].assignment == b"1"
    assert group.stored[-1].members[0].assignment == b"1"


def test_failing_disk_makes_members_rejoin():
    group = Harness(hold_disk=True)
    first, _ = group.enter()
    call = group.sync(first, assignments={first: b"1"})
    group.write(works=False)
    assert group.error(call) == 15
    assert group.group.state == State.PREPARING
    again = group.join(first)
    group.sync(first)
    group.write()
    assert group.answers[again].generation == 2
    assert group.group.state == State.STABLE


def test_assignment_of_an_older_generation_is_not_applied_when_its_write_ends():
    group = Harness(hold_disk=True)
    first, _ = group.enter()
    call = group.sync(first, assignments={first: b"old"})
    group.join(first, protocols={"range": subscription("u")})
    assert group.error(call) == 27
    group.write()
    assert group.group.state == State.COMPLETING
    assert group.group.roster.members[first].assignment == b""


def test_leader_that_syncs_twice_gets_one_assignment():
    group = Harness(hold_disk=True)
    first, _ = group.enter()
    call = group.sync(first, assignments={first: b"1"})
    again = group.sync(first, assignments={first: b"2"})
    group.write()
    assert group.error(call) == 27
    assert group.answers[again].assignment == b"1"
    assert len(group.stored) == 1


def test_member_left_out_of_the_assignment_gets_an_empty_one(group):
    first, second = group.stable(2)
    group.join(first)
    group.join(second)
    group.sync(first, assignments={first: b"all"})
    assert group.answers[group.sync(second)].assignment == b""


def test_assignments_for_strangers_are_ignored(group):
    first, _ = group.enter()
    group.sync(first, assignments={first: b"1", "stranger": b"x"})
    assert list(group.group.roster.members) == [first]


def test_sync_in_a_stable_group_returns_the_assignment(group):
    _first, second = group.stable(2)
    assert group.answers[group.sync(second)].assignment == second.encode()


def test_sync_keeps_a_member(group):
    member = group.stable(1)[0]
    for _ in range(3):
        group.advance(SESSION_MS - 1)
        assert group.error(group.sync(member)) == 0


def test_sync_of_another_generation_is_refused(group):
    first = group.stable(1)[0]
    assert group.error(group.sync(first, group.group.generation + 1)) == 22
    assert group.error(group.sync(first, group.group.generation - 1)) == 22


def test_sync_of_a_stranger_is_refused(group):
    group.stable(1)
    assert group.error(group.sync("nobody")) == 25


def test_sync_with_another_protocol_is_refused(group):
    first = group.stable(1)[0]
    assert group.error(group.sync(first, protocol=("consumer", "sticky"))) == 23
    assert group.error(group.sync(first, protocol=("connect", "range"))) == 23
    assert group.error(group.sync(first, protocol=("consumer", "range"))) == 0


def test_sync_during_a_rebalance_is_told_to_rejoin(group):
    first, second = group.stable(2)
    group.join(first)
    assert group.error(group.sync(second)) == 27


def test_new_rebalance_answers_those_that_wait_for_the_leader(group):
    first, second = group.stable(2)
    group.join(first)
    group.join(second)
    waiting = group.sync(second)
    group.enter()
    assert group.error(waiting) == 27


def test_oversized_assignment_is_refused_and_keeps_nothing(group, monkeypatch):
    monkeypatch.setattr(machine, "GROUP_MAX_BYTES", 1_000)
    first, _ = group.enter()
    call = group.sync(first, assignments={first: b"x" * 2_000})
    assert group.error(call) == 42
    assert group.group.roster.members[first].assignment == b""
    assert Timer("session", first) in group.timers


def test_members_that_never_sync_are_out(group):
    first, second = group.stable(2, rebalance_ms=5_000)
    group.join(first, rebalance_ms=5_000)
    group.join(second, rebalance_ms=5_000)
    group.sync(first)
    group.advance(4_000)
    assert group.heartbeat(second) == 0
    group.advance(1_000)
    assert second not in group.group.roster.members
    assert group.group.state == State.PREPARING


def test_heartbeat_keeps_a_member(group):
    member = group.stable(1)[0]
    for _ in range(5):
        group.advance(SESSION_MS - 1)
        assert group.heartbeat(member) == 0


def test_heartbeat_before_sync_is_fine(group):
    member, _ = group.enter()
    assert group.group.state == State.COMPLETING
    assert group.heartbeat(member) == 0


def test_heartbeat_of_another_generation_is_refused(group):
    member = group.stable(1)[0]
    assert group.group.heartbeat(member, None, 99) == 22


def test_session_that_ends_triggers_a_rebalance(group):
    first, second = group.stable(2)
    group.advance(SESSION_MS - 1)
    group.heartbeat(first)
    group.advance(1)
    assert list(group.group.roster.members) == [first] != [second]
    assert group.heartbeat(first) == 27


def test_last_session_that_ends_empties_the_group(group):
    group.stable(1)
    group.advance(SESSION_MS)
    assert group.group.state == State.EMPTY
    assert group.group.generation == 2
    assert group.stored[-1].members == ()


def test_member_waiting_for_the_leader_does_not_time_out(group):
    first, second = group.stable(2)
    group.join(first)
    group.join(second)
    waiting = group.sync(second)
    for _ in range(3):
        group.heartbeat(first)
        group.advance(SESSION_MS - 1)
    group.sync(first, assignments={second: b"2"})
    assert group.answers[waiting].assignment == b"2"
    assert group.timers[Timer("session", second)] == group.now + SESSION_MS


def test_leaving_leader_is_followed_by_another(group):
    first, second = group.stable(2)
    assert group.leave(first) == [0]
    call = group.join(second)
    assert group.answers[call].leader == second
    assert len(group.answers[call].members) == 1


def test_several_members_leave_with_one_rebalance(group):
    first, second, third = group.stable(3)
    generation = group.group.generation
    assert group.leave(second, "nobody", third) == [0, 25, 0]
    group.join(first)
    assert group.group.generation == generation + 1


def test_leave_completes_a_rebalance_that_waited_for_it(group):
    first, second = group.stable(2)
    call = group.join(first)
    group.leave(second)
    assert group.answers[call].generation == 3


def test_promised_id_may_leave(group):
    promised = group.answers[group.join()].member_id
    assert group.leave(promised) == [0]
    assert group.error(group.join(promised)) == 25
    assert Timer("pending", promised) not in group.timers


def test_member_that_leaves_while_parked_is_answered(group):
    group.stable(1)
    second, call = group.enter()
    group.leave(second)
    assert group.error(call) == 25


def test_a_dead_group_refuses_everything(group):
    first, second = group.stable(2)
    group.join(first)
    waiting = group.join(second, protocols={"range": subscription("u")})
    del waiting
    parked = group.enter()[1]
    group.group.die()
    assert group.error(parked) == 15
    assert group.error(group.join()) == 15
    assert group.error(group.sync(first)) == 15
    assert group.heartbeat(first) == 15
    assert group.leave(first) == [15]
    assert group.group.check_commit(first, None, 1) == 15
    assert group.timers == {}
    assert group.parked == set()


def test_generation_grows_with_every_rebalance(group):
    first = group.stable(1)[0]
    generations = []
    for _ in range(5):
        generations.append(group.answers[group.join(first)].generation)
        group.sync(first)
    assert generations == [2, 3, 4, 5, 6]


def test_rebalance_ends_though_a_client_is_gone(group):
    # A parked call whose connection closed stays parked for the machine: nobody hears it.
    first = group.stable(1)[0]
    ghost, _ = group.enter()
    group.join(first)
    assert group.group.state == State.COMPLETING
    group.sync(first, assignments={first: b"1"})
    for _ in range(2):
        group.advance(SESSION_MS // 2)
        group.heartbeat(first)
    assert ghost not in group.group.roster.members
    assert group.timers.keys() <= {Timer("session", first), Timer("join")}
    assert REBALANCE_MS > SESSION_MS
