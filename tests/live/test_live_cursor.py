"""Cursors: short, safe, signed, and the same for everybody with the key."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.errors import Invalid
from mainstem.live.cursor import LONGEST, CursorBook, CursorShape, place_of

KEY = b"sixteen bytes and more"
streams = st.tuples(
    st.sampled_from(["live.comments", "live.chat", "orders", "änderungen"]),
    st.integers(0, (1 << 32) - 1),
    st.integers(0, 10_000),
)


@given(st.dictionaries(streams, st.integers(0, (1 << 63) - 1), max_size=30))
def test_what_is_written_is_read(vector):
    one_epoch = {(topic, 7, partition): offset for (topic, _, partition), offset in vector.items()}
    cursor = CursorBook(KEY).write(one_epoch)
    assert CursorBook(KEY).read(cursor.decode()) == {
        place_of(stream): offset for stream, offset in one_epoch.items()
    }


@given(st.binary(min_size=1, max_size=200))
def test_no_other_bytes_are_taken_for_a_cursor(raw):
    text = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    with pytest.raises(Invalid):
        CursorBook(KEY).read(text)


@given(st.text(max_size=60))
def test_no_other_text_is_taken_for_a_cursor(text):
    with pytest.raises(Invalid):
        CursorBook(KEY).read(text)


def test_every_changed_bit_is_noticed():
    cursor = CursorBook(KEY).write({("live.comments", 1, 0): 5, ("live.chat", 1, 3): 70_000})
    raw = base64.urlsafe_b64decode(cursor + b"==")
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Invalid, match="not signed here"):
            CursorBook(KEY).read(base64.urlsafe_b64encode(changed).decode().rstrip("="))


def test_another_key_does_not_read_it():
    cursor = CursorBook(KEY).write({("live.comments", 1, 0): 5})
    with pytest.raises(Invalid, match="not signed here"):
        CursorBook(b"another key, as long").read(cursor.decode())


def test_a_short_key_is_refused():
    with pytest.raises(Invalid, match="at least 16"):
        CursorBook(b"too short")


def test_only_characters_that_need_no_preflight_are_used():
    book = CursorBook(KEY)
    for offset in range(300):
        cursor = book.write({("live.comments", 3, 1): offset}).decode()
        assert cursor.replace("-", "a").replace("_", "a").isalnum()
        assert len(cursor) <= LONGEST


def test_a_page_with_three_topics_of_two_partitions_fits():
    vector = {(f"live.{name}", 99, p): 10**12 for name in "abc" for p in (0, 1)}
    assert len(CursorBook(KEY).write(vector)) <= LONGEST
    assert CursorShape(vector).longest() == len(CursorBook(KEY).write(vector))


def test_eleven_partitions_of_one_topic_fit_at_a_trillion_events():
    vector = {("live.comments", 99, p): 10**12 for p in range(11)}
    assert len(CursorBook(KEY).write(vector)) <= LONGEST


@pytest.mark.parametrize("offset", [-1, 1 << 63])
def test_an_offset_no_log_has_is_refused(offset):
    with pytest.raises(Invalid, match="does not fit"):
        CursorBook(KEY).write({("live.comments", 1, 0): offset})


def test_a_cursor_of_no_stream_is_a_cursor():
    cursor = CursorBook(KEY).write({})
    assert CursorBook(KEY).read(cursor.decode()) == {}


def test_another_epoch_is_another_place():
    assert place_of(("live.comments", 1, 0)) != place_of(("live.comments", 2, 0))
    assert place_of(("live.comments", 1, 0)) != place_of(("live.comments", 1 << 16, 0))
