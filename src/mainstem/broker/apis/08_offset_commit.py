"""OffsetCommit (8): where a group is, stored before the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mainstem.broker.groups import CommittedOffset
from mainstem.wire import ErrorCode, Message

if TYPE_CHECKING:
    from mainstem.broker.call import Call
    from mainstem.broker.topic import Topic

_BY_ID = 10
_GROUP_NOT_FOUND_SINCE = 9  # KIP-848
_Wanted = tuple["Topic", int, CommittedOffset]


async def handle(request: Message, call: Call) -> Message:
    """Commits all good partitions at once; bad ones get their own error (KIP-848 for ids)."""
    response: list[Message] = []
    accepted: list[_Wanted] = []
    waiting: list[Message] = []
    for asked in request.topics:
        topic, missing = _find(asked, call)
        partitions = []
        for partition in asked.partitions:
            error, committed = _check(topic, missing, partition, request, call)
            answer = Message(partition_index=partition.partition_index, error_code=error)
            partitions.append(answer)
            if topic is not None and committed is not None:
                accepted.append((topic, partition.partition_index, committed))
                waiting.append(answer)
        response.append(Message(name=asked.name, topic_id=asked.topic_id, partitions=partitions))
    error = await call.broker.groups.commit(
        request.group_id,
        request.member_id,
        request.group_instance_id,
        request.generation_id_or_member_epoch,
        accepted,
    )
    if (
        error is ErrorCode.illegal_generation
        and call.api_version >= _GROUP_NOT_FOUND_SINCE
        and call.broker.groups.get(request.group_id) is None
    ):
        error = ErrorCode.group_id_not_found
    for answer in waiting:
        answer.error_code = error
    return Message(topics=response)


def _find(asked: Message, call: Call) -> tuple[Topic | None, ErrorCode]:
    """The topic by name (up to v9) or by id; the error is what its absence means."""
    topics = call.broker.topics
    if call.api_version < _BY_ID:
        return topics.get(asked.name), ErrorCode.unknown_topic_or_partition
    found = None if asked.topic_id is None else topics.by_id(asked.topic_id)
    return found, ErrorCode.unknown_topic_id


def _check(
    topic: Topic | None, missing: ErrorCode, partition: Any, request: Message, call: Call
) -> tuple[ErrorCode, CommittedOffset | None]:
    if topic is None:
        return missing, None
    if not 0 <= partition.partition_index < topic.partition_count:
        return ErrorCode.unknown_topic_or_partition, None
    metadata = partition.committed_metadata or ""
    if len(metadata) > call.broker.config.offset_metadata_max_bytes:
        return ErrorCode.offset_metadata_too_large, None
    now_ms = call.broker.clock.now_ms()
    keep_ms = getattr(request, "retention_time_ms", -1)  # v2 to v4; -1 is the broker's own
    return ErrorCode.none, CommittedOffset(
        offset=partition.committed_offset,
        leader_epoch=partition.committed_leader_epoch,
        metadata=metadata,
        committed_ms=now_ms,
        expires_ms=None if keep_ms < 0 else now_ms + keep_ms,
    )
