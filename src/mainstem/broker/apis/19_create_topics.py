"""CreateTopics: each topic on its own, durable before it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.broker.answers import failure, refuse_duplicate, twice
from mainstem.broker.assignments import check_replicas
from mainstem.broker.configs import describe_topic
from mainstem.broker.topic import MAX_PARTITIONS
from mainstem.errors import Invalid, MainstemError
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.call import Call
    from mainstem.broker.topics import Topic

_INVALID_PARTITIONS = 37
_INVALID_REPLICATION_FACTOR = 38
_INVALID_REPLICA_ASSIGNMENT = 39
_INVALID_CONFIG = 40
_INVALID_REQUEST = 42


async def handle(request: Message, call: Call) -> Message:
    """One result per topic asked for; duplicates in the request are all refused, once."""
    broker = call.broker
    duplicates = twice(topic.name for topic in request.topics)
    results = {}
    total = 0
    for asked in request.topics:
        if asked.name in results:
            continue
        try:
            if asked.name in duplicates:
                raise refuse_duplicate(f"topic {asked.name!r}")
            count = _partition_count(broker, asked)
            total += max(count, 0)
            if total > MAX_PARTITIONS:
                raise Invalid(
                    f"this request asks for more than {MAX_PARTITIONS} partitions: split it",
                    code=_INVALID_PARTITIONS,
                )
            _check_replication_factor(asked)
            topic = await broker.topics.create(
                asked.name, count, _configs(asked), validate_only=request.validate_only
            )
            results[asked.name] = _created(broker, topic, request.validate_only)
        except MainstemError as error:
            results[asked.name] = _refused(broker, asked.name, error)
    return Message(topics=list(results.values()))


def _partition_count(broker: Broker, asked: Message) -> int:
    if not asked.assignments:
        wanted: int = asked.num_partitions
        return broker.config.num_partitions if wanted == -1 else wanted
    for field, value in (
        ("replication factor", asked.replication_factor),
        ("number of partitions", asked.num_partitions),
    ):
        if value != -1:
            raise Invalid(
                f"A manual partition assignment was specified, but the {field} is {value}: "
                "leave it at -1",
                code=_INVALID_REQUEST,
            )
    indexes = sorted(assignment.partition_index for assignment in asked.assignments)
    if indexes != list(range(len(indexes))):
        raise Invalid(
            f"assigned partitions are {indexes[:20]}: they must be 0, 1, 2 … without a gap",
            code=_INVALID_REPLICA_ASSIGNMENT,
        )
    for assignment in asked.assignments:
        check_replicas(assignment.broker_ids, broker.node_id)
    return len(indexes)


def _check_replication_factor(asked: Message) -> None:
    wanted = asked.replication_factor
    if wanted in {-1, 1}:
        return
    if wanted <= 0:
        raise Invalid(
            f"Replication factor must be larger than 0, or -1 for the default, not {wanted}.",
            code=_INVALID_REPLICATION_FACTOR,
        )
    raise Invalid(
        f"Unable to replicate the partition {wanted} time(s): this site is one node, so the "
        "replication factor can only be 1 (or -1 for the default).",
        code=_INVALID_REPLICATION_FACTOR,
    )


def _configs(asked: Message) -> dict[str, str | None]:
    configs: dict[str, str | None] = {}
    for entry in asked.configs:
        if entry.name in configs:
            raise Invalid(
                f"config {entry.name} is given twice for topic {asked.name!r}", code=_INVALID_CONFIG
            )
        configs[entry.name] = entry.value
    return configs


def _created(broker: Broker, topic: Topic, validate_only: bool) -> Message:
    return Message(
        name=topic.name,
        topic_id=None if validate_only else topic.id,
        error_code=0,
        error_message=None,
        topic_config_error_code=0,
        num_partitions=topic.partition_count,
        replication_factor=1,
        configs=[
            Message(
                name=config.name,
                value=config.value,
                read_only=config.read_only,
                config_source=int(config.source),
                is_sensitive=False,
            )
            for config in describe_topic(topic.overrides, broker.topics.configs)
        ],
    )


def _refused(broker: Broker, name: str, error: MainstemError) -> Message:
    code, text = failure(broker, error)
    return Message(
        name=name,
        topic_id=None,
        error_code=code,
        error_message=text,
        topic_config_error_code=0,
        num_partitions=-1,
        replication_factor=-1,
        configs=[],
    )
