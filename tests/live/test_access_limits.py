"""How much at once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.live.access import LimitReached, LimitSettings
from mainstem.live.access.limits import Buckets, Limits
from mainstem.testing.clock import VirtualClock

STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 8)), max_size=120)


class PlainBucket:
    """The textbook's: tokens that come back with time."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate, self.burst, self.tokens, self.at = rate, burst, float(burst), 0.0

    def take(self, now: float) -> bool:
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1 - 1e-6:
            return False
        self.tokens -= 1
        return True


@given(STEPS, st.sampled_from([0.5, 1.0, 4.0]), st.integers(1, 5))
def test_buckets_are_token_buckets(steps: list[tuple[str, int]], rate: float, burst: int) -> None:
    clock = VirtualClock()
    buckets = Buckets(rate, burst, 1000, clock)
    model: dict[str, PlainBucket] = {}
    for key, eighths in steps:
        clock.advance(eighths / 8)
        plain = model.setdefault(key, PlainBucket(rate, burst))
        expected = plain.take(clock.monotonic())
        assert (buckets.take(key) == 0.0) == expected


@given(STEPS)
def test_waiting_as_long_as_told_is_enough_and_needed(steps: list[tuple[str, int]]) -> None:
    clock = VirtualClock()
    buckets = Buckets(1.0, 2, 1000, clock)
    for key, eighths in steps:
        clock.advance(eighths / 8)
        delay = buckets.take(key)
        if delay > 0.001:
            clock.advance(delay - 0.001)
            assert buckets.take(key) > 0.0
            clock.advance(0.001001)
            assert buckets.take(key) == 0.0


def test_a_million_keys_leave_a_bounded_memory() -> None:
    clock = VirtualClock()
    buckets = Buckets(1.0, 10, 1000, clock)
    for number in range(1_000_000 // 8):
        buckets.take(f"192.0.2.{number}")
        clock.advance(0.0001)
    assert len(buckets) <= 1000
    assert buckets.forgotten > 0


def test_full_buckets_are_forgotten_without_loss() -> None:
    clock = VirtualClock()
    buckets = Buckets(10.0, 10, 1000, clock)
    for number in range(10_000):
        buckets.take(str(number))
        clock.advance(0.01)
    assert len(buckets) < 30
    assert buckets.forgotten == 0


def test_no_rate_is_no_limit() -> None:
    buckets = Buckets(0.0, 1, 10, VirtualClock())
    assert all(buckets.take("a") == 0.0 for _ in range(1000))
    assert len(buckets) == 0


def limits(**changes: float) -> tuple[Limits, VirtualClock]:
    clock = VirtualClock()
    return Limits(LimitSettings(**changes), clock), clock  # type: ignore[arg-type]


def test_an_address_has_so_many_connections_at_once() -> None:
    rule, _ = limits(connections_per_address=2)
    places = [rule.connect("a", None) for _ in range(2)]
    with pytest.raises(LimitReached) as caught:
        rule.connect("a", None)
    assert (caught.value.status, caught.value.reason) == (429, "connections_per_address")
    assert caught.value.retry_after
    rule.connect("b", None)
    places[0].release()
    rule.connect("a", None)


def test_a_user_has_so_many_connections_from_anywhere() -> None:
    rule, _ = limits(connections_per_user=2)
    for address in "ab":
        rule.connect(address, "ann")
    with pytest.raises(LimitReached) as caught:
        rule.connect("c", "ann")
    assert caught.value.reason == "connections_per_user"
    rule.connect("c", "bob")


def test_a_refused_connection_holds_nothing() -> None:
    rule, _ = limits(connections_per_user=1, connections_per_address=5)
    held = rule.connect("a", "ann")
    for _ in range(10):
        with pytest.raises(LimitReached):
            rule.connect("a", "ann")
    held.release()
    assert rule.held() == (0, 0)


def test_a_place_is_given_back_once() -> None:
    rule, _ = limits(connections_per_address=2)
    first, _second = rule.connect("a", "ann"), rule.connect("a", "ann")
    first.release()
    first.release()
    assert rule.held() == (1, 1)
    rule.connect("a", None)
    with pytest.raises(LimitReached):
        rule.connect("a", None)


def test_a_place_can_be_held_by_a_with_statement() -> None:
    rule, _ = limits()
    with rule.connect("a", "ann"):
        assert rule.held() == (1, 1)
    assert rule.held() == (0, 0)


def test_connecting_too_fast_is_refused_with_the_wait() -> None:
    rule, clock = limits(connects_per_address=1, connects_burst=3)
    for _ in range(3):
        rule.connect("a", None).release()
    with pytest.raises(LimitReached) as caught:
        rule.connect("a", None)
    assert caught.value.retry_after == pytest.approx(1.0)
    clock.advance(1.0)
    rule.connect("a", None)


def test_publishing_is_limited_by_address_and_by_user() -> None:
    rule, clock = limits(publishes_per_address=100, publishes_per_user=1, publishes_burst=3)
    for address in "abc":
        rule.publish(address, "ann")
    with pytest.raises(LimitReached) as caught:
        rule.publish("d", "ann")
    assert caught.value.retry_after == pytest.approx(1.0)
    rule.publish("d", "bob")
    clock.advance(1.0)
    rule.publish("d", "ann")


def test_a_refused_publish_costs_neither_token() -> None:
    rule, clock = limits(publishes_per_address=1, publishes_per_user=1, publishes_burst=2)
    rule.publish("a", "ann")
    rule.publish("a", "ann")
    for _ in range(5):
        with pytest.raises(LimitReached):
            rule.publish("b", "ann")  # b has tokens, ann has none
    rule.publish("b", "bob")
    rule.publish("b", "bob")
    clock.advance(1.0)
    rule.publish("a", "ann")


def test_an_address_with_many_bad_tokens_is_not_looked_at() -> None:
    rule, clock = limits(failures_per_address=1, failures_burst=3)
    for _ in range(3):
        rule.check_failures("a")
        rule.failed("a")
    with pytest.raises(LimitReached):
        rule.check_failures("a")
    rule.check_failures("b")
    clock.advance(1.0)
    rule.check_failures("a")


def test_channels_that_nobody_watches_are_opened_at_a_rate() -> None:
    rule, clock = limits(channels_per_address=10, channels_burst=64)
    rule.open_channels("a", 60)
    with pytest.raises(LimitReached) as caught:
        rule.open_channels("a", 14)
    assert (caught.value.reason, caught.value.retry_after) == (
        "channels_per_address",
        pytest.approx(1.0),
    )
    rule.open_channels("b", 64)
    clock.advance(1.0)
    rule.open_channels("a", 14)


def test_more_channels_than_a_burst_wait_for_a_whole_burst() -> None:
    rule, clock = limits(channels_per_address=10, channels_burst=64)
    rule.open_channels("a", 1000)
    with pytest.raises(LimitReached) as caught:
        rule.open_channels("a", 1000)
    assert caught.value.retry_after == pytest.approx(6.4)
    clock.advance(6.4)
    rule.open_channels("a", 1000)


CONNECTIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["ann", "bob", None])),
        st.integers(0, 30),
    ),
    max_size=60,
)


@settings(max_examples=200)
@given(CONNECTIONS)
def test_counts_are_those_of_open_connections(steps: list[tuple[str, str | None] | int]) -> None:
    rule, _ = limits(connections_per_address=4, connections_per_user=3, connects_per_address=0)
    held: list[tuple[str, str | None, object]] = []
    for step in steps:
        if isinstance(step, int):
            if step < len(held):
                held.pop(step)[2].release()  # type: ignore[attr-defined]
            continue
        address, user = step
        full = sum(a == address for a, _, _ in held) >= 4
        full |= user is not None and sum(u == user for _, u, _ in held) >= 3
        try:
            place = rule.connect(address, user)
        except LimitReached:
            assert full
        else:
            assert not full
            held.append((address, user, place))
    assert rule.held() == (
        len({address for address, _, _ in held}),
        len({user for _, user, _ in held if user is not None}),
    )


def test_workers_share_the_limits() -> None:
    share = LimitSettings(connections_per_address=10, publishes_per_user=9.0).share(4)
    assert share.connections_per_address == 3
    assert share.publishes_per_user == 2.25
    assert share.remembered == 65_536
    assert LimitSettings(connections_per_address=0).share(4).connections_per_address == 0
