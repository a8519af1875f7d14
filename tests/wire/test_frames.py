"""Headers and framing."""

from __future__ import annotations

import pytest

from mainstem.errors import Invalid
from mainstem.wire import (
    body_start,
    read_prefix,
    request_frame,
    response_body_start,
    response_frame,
)


@pytest.mark.parametrize(("version", "client_id"), [(0, "me"), (0, None), (12, "mé"), (12, "")])
def test_a_request_frame_is_read_back(version, client_id):
    frame = request_frame(3, version, 77, client_id, b"body")
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    header = read_prefix(frame, 4, len(frame))
    assert header[:4] == (3, version, 77, client_id)
    assert frame[body_start(header, frame, len(frame)) :] == b"body"


def test_a_flexible_response_has_tags_behind_its_correlation_id():
    assert response_frame(3, 12, 7, b"x") == b"\0\0\0\x06\0\0\0\x07\0x"
    assert response_frame(3, 1, 7, b"x") == b"\0\0\0\x05\0\0\0\x07x"


def test_api_versions_keeps_the_old_response_header_for_ever():
    assert response_frame(18, 4, 7, b"x") == b"\0\0\0\x05\0\0\0\x07x"
    assert response_body_start(18, 4, b"\0\0\0\x07x", 0, 5) == 4


def test_unknown_tagged_fields_are_skipped():
    frame = request_frame(3, 12, 1, None, b"body")
    header = read_prefix(frame, 4, len(frame))
    tagged = frame[: header.body] + b"\x02\x00\x01a\x05\x02bc" + b"body"
    assert tagged[body_start(header, tagged, len(tagged)) :] == b"body"


@pytest.mark.parametrize(
    "tags",
    [
        b"\xff\xff\xff\xff\x7f",  # a count beyond any header
        b"\x01\x00\x7f",  # a field longer than the request
        b"\x80\x80\x80\x80\x80\x01",  # an integer that never ends
        b"\x01",  # cut short
    ],
)
def test_tags_that_lie_are_refused(tags):
    frame = request_frame(3, 12, 1, None, b"")[:-1] + tags
    header = read_prefix(frame, 4, len(frame))
    with pytest.raises(Invalid):
        body_start(header, frame, len(frame))


@pytest.mark.parametrize("size", range(10))
def test_a_header_cut_short_is_refused(size):
    with pytest.raises(Invalid, match="no room"):
        read_prefix(b"\0" * size, 0, size)


def test_a_client_id_longer_than_its_request_is_refused():
    with pytest.raises(Invalid, match="client id of 9 bytes"):
        read_prefix(b"\0\3\0\0\0\0\0\1\0\x09abc", 0, 13)
