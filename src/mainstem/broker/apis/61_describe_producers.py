"""DescribeProducers: what a partition remembers of its idempotent producers (KIP-664)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.broker.answers import failure, find_partition
from mainstem.errors import MainstemError
from mainstem.wire import Message

if TYPE_CHECKING:
    from mainstem.broker.broker import Broker
    from mainstem.broker.call import Call
    from mainstem.log import Producer


def handle(request: Message, call: Call) -> Message:
    """Without transactions no producer has a coordinator epoch or an open transaction."""
    return Message(
        topics=[
            Message(
                name=topic.name,
                partitions=[
                    _describe(call.broker, topic.name, index)
                    for index in dict.fromkeys(topic.partition_indexes)
                ],
            )
            for topic in request.topics
        ]
    )


def _describe(broker: Broker, topic: str, index: int) -> Message:
    code, text, producers = 0, None, []
    try:
        active = find_partition(broker, topic, index).active_producers()
        producers = [_producer(producer) for producer in active]
    except MainstemError as error:
        code, text = failure(broker, error)
    return Message(
        partition_index=index, error_code=code, error_message=text, active_producers=producers
    )


def _producer(producer: Producer) -> Message:
    last = producer.batches[-1] if producer.batches else None
    return Message(
        producer_id=producer.producer_id,
        producer_epoch=producer.epoch,
        last_sequence=last.last_sequence if last is not None else -1,
        last_timestamp=producer.seen_ms,
        coordinator_epoch=-1,
        current_txn_start_offset=-1,
    )
