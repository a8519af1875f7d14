"""Frames straight into a ring, beside the plain Python that makes private ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.kernels import Framer, Ring, siphash
from mainstem.live.cursor import CursorBook, CursorShape
from mainstem.live.frames import SSE, WS

KEY = bytes(range(16))
# The reference implementation's vectors (SipHash-2-4, key 00…0f, data 00, 00 01, …).
VECTORS = {
    0: "310e0edd47db6f72",
    1: "fd67dc93c539f874",
    2: "5a4fa9d909806c0d",
    7: "37d1018bf50002ab",
    8: "6224939a79f5f593",
    15: "e545be4961ca29a1",
    16: "db9bc2577fcc2a3f",
    63: "724506eb4c328a95",
}


@pytest.mark.parametrize("size", sorted(VECTORS))
def test_siphash_gives_the_values_of_its_authors(size):
    assert siphash(KEY, bytes(range(size))).hex() == VECTORS[size]


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_key_of_another_size_is_refused(size):
    with pytest.raises(ValueError, match="16"):
        siphash(bytes(size), b"")
    with pytest.raises(ValueError, match="16"):
        Framer(Ring([]), [], b"\x01", [], bytes(size), False)


streams = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.just(7), st.integers(0, 500)),
    max_size=6,
    unique=True,
)
offsets = st.integers(0, (1 << 62))


@settings(max_examples=120, deadline=None)
@given(streams, st.data(), st.booleans())
def test_a_frame_is_what_plain_python_makes_of_it(chosen, data, websocket):
    book, shape = CursorBook(KEY), CursorShape(chosen)
    vector = [data.draw(offsets) for _ in shape.streams]
    ring = Ring(vector, 1024, 1 << 20)
    framer = Framer(ring, shape.prefixes, shape.alone, vector, book.key, websocket)
    plain = WS if websocket else SSE
    for _ in range(data.draw(st.integers(1, 5))):
        size = data.draw(st.sampled_from([0, 1, 50, 100, 126, 1000, 66_000]))
        body = b'{"data":"%b"}' % (b"x" * size)
        if shape.streams and data.draw(st.booleans()):
            place = data.draw(st.integers(0, len(shape.streams) - 1))
            vector[place] += data.draw(st.integers(1, 1000))
            assert framer.event(place, vector[place] - 1, body, 0)
            assert ring.record(ring.next - 1) == (place, vector[place] - 1)
        else:
            framer.state(body, 0, 0, 1, 0)
            assert ring.record(ring.next - 1)[0] == -1
        cursor = book.sign(shape.payload(vector))
        assert framer.cursor() == cursor
        assert framer.vector == vector
        assert ring.frame(ring.next - 1) == plain.event(cursor, body)


def one(websocket=False, limit=4096) -> Framer:
    return Framer(Ring([5], 1024, limit), [b"\x01p"], b"\x01", [5], KEY, websocket)


def test_a_record_it_had_is_not_framed_again():
    framer = one()
    assert not framer.event(0, 4, b"{}", 0)
    assert framer.event(0, 5, b"{}", 0)
    assert not framer.event(0, 5, b"{}", 0)
    assert framer.ring.next == 1


def test_moving_never_goes_back():
    framer = one()
    before = framer.cursor()
    framer.move(0, 3)
    assert framer.cursor() == before
    framer.move(0, 9)
    assert framer.vector == [9]
    assert framer.cursor() != before


def test_line_breaks_become_blanks():
    framer = one()
    framer.event(0, 5, b'{\r\n"a":1\n}', 0)
    assert framer.ring.frame(0).endswith(b'\ndata: {  "a":1 }\n\n')


@pytest.mark.parametrize("place", [-1, 1, 1 << 20])
def test_a_stream_it_does_not_have_is_an_error(place):
    with pytest.raises(IndexError):
        one().event(place, 9, b"{}", 0)
    with pytest.raises(IndexError):
        one().move(place, 9)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"12", b'"text"'])
def test_a_body_that_is_no_object_is_refused(body):
    with pytest.raises(ValueError, match="JSON object"):
        one().state(body, 0, 0, 1, 0)


@pytest.mark.parametrize("websocket", [False, True])
def test_a_frame_longer_than_the_ring_is_refused_and_the_longest_fits(websocket):
    framer = one(websocket)
    around = len(framer.cursor()) + (9 - 1 + 4 if websocket else 13)
    longest = b'{"a":"%b"}' % (b"x" * (4096 - around - 8))
    framer.state(longest, 0, 0, 1, 0)
    assert framer.ring.held == 4096
    with pytest.raises(ValueError, match="takes 1 to 4096"):
        framer.state(longest[:-2] + b'x"}', 0, 0, 1, 0)
    assert framer.ring.next == 1


def test_what_does_not_match_the_ring_is_refused():
    with pytest.raises(ValueError, match="streams"):
        Framer(Ring([]), [b"p"], b"\x01", [5], KEY, False)
