"""confluent-kafka: librdkafka from Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import confluent_kafka as ck
from confluent_kafka import admin

from interop.clients import TIMEOUT, Administrator, Member, Refused, until
from interop.corpus import Placed, Record


def _placed(message: ck.Message) -> Placed:
    headers = tuple(message.headers() or ())
    return Placed(
        Record(message.key(), message.value(), headers, message.timestamp()[1]),
        message.partition(),
        message.offset(),
    )


def _refused(error: ck.KafkaError) -> Refused:
    return Refused(error.code(), error.str())


class GroupMember(Member):
    def __init__(self, consumer: ck.Consumer, topic: str) -> None:
        self._consumer, self._topic = consumer, topic
        consumer.subscribe([topic])

    def poll(self) -> list[Placed]:
        records = []
        for message in self._consumer.consume(500, 0.1):
            error = message.error()
            if error is not None:
                raise _refused(error)
            records.append(_placed(message))
        return records

    def assignment(self) -> set[int]:
        return {each.partition for each in self._consumer.assignment()}

    def commit(self, offsets: Mapping[int, int] | None = None) -> None:
        if offsets is None:
            self._consumer.commit(asynchronous=False)
            return
        wanted = [ck.TopicPartition(self._topic, p, o) for p, o in offsets.items()]
        self._consumer.commit(offsets=wanted, asynchronous=False)

    def _close(self) -> None:
        self._consumer.close()


class Adapter(Administrator):
    name = "confluent"
    strategies = ("range", "roundrobin", "cooperative-sticky")

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._admin = admin.AdminClient({"bootstrap.servers": address})

    def close(self) -> None:
        del self._admin

    def _consumer(self, **settings: Any) -> ck.Consumer:
        base = {
            "bootstrap.servers": self.address,
            "group.id": "unused",
            "enable.auto.commit": False,
        }
        return ck.Consumer(base | settings)

    def produce(
        self,
        topic: str,
        records: Iterable[Record],
        *,
        partition: int | None = 0,
        codec: str = "none",
        idempotent: bool = False,
    ) -> list[tuple[int, int]]:
        producer = ck.Producer(
            {
                "bootstrap.servers": self.address,
                "compression.type": codec,
                "enable.idempotence": idempotent,
                "linger.ms": 5,
                "message.max.bytes": 10_000_000,
            }
        )
        places: dict[int, tuple[int, int]] = {}
        errors: list[ck.KafkaError] = []
        for index, record in enumerate(records):

            def done(error: ck.KafkaError | None, message: ck.Message, index: int = index) -> None:
                if error is not None:
                    errors.append(error)
                else:
                    places[index] = message.partition(), message.offset()

            where = {} if partition is None else {"partition": partition}
            when = {} if record.timestamp is None else {"timestamp": record.timestamp}
            producer.produce(
                topic,
                record.value,
                record.key,
                headers=list(record.headers),
                on_delivery=done,
                **where,
                **when,
            )
        assert producer.flush(TIMEOUT) == 0
        if errors:
            raise _refused(errors[0])
        return [places[index] for index in sorted(places)]

    def read(self, topic: str, count: int, *, partition: int = 0, start: int = 0) -> list[Placed]:
        consumer = self._consumer(**{"auto.offset.reset": "error"})
        consumer.assign([ck.TopicPartition(topic, partition, start)])
        found: list[Placed] = []

        def more() -> bool:
            for message in consumer.consume(count - len(found), 0.5):
                error = message.error()
                if error is not None:
                    # librdkafka wraps what the broker said about the offset (KIP-320).
                    code = 1 if error.code() == ck.KafkaError._AUTO_OFFSET_RESET else error.code()
                    raise Refused(code, error.str())
                found.append(_placed(message))
            return len(found) >= count

        try:
            until(more, lambda: f"{len(found)} of {count} records of {topic}")
        finally:
            consumer.close()
        return found

    def offset_at(self, topic: str, partition: int, timestamp: int) -> int | None:
        consumer = self._consumer()
        wanted = [ck.TopicPartition(topic, partition, timestamp)]
        (found,) = consumer.offsets_for_times(wanted, timeout=TIMEOUT)
        consumer.close()
        if found.error:
            raise _refused(found.error)
        return None if found.offset < 0 else found.offset

    def _join(self, group: str, topic: str, options: Mapping[str, str]) -> Member:
        settings = {
            "group.id": group,
            "auto.offset.reset": {"none": "error"}.get(r := options.get("reset", "earliest"), r),
            "heartbeat.interval.ms": 500,
            "partition.assignment.strategy": options.get("strategy", "range"),
        }
        if "instance" in options:
            settings["group.instance.id"] = options["instance"]
        return GroupMember(self._consumer(**settings), topic)

    def _done(self, futures: Mapping[Any, Any]) -> Any:
        (future,) = futures.values()
        try:
            return future.result(TIMEOUT)
        except ck.KafkaException as error:
            raise _refused(error.args[0]) from error

    def create_topic(
        self, topic: str, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        new = admin.NewTopic(topic, partitions, 1, config=dict(config or {}))
        self._done(self._admin.create_topics([new]))

    def topics(self) -> set[str]:
        return set(self._admin.list_topics(timeout=TIMEOUT).topics)

    def delete_topic(self, topic: str) -> None:
        self._done(self._admin.delete_topics([topic]))

    def partitions(self, topic: str) -> int:
        found = self._done(self._admin.describe_topics(ck.TopicCollection([topic])))
        return len(found.partitions)

    def topic_config(self, topic: str) -> dict[str, str]:
        resource = admin.ConfigResource(admin.ResourceType.TOPIC, topic)
        entries = self._done(self._admin.describe_configs([resource]))
        return {entry.name: entry.value for entry in entries.values()}

    def alter_config(self, topic: str, config: Mapping[str, str]) -> None:
        entries = [
            admin.ConfigEntry(name, value, incremental_operation=admin.AlterConfigOpType.SET)
            for name, value in config.items()
        ]
        resource = admin.ConfigResource(
            admin.ResourceType.TOPIC, topic, incremental_configs=entries
        )
        self._done(self._admin.incremental_alter_configs([resource]))

    def add_partitions(self, topic: str, total: int) -> None:
        self._done(self._admin.create_partitions([admin.NewPartitions(topic, total)]))

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        self._done(self._admin.delete_records([ck.TopicPartition(topic, partition, before)]))

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        where = ck.TopicPartition(topic, partition)
        first = self._done(self._admin.list_offsets({where: admin.OffsetSpec.earliest()}))
        last = self._done(self._admin.list_offsets({where: admin.OffsetSpec.latest()}))
        return first.offset, last.offset

    def committed(self, group: str, topic: str, partition: int) -> int | None:
        wanted = ck.ConsumerGroupTopicPartitions(group, [ck.TopicPartition(topic, partition)])
        found = self._done(self._admin.list_consumer_group_offsets([wanted]))
        offset = found.topic_partitions[0].offset
        return None if offset < 0 else offset

    def groups(self) -> set[str]:
        found = self._admin.list_consumer_groups().result(TIMEOUT)
        assert not found.errors
        return {each.group_id for each in found.valid}

    def group_size(self, group: str) -> int:
        return len(self._done(self._admin.describe_consumer_groups([group])).members)
