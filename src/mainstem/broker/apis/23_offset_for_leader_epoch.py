"""OffsetForLeaderEpoch: where an epoch ended, so that a client notices truncation (KIP-320)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.broker.answers import failure, find_partition
from mainstem.errors import Conflict, Invalid, MainstemError
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.call import Call
    from mainstem.log import Partition

_FENCED_LEADER_EPOCH = 74
_UNKNOWN_LEADER_EPOCH = 75


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
        _check_current(partition, asked.current_leader_epoch)
        epoch, end_offset = partition.end_offset_for_epoch(asked.leader_epoch)
    except MainstemError as error:
        code, _text = failure(broker, error)
    return Message(
        error_code=code, partition=asked.partition, leader_epoch=epoch, end_offset=end_offset
    )


def _check_current(partition: Partition, believed: int) -> None:
    if believed in {-1, partition.leader_epoch}:
        return
    if believed < partition.leader_epoch:
        raise Conflict(
            f"leader epoch {believed} is over, now it is {partition.leader_epoch}: refresh",
            code=_FENCED_LEADER_EPOCH,
        )
    raise Invalid(
        f"leader epoch {believed} has not been: it is {partition.leader_epoch} here",
        code=_UNKNOWN_LEADER_EPOCH,
    )
