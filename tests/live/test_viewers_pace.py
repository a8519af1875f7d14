"""What waits for what."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mainstem.live.viewers import ViewerSettings
from mainstem.live.viewers.pace import MOST_PEAKS, Hold, Pace

VALUES = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 10)), min_size=1, max_size=40)


@given(VALUES, st.sampled_from([0.0, 0.5, 2.0, 5.0]))
def test_a_held_number_is_the_highest_of_its_grace(
    steps: list[tuple[int, int]], grace: float
) -> None:
    hold = Hold(grace)
    now, history = 0.0, []
    for quarters, value in steps:
        now += quarters / 4
        history.append((now, value))
        # A value holds until the next: those whose end is within the grace count.
        ends = [when for when, _ in history[1:]] + [now + 1]
        alive = [v for (_, v), end in zip(history, ends, strict=True) if end > now - grace]
        assert hold.see(now, value) == max(alive)


@given(VALUES)
def test_the_next_fall_is_when_the_number_falls(steps: list[tuple[int, int]]) -> None:
    hold = Hold(2.0)
    now = 0.0
    for quarters, value in steps:
        now += quarters / 4
        shown = hold.see(now, value)
        falls = hold.next_fall()
        if falls is None:
            assert shown == value
            continue
        assert falls > now
        copy = Hold(2.0)
        copy._peaks = list(hold._peaks)
        assert copy.see((falls + now) / 2, value) == shown
        assert hold.see(falls, value) < shown
        now = falls


def test_a_long_way_down_is_held_in_little_memory_and_arrives() -> None:
    hold = Hold(1000.0)
    for step in range(900):
        assert hold.see(float(step), 1000 - step) == 1000
        assert len(hold._peaks) <= MOST_PEAKS
    assert hold.see(1899.0, 101) == 101


def test_the_first_change_is_due_at_once_and_the_next_after_the_pause() -> None:
    pace = Pace()
    pace.mark("a", 10.0, 5.0)
    assert list(pace.take(10.0)) == ["a"]
    pace.mark("a", 11.0, 5.0)
    pace.mark("a", 12.0, 5.0)
    assert list(pace.take(14.9)) == []
    assert list(pace.take(15.0)) == ["a"]
    assert list(pace.take(100.0)) == []
    pace.mark("a", 101.0, 5.0)
    assert list(pace.take(101.0)) == ["a"]


def test_a_shorter_pause_brings_it_forward() -> None:
    pace = Pace()
    pace.mark("a", 0.0, 0.0)
    assert list(pace.take(0.0)) == ["a"]
    pace.mark("a", 1.0, 5.0)
    pace.mark("a", 2.0, 0.0)
    assert list(pace.take(2.0)) == ["a"]
    assert list(pace.take(5.0)) == []


def test_what_does_not_fit_stays_due() -> None:
    pace = Pace()
    for name in "abc":
        pace.mark(name, 0.0, 1.0)
    assert len(list(pace.take(0.0, 2))) == 2
    assert len(list(pace.take(0.0, 2))) == 1


def test_what_is_forgotten_is_not_due() -> None:
    pace = Pace()
    pace.mark("a", 0.0, 1.0)
    pace.forget("a")
    assert list(pace.take(0.0)) == []
    pace.mark("a", 0.0, 1.0)
    assert list(pace.take(0.0)) == ["a"]
    assert list(pace.take(9.0)) == []


def test_the_pause_grows_with_the_channel() -> None:
    settings = ViewerSettings()
    assert settings.pause(0) == settings.pause(99) == 0.0
    assert settings.pause(100) == 1.0
    assert 1.0 < settings.pause(5_000) < 5.0
    assert settings.pause(10_000) == settings.pause(1_000_000) == 5.0
