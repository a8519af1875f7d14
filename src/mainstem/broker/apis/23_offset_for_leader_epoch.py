"""OffsetForLeaderEpoch: where an epoch ended, so that a client notices truncation (KIP-320)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.broker.answers import check_leader_epoch, failure, find_partition
from mainstem.errors import MainstemError
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.call import Call


def handle(request: Message, call: Call) -> Message:
    """Epoch and end offset per partition, -1 and -1 where the epoch is not known."""
    return Message(
        topics=[
            Message(
                topic=topic.topic,
                partitions=[_end(call.broker, topic.topic, asked) for asked in topic.partitions],
            )
            for topic in request.topics
        ]
    )


def _end(broker: Broker, topic: str, asked: Message) -> Message:
    code, epoch, end_offset = 0, -1, -1
    try:
        partition = find_partition(broker, topic, asked.partition)
        check_leader_epoch(partition, asked.current_leader_epoch)
        epoch, end_offset = partition.end_offset_for_epoch(asked.leader_epoch)
    except MainstemError as error:
        code, _text = failure(broker, error)
    return Message(
        error_code=code, partition=asked.partition, leader_epoch=epoch, end_offset=end_offset
    )
