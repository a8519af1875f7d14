"""ListOffsets: the offset that belongs to a point in time, or to a special one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.errors import Invalid, MainstemError
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.call import Call
    from mainstem.log import Partition

_UNKNOWN_TOPIC = 3
_READ_COMMITTED = 1


def handle(request: Message, call: Call) -> Message:
    """One answer per partition asked for."""
    return Message(
        topics=[
            Message(
                name=topic.name,
                partitions=[
                    _partition(call.broker, topic.name, asked, request.isolation_level)
                    for asked in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )


def _partition(broker: Broker, name: str, asked: Message, isolation_level: int) -> Message:
    code, timestamp, offset, epoch = 0, -1, -1, -1
    try:
        topic = broker.topics.get(name)
        if topic is None:
            raise Invalid(f"topic {name!r} does not exist", code=_UNKNOWN_TOPIC)
        partition = topic.partition(asked.partition_index)
        offset, timestamp = _look_up(
            partition, asked.timestamp, committed=isolation_level == _READ_COMMITTED
        )
        epoch = partition.leader_epoch if offset >= 0 else -1
    except MainstemError as error:
        code = -1 if error.code is None else error.code
        broker.counters.failed(code)
    return Message(
        partition_index=asked.partition_index,
        error_code=code,
        timestamp=timestamp,
        offset=offset,
        leader_epoch=epoch,
    )


def _look_up(partition: Partition, timestamp: int, *, committed: bool) -> tuple[int, int]:
    """``(offset, timestamp)``; -1 for "none". Tiered storage (KIP-405): everything is local."""
    end = partition.last_stable_offset if committed else partition.high_watermark
    match timestamp:
        case -1:  # latest
            return end, -1
        case -2 | -4:  # earliest, earliest local
            return partition.log_start_offset, -1
        case -3:  # max timestamp (KIP-734)
            found = partition.offset_of_max_timestamp()
        case -5 | -6:  # latest tiered, earliest pending upload
            return -1, -1
        case _ if timestamp < 0:
            raise Invalid(f"timestamp {timestamp} has no meaning", code=42)
        case _:
            found = partition.offset_for_timestamp(timestamp)
    return found if found is not None else (-1, -1)
