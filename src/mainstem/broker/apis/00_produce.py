"""Produce: append record batches as they came, answer when they are as durable as asked."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from mainstem.errors import Closed, Invalid, MainstemError
from mainstem.kernels import MessageError, read_produce_request, write_produce_response
from mainstem.wire import RequestHeader, body_start

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.call import Call
    from mainstem.broker.topics import Topic
    from mainstem.log import Partition

_FIRST_SERVED = 3  # 0 to 2 carry message formats that Kafka 4 has dropped (KIP-896)
_FIRST_FLEXIBLE = 9
_UNKNOWN_TOPIC = 3
#: What the error messages of one answer may hold together: they repeat what the client sent.
_MESSAGES_SIZE = 64 * 1024
_SHORTEST_MESSAGE = 40
_INVALID_ACKS = 21
_UNKNOWN_SERVER_ERROR = -1
_UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
_INVALID_RECORD = 87
_UNKNOWN_TOPIC_ID = 100

Row = tuple[int, int, int, int, int, str | None]
_Place = tuple[str | bytes, int, "Partition"]
Answer = list[tuple[str | bytes, list[Row]]]


def serve(
    header: RequestHeader, call: Call, data: memoryview, end: int
) -> list[bytes] | asyncio.Future[list[Any]] | None:
    """Append at once; a future where the answer waits for the disk; ``None`` for acks=0."""
    version = header.api_version
    if version < _FIRST_SERVED:
        raise Invalid(f"produce v{version} is not served; use version 3 or later", code=35)
    start = header.body if version < _FIRST_FLEXIBLE else body_start(header, data, end)
    try:
        _transactional_id, acks, _timeout_ms, topics = read_produce_request(
            data, start, end, version
        )
    except MessageError as error:
        raise Invalid(f"produce v{version} request cannot be read: {error}", code=42) from error
    broker = call.broker
    synced: list[_Place] = []
    grown: list[Partition] = []
    room = _MESSAGES_SIZE // (1 + sum(len(parts) for _name, parts in topics))
    if acks not in (-1, 0, 1):
        answer = _refuse_all(topics, _INVALID_ACKS, f"acks={acks} is not one of -1, 0, 1")
    else:
        answer = [
            (
                name,
                [_append(broker, name, data, *part, acks, synced, grown, room) for part in parts],
            )
            for name, parts in topics
        ]
    # The disk is asked first: it takes longer than all who wait for the records.
    durable = (
        _when_durable(broker, version, header.correlation_id, answer, synced) if synced else None
    )
    for partition in grown:
        broker.waiters.notify(partition)
    if acks == 0:
        _after_silent(answer)
        return None
    if durable is None:
        return [write_produce_response(version, header.correlation_id, answer)]
    return durable


def _append(
    broker: Broker,
    name: str | bytes,
    data: memoryview,
    index: int,
    start: int,
    end: int,
    acks: int,
    synced: list[_Place],
    grown: list[Partition],
    room: int,
) -> Row:
    try:
        topic = _find(broker, name)
        partition = topic.partition(index)
        if start == end:
            raise Invalid("a produce request needs records", code=_INVALID_RECORD)
        appended = partition.append(data, start=start, end=end)
    except MainstemError as error:
        code = _UNKNOWN_SERVER_ERROR if error.code is None else error.code
        broker.counters.failed(code)
        return (index, code, -1, -1, -1, str(error)[:room] if room >= _SHORTEST_MESSAGE else None)
    if not appended.duplicate:
        broker.counters.produced_records += appended.last_offset - appended.base_offset + 1
        broker.counters.produced_bytes += end - start
        grown.append(partition)
    flush = partition.config.flush
    if flush == "always" or (acks == -1 and flush == "group"):
        synced.append((name, index, partition))
    return (
        index,
        0,
        appended.base_offset,
        appended.log_append_time,
        partition.log_start_offset,
        None,
    )


def _find(broker: Broker, name: str | bytes) -> Topic:
    if isinstance(name, bytes):
        topic = broker.topics.by_id(UUID(bytes=name))
        if topic is None:
            raise Invalid(f"no topic has the id {UUID(bytes=name)}", code=_UNKNOWN_TOPIC_ID)
        return topic
    topic = broker.topics.get(name)
    if topic is None:
        raise Invalid(f"topic {name[:249]!r} does not exist; create it first", code=_UNKNOWN_TOPIC)
    return topic


def _refuse_all(
    topics: list[tuple[str | bytes, list[tuple[int, int, int]]]], code: int, why: str
) -> Answer:
    # The same text, not copies; yet each is sent.
    return [
        (name, [(part[0], code, -1, -1, -1, None if i else why) for i, part in enumerate(parts)])
        for name, parts in topics
    ]


def _after_silent(answer: Answer) -> None:
    """A client that wants no answer learns of a failure by losing its connection, as in Kafka."""
    for _name, rows in answer:
        for row in rows:
            if row[1]:
                raise Invalid(f"acks=0 produce failed: {row[5]}", code=row[1])


def _when_durable(
    broker: Broker, version: int, correlation_id: int, answer: Answer, synced: list[_Place]
) -> asyncio.Future[list[Any]]:
    """Group commit: the answer leaves after the next fdatasync of every partition involved."""
    future: asyncio.Future[list[Any]] = broker.loop.create_future()
    waiting = len(synced)
    failed: dict[tuple[str | bytes, int], MainstemError] = {}

    def done(place: tuple[str | bytes, int], error: MainstemError | None) -> None:
        nonlocal waiting
        waiting -= 1
        if error is not None:
            failed[place] = error
        if waiting or future.done():
            return
        rows = answer if not failed else _with_failures(answer, failed)
        future.set_result([write_produce_response(version, correlation_id, rows)])

    for name, index, partition in synced:
        broker.durable(partition, partial(done, (name, index)))
    return future


def _with_failures(answer: Answer, failed: dict[tuple[str | bytes, int], MainstemError]) -> Answer:
    return [
        (name, [_failed_row(row, failed.get((name, row[0]))) for row in rows])
        for name, rows in answer
    ]


def _failed_row(row: Row, error: MainstemError | None) -> Row:
    if error is None or row[1]:
        return row
    code = _UNKNOWN_SERVER_ERROR if error.code is None else error.code
    if isinstance(error, Closed):  # deleted before it was durable
        code = _UNKNOWN_TOPIC
    return (row[0], code, -1, -1, -1, str(error))
