"""The ring: absolute frame numbers, forgetting, growing, and resuming from memory."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.kernels import Ring
from reference.live_ring import PlainRing


def filled(count: int, size: int = 100, **arguments) -> Ring:
    ring = Ring([0], 1024, 1024, **arguments)
    for number in range(count):
        ring.append(number.to_bytes(4, "big") * (size // 4), 0, 0, number)
    return ring


def test_a_frame_comes_back_as_it_went_in():
    ring = Ring([0])
    assert ring.append(b"first", 0) == 0
    assert ring.append(b"second", 0, 0, 7) == 1
    assert ring.frame(0) == b"first"
    assert ring.frame(1) == b"second"
    assert ring.record(0)[0] == -1
    assert ring.record(1) == (0, 7)


def test_a_full_ring_forgets_the_oldest_and_keeps_numbers():
    ring = filled(30)
    assert (ring.first, ring.next) == (20, 30)
    assert ring.frame(20) == (20).to_bytes(4, "big") * 25
    assert ring.held == 1000


def test_a_frame_that_was_forgotten_is_an_index_error():
    ring = filled(30)
    for number in (0, 19, 30, 1 << 40):
        with pytest.raises(IndexError):
            ring.frame(number)
        with pytest.raises(IndexError):
            ring.record(number)


def test_a_ring_grows_rather_than_forget_what_is_young():
    ring = Ring([], 1024, 8192, keep_ms=1000)
    for number in range(40):
        ring.append(bytes(100), number * 1000)
    assert ring.capacity == 4096
    assert (ring.first, ring.next) == (0, 40)


def test_a_ring_forgets_what_is_old_rather_than_grow():
    ring = Ring([], 1024, 8192, keep_ms=1000)
    for number in range(40):
        ring.append(bytes(100), number * 1_000_000)
    assert ring.capacity == 1024


def test_a_ring_never_grows_beyond_its_limit():
    ring = Ring([], 1024, 2048, keep_ms=1_000_000)
    for _ in range(100):
        ring.append(bytes(100), 0)
    assert ring.capacity == 2048
    assert ring.next - ring.first == 20


def test_a_long_frame_makes_a_small_ring_grow_at_once():
    ring = Ring([], 1024, 8192)
    ring.append(b"x" * 8192, 0)
    assert ring.frame(0) == b"x" * 8192


@pytest.mark.parametrize("size", [0, 8193])
def test_a_frame_of_no_bytes_or_too_many_is_refused(size):
    ring = Ring([], 1024, 8192)
    with pytest.raises(ValueError, match="1 to 8192"):
        ring.append(bytes(size), 0)
    assert ring.next == 0


@pytest.mark.parametrize("stream", [-2, 1, 1 << 20])
def test_a_stream_the_ring_does_not_have_is_refused(stream):
    with pytest.raises(ValueError, match="stream"):
        Ring([0]).append(b"x", 0, stream, 0)


@pytest.mark.parametrize(
    ("capacity", "limit"), [(1000, 2048), (512, 2048), (4096, 2048), (1024, 3000)]
)
def test_a_capacity_that_is_no_power_of_two_is_refused(capacity, limit):
    with pytest.raises(ValueError, match="ring"):
        Ring([], capacity, limit)


def test_what_was_forgotten_moves_the_tail_of_its_stream_only():
    ring = Ring([5, 50], 1024, 1024)
    for number in range(12):
        ring.append(bytes(100), 0, 0, 5 + number)
    assert ring.tails() == [7, 50]


def test_a_cursor_behind_the_tail_cannot_resume_from_memory():
    ring = filled(30)
    assert ring.resume([19]) is None
    assert ring.resume([20]) == ([], 20)


def test_frames_without_a_record_do_not_count_for_the_tail():
    ring = Ring([9], 1024, 1024)
    for _ in range(30):
        ring.append(bytes(100), 0)
    assert ring.resume([9]) == ([], 30)


def test_a_cursor_of_the_wrong_width_is_refused():
    with pytest.raises(ValueError, match="2 offsets for 1 streams"):
        Ring([0]).resume([1, 2])


records = st.lists(
    st.tuples(st.integers(-1, 2), st.integers(1, 3), st.integers(1, 300)), max_size=60
)


@settings(max_examples=300, deadline=None)
@given(records, st.lists(st.integers(0, 3), min_size=3, max_size=3), st.data())
def test_the_ring_agrees_with_the_plain_one(appended, starts, data):
    ring = Ring(starts, 1024, 2048, keep_ms=1)
    plain = PlainRing(starts)
    positions = list(starts)
    now = 0
    for stream, step, size in appended:
        now += step * 400
        offset = 0
        if stream >= 0:
            offset = positions[stream] + step - 1
            positions[stream] = offset + 1
        frame = len(plain.frames).to_bytes(2, "big") * size
        ring.append(frame, now, stream, offset)
        plain.append(frame, stream, offset)
    plain.first = ring.first
    assert ring.next == len(plain.frames)
    assert ring.held == sum(len(frame.data) for frame in plain.frames[ring.first :])
    assert ring.held <= ring.capacity <= 2048
    for number in range(ring.first, ring.next):
        assert ring.frame(number) == plain.frames[number].data
    assert ring.tails() == plain.vector_before(ring.first)
    wanted = [data.draw(st.integers(0, position)) for position in positions]
    assert ring.resume(wanted) == plain.resume(wanted)
