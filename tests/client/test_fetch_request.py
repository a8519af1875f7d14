"""The packed Fetch request says what the general encoder says."""

from __future__ import annotations

import uuid

import pytest

from mainstem.client.fetch_request import HIGHEST, LOWEST, fetch_body
from mainstem.wire import Message, api_versions, encode_request

ID = uuid.UUID(int=7 << 64 | 9)
LIMITS = {"max_wait_ms": 500, "max_bytes": 1 << 24, "partition_bytes": 1 << 22, "committed": True}
TOPICS = [
    ("a", ID, [(0, 5, -1), (3, 1 << 40, 6)]),
    ("b" * 200, ID, [(n, n, n) for n in range(200)]),
]


def _general(version: int) -> bytes:
    topics = [
        Message(
            topic=name,
            topic_id=topic_id,
            partitions=[
                Message(
                    partition=index,
                    fetch_offset=offset,
                    current_leader_epoch=epoch,
                    partition_max_bytes=1 << 22,
                    replica_directory_id=None,
                )
                for index, offset, epoch in partitions
            ],
        )
        for name, topic_id, partitions in TOPICS
    ]
    message = Message(
        max_wait_ms=500,
        min_bytes=1,
        max_bytes=1 << 24,
        isolation_level=1,
        topics=topics,
        forgotten_topics_data=[],
    )
    return encode_request(1, version, message)


@pytest.mark.parametrize("version", range(LOWEST, min(HIGHEST, api_versions(1)[1]) + 1))
def test_it_is_byte_equal_to_the_general_encoder(version: int) -> None:
    assert fetch_body(version, TOPICS, **LIMITS) == _general(version)


@pytest.mark.parametrize("version", [LOWEST - 1, HIGHEST + 1])
def test_other_versions_are_left_to_the_general_encoder(version: int) -> None:
    assert fetch_body(version, TOPICS, **LIMITS) is None


def test_a_topic_without_an_id_is_left_to_it_where_names_are_gone() -> None:
    assert fetch_body(13, [("a", None, [(0, 0, 0)])], **LIMITS) is None
    assert fetch_body(12, [("a", None, [(0, 0, 0)])], **LIMITS) is not None
