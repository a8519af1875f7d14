"""Members of both protocols without a network: a model coordinator answers them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mainstem.client.consumer.classic import ClassicMember, Next
from mainstem.client.consumer.modern import ModernMember
from mainstem.client.consumer.settings import ConsumerSettings
from mainstem.client.consumer.subscription import read_subscription, write_assignment
from mainstem.errors import Conflict, Corrupt, Denied, Invalid
from mainstem.wire import Message

OK, REJOIN, LOST, FIND = Next.GO_ON, Next.REJOIN, Next.LOST, Next.FIND


def settings_of(**options: Any) -> ConsumerSettings:
    return ConsumerSettings("g", options.pop("topics", ("t",)), **options)


def join_answer(**fields: Any) -> Message:
    given = {"error_code": 0, "member_id": "me", "generation_id": 3, "protocol_name": "range"}
    given |= {"leader": "another", "skip_assignment": False, "members": []}
    return Message(**(given | fields))


def joined(**options: Any) -> ClassicMember:
    member = ClassicMember(settings_of(**options))
    member.joined(join_answer(protocol_name=member.settings.assignors[0].name))
    member.synced(Message(error_code=0, assignment=write_assignment([("t", 0), ("t", 1)])))
    member.owned = member.given
    return member


# --- classic, one exchange at a time -----------------------------------------------------------


def test_the_member_id_given_is_used_at_once() -> None:
    member = ClassicMember(settings_of())
    assert member.join().member_id == ""
    assert member.joined(join_answer(error_code=79, member_id="given")) is REJOIN
    assert member.join().member_id == "given"


def test_a_join_offers_its_assignors_in_order_with_its_times() -> None:
    options: Any = {"session_timeout": 10.0, "heartbeat_interval": 1.0, "max_poll_interval": 60.0}
    request = ClassicMember(settings_of(assignor=("sticky", "range"), **options)).join()
    assert [found.name for found in request.protocols] == ["sticky", "range"]
    assert (request.session_timeout_ms, request.rebalance_timeout_ms) == (10_000, 60_000)


def test_an_eager_member_tells_no_owned_partitions_a_cooperative_one_does() -> None:
    for assignor, expected in (("range", ()), ("cooperative-sticky", (("t", 0), ("t", 1)))):
        request = joined(assignor=assignor).join()
        said = read_subscription(request.protocols[0].metadata)
        assert said.owned == expected
        assert said.generation == 3


def test_one_eager_choice_makes_the_member_eager() -> None:
    assert not ClassicMember(settings_of(assignor=("cooperative-sticky", "range"))).cooperative
    assert ClassicMember(settings_of(assignor="cooperative-sticky")).cooperative


def test_a_leader_gives_out_what_all_members_want() -> None:
    member = ClassicMember(settings_of(assignor="range"))
    other = ClassicMember(settings_of(assignor="range", topics=("t", "u")))
    members = [
        Message(member_id=name, group_instance_id=None, metadata=each.join().protocols[0].metadata)
        for name, each in (("me", member), ("you", other))
    ]
    assert member.joined(join_answer(leader="me", members=members)) is OK
    assert member.group_topics == ("t", "u")
    request = member.sync({"t": 2, "u": 1})
    given = {found.member_id: found.assignment for found in request.assignments}
    assert given == {
        "me": write_assignment([("t", 0)]),
        "you": write_assignment([("t", 1), ("u", 0)]),
    }


def test_a_follower_and_a_returning_static_leader_give_out_nothing() -> None:
    member = ClassicMember(settings_of())
    member.joined(join_answer())
    assert member.sync({"t": 2}).assignments == []
    mine = Message(
        member_id="me", group_instance_id="i", metadata=member.join().protocols[0].metadata
    )
    member.joined(join_answer(leader="me", skip_assignment=True, members=[mine]))
    assert member.sync({"t": 2}).assignments == []


def test_a_leader_refuses_a_strategy_it_does_not_have() -> None:
    member = ClassicMember(settings_of(assignor="range"))
    with pytest.raises(Invalid) as caught:
        member.joined(join_answer(leader="me", protocol_name="uniform"))
    assert caught.value.code == 23


def test_a_leader_refuses_a_subscription_it_cannot_read() -> None:
    member = ClassicMember(settings_of())
    broken = Message(member_id="you", group_instance_id=None, metadata=b"\0\0\x7f\xff\xff\xff")
    with pytest.raises(Corrupt):
        member.joined(join_answer(leader="me", members=[broken]))


CODES = {
    14: FIND, 15: FIND, 16: FIND, 7: FIND, 27: REJOIN, 22: LOST, 25: LOST,
}  # fmt: skip


@pytest.mark.parametrize(("code", "expected"), CODES.items())
def test_what_codes_ask_for(code: int, expected: Next) -> None:
    assert joined().beaten(Message(error_code=code)) is expected
    assert joined().joined(join_answer(error_code=code)) is expected
    assert joined().synced(Message(error_code=code, assignment=b"")) is expected


def test_an_unknown_member_forgets_its_id_an_old_generation_keeps_it() -> None:
    unknown, old = joined(), joined()
    unknown.beaten(Message(error_code=25))
    old.beaten(Message(error_code=22))
    assert (unknown.member_id, unknown.generation) == ("", -1)
    assert (old.member_id, old.generation) == ("me", -1)
    assert not unknown.given
    assert not old.given


def test_a_fenced_instance_says_who_took_over() -> None:
    with pytest.raises(Conflict, match=r"instance_id='i'.*taken over") as caught:
        joined(instance_id="i").beaten(Message(error_code=82))
    assert caught.value.code == 82


def test_what_cannot_be_mended_raises() -> None:
    with pytest.raises(Denied):
        joined().joined(join_answer(error_code=30))
    with pytest.raises(Invalid):
        joined().joined(join_answer(error_code=23))


def test_dynamic_members_leave_and_static_ones_do_not() -> None:
    request = joined().leave()
    assert request is not None
    assert [found.member_id for found in request.members] == ["me"]
    assert joined(instance_id="i").leave() is None
    assert ClassicMember(settings_of()).leave() is None, "nobody knows it yet"


# --- classic, a whole group: the model coordinator against any order of events ------------------


class Coordinator:
    """The classic protocol as Kafka's coordinator has it, without time: who joins waits for all."""

    def __init__(self) -> None:
        self.generation = 0
        self.members: dict[str, bytes] = {}
        self.assignments: dict[str, bytes] = {}
        self.names = iter(range(10**6))

    def rebalance(self, members: list[ClassicMember], partitions: dict[str, int]) -> None:
        """All join, the first leads, all sync."""
        self.generation += 1
        requests = {}
        for member in members:
            if not member.member_id:
                assert member.joined(join_answer(error_code=79, member_id=f"m{next(self.names)}"))
            requests[member.member_id] = member.join()
        leader = members[0].member_id
        entries = [
            Message(member_id=name, group_instance_id=None, metadata=found.protocols[0].metadata)
            for name, found in requests.items()
        ]
        for member in members:
            answer = join_answer(
                member_id=member.member_id,
                generation_id=self.generation,
                protocol_name=requests[member.member_id].protocols[0].name,
                leader=leader,
                members=entries if member.member_id == leader else [],
            )
            assert member.joined(answer) is OK
        given = {
            found.member_id: found.assignment for found in members[0].sync(partitions).assignments
        }
        for member in members:
            answer = Message(error_code=0, assignment=given[member.member_id])
            assert member.synced(answer) is OK


class ClassicGroup(RuleBasedStateMachine):
    """Members come, go and are forgotten. No partition is ever in two hands."""

    assignor = "cooperative-sticky"

    def __init__(self) -> None:
        super().__init__()
        self.coordinator = Coordinator()
        self.members: list[ClassicMember] = []
        self.partitions = {"t": 5, "u": 2}
        self.settled = True

    @rule(topics=st.sampled_from([("t",), ("u",), ("t", "u")]))
    @precondition(lambda self: len(self.members) < 6)
    def come(self, topics: tuple[str, ...]) -> None:
        self.members.append(ClassicMember(settings_of(topics=topics, assignor=self.assignor)))
        self.settled = False

    @rule(which=st.integers(0, 5))
    @precondition(lambda self: self.members)
    def go(self, which: int) -> None:
        self.members.pop(which % len(self.members))
        self.settled = False

    @rule(which=st.integers(0, 5), code=st.sampled_from([22, 25]))
    @precondition(lambda self: self.members)
    def be_forgotten(self, which: int, code: int) -> None:
        member = self.members[which % len(self.members)]
        assert member.beaten(Message(error_code=code)) is LOST
        member.owned = frozenset()  # the skin says "lost" before it joins again
        self.settled = False

    @rule(topic=st.sampled_from(["t", "u"]))
    def grow(self, topic: str) -> None:
        self.partitions[topic] = min(9, self.partitions[topic] + 1)
        self.settled = False

    @rule(rounds=st.integers(1, 3))
    @precondition(lambda self: self.members)
    def rebalance(self, rounds: int) -> None:
        """As the skin does: give up, then take, join again after giving up."""
        for _ in range(rounds):
            for member in self.members:
                if not member.cooperative:
                    member.owned = frozenset()
            self.coordinator.rebalance(self.members, self.partitions)
            again = False
            for member in self.members:
                again |= bool(member.owned - member.given)
                kept = member.owned & member.given
                taken = member.given - member.owned
                others = [each.owned for each in self.members if each is not member]
                assert not any(taken & owned for owned in others), "taken while another has it"
                member.owned = kept | taken
            self.check_hands()
            if not again:
                self.settled = True
                return

    @invariant()
    def check_hands(self) -> None:
        in_hand = [part for member in self.members for part in member.owned]
        assert len(in_hand) == len(set(in_hand)), "a partition in two hands"

    @invariant()
    def all_given_out_when_settled(self) -> None:
        if not self.settled or not self.members:
            return
        wanted = {topic for member in self.members for topic in member.settings.topics}
        everything = {(t, n) for t in wanted for n in range(self.partitions[t])}
        assert {part for member in self.members for part in member.owned} == everything


class EagerGroup(ClassicGroup):
    assignor = "sticky"


class RangeGroup(ClassicGroup):
    assignor = "range"


def test_a_rebalance_of_the_others_takes_no_partition_that_is_still_in_hand() -> None:
    group = ClassicGroup()
    group.come(topics=("t",))
    group.rebalance(rounds=1)
    group.come(topics=("t",))
    group.rebalance(rounds=1)
    first, second = group.members
    assert len(first.owned) == 3
    assert not second.owned, "what moves is nobody's for a round"
    group.rebalance(rounds=1)
    assert len(second.owned) == 2


for machine in (ClassicGroup, EagerGroup, RangeGroup):
    machine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestCooperativeGroup = ClassicGroup.TestCase
TestEagerGroup = EagerGroup.TestCase
TestRangeGroup = RangeGroup.TestCase


# --- KIP-848 -----------------------------------------------------------------------------------

TOPIC = uuid.UUID(int=7)


def modern(**options: Any) -> ModernMember:
    return ModernMember(settings_of(**options), lambda: "made-here")


def beat(member: ModernMember, *parts: int, epoch: int = 1, **fields: Any) -> Next:
    assignment = Message(topic_partitions=[Message(topic_id=TOPIC, partitions=list(parts))])
    given = {"error_code": 0, "error_message": None, "member_id": "made-here"}
    given |= {"member_epoch": epoch, "heartbeat_interval_ms": 500, "assignment": assignment}
    return member.beaten(Message(**(given | fields)))


def test_the_first_heartbeat_tells_everything() -> None:
    request = modern(topics=("b", "a"), instance_id="i", max_poll_interval=9.0).heartbeat()
    assert (request.member_id, request.member_epoch, request.instance_id) == ("made-here", 0, "i")
    assert request.subscribed_topic_names == ["a", "b"]
    assert request.rebalance_timeout_ms == 9000
    assert request.topic_partitions == []


def test_the_next_ones_tell_what_changed() -> None:
    member = modern()
    member.heartbeat()
    assert beat(member, 0, 1) is OK
    assert member.target == {(TOPIC, 0), (TOPIC, 1)}
    assert (member.epoch, member.interval) == (1, 0.5)
    quiet = member.heartbeat()
    assert (quiet.subscribed_topic_names, quiet.topic_partitions) == (None, None)
    assert not member.must_tell
    member.owned = member.target
    assert member.must_tell
    (told,) = member.heartbeat().topic_partitions
    assert (told.topic_id, told.partitions) == (TOPIC, [0, 1])
    assert not member.must_tell


def test_an_answer_without_assignment_keeps_the_target() -> None:
    member = modern()
    beat(member, 0)
    assert beat(member, epoch=2, assignment=None) is OK
    assert (member.target, member.epoch) == ({(TOPIC, 0)}, 2)


@pytest.mark.parametrize("code", [110, 25])
def test_a_fenced_epoch_starts_again_with_the_same_id(code: int) -> None:
    member = modern()
    member.heartbeat()
    beat(member, 0)
    member.owned = member.target
    assert beat(member, error_code=code) is LOST
    request = member.heartbeat()
    assert (request.member_epoch, request.member_id) == (0, "made-here")
    assert (request.topic_partitions, request.subscribed_topic_names) == ([], ["t"])


def test_after_trouble_everything_is_told_again() -> None:
    member = modern()
    member.heartbeat()
    beat(member, 0)
    member.owned = member.target
    member.heartbeat()
    assert beat(member, error_code=16) is FIND
    request = member.heartbeat()
    assert request.subscribed_topic_names == ["t"]
    assert [found.partitions for found in request.topic_partitions] == [[0]]
    assert request.member_epoch == 1


def test_leaving_says_whether_it_is_for_a_while() -> None:
    assert modern().leave().member_epoch == -1
    assert modern(instance_id="i").leave().member_epoch == -2


def test_modern_errors_raise() -> None:
    with pytest.raises(Conflict, match="taken over"):
        beat(modern(instance_id="i"), error_code=82)
    with pytest.raises(Invalid, match="no such strategy"):
        beat(modern(), error_code=112, error_message="no such strategy")
    with pytest.raises(Denied):
        beat(modern(), error_code=30)


# --- settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"assignor": "stiky"}, "did you mean 'sticky'"),
        ({"protocol": "clasic"}, "did you mean 'classic'"),
        ({"isolation": "committed"}, "isolation='committed'"),
        ({"start": "begin"}, "start='begin'"),
        ({"auto_commit": 0}, "auto_commit=0"),
        ({"session_timeout": -1.0}, "session_timeout=-1.0"),
        ({"heartbeat_interval": 45.0}, "below"),
        ({"max_poll_interval": float("nan")}, "max_poll_interval=nan"),
        ({"batch_rows": 0}, "batch_rows=0"),
        ({"topics": ()}, "name one topic"),
    ],
)
def test_settings_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        settings_of(**options)


def test_a_group_needs_a_name() -> None:
    with pytest.raises(Invalid, match="group=''"):
        ConsumerSettings("", ("t",))
