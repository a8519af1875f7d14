"""The quick look says what the general decoder says, or nothing."""

from __future__ import annotations

import random
import uuid
from typing import Any

import pytest

from mainstem.client.quick_answers import fetched, produced
from mainstem.errors import MainstemError
from mainstem.kernels import write_produce_response
from mainstem.wire import (
    FetchedPartition,
    api_versions,
    decode_response,
    response_body_start,
    write_fetch_response,
)

ID = uuid.UUID(int=7 << 64 | 9)
PRODUCE, FETCH = 0, 1


class Records(bytes):
    @property
    def size(self) -> int:
        return len(self)


def produce_frame(version: int, *rows: Any) -> bytes:
    topic = ID.bytes if version >= 13 else "flights"
    answer = [(topic, list(rows or [(3, 0, 1 << 40, -1, 0, None)]))]
    return bytes(write_produce_response(version, 5, answer)[4:])


def fetch_frame(version: int, *parts: FetchedPartition) -> bytes:
    chosen = list(parts or [FetchedPartition(2, 0, 9, 8, 1, Records(b"r" * 300))])
    topic: Any = ID if version >= 13 else "flights"
    return b"".join(write_fetch_response(version, 5, [(topic, chosen)]))[4:]  # type: ignore[arg-type]


def look(key: int, version: int, frame: Any) -> Any:
    body = response_body_start(key, version, frame, 0, len(frame))
    return (produced if key == PRODUCE else fetched)(version, frame, body)


def general(key: int, version: int, frame: Any) -> Any:
    body = response_body_start(key, version, frame, 0, len(frame))
    answer = decode_response(key, version, frame, body)
    (topic,) = answer.responses
    where: Any
    if key == PRODUCE:
        (part,) = topic.partition_responses
        assert part.error_code == 0
        where = topic.topic_id if version >= 13 else topic.name
        return where, part.index, part.base_offset, answer.throttle_time_ms
    (part,) = topic.partitions
    assert answer.error_code == part.error_code == 0
    assert not part.aborted_transactions
    where = topic.topic_id if version >= 13 else topic.topic
    return where, part.partition_index, part.high_watermark, bytes(part.records)


def plain(key: int, version: int, found: Any) -> Any:
    if key == PRODUCE:
        return found
    (topic,) = found.responses
    (part,) = topic.partitions
    where = topic.topic_id if version >= 13 else topic.topic
    return where, part.partition_index, part.high_watermark, bytes(part.records)


CASES = [
    *[(PRODUCE, version) for version in range(9, api_versions(PRODUCE)[1] + 1)],
    *[(FETCH, version) for version in range(12, api_versions(FETCH)[1] + 1)],
]


@pytest.mark.parametrize("kind", [bytes, memoryview])
@pytest.mark.parametrize(("key", "version"), CASES)
def test_it_says_what_the_general_decoder_says(key: int, version: int, kind: Any) -> None:
    frame = kind((produce_frame if key == PRODUCE else fetch_frame)(version))
    found = look(key, version, frame)
    assert found is not None
    assert plain(key, version, found) == general(key, version, frame)


@pytest.mark.parametrize(("key", "version"), CASES)
def test_trouble_is_left_to_it(key: int, version: int) -> None:
    if key == PRODUCE:
        frames = [
            produce_frame(version, (0, 3, -1, -1, -1, None)),
            produce_frame(version, (0, 0, 1, -1, 0, "a message")),
            produce_frame(version, (0, 0, 1, -1, 0, None), (1, 0, 1, -1, 0, None)),
        ]
    else:
        frames = [
            fetch_frame(version, FetchedPartition(0, 3)),
            fetch_frame(version, FetchedPartition(0), FetchedPartition(1)),
            fetch_frame(version, FetchedPartition(0, diverging_epoch=(1, 2))),
        ]
    assert [look(key, version, frame) for frame in frames] == [None] * 3


@pytest.mark.parametrize(("key", "version"), CASES)
def test_other_bytes_give_the_same_or_nothing(key: int, version: int) -> None:
    whole = (produce_frame if key == PRODUCE else fetch_frame)(version)
    rng = random.Random(version)
    for turn in range(2000):
        frame = bytearray(whole)
        if turn % 3:
            for _ in range(rng.randint(1, 3)):
                frame[rng.randrange(5, min(len(frame), 90))] = rng.choice([0, 1, 2, 127, 128, 255])
        if turn % 2:
            del frame[rng.randrange(5, len(frame) + 1) :]
        found = look(key, version, bytes(frame))
        if found is None:
            continue
        try:
            expected = general(key, version, bytes(frame))
        except MainstemError as error:
            pytest.fail(f"seed {version}, turn {turn}: {error}")
        assert plain(key, version, found) == expected, f"seed {version}, turn {turn}"
