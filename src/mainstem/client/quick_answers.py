"""The answers that come all the time, read in one look: one partition, and nothing wrong with it.

Anything else, also any byte that is not as expected, gives ``None``: the general decoder's turn.
Source: ProduceResponse.json, versions 9 to 13; FetchResponse.json, versions 12 to 18.
"""

from __future__ import annotations

import struct
from typing import Any
from uuid import UUID

from mainstem.client.protocol import Answer
from mainstem.wire import Message

_ONE = 2  # a compact array of one element
_PARTITION = struct.Struct(">ihqqq")
_FETCH_HEAD = struct.Struct(">ihi")
_NAMELESS = 13
_FETCH = 1
#: No record errors, no message, no tagged fields of the partition and of the topic.
_PRODUCED_WELL = b"\x01\x00\x00\x00"
_PRODUCE_END = 5  # throttle time, no tagged fields
#: What is cut short, or no text.
_OTHERWISE = (struct.error, IndexError, UnicodeDecodeError)


def produced(version: int, frame: Any, body: int) -> tuple[str | UUID, int, int, int] | None:
    """Topic (its id from version 13 on), partition, base offset, and the throttle time in ms."""
    if not 9 <= version <= 13:
        return None
    try:
        at = _behind_topic(frame, body, nameless=version >= _NAMELESS)
        if at < 0:
            return None
        index, error, base_offset, _, _ = _PARTITION.unpack_from(frame, at)
        found = _topic(frame, body, nameless=version >= _NAMELESS)
    except _OTHERWISE:
        return None
    at += _PARTITION.size
    well = frame[at : at + 4] == _PRODUCED_WELL and len(frame) == at + 4 + _PRODUCE_END
    if error or not well or frame[-1]:
        return None
    return found, index, base_offset, int.from_bytes(frame[-_PRODUCE_END:-1], "big", signed=True)


def fetched(version: int, frame: Any, body: int) -> Message | None:
    """The whole answer; its records share ``frame``."""
    if not 12 <= version <= 18:
        return None
    try:
        _, failure, _ = _FETCH_HEAD.unpack_from(frame, body)
        start = body + _FETCH_HEAD.size
        at = _behind_topic(frame, start, nameless=version >= _NAMELESS)
        if failure or at < 0:
            return None
        index, error, high_watermark, _, _ = _PARTITION.unpack_from(frame, at)
        at += _PARTITION.size
        if error or frame[at] > 1:  # aborted transactions
            return None
        at, size = _varint(frame, at + 5)  # behind a preferred replica
        found = _topic(frame, start, nameless=version >= _NAMELESS)
    except _OTHERWISE:
        return None
    end = at + size - 1
    if size == 0 or len(frame) != end + 3 or frame[end : end + 3] != b"\0\0\0":
        return None
    part = Message(
        partition_index=index,
        error_code=0,
        high_watermark=high_watermark,
        aborted_transactions=None,
        records=memoryview(frame)[at:end],
    )
    if isinstance(found, UUID):
        topic = Message(topic_id=found, partitions=[part])
    else:
        topic = Message(topic=found, partitions=[part])
    return Message(error_code=0, responses=[topic])


def throttle_time(answer: Answer) -> int:
    """Milliseconds for which the broker does not listen, in an answer to Fetch (KIP-219).

    0 for other requests: in theirs it may stand anywhere, and they are decoded anyway.
    """
    _, api_key, version = answer.request
    if api_key != _FETCH or version < 1:
        return 0
    return int.from_bytes(answer.frame[answer.body : answer.body + 4], "big", signed=True)


def _behind_topic(frame: Any, at: int, *, nameless: bool) -> int:
    """Where the only partition of the only topic begins; -1 where there are others."""
    if frame[at] != _ONE:
        return -1
    if nameless:
        at += 17
    else:
        size = frame[at + 1]
        if not 1 < size < 0x80:
            return -1
        at += 1 + size
    return at + 1 if frame[at] == _ONE else -1


def _topic(frame: Any, at: int, *, nameless: bool) -> str | UUID:
    if nameless:
        return UUID(bytes=bytes(frame[at + 1 : at + 17]))
    return bytes(frame[at + 2 : at + 1 + frame[at + 1]]).decode()


def _varint(frame: Any, at: int) -> tuple[int, int]:
    """Where it ends, and its value."""
    value = 0
    for shift in range(0, 35, 7):
        byte = frame[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return at, value
    raise IndexError("not a length")
