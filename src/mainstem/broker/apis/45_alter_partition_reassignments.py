"""AlterPartitionReassignments: the only assignment there can be is the one there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.broker.answers import failure, find_partition
from mainstem.broker.assignments import check_replicas
from mainstem.errors import Conflict, MainstemError
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.call import Call

_NO_REASSIGNMENT_IN_PROGRESS = 85


def handle(request: Message, call: Call) -> Message:
    """Success for "to this node", which is so already; null replicas would cancel a move."""
    return Message(
        error_code=0,
        error_message=None,
        responses=[
            Message(
                name=topic.name,
                partitions=[
                    _reassign(call.broker, topic.name, asked) for asked in topic.partitions
                ],
            )
            for topic in request.topics
        ],
    )


def _reassign(broker: Broker, topic: str, asked: Message) -> Message:
    code, text = 0, None
    try:
        find_partition(broker, topic, asked.partition_index)
        if asked.replicas is None:
            raise Conflict(
                f"{topic}-{asked.partition_index} is not being reassigned",
                code=_NO_REASSIGNMENT_IN_PROGRESS,
            )
        check_replicas(asked.replicas, broker.node_id)
    except MainstemError as error:
        code, text = failure(broker, error)
    return Message(partition_index=asked.partition_index, error_code=code, error_message=text)
