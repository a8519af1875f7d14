"""Fetch: file slices of whole batches, straight from the segment to the socket."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from mainstem.broker.answers import check_leader_epoch
from mainstem.errors import Invalid, MainstemError
from mainstem.wire import (
    FetchedPartition,
    Message,
    RequestHeader,
    body_start,
    decode_request,
    write_fetch_response,
)

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.call import Call
    from mainstem.broker.topics import Topic
    from mainstem.broker.waiters import Watch
    from mainstem.log import Partition

_FIRST_WITH_IDS = 13
_OFFSET_OUT_OF_RANGE = 1
_UNKNOWN_TOPIC = 3
_UNKNOWN_SERVER_ERROR = -1
_FETCH_SESSION_ID_NOT_FOUND = 70
_UNKNOWN_TOPIC_ID = 100

Topics = list[tuple[str | UUID, list[FetchedPartition]]]


@dataclass(slots=True)
class _Found:
    """What one look at the log gave."""

    topics: Topics = field(default_factory=list)
    size: int = 0
    failed: bool = False
    watched: list[Partition] = field(default_factory=list)


def serve(
    header: RequestHeader, call: Call, data: memoryview, end: int
) -> list[Any] | Awaitable[list[Any]]:
    """Answer at once where enough is there, else wait for ``min_bytes`` or ``max_wait``."""
    version = header.api_version
    request = decode_request(1, version, data, body_start(header, data, end), end)
    if request.session_epoch > 0:
        # Goes on with a session (KIP-227). None is handed out: it must be another broker's.
        return write_fetch_response(
            version, header.correlation_id, [], error_code=_FETCH_SESSION_ID_NOT_FOUND
        )
    found = _look(call.broker, request, version)
    max_wait = request.max_wait_ms / 1000
    if found.failed or found.size >= request.min_bytes or max_wait <= 0 or not found.watched:
        return _answer(call.broker, header, found)
    # Watched from here on: the coroutine starts later, and a produce may come first.
    watch = call.broker.waiters.watch(found.watched)
    return _wait(call.broker, header, request, found, max_wait, watch)


async def _wait(
    broker: Broker,
    header: RequestHeader,
    request: Message,
    found: _Found,
    max_wait: float,
    watch: Watch,
) -> list[Any]:
    deadline = broker.loop.time() + max_wait
    try:
        while not found.failed and found.size < request.min_bytes:
            left = deadline - broker.loop.time()
            if left <= 0 or not await watch.wait(left):
                break
            found = _look(broker, request, header.api_version)
            watch = broker.waiters.watch(found.watched)
    finally:
        watch.end()
    return _answer(broker, header, found)


def _answer(broker: Broker, header: RequestHeader, found: _Found) -> list[Any]:
    broker.counters.fetched_bytes += found.size
    return write_fetch_response(header.api_version, header.correlation_id, found.topics)


def _look(broker: Broker, request: Message, version: int) -> _Found:
    """Read every partition asked for, within the response's limit."""
    found = _Found()
    budget = min(request.max_bytes, broker.config.fetch_max_bytes)
    for asked in request.topics:
        name: str | UUID
        if version >= _FIRST_WITH_IDS:
            name = asked.topic_id or UUID(int=0)
            topic = broker.topics.by_id(name)
        else:
            name, topic = asked.topic, broker.topics.get(asked.topic)
        rows = [
            _read(topic, part, budget - found.size, found, by_id=version >= _FIRST_WITH_IDS)
            for part in asked.partitions
        ]
        for row in rows:
            if row.error_code:
                broker.counters.failed(row.error_code)
        found.topics.append((name, rows))
    return found


def _read(
    topic: Topic | None, asked: Message, budget: int, found: _Found, *, by_id: bool
) -> FetchedPartition:
    row = FetchedPartition(asked.partition)
    try:
        if topic is None:
            raise Invalid("no such topic", code=_UNKNOWN_TOPIC_ID if by_id else _UNKNOWN_TOPIC)
        partition = topic.partition(asked.partition)
        check_leader_epoch(partition, max(-1, asked.current_leader_epoch))
        row.high_watermark = partition.high_watermark
        row.last_stable_offset = partition.last_stable_offset
        row.log_start_offset = partition.log_start_offset
        row.diverging_epoch = _diverging(partition, asked)
        if row.diverging_epoch is not None:
            found.failed = True
            return row
        # A batch larger than the limits is still sent, if it is the first (KIP-74).
        limit = min(asked.partition_max_bytes, budget)
        if limit > 0 or not found.size:
            records = partition.read(asked.fetch_offset, max(limit, 0), at_least_one=not found.size)
            if records is not None:
                row.records = records
                found.size += records.size
        found.watched.append(partition)
    except MainstemError as error:
        row.error_code = _UNKNOWN_SERVER_ERROR if error.code is None else error.code
        found.failed = True
    return row


def _diverging(partition: Partition, asked: Message) -> tuple[int, int] | None:
    """KIP-595: where the client's log and ours part, if they do."""
    epoch = asked.last_fetched_epoch
    if epoch < 0:
        return None
    ours, end_offset = partition.end_offset_for_epoch(epoch)
    if ours < 0 or end_offset < 0:
        raise Invalid(
            f"no record here has leader epoch {epoch} or a later one", code=_OFFSET_OUT_OF_RANGE
        )
    if ours < epoch or end_offset < asked.fetch_offset:
        return (ours, end_offset)
    return None
