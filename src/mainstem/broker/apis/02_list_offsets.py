"""ListOffsets: the offset that belongs to a point in time, or to a special one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.broker.answers import INVALID_REQUEST, check_leader_epoch, twice
from mainstem.errors import Invalid, MainstemError
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.call import Call
    from mainstem.log import Partition

_UNKNOWN_TOPIC = 3
_UNSUPPORTED_VERSION = 35
_READ_COMMITTED = 1
#: The version that each special timestamp came with.
_SINCE = {-1: 0, -2: 0, -3: 7, -4: 8, -5: 9, -6: 11}


def handle(request: Message, call: Call) -> Message:
    """One answer per partition; what is asked for twice in one request is refused, as in Kafka."""
    committed = request.isolation_level == _READ_COMMITTED
    duplicates = twice(
        (topic.name, asked.partition_index)
        for topic in request.topics
        for asked in topic.partitions
    )
    return Message(
        topics=[
            Message(
                name=topic.name,
                partitions=[
                    _partition(
                        call,
                        topic.name,
                        asked,
                        committed=committed,
                        duplicate=(topic.name, asked.partition_index) in duplicates,
                    )
                    for asked in {each.partition_index: each for each in topic.partitions}.values()
                ],
            )
            for topic in request.topics
        ]
    )


def _partition(
    call: Call, name: str, asked: Message, *, committed: bool, duplicate: bool
) -> Message:
    broker: Broker = call.broker
    code, timestamp, offset, epoch = 0, -1, -1, -1
    try:
        if duplicate:
            raise Invalid(f"{name}-{asked.partition_index} is asked twice", code=INVALID_REQUEST)
        if asked.timestamp < 0 and call.api_version < _SINCE.get(asked.timestamp, 1 << 15):
            raise Invalid(
                f"timestamp {asked.timestamp} has no meaning in version {call.api_version}",
                code=_UNSUPPORTED_VERSION,
            )
        topic = broker.topics.get(name)
        if topic is None:
            raise Invalid(f"topic {name!r} does not exist", code=_UNKNOWN_TOPIC)
        partition = topic.partition(asked.partition_index)
        check_leader_epoch(partition, asked.current_leader_epoch)
        offset, timestamp = _look_up(partition, asked.timestamp, committed=committed)
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
        case _:
            found = partition.offset_for_timestamp(timestamp)
    return found if found is not None else (-1, -1)
