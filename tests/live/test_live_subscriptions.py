"""Subscription sets: what the ids of shared and of private frames say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worker_kit import KEY, places

from mainstem.live.cursor import CursorBook, place_of
from mainstem.live.frames import SSE, WS, as_snapshot, one_line
from mainstem.live.subscriptions import SubscriptionSet, WatchedChannel

STREAMS = [("live.comments", 1, number) for number in range(3)]


def made(framing=SSE) -> SubscriptionSet:
    channels = [
        WatchedChannel(f"comments:{number}", "events", stream, 0, None)
        for number, stream in enumerate(STREAMS)
    ]
    return SubscriptionSet(channels, framing, CursorBook(KEY), dict.fromkeys(STREAMS, 0), 1 << 20)


def id_of(frame: bytes) -> list[int]:
    found = places(frame.split(b"\n")[0].removeprefix(b"id: ").decode())
    return [found[place_of(stream)] for stream in STREAMS]


def in_order(each: SubscriptionSet, vector: list[int]) -> list[int]:
    named = dict(zip(STREAMS, vector, strict=True))
    return [named[stream] for stream in each.shape.streams]


def test_a_record_told_twice_or_late_is_framed_once():
    each = made()
    assert each.event(0, 5, b"{}", 0, 0, 0)
    assert not each.event(0, 5, b"{}", 0, 0, 0)
    assert not each.event(0, 3, b"{}", 0, 0, 0)
    assert each.ring.next == 1


steps = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), min_size=1, max_size=40)


@given(steps, st.data())
def test_the_place_of_a_reader_between_two_frames_is_what_it_has_had(appended, data):
    each = made()
    vectors = [list(each.vector)]
    for place, gap in appended:
        each.event(place, each.vector[place] + gap - 1, b"{}", 0, 0, 0)
        vectors.append(list(each.vector))
    number = data.draw(st.integers(0, len(appended)))
    found = each.vector_at(number)
    # Later places of the same stretch without records are as good: nothing lies between.
    expected = list(each.vector)
    for place, offset in reversed([each.ring.record(n) for n in range(number, each.ring.next)]):
        expected[place] = offset
    assert found == expected
    assert all(have <= want for have, want in zip(vectors[number], found, strict=True))


@given(steps, st.data())
def test_resuming_from_memory_gives_ids_that_can_be_resumed_in_turn(appended, data):
    each = made()
    truth = []
    for place, gap in appended:
        offset = each.vector[place] + gap - 1
        each.event(place, offset, b'{"o":%d}' % offset, 0, 0, 0)
        truth.append((place, offset))
    start = [data.draw(st.integers(0, position)) for position in each.vector]
    plan = each.ring.resume(start)
    assert plan is not None
    apart, number = plan
    vector = list(start)
    frames = each.apart(apart, list(start))
    frames += [each.ring.frame(n) for n in range(number, each.ring.next)]
    wanted = [(place, offset) for place, offset in truth if offset >= start[place]]
    assert len(frames) == len(wanted)
    for frame, (place, offset) in zip(frames, wanted, strict=True):
        vector[place] = offset + 1
        says = in_order(each, id_of(frame))
        # Whoever goes on from this id wants nothing it has had, and misses nothing.
        for stream in range(3):
            left = [o for p, o in wanted if p == stream and o >= vector[stream]]
            assert says[stream] >= vector[stream]
            assert says[stream] <= min(left, default=1 << 60)


def test_a_forgotten_place_is_not_known():
    each = made()
    assert each.vector_at(1) is None


@pytest.mark.parametrize("framing", [SSE, WS])
@pytest.mark.parametrize("size", [0, 20, 60, 200, 70_000])
def test_the_body_comes_back_out_of_a_frame(framing, size):
    body = b'{"data":"%b"}' % (b"x" * size)
    assert framing.body(framing.event(b"cursor", body)) == body


def test_a_line_break_in_a_body_never_ends_its_field():
    assert one_line(b'{\r\n"a":\n1}') == b'{  "a": 1}'
    assert SSE.event(b"c", b'{\n"a":1}') == b'id: c\ndata: { "a":1}\n\n'


def test_a_state_is_marked_as_a_snapshot():
    assert as_snapshot(b'{"a":1}') == b'{"a":1,"snapshot":true}'
