"""Whose token ends when, and whom a kick hits."""

from __future__ import annotations

from access_kit import NOW
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mainstem.live.access import ANONYMOUS, Identity, Sessions, Source, Step
from mainstem.testing.clock import VirtualClock


def holder(
    user: str = "ann", expires_in: float | None = 60, token_id: str | None = None
) -> Identity:
    end = None if expires_in is None else NOW + expires_in
    return Identity(user, end, token_id, source=Source.BEARER)


def sessions(warning: float = 30.0) -> tuple[Sessions[int], VirtualClock]:
    clock = VirtualClock(NOW * 1000)
    return Sessions(clock, warning=warning), clock


def steps(found: Sessions[int]) -> list[tuple[int, Step]]:
    return [(due.connection, due.step) for due in found.due()]


def test_a_connection_is_warned_and_then_closed_once_each() -> None:
    found, clock = sessions()
    found.add(1, holder())
    assert found.next_due() == NOW + 30
    clock.advance(29.9)
    assert steps(found) == []
    clock.advance(0.2)
    assert steps(found) == [(1, Step.WARN)]
    assert steps(found) == []
    assert found.next_due() == NOW + 60
    clock.advance(30)
    assert steps(found) == [(1, Step.CLOSE)]
    clock.advance(1000)
    assert steps(found) == []


def test_a_token_about_to_end_warns_and_closes_in_order() -> None:
    found, clock = sessions()
    found.add(1, holder(expires_in=1))
    assert steps(found) == [(1, Step.WARN)]
    clock.advance(5)
    found.add(2, holder(expires_in=2))
    assert steps(found) == [(2, Step.WARN), (1, Step.CLOSE), (2, Step.CLOSE)]
    assert found.next_due() is None


def test_a_renewed_connection_follows_its_new_token() -> None:
    found, clock = sessions()
    found.add(1, holder())
    found.add(1, holder(expires_in=600))
    clock.advance(100)
    assert steps(found) == []
    clock.advance(500)
    assert steps(found) == [(1, Step.WARN), (1, Step.CLOSE)]


def test_a_closed_connection_is_not_due() -> None:
    found, clock = sessions()
    found.add(1, holder())
    found.remove(1)
    found.remove(1)
    clock.advance(100)
    assert steps(found) == []
    assert found.matching(user="ann") == set()


def test_a_number_used_again_has_nothing_of_the_one_before() -> None:
    found, clock = sessions()
    found.add(1, holder())
    found.remove(1)
    found.add(1, holder("bob", expires_in=None))
    clock.advance(100)
    assert steps(found) == []
    assert found.matching(user="bob") == {1}


def test_anonymous_connections_cost_nothing() -> None:
    found, _ = sessions()
    for number in range(1000):
        found.add(number, ANONYMOUS)
    assert len(found) == 0
    assert found.next_due() is None


def test_kicks_find_users_and_tokens() -> None:
    found, _ = sessions()
    found.add(1, holder("ann", token_id="a"))
    found.add(2, holder("ann", token_id="b"))
    found.add(3, holder("bob", token_id="b"))
    assert found.matching(user="ann") == {1, 2}
    assert found.matching(token_id="b") == {2, 3}
    assert found.matching(user="ann", token_id="b") == {1, 2, 3}
    assert found.matching(user="nobody") == set()
    assert found.matching() == set()


def test_a_million_that_come_and_go_leave_nothing() -> None:
    found, _ = sessions()
    for number in range(100_000):
        found.add(number, holder(f"user {number}", token_id=str(number)))
        found.remove(number)
    assert len(found) == 0
    assert len(found._due) <= 64
    assert not found._by_user
    assert not found._by_token


class SessionsMachine(RuleBasedStateMachine):
    """Against a dictionary that is searched from end to end."""

    def __init__(self) -> None:
        super().__init__()
        self.found, self.clock = sessions(warning=10.0)
        self.model: dict[int, tuple[Identity, list[Step]]] = {}

    @rule(
        number=st.integers(0, 5),
        user=st.sampled_from(["ann", "bob"]),
        seconds=st.one_of(st.none(), st.integers(0, 40)),
        token_id=st.sampled_from([None, "a", "b"]),
    )
    def add(self, number: int, user: str, seconds: int | None, token_id: str | None) -> None:
        now = self.clock.now_ms() / 1000
        end = None if seconds is None else now + seconds
        identity = Identity(user, end, token_id, source=Source.BEARER)
        self.found.add(number, identity)
        self.model[number] = (identity, [])

    @rule(number=st.integers(0, 5))
    def remove(self, number: int) -> None:
        self.found.remove(number)
        self.model.pop(number, None)

    @rule(seconds=st.integers(0, 30))
    def let_time_pass(self, seconds: int) -> None:
        self.clock.advance(seconds)
        now = self.clock.now_ms() / 1000
        expected = []
        for number, (identity, done) in self.model.items():
            if identity.expires_at is None:
                continue
            for step, when in (
                (Step.WARN, identity.expires_at - 10),
                (Step.CLOSE, identity.expires_at),
            ):
                if when <= now and step not in done:
                    done.append(step)
                    expected.append((number, step))
        found = steps(self.found)
        assert sorted(found, key=str) == sorted(expected, key=str)
        for number, step in found:
            if step is Step.CLOSE and (number, Step.WARN) in found:
                assert found.index((number, Step.WARN)) < found.index((number, Step.CLOSE))

    @invariant()
    def kicks_agree(self) -> None:
        for user in ("ann", "bob"):
            expected = {n for n, (identity, _) in self.model.items() if identity.user == user}
            assert self.found.matching(user=user) == expected
        expected = {n for n, (identity, _) in self.model.items() if identity.token_id == "a"}
        assert self.found.matching(token_id="a") == expected
        assert len(self.found) == len(self.model)


SessionsMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=30)
TestSessions = SessionsMachine.TestCase
