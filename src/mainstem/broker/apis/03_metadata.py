"""Metadata: the broker, the topics, and on request a topic that is not there yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.broker.answers import CLUSTER_OPERATIONS, NO_OPERATIONS, TOPIC_OPERATIONS
from mainstem.broker.topic import check_name
from mainstem.errors import Conflict, MainstemError
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.call import Call
    from mainstem.broker.topics import Topic

_LEADER_NOT_AVAILABLE = 5
_UNKNOWN_TOPIC = 3
_INVALID_TOPIC = 17
_STORAGE_ERROR = 56
_UNKNOWN_TOPIC_ID = 100
_NAME_MAY_BE_NULL = 12


async def handle(request: Message, call: Call) -> Message:
    """All topics for a null list (v1+) or an empty one (v0)."""
    broker = call.broker
    wanted = request.topics
    operations = TOPIC_OPERATIONS if request.include_topic_authorized_operations else NO_OPERATIONS
    if wanted is None or (call.api_version == 0 and not wanted):
        topics = [_describe(broker, topic, operations) for topic in broker.topics.all()]
    else:
        create = request.allow_auto_topic_creation if call.api_version >= 4 else True
        distinct = {(asked.name, asked.topic_id): asked for asked in wanted}
        topics = [
            await _find(call, asked, operations, create=create) for asked in distinct.values()
        ]
    host, port = broker.advertised
    return Message(
        error_code=0,
        brokers=[Message(node_id=broker.node_id, host=host, port=port, rack=None)],
        cluster_id=broker.cluster_id,
        controller_id=broker.node_id,
        topics=topics,
        cluster_authorized_operations=(
            CLUSTER_OPERATIONS
            if getattr(request, "include_cluster_authorized_operations", False)  # v8 to v10
            else NO_OPERATIONS
        ),
    )


async def _find(call: Call, asked: Message, operations: int, *, create: bool) -> Message:
    broker = call.broker
    if asked.topic_id is not None:
        topic = broker.topics.by_id(asked.topic_id)
        if topic is None:
            return _missing(
                None if call.api_version >= _NAME_MAY_BE_NULL else "", asked, _UNKNOWN_TOPIC_ID
            )
        return _describe(broker, topic, operations)
    if asked.name is None:
        return _missing("", asked, _INVALID_TOPIC)
    topic = broker.topics.get(asked.name)
    if topic is None:
        try:
            check_name(asked.name)
            if not (create and broker.config.auto_create_topics):
                return _missing(asked.name, asked, _UNKNOWN_TOPIC)
            topic = await broker.topics.create(asked.name, broker.config.num_partitions, {})
        except Conflict:
            topic = broker.topics.get(asked.name)
        except MainstemError as error:
            code = _UNKNOWN_TOPIC if error.code is None else error.code
            return _missing(asked.name, asked, code)
    if topic is None:
        return _missing(asked.name, asked, _UNKNOWN_TOPIC)
    return _describe(broker, topic, operations)


def _missing(name: str | None, asked: Message, code: int) -> Message:
    return Message(
        error_code=code,
        name=name,
        topic_id=asked.topic_id,
        is_internal=False,
        partitions=[],
        topic_authorized_operations=NO_OPERATIONS,
    )


def _describe(broker: Broker, topic: Topic, operations: int) -> Message:
    return Message(
        error_code=0,
        name=topic.name,
        topic_id=topic.id,
        is_internal=False,
        partitions=[_partition(broker, topic, index) for index in range(topic.partition_count)],
        topic_authorized_operations=operations,
    )


def _partition(broker: Broker, topic: Topic, index: int) -> Message:
    try:
        epoch, code = topic.partition(index).leader_epoch, 0
    except MainstemError:
        epoch, code = -1, _STORAGE_ERROR
    return Message(
        error_code=code,
        partition_index=index,
        leader_id=broker.node_id if not code else -1,
        leader_epoch=epoch,
        replica_nodes=[broker.node_id],
        isr_nodes=[broker.node_id],
        offline_replicas=[broker.node_id] if code else [],
    )
