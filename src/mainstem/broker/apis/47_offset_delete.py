"""OffsetDelete (47): forgets where a group is, in partitions it does not read (KIP-496)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.broker.groups import OffsetKey
from mainstem.wire import ErrorCode, Message

if TYPE_CHECKING:
    from mainstem.broker.call import Call


async def handle(request: Message, call: Call) -> Message:
    """GROUP_SUBSCRIBED_TO_TOPIC for topics that members of the group are subscribed to."""
    wanted = [
        OffsetKey(topic.name, partition.partition_index)
        for topic in request.topics
        for partition in topic.partitions
    ]
    existing = [key for key in wanted if _exists(key, call)]
    error, errors = await call.broker.groups.delete_offsets(request.group_id, existing)
    if error:
        return Message(error_code=error, topics=[])
    unknown = ErrorCode.unknown_topic_or_partition
    topics = [
        Message(
            name=topic.name,
            partitions=[
                Message(
                    partition_index=partition.partition_index,
                    error_code=errors.get(
                        OffsetKey(topic.name, partition.partition_index), unknown
                    ),
                )
                for partition in topic.partitions
            ],
        )
        for topic in request.topics
    ]
    return Message(error_code=ErrorCode.none, topics=topics)


def _exists(key: OffsetKey, call: Call) -> bool:
    topic = call.broker.topics.get(key.topic)
    return topic is not None and 0 <= key.partition < topic.partition_count
