"""The protocol without I/O: bytes in, answers out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.client.protocol import Answer, Protocol
from mainstem.errors import Corrupt
from mainstem.wire import Message, encode_response, request_frame, response_frame

HEARTBEAT, LIST_OFFSETS = 12, 2


def feed(protocol: Protocol, data: bytes, step: int = 1 << 30) -> list[Answer]:
    answers: list[Answer] = []
    position = 0
    while position < len(data):
        view = protocol.get_buffer()
        assert len(view) > 0
        count = min(step, len(view), len(data) - position)
        view[:count] = data[position : position + count]
        position += count
        answers += protocol.received(count)
    return answers


def heartbeat_answer(correlation_id: int, code: int = 0) -> bytes:
    body = encode_response(HEARTBEAT, 4, Message(error_code=code, throttle_time_ms=0))
    return response_frame(HEARTBEAT, 4, correlation_id, body)


def test_requests_are_numbered_and_framed() -> None:
    protocol = Protocol("me")
    assert protocol.request(HEARTBEAT, 4, b"abc") == (
        0,
        request_frame(HEARTBEAT, 4, 0, "me", b"abc"),
    )
    assert protocol.request(HEARTBEAT, 4, b"") == (1, request_frame(HEARTBEAT, 4, 1, "me", b""))


def test_a_head_and_its_body_make_the_same_frame_as_one_piece() -> None:
    protocol = Protocol("me")
    number = protocol.number(HEARTBEAT, 4)
    head = protocol.head(HEARTBEAT, 4, number, 3)
    assert head + b"abc" == request_frame(HEARTBEAT, 4, number, "me", b"abc")


@pytest.mark.parametrize("step", [1, 3, 7, 1000])
def test_pipelined_answers_come_in_order_however_the_bytes_arrive(step: int) -> None:
    protocol = Protocol(None)
    for _ in range(5):
        protocol.request(HEARTBEAT, 4, b"")
    data = b"".join(heartbeat_answer(number, number + 20) for number in range(5))
    answers = feed(protocol, data, step)
    assert [answer.request.correlation_id for answer in answers] == [0, 1, 2, 3, 4]
    assert [int(answer.decode().error_code) for answer in answers] == [20, 21, 22, 23, 24]
    assert not protocol.pending


@given(
    sizes=st.lists(st.sampled_from([4, 5, 100, 65_531, 65_532, 65_533, 200_000]), max_size=6),
    step=st.sampled_from([1000, 4096, 65_536, 1 << 20]),
)
@settings(deadline=None, max_examples=60)
def test_answers_of_every_size_arrive_whole(sizes: list[int], step: int) -> None:
    protocol = Protocol(None)
    data = b""
    for size in sizes:
        number, _ = protocol.request(HEARTBEAT, 0, b"")
        frame = number.to_bytes(4, "big") + bytes([number % 251]) * (size - 4)
        data += len(frame).to_bytes(4, "big") + frame
    answers = feed(protocol, data, step)
    assert [len(answer.frame) for answer in answers] == sizes
    for answer in answers:
        number = answer.request.correlation_id
        assert set(answer.frame[4:]) <= {number % 251}


@pytest.mark.parametrize("size", [-1, 0, 3, 1 << 30, -(1 << 31)])
def test_an_impossible_size_is_corrupt_before_any_memory_is_taken(size: int) -> None:
    protocol = Protocol(None, max_answer=1 << 20)
    protocol.request(HEARTBEAT, 4, b"")
    with pytest.raises(Corrupt, match="Kafka port"):
        feed(protocol, size.to_bytes(4, "big", signed=True) + b"\0" * 8)


def test_an_answer_nobody_asked_for_is_corrupt() -> None:
    with pytest.raises(Corrupt, match="request 0"):
        feed(Protocol(None), heartbeat_answer(0))


def test_an_answer_out_of_turn_is_corrupt() -> None:
    protocol = Protocol(None)
    protocol.request(HEARTBEAT, 4, b"")
    protocol.request(HEARTBEAT, 4, b"")
    with pytest.raises(Corrupt, match="request 1, which is not next"):
        feed(protocol, heartbeat_answer(1))


def test_a_request_without_an_answer_is_not_waited_for() -> None:
    protocol = Protocol(None)
    assert protocol.number(0, 9, answered=False) == 0
    assert protocol.number(HEARTBEAT, 4) == 1
    assert [answer.request.correlation_id for answer in feed(protocol, heartbeat_answer(1))] == [1]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_body_cut_short_is_corrupt_not_a_crash(cut: int) -> None:
    topics = [
        Message(
            name="a",
            partitions=[
                Message(partition_index=0, error_code=0, timestamp=1, offset=2, leader_epoch=3)
            ],
        )
    ]
    body = encode_response(LIST_OFFSETS, 6, Message(throttle_time_ms=0, topics=topics))
    protocol = Protocol(None)
    protocol.request(LIST_OFFSETS, 6, b"")
    (answer,) = feed(protocol, response_frame(LIST_OFFSETS, 6, 0, body[:-cut]))
    with pytest.raises(Corrupt, match="cannot be read"):
        answer.decode()
