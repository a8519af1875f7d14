"""Static members (KIP-345): they come back to what they had; impostors are fenced."""

from __future__ import annotations

import pytest
from group_harness import SESSION_MS, Harness, subscription

from mainstem.broker.groups.effects import State


@pytest.fixture
def group():
    return Harness()


def pair(group, **options):
    """A stable group of two static members, "a" leading."""
    call = group.join(instance="a", **options)
    a = group.answers[call].member_id
    call = group.join(instance="b", **options)
    group.join(a, instance="a", **options)
    b = group.answers[call].member_id
    group.sync(a, assignments={a: b"A", b: b"B"}, instance="a")
    group.sync(b, instance="b")
    assert group.group.state == State.STABLE
    return a, b


def test_static_member_joins_without_the_handshake(group):
    call = group.join(instance="a")
    assert group.error(call) == 0
    assert group.answers[call].member_id.startswith("a-")


def test_follower_that_restarts_keeps_its_assignment_without_a_rebalance(group):
    a, b = pair(group)
    generation = group.group.generation
    call = group.join(instance="b")
    answer = group.answers[call]
    assert (answer.error, answer.generation, answer.leader) == (0, generation, a)
    assert answer.member_id != b
    assert not answer.skip_assignment
    assert group.answers[group.sync(answer.member_id, instance="b")].assignment == b"B"
    assert group.heartbeat(a, instance="a") == 0


def test_leader_that_restarts_is_told_to_skip_the_assignment(group):
    pair(group)
    answer = group.answers[group.join(instance="a")]
    assert answer.skip_assignment
    assert answer.leader == answer.member_id
    assert len(answer.members) == 2
    assert group.group.state == State.STABLE


def test_leader_that_restarts_before_version_9_does_not_learn_that_it_leads(group):
    a, _b = pair(group)
    answer = group.answers[group.join(instance="a", version=8)]
    assert answer.leader == a != answer.member_id
    assert answer.members == ()
    assert not answer.skip_assignment


def test_new_id_is_stored_before_the_answer():
    group = Harness()
    _a, b = pair(group)
    group.hold_disk = True
    call = group.join(instance="b")
    assert call in group.parked
    group.write()
    stored = {member.instance_id: member.member_id for member in group.stored[-1].members}
    assert stored["b"] == group.answers[call].member_id != b


def test_failing_disk_asks_a_restarted_member_to_come_again():
    group = Harness()
    pair(group)
    group.hold_disk = True
    call = group.join(instance="b")
    group.write(works=False)
    assert group.error(call) == 15
    again = group.join(instance="b")
    group.write()
    assert group.error(again) == 0


def test_rebalance_that_overtakes_the_disk_answers_the_restarted_member():
    group = Harness()
    a, _b = pair(group)
    group.hold_disk = True
    call = group.join(instance="b")
    rejoined = group.join(a, instance="a")
    assert group.answers[call].generation == group.answers[rejoined].generation == 3
    group.write()  # and the late write changes nothing


def test_the_replaced_member_is_fenced_everywhere(group):
    _a, b = pair(group)
    group.join(instance="b")
    assert group.heartbeat(b, instance="b") == 82
    assert group.error(group.sync(b, instance="b")) == 82
    assert group.error(group.join(b, instance="b")) == 82
    assert group.group.leave([(b, "b")]) == [82]
    assert group.group.check_commit(b, "b", group.group.generation) == 82


def test_parked_join_of_a_replaced_member_is_fenced(group):
    a, b = pair(group)
    parked = group.join(b, instance="b", protocols={"range": subscription("t", "u")})
    call = group.join(instance="b")
    assert group.error(parked) == 82
    assert group.answers[parked].member_id == b
    group.join(a, instance="a")
    assert group.error(call) == 0


def test_parked_sync_of_a_replaced_member_is_fenced(group):
    a, b = pair(group)
    group.join(a, instance="a")
    group.join(b, instance="b")
    parked = group.sync(b, instance="b")
    call = group.join(instance="b")
    assert group.error(parked) == 82
    assert group.group.state == State.PREPARING
    group.join(a, instance="a")
    assert group.error(call) == 0


def test_restart_with_another_protocol_rebalances(group):
    a, _b = pair(group, protocols={"x": b"", "y": b""})
    call = group.join(instance="b", protocols={"y": b""})
    assert call in group.parked
    assert group.heartbeat(a, instance="a") == 27


def test_restart_with_other_topics_rebalances(group):
    a, _b = pair(group)
    group.join(instance="b", protocols={"range": subscription("other")})
    assert group.heartbeat(a, instance="a") == 27


def test_restart_that_only_lost_its_owned_partitions_does_not_rebalance(group):
    owned = {"range": subscription("t", version=1, rest=b"owns a lot")}
    a, _b = pair(group, protocols=owned)
    call = group.join(instance="b", protocols={"range": subscription("t", version=1)})
    assert group.error(call) == 0
    assert group.heartbeat(a, instance="a") == 0


def test_static_member_is_not_dropped_by_a_rebalance_it_misses(group):
    # Within its session: only that decides, so that a restart costs no rebalance.
    options = {"session_ms": 600_000, "rebalance_ms": 5_000}
    a, b = pair(group, **options)
    call = group.join(a, instance="a", **options)
    group.advance(5_000)
    assert group.answers[call].generation == 3
    assert set(group.group.roster.members) == {a, b}


def test_static_member_is_dropped_when_its_session_ends(group):
    a, b = pair(group)
    group.advance(SESSION_MS - 1)
    group.heartbeat(a, instance="a")
    group.advance(1)
    assert list(group.group.roster.members) == [a] != [b]
    assert group.group.roster.static_ids == {"a": a}


def test_rebalance_that_nobody_rejoins_waits_for_the_sessions(group):
    options = {"session_ms": 20_000, "rebalance_ms": 5_000}
    _a, b = pair(group, **options)
    group.advance(10_000)
    group.heartbeat(b, instance="b")
    group.advance(10_000)  # a is gone, b neither rejoins nor times out yet
    assert group.group.state == State.PREPARING
    group.advance(9_999)
    assert group.group.state == State.PREPARING
    group.advance(1)
    assert group.group.state == State.EMPTY


def test_administrator_removes_a_static_member_by_its_instance(group):
    a, b = pair(group)
    assert group.group.leave([("", "b"), ("", "unknown"), ("", None)]) == [0, 25, 25]
    assert list(group.group.roster.members) == [a] != [b]


def test_static_member_of_another_group_is_unknown(group):
    pair(group)
    assert group.error(group.join("x", instance="c")) == 25


def test_full_group_lets_a_static_member_back_in():
    group = Harness(max_size=2)
    pair(group)
    assert group.error(group.join(instance="b")) == 0
    assert group.error(group.join(instance="c")) == 81
