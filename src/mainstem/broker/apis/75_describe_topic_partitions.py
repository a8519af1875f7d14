"""DescribeTopicPartitions: Metadata in pages (KIP-966)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.broker.answers import INVALID_REQUEST, TOPIC_OPERATIONS
from mainstem.broker.topic import check_name
from mainstem.errors import Invalid, MainstemError
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.call import Call
    from mainstem.broker.topics import Topic

_MOST_PARTITIONS = 2000  # Kafka's max.request.partition.size.limit
_UNKNOWN_TOPIC_OR_PARTITION = 3
_INVALID_TOPIC = 17
_KAFKA_STORAGE_ERROR = 56


def handle(request: Message, call: Call) -> Message:
    """Topics by name from the cursor on; ``next_cursor`` says where the page ended."""
    broker, cursor = call.broker, request.cursor
    if cursor is not None and cursor.partition_index < 0:
        # The response has no error code of its own; Kafka closes the connection, too.
        raise Invalid(
            f"DescribeTopicPartitions cursor at partition {cursor.partition_index}",
            code=INVALID_REQUEST,
        )
    names = sorted(_names(broker, request))
    room = max(1, min(_MOST_PARTITIONS, request.response_partition_limit))
    topics: list[Message] = []
    for name in names:
        if cursor is not None and name < cursor.topic_name:
            continue
        first = cursor.partition_index if cursor is not None and name == cursor.topic_name else 0
        if room <= 0:
            return Message(
                topics=topics, next_cursor=Message(topic_name=name, partition_index=first)
            )
        topic = broker.topics.get(name)
        if topic is None:
            topics.append(_missing(name))
            continue
        last = min(topic.partition_count, first + room)
        topics.append(_describe(broker, topic, range(first, last)))
        room -= max(0, last - first)
        if last < topic.partition_count:
            return Message(
                topics=topics, next_cursor=Message(topic_name=name, partition_index=last)
            )
    return Message(topics=topics, next_cursor=None)


def _names(broker: Broker, request: Message) -> set[str]:
    if request.topics:
        return {topic.name for topic in request.topics}
    return {topic.name for topic in broker.topics.all()}


def _missing(name: str) -> Message:
    code = _UNKNOWN_TOPIC_OR_PARTITION
    try:
        check_name(name)
    except MainstemError:
        code = _INVALID_TOPIC
    return Message(
        error_code=code,
        name=name,
        topic_id=None,
        is_internal=False,
        partitions=[],
        topic_authorized_operations=TOPIC_OPERATIONS,
    )


def _describe(broker: Broker, topic: Topic, indexes: range) -> Message:
    return Message(
        error_code=0,
        name=topic.name,
        topic_id=topic.id,
        is_internal=False,
        partitions=[_partition(broker, topic, index) for index in indexes],
        topic_authorized_operations=TOPIC_OPERATIONS,
    )


def _partition(broker: Broker, topic: Topic, index: int) -> Message:
    try:
        epoch, code = topic.partition(index).leader_epoch, 0
    except MainstemError:
        epoch, code = -1, _KAFKA_STORAGE_ERROR
    here = [broker.node_id]
    return Message(
        error_code=code,
        partition_index=index,
        leader_id=-1 if code else broker.node_id,
        leader_epoch=epoch,
        replica_nodes=here,
        isr_nodes=here,
        eligible_leader_replicas=[],
        last_known_elr=[],
        offline_replicas=here if code else [],
    )
