"""kafka-python: the pure Python client."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition, errors
from kafka.admin import (
    ConfigResource,
    ConfigResourceType,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.structs import OffsetAndMetadata

from interop.clients import TIMEOUT, Administrator, Member, Refused, until
from interop.corpus import Placed, Record

ASSIGNORS = {
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
    "cooperative-sticky": CooperativeStickyAssignor,
}


def _asked(question: Callable[[], Any]) -> Any:
    try:
        return question()
    except errors.KafkaError as error:
        raise Refused(getattr(error, "errno", None) or -1, repr(error)) from error


def _placed(message: Any) -> Placed:
    record = Record(message.key, message.value, tuple(message.headers), message.timestamp)
    return Placed(record, message.partition, message.offset)


class GroupMember(Member):
    """Polls in a thread of its own: the client joins anew if a poll ends during a rebalance."""

    def __init__(self, consumer: KafkaConsumer, topic: str) -> None:
        self._consumer, self._topic = consumer, topic
        self._thread = ThreadPoolExecutor(1)
        self._polling: Future[Any] | None = None
        consumer.subscribe([topic])

    def poll(self) -> list[Placed]:
        if self._polling is None:
            self._polling = self._thread.submit(_asked, lambda: self._consumer.poll(1000))
        wait([self._polling], 0.1)
        if not self._polling.done():
            return []
        found, self._polling = self._polling.result(), None
        return [_placed(message) for messages in found.values() for message in messages]

    def assignment(self) -> set[int]:
        return {each.partition for each in self._consumer.assignment()}

    def commit(self, offsets: Mapping[int, int] | None = None) -> None:
        wanted = offsets and {
            TopicPartition(self._topic, partition): OffsetAndMetadata(offset, "by hand", -1)
            for partition, offset in offsets.items()
        }
        self._thread.submit(_asked, lambda: self._consumer.commit(wanted)).result(TIMEOUT)

    def _close(self) -> None:
        self._thread.submit(self._consumer.close).result(TIMEOUT)
        self._thread.shutdown()


class Adapter(Administrator):
    name = "kafka_python"
    strategies = ("range", "roundrobin", "cooperative-sticky")

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._admin = KafkaAdminClient(bootstrap_servers=address)

    def can_write(self, record: Record) -> bool:
        """Not a record with neither key nor value, nor a null header: the client refuses."""
        nulls = any(value is None for _, value in record.headers)
        return not nulls and (record.key is not None or record.value is not None)

    def close(self) -> None:
        self._admin.close()

    def produce(
        self,
        topic: str,
        records: Iterable[Record],
        *,
        partition: int | None = 0,
        codec: str = "none",
        idempotent: bool = False,
    ) -> list[tuple[int, int]]:
        producer = KafkaProducer(
            bootstrap_servers=self.address,
            compression_type=None if codec == "none" else codec,
            enable_idempotence=idempotent,
            max_request_size=10_000_000,
            linger_ms=5,
        )

        def work() -> list[tuple[int, int]]:
            sent = [
                producer.send(
                    topic,
                    each.value,
                    each.key,
                    headers=list(each.headers),
                    partition=partition,
                    timestamp_ms=each.timestamp,
                )
                for each in records
            ]
            results = [future.get(TIMEOUT) for future in sent]
            return [(each.partition, each.offset) for each in results]

        try:
            places: list[tuple[int, int]] = _asked(work)
        finally:
            producer.close()
        return places

    def _consumer(self, **settings: Any) -> KafkaConsumer:
        return KafkaConsumer(bootstrap_servers=self.address, enable_auto_commit=False, **settings)

    def read(self, topic: str, count: int, *, partition: int = 0, start: int = 0) -> list[Placed]:
        consumer = self._consumer(auto_offset_reset="none")
        where = TopicPartition(topic, partition)
        consumer.assign([where])
        consumer.seek(where, start)
        found: list[Placed] = []

        def more() -> bool:
            polled = _asked(lambda: consumer.poll(500, max_records=count - len(found)))
            found.extend(_placed(each) for each in polled.get(where, ()))
            return len(found) >= count

        try:
            until(more, lambda: f"{len(found)} of {count} records of {topic}")
        finally:
            consumer.close()
        return found

    def offset_at(self, topic: str, partition: int, timestamp: int) -> int | None:
        where = TopicPartition(topic, partition)
        consumer = self._consumer()
        try:
            found = _asked(lambda: consumer.offsets_for_times({where: timestamp}))[where]
        finally:
            consumer.close()
        return None if found is None else int(found.offset)

    def _join(self, group: str, topic: str, options: Mapping[str, str]) -> Member:
        consumer = self._consumer(
            group_id=group,
            group_instance_id=options.get("instance"),
            auto_offset_reset=options.get("reset", "earliest"),
            partition_assignment_strategy=[ASSIGNORS[options.get("strategy", "range")]],
            heartbeat_interval_ms=500,
        )
        return GroupMember(consumer, topic)

    def create_topic(
        self, topic: str, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        new = NewTopic(
            name=topic,
            num_partitions=partitions,
            replication_factor=1,
            topic_configs=dict(config or {}),
        )
        _asked(lambda: self._admin.create_topics([new]))

    def topics(self) -> set[str]:
        return {each["name"] for each in _asked(self._admin.describe_topics)}

    def delete_topic(self, topic: str) -> None:
        _asked(lambda: self._admin.delete_topics([topic]))

    def partitions(self, topic: str) -> int:
        (found,) = _asked(lambda: self._admin.describe_topics([topic]))
        if found["error_code"]:
            raise Refused(found["error_code"], topic)
        return len(found["partitions"])

    def topic_config(self, topic: str) -> dict[str, str]:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        found = _asked(lambda: self._admin.describe_configs([resource], config_filter="all"))
        return {name: entry["value"] for name, entry in found["topic"][topic].items()}

    def alter_config(self, topic: str, config: Mapping[str, str]) -> None:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict(config))
        # The client answers in words: "OK", or "[Error 40] ...".
        found = _asked(lambda: self._admin.alter_configs([resource], raise_on_unknown=False))
        answer = found["topic"][topic]
        if code := re.match(r"\[Error (\d+)\]", answer):
            raise Refused(int(code[1]), answer)

    def add_partitions(self, topic: str, total: int) -> None:
        _asked(lambda: self._admin.create_partitions({topic: NewPartitions(total)}))

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        _asked(lambda: self._admin.delete_records({TopicPartition(topic, partition): before}))

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        where = TopicPartition(topic, partition)
        ask = self._admin.list_partition_offsets
        first = _asked(lambda: ask({where: OffsetSpec.EARLIEST}))[where]
        return first.offset, _asked(lambda: ask({where: OffsetSpec.LATEST}))[where].offset

    def committed(self, group: str, topic: str, partition: int) -> int | None:
        where = TopicPartition(topic, partition)
        found = _asked(lambda: self._admin.list_group_offsets({group: [where]}))[group].get(where)
        return None if found is None or found.offset < 0 else int(found.offset)

    def groups(self) -> set[str]:
        return {each["group_id"] for each in _asked(self._admin.list_groups)}

    def group_size(self, group: str) -> int:
        found = _asked(lambda: self._admin.describe_groups([group]))
        return len(found[group]["members"])
