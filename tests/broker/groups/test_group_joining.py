"""JoinGroup: the handshake, protocols, sizes, and what a rejoin sets off."""

from __future__ import annotations

import pytest
from group_harness import REBALANCE_MS, SESSION_MS, Harness, subscription

from mainstem.broker.groups import joining
from mainstem.broker.groups.effects import State, Timer


@pytest.fixture
def group():
    return Harness()


def test_first_member_gets_its_generation_without_waiting(group):
    member, call = group.enter()
    answer = group.answers[call]
    assert (answer.error, answer.generation, answer.leader) == (0, 1, member)
    assert [joined.member_id for joined in answer.members] == [member]
    assert answer.protocol_name == "range"
    assert answer.protocol_type == "consumer"


def test_first_member_does_not_wait_for_ids_promised_to_others(group):
    group.join(client="slow")
    _first, call = group.enter()
    assert group.answers[call].generation == 1


def test_second_member_triggers_a_rebalance(group):
    first, _ = group.enter()
    group.sync(first, assignments={first: b"all"})
    second, call = group.enter()
    assert group.group.state == State.PREPARING
    assert group.heartbeat(first) == 27
    assert call in group.parked
    rejoined = group.join(first)
    assert group.answers[call].generation == group.answers[rejoined].generation == 2
    assert group.answers[call].members == ()
    assert len(group.answers[rejoined].members) == 2
    assert group.answers[call].leader == first != second


def test_dynamic_member_must_come_back_with_its_id(group):
    call = group.join(client="app")
    assert group.error(call) == 79
    assert group.answers[call].member_id == "app-1"
    assert group.answers[call].generation == -1
    assert group.group.roster.members == {}


def test_old_clients_join_without_the_handshake(group):
    call = group.join(version=3)
    assert group.error(call) == 0
    assert group.answers[call].member_id


def test_promised_id_expires(group):
    promised = group.answers[group.join()].member_id
    group.advance(SESSION_MS)
    assert group.error(group.join(promised)) == 25


def test_promised_id_that_never_comes_back_does_not_block_a_rebalance(group):
    first = group.stable(1)[0]
    group.join(client="ghost")
    _second, call = group.enter()
    rejoined = group.join(first)
    assert call in group.parked
    group.advance(SESSION_MS)
    assert group.answers[call].generation == group.answers[rejoined].generation == 2


def test_unknown_id_is_refused(group):
    group.stable(1)
    call = group.join("nobody")
    assert group.error(call) == 25
    assert group.answers[call].member_id == "nobody"


def test_protocol_type_must_match(group):
    group.stable(1)
    assert group.error(group.join(kind="connect")) == 23


def test_protocols_must_intersect(group):
    group.stable(1)
    assert group.error(group.join(protocols={"sticky": b""})) == 23


@pytest.mark.parametrize(("kind", "protocols"), [("", {"range": b""}), ("consumer", {})])
def test_join_without_a_protocol_is_refused(group, kind, protocols):
    assert group.error(group.join(kind=kind, protocols=protocols)) == 23


def test_protocol_is_chosen_by_votes_among_those_all_support(group):
    first, _ = group.enter(protocols={"a": b"", "b": b"", "c": b""})
    second, _ = group.enter(protocols={"c": b"", "b": b""})
    _third, call = group.enter(protocols={"d": b"", "b": b"", "c": b""})
    group.join(second, protocols={"c": b"", "b": b""})
    group.join(first, protocols={"a": b"", "c": b"", "b": b""})
    assert group.answers[call].protocol_name == "c"


def test_each_member_is_described_to_the_leader_by_the_chosen_protocol(group):
    first, _ = group.enter(protocols={"a": b"1a", "b": b"1b"})
    second, _ = group.enter(protocols={"b": b"2b"})
    call = group.join(first, protocols={"a": b"1a", "b": b"1b"})
    members = {joined.member_id: joined.metadata for joined in group.answers[call].members}
    assert members == {first: b"1b", second: b"2b"}


def test_group_size_is_limited():
    group = Harness(max_size=2)
    members = group.stable(2)
    assert group.error(group.join()) == 81
    assert list(group.group.roster.members) == members


def test_group_size_is_limited_while_members_are_joining():
    group = Harness(max_size=2)
    first = group.stable(1)[0]
    group.enter()
    promised = group.join()
    assert group.error(promised) == 79
    late = group.answers[promised].member_id
    group.join(first)  # two are awaiting; the promised one keeps the rebalance open
    assert group.error(group.join(late)) == 81


def test_member_that_has_joined_may_ask_again_though_the_group_is_full():
    group = Harness(max_size=2)
    first = group.stable(1)[0]
    second, _ = group.enter()
    group.join(client="ghost")  # keeps the rebalance open
    group.join(first)
    again = group.join(second)
    assert again in group.parked


def test_promised_ids_are_limited():
    group = Harness(max_size=3)
    errors = [group.error(group.join()) for _ in range(4)]
    assert errors == [79, 79, 79, 81]


def test_subscriptions_of_a_group_are_limited_in_bytes(group, monkeypatch):
    monkeypatch.setattr(joining, "GROUP_MAX_BYTES", 1_000)
    first, _ = group.enter(protocols={"range": b"x" * 600})
    assert group.error(group.join(protocols={"range": b"x" * 600})) == 81
    assert group.error(group.join(first, protocols={"range": b"y" * 900})) == 0


def test_member_that_is_refused_when_it_rejoins_is_out(group, monkeypatch):
    first, second = group.stable(2)
    monkeypatch.setattr(joining, "GROUP_MAX_BYTES", 1_000)
    assert group.error(group.join(second, protocols={"range": b"x" * 2_000})) == 81
    assert list(group.group.roster.members) == [first]
    assert group.heartbeat(first) == 27


def test_follower_that_rejoins_unchanged_is_told_the_generation(group):
    _first, second = group.stable(2)
    call = group.join(second)
    assert group.group.state == State.STABLE
    assert group.answers[call].generation == group.group.generation
    assert group.answers[call].members == ()


def test_leader_that_rejoins_unchanged_triggers_a_rebalance(group):
    first, second = group.stable(2)
    call = group.join(first)
    assert call in group.parked
    assert group.heartbeat(second) == 27


def test_follower_with_another_subscription_triggers_a_rebalance(group):
    first, second = group.stable(2)
    group.join(second, protocols={"range": subscription("t", "u")})
    assert group.heartbeat(first) == 27


def test_cooperative_follower_rejoins_to_hand_over_what_it_revoked(group):
    # Its owned partitions are part of the subscription, so the bytes differ (KIP-429).
    owned = {"cooperative-sticky": subscription("t", version=1, rest=b"owned 0 1")}
    first, second = group.stable(2, protocols=owned)
    revoked = {"cooperative-sticky": subscription("t", version=1, rest=b"owned 0")}
    call = group.join(second, protocols=revoked)
    rejoined = group.join(first, protocols=owned)
    generation = group.answers[call].generation
    assert generation == group.answers[rejoined].generation == 3


def test_join_repeated_before_sync_gets_the_same_generation(group):
    first, call = group.enter()
    again = group.join(first)
    assert group.answers[again] == group.answers[call]
    assert group.group.state == State.COMPLETING


def test_join_with_other_metadata_before_sync_rebalances(group):
    first, _ = group.enter()
    call = group.join(first, protocols={"range": subscription("u")})
    assert group.answers[call].generation == 2


def test_join_repeated_while_parked_answers_the_first_call(group):
    first = group.stable(1)[0]
    second, call = group.enter()
    again = group.join(second)
    assert group.error(call) == 27
    assert again in group.parked
    group.join(first)
    assert group.error(again) == 0


def test_members_that_do_not_rejoin_in_time_are_out(group):
    first, second = group.stable(2, rebalance_ms=5_000)
    third, call = group.enter(rebalance_ms=5_000)
    group.join(first, rebalance_ms=5_000)
    group.advance(5_000)
    assert set(group.group.roster.members) == {first, third}
    assert group.answers[call].generation == 3
    assert group.heartbeat(second) == 25


def test_another_leader_is_elected_when_the_leader_does_not_rejoin(group):
    first, second = group.stable(2)
    group.join(second, protocols={"range": subscription("u")})
    for _ in range(7):
        group.heartbeat(first)
        group.advance(SESSION_MS - 1)
    assert group.group.roster.leader == second
    assert first not in group.group.roster.members


def test_rebalance_waits_for_the_longest_rebalance_timeout(group):
    _first, second = group.stable(2, session_ms=600_000)
    group.join(second, session_ms=600_000, protocols={"range": subscription("u")})
    group.advance(REBALANCE_MS - 1)
    assert group.group.state == State.PREPARING
    group.advance(1)
    assert group.group.state == State.COMPLETING


def test_parked_first_join_is_given_up_after_five_minutes(group):
    first = group.stable(1, session_ms=1_000_000, rebalance_ms=1_000_000)[0]
    second, call = group.enter(session_ms=1_000_000, rebalance_ms=1_000_000)
    group.advance(joining.NEW_MEMBER_JOIN_TIMEOUT_MS)
    assert group.error(call) == 25
    assert group.answers[call].member_id == ""
    assert list(group.group.roster.members) == [first] != [second]


def test_initial_delay_lets_others_join_the_first_generation():
    group = Harness(initial_delay_ms=3_000)
    _, first = group.enter()
    group.advance(2_000)
    _, second = group.enter()
    group.advance(1_000)  # someone came: wait once more
    assert {first, second} <= group.parked
    group.advance(3_000)
    assert group.answers[first].generation == group.answers[second].generation == 1


def test_initial_delay_ends_with_the_rebalance_timeout():
    group = Harness(initial_delay_ms=3_000)
    calls = [group.enter(rebalance_ms=7_000)[1]]
    for _ in range(6):
        group.advance(1_000)
        calls.append(group.enter(rebalance_ms=7_000)[1])
    group.advance(1_000)
    assert {group.answers[call].generation for call in calls} == {1}


def test_no_timer_is_left_by_a_group_that_emptied(group):
    members = group.stable(3)
    group.leave(*members)
    assert group.group.state == State.EMPTY
    assert group.timers == {}


def test_the_session_starts_when_the_join_is_answered(group):
    member, _ = group.enter()
    assert group.timers[Timer("session", member)] == group.now + SESSION_MS
