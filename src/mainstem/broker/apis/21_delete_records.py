"""DeleteRecords: moves the log start offset up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mainstem.broker.answers import failure, find_partition
from mainstem.errors import Invalid, MainstemError
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.call import Call

_POLICY_VIOLATION = 44


async def handle(request: Message, call: Call) -> Message:
    """The new log start offset per partition; offset -1 means the high watermark."""
    return Message(
        topics=[
            Message(
                name=topic.name,
                partitions=[
                    await _delete_before(call.broker, topic.name, asked)
                    for asked in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )


async def _delete_before(broker: Broker, topic: str, asked: Message) -> Message:
    code, low_watermark = 0, -1
    try:
        partition = find_partition(broker, topic, asked.partition_index)
        if "delete" not in partition.config.cleanup_policy:
            raise Invalid(
                f"records of {topic!r} cannot be deleted: its cleanup.policy has no 'delete'",
                code=_POLICY_VIOLATION,
            )
        # It may have to sync what was written so far: not on the loop.
        low_watermark = await asyncio.to_thread(partition.delete_records_before, asked.offset)
    except MainstemError as error:
        code, _text = failure(broker, error)
    return Message(
        partition_index=asked.partition_index, low_watermark=low_watermark, error_code=code
    )
