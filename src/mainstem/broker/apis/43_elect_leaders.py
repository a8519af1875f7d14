"""ElectLeaders: on one node every partition has its leader already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.broker.answers import INVALID_REQUEST, failure, find_partition
from mainstem.errors import Conflict, MainstemError
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.call import Call

_ELECTION_NOT_NEEDED = 84
_PREFERRED, _UNCLEAN = 0, 1


def handle(request: Message, call: Call) -> Message:
    """Null asks for all partitions, and Kafka lists none of those that need no election."""
    if request.election_type not in {_PREFERRED, _UNCLEAN}:
        return Message(error_code=INVALID_REQUEST, replica_election_results=[])
    return Message(
        error_code=0,
        replica_election_results=[
            Message(
                topic=asked.topic,
                partition_result=[
                    _elect(call.broker, asked.topic, index) for index in asked.partitions
                ],
            )
            for asked in request.topic_partitions or ()
        ],
    )


def _elect(broker: Broker, topic: str, index: int) -> Message:
    try:
        find_partition(broker, topic, index)
        raise Conflict(f"{topic}-{index} has its leader: nothing to do", code=_ELECTION_NOT_NEEDED)
    except MainstemError as error:
        code, text = failure(broker, error)
    return Message(partition_id=index, error_code=code, error_message=text)
