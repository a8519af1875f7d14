"""CreatePartitions: more partitions for topics that exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.broker.answers import failure, refuse_duplicate, twice
from mainstem.broker.assignments import check_replicas
from mainstem.broker.topic import check_partitions
from mainstem.errors import Invalid, MainstemError
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.call import Call

_INVALID_REPLICA_ASSIGNMENT = 39


async def handle(request: Message, call: Call) -> Message:
    """One result per topic; one that is named twice is refused, once."""
    duplicates = twice(topic.name for topic in request.topics)
    results = {}
    for asked in request.topics:
        if asked.name in results:
            continue
        code, text = 0, None
        try:
            if asked.name in duplicates:
                raise refuse_duplicate(f"topic {asked.name!r}")
            await _grow(call.broker, asked, validate_only=request.validate_only)
        except MainstemError as error:
            code, text = failure(call.broker, error)
        results[asked.name] = Message(name=asked.name, error_code=code, error_message=text)
    return Message(results=list(results.values()))


async def _grow(broker: Broker, asked: Message, *, validate_only: bool) -> None:
    topic = broker.topics.require(asked.name)
    check_partitions(asked.count, present=topic.partition_count)
    if asked.assignments is not None:
        added = asked.count - topic.partition_count
        if len(asked.assignments) != added:
            raise Invalid(
                f"{len(asked.assignments)} assignments are given for {added} new partitions: "
                "give one for each, or none",
                code=_INVALID_REPLICA_ASSIGNMENT,
            )
        for assignment in asked.assignments:
            check_replicas(assignment.broker_ids, broker.node_id)
    if not validate_only:
        await broker.topics.add_partitions(topic, asked.count)
