"""DescribeLogDirs: the one data directory, its partitions' sizes, its file system's space."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.call import Call
    from mainstem.broker.topics import Topic

_KAFKA_STORAGE_ERROR = 56


def handle(request: Message, call: Call) -> Message:
    """All topics for null; what does not exist is left out, as Kafka does."""
    broker = call.broker
    code, total, usable = 0, -1, -1
    try:
        space = os.statvfs(broker.config.data)
        total, usable = space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize
    except OSError:
        code = _KAFKA_STORAGE_ERROR
        broker.counters.failed(code)
    directory = Message(
        error_code=code,
        log_dir=str(broker.config.data),
        topics=[] if code else _sizes(broker, request.topics),
        total_bytes=total,
        usable_bytes=usable,
        is_cordoned=False,
    )
    return Message(error_code=0, results=[directory])


def _sizes(broker: Broker, asked: list[Message] | None) -> list[Message]:
    if asked is None:
        return [_topic(topic, None) for topic in broker.topics.all()]
    wanted: dict[str, set[int]] = {}
    for entry in asked:
        wanted.setdefault(entry.topic, set()).update(entry.partitions)
    found = [(broker.topics.get(name), indexes) for name, indexes in wanted.items()]
    return [_topic(topic, indexes) for topic, indexes in found if topic is not None]


def _topic(topic: Topic, indexes: set[int] | None) -> Message:
    return Message(
        name=topic.name,
        partitions=[
            Message(
                partition_index=partition.index,
                partition_size=partition.size_bytes,
                offset_lag=0,
                is_future_key=False,
            )
            for partition in topic.partitions()
            if indexes is None or partition.index in indexes
        ],
    )
