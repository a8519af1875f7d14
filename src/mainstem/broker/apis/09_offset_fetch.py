"""OffsetFetch (9): where groups are. Committed means on disk, so every offset is stable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mainstem.broker.groups import CommittedOffset, OffsetKey
from mainstem.wire import ErrorCode, Message

if TYPE_CHECKING:
    from mainstem.broker.call import Call

_BY_ID = 10
_NOTHING = CommittedOffset(offset=-1, leader_epoch=-1, metadata="", committed_ms=-1)
_Offsets = Mapping[OffsetKey, CommittedOffset]


def handle(request: Message, call: Call) -> Message:
    """Offset -1 where nothing was committed; ``topics=None`` asks for all there is."""
    distinct = {group.group_id: group for group in request.groups}
    return Message(groups=[_group(group, call) for group in distinct.values()])


def _group(group: Message, call: Call) -> Message:
    error, offsets = call.broker.groups.committed(group.group_id)
    if error:
        topics = [] if call.api_version > 1 else _refused(group, error)
    elif group.topics is None:
        topics = _everything(offsets, call)
    else:
        topics = [_topic(asked, offsets, call) for asked in group.topics]
    return Message(group_id=group.group_id, topics=topics, error_code=error)


def _refused(group: Message, error: ErrorCode) -> list[Message]:
    """v1 has no error for the whole: every partition says it."""
    return [
        Message(
            name=asked.name,
            topic_id=None,
            partitions=[_partition(index, _NOTHING, error) for index in asked.partition_indexes],
        )
        for asked in group.topics or ()
    ]


def _topic(asked: Message, offsets: _Offsets, call: Call) -> Message:
    name, error = asked.name, ErrorCode.none
    if call.api_version >= _BY_ID:
        topic = None if asked.topic_id is None else call.broker.topics.by_id(asked.topic_id)
        name = "" if topic is None else topic.name
        error = ErrorCode.unknown_topic_id if topic is None else ErrorCode.none
    partitions = [
        _partition(index, offsets.get(OffsetKey(name, index), _NOTHING), error)
        for index in asked.partition_indexes
    ]
    return Message(name=name, topic_id=asked.topic_id, partitions=partitions)


def _everything(offsets: _Offsets, call: Call) -> list[Message]:
    by_topic: dict[str, list[Message]] = {}
    for key, committed in offsets.items():
        by_topic.setdefault(key.topic, []).append(_partition(key.partition, committed))
    topics = []
    for name, partitions in by_topic.items():
        topic = call.broker.topics.get(name)
        if topic is not None:  # else it is being deleted just now
            topics.append(Message(name=name, topic_id=topic.id, partitions=partitions))
    return topics


def _partition(
    index: int, committed: CommittedOffset, error: ErrorCode = ErrorCode.none
) -> Message:
    return Message(
        partition_index=index,
        committed_offset=committed.offset,
        committed_leader_epoch=committed.leader_epoch,
        metadata=committed.metadata,
        error_code=error,
    )
