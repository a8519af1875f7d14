"""The hot pair's own readers and writers, against kio's."""

from __future__ import annotations

import io
import random
import uuid
from dataclasses import dataclass

import pytest
from kio.serial import entity_reader

from mainstem.kernels import MessageError, read_produce_request, write_produce_response
from mainstem.wire import (
    FetchedPartition,
    Message,
    decode_response,
    encode_request,
    schema,
    write_fetch_response,
)

TOPIC_ID = uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")


def _produce_bytes(version: int, parts: list[tuple[int, bytes | None]]) -> bytes:
    message = Message(
        transactional_id=None,
        acks=-1,
        timeout_ms=1500,
        topic_data=[
            Message(
                name="flüge",
                topic_id=TOPIC_ID,
                partition_data=[Message(index=i, records=records) for i, records in parts],
            )
        ],
    )
    return encode_request(0, version, message)


@pytest.mark.parametrize("version", range(3, 14))
def test_a_produce_request_is_read_in_place(version):
    raw = b"head" + _produce_bytes(version, [(0, b"abc"), (7, b""), (9, None)])
    transactional_id, acks, timeout_ms, topics = read_produce_request(raw, 4, len(raw), version)
    assert (transactional_id, acks, timeout_ms) == (None, -1, 1500)
    ((name, parts),) = topics
    assert name == (TOPIC_ID.bytes if version >= 13 else "flüge")
    assert [(index, raw[start:end]) for index, start, end in parts] == [
        (0, b"abc"),
        (7, b""),
        (9, b""),
    ]


@pytest.mark.parametrize("version", [3, 8, 9, 13])
def test_a_produce_request_cut_anywhere_is_refused(version):
    raw = _produce_bytes(version, [(0, b"abc"), (1, b"defg")])
    for end in range(1, len(raw)):
        with pytest.raises(MessageError):
            read_produce_request(raw, 0, end, version)


@pytest.mark.parametrize("seed", range(20))
def test_a_mutated_produce_request_never_reads_out_of_bounds(seed):
    random_source = random.Random(seed)
    for _ in range(3_000):
        version = random_source.randrange(3, 14)
        raw = bytearray(_produce_bytes(version, [(0, b"abc"), (1, b"defg")]))
        for _ in range(random_source.randrange(1, 4)):
            raw[random_source.randrange(len(raw))] = random_source.choice((0, 0x7F, 0x80, 0xFF))
        try:
            topics = read_produce_request(raw, 0, len(raw), version)[3]
        except MessageError:
            continue
        for _name, parts in topics:
            assert all(0 <= start <= end <= len(raw) for _, start, end in parts), f"seed {seed}"


@pytest.mark.parametrize("version", range(3, 14))
def test_a_produce_response_is_what_kio_reads(version):
    rows = [(0, 0, 42, -1, 7, None), (3, 10, -1, 1700000000000, -1, "zu groß")]
    name = TOPIC_ID.bytes if version >= 13 else "flüge"
    frame = write_produce_response(version, 99, [(name, rows)], 0)
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    body = 9 if version >= 9 else 8
    (topic,) = decode_response(0, version, frame, body).responses
    first, second = topic.partition_responses
    assert (first.index, first.error_code, first.base_offset) == (0, 0, 42)
    assert first.log_append_time_ms == -1
    assert (second.index, second.error_code) == (3, 10)
    assert second.log_append_time_ms == 1700000000000
    if version >= 5:
        assert first.log_start_offset == 7
    if version >= 8:
        assert (first.error_message, second.error_message) == (None, "zu groß")


@dataclass
class _Records:
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)


@pytest.mark.parametrize("version", range(4, 19))
def test_a_fetch_response_is_what_kio_reads(version):
    name: str | uuid.UUID = TOPIC_ID if version >= 13 else "flüge"
    rows = [
        FetchedPartition(0, 0, 100, 99, 5, _Records(b"x" * 300)),
        FetchedPartition(1, 1, diverging_epoch=(3, 77)),
        FetchedPartition(2, 0, 8, 8, 8, _Records(b"yz")),
    ]
    parts = write_fetch_response(version, 5, [(name, rows)])
    frame = b"".join(p if isinstance(p, bytes) else p.data for p in parts)
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    read = entity_reader(schema.load(1, version, "response"))
    entity, size = read(frame, 9 if version >= 12 else 8)
    assert (9 if version >= 12 else 8) + size == len(frame)
    first, second, third = entity.responses[0].partitions
    assert (first.records, first.high_watermark, first.last_stable_offset) == (b"x" * 300, 100, 99)
    assert (second.error_code, second.partition_index) == (1, 1)
    assert third.records == b"yz"
    if version >= 12:
        assert (second.diverging_epoch.epoch, second.diverging_epoch.end_offset) == (3, 77)
    if version >= 7:
        assert entity.session_id == 0


def test_kio_and_the_produce_reader_agree_on_the_default_request():
    out = io.BytesIO()
    schema.writer(0, 9, "request")(
        out,
        schema.load(0, 9, "request")(
            transactional_id="tx",
            acks=1,
            timeout=__import__("datetime").timedelta(seconds=1),
            topic_data=(),
        ),
    )
    raw = out.getvalue()
    assert read_produce_request(raw, 0, len(raw), 9) == ("tx", 1, 1000, [])
