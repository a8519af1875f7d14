"""aiokafka, driven from synchronous tests through one event loop in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Mapping
from concurrent.futures import Future, wait
from typing import Any

import aiokafka
from aiokafka import TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from interop.clients import TIMEOUT, Administrator, Member, Refused
from interop.corpus import Placed, Record

ASSIGNORS = {
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
    "sticky": StickyPartitionAssignor,
}


class Loop:
    """An event loop in a thread; :meth:`run` waits there and maps errors here."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def begin(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return self.begin(work).result(TIMEOUT)
        except errors.KafkaError as error:
            raise Refused(getattr(error, "errno", None) or -1, repr(error)) from error

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _placed(message: Any) -> Placed:
    record = Record(message.key, message.value, tuple(message.headers), message.timestamp)
    return Placed(record, message.partition, message.offset)


class GroupMember(Member):
    """Joins and polls in the background: both wait for rebalances, which need others' polls."""

    def __init__(self, loop: Loop, consumer: aiokafka.AIOKafkaConsumer, topic: str) -> None:
        self._loop, self._consumer, self._topic = loop, consumer, topic
        self._pending: Future[Any] = loop.begin(consumer.start())

    def poll(self) -> list[Placed]:
        wait([self._pending], 0.1)
        if not self._pending.done():
            return []
        found = self._pending.result() or {}
        self._pending = self._loop.begin(self._consumer.getmany(timeout_ms=100))
        return [_placed(message) for messages in found.values() for message in messages]

    def assignment(self) -> set[int]:
        return {each.partition for each in self._consumer.assignment()}

    def commit(self, offsets: Mapping[int, int] | None = None) -> None:
        wanted = offsets and {TopicPartition(self._topic, p): o for p, o in offsets.items()}
        self._loop.run(self._consumer.commit(wanted))

    def _close(self) -> None:
        self._loop.run(self._consumer.stop())


class Adapter(Administrator):
    name = "aio"
    strategies = ("range", "roundrobin", "sticky")

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._loop = Loop()
        self._admin: AIOKafkaAdminClient = self._loop.run(self._start_admin())

    async def _start_admin(self) -> AIOKafkaAdminClient:
        client = AIOKafkaAdminClient(bootstrap_servers=self.address)
        await client.start()
        return client

    def can_write(self, record: Record) -> bool:
        """Not a record with neither key nor value: the client asserts."""
        return record.key is not None or record.value is not None

    def close(self) -> None:
        self._loop.run(self._admin.close())
        self._loop.close()

    def produce(
        self,
        topic: str,
        records: Iterable[Record],
        *,
        partition: int | None = 0,
        codec: str = "none",
        idempotent: bool = False,
    ) -> list[tuple[int, int]]:
        async def work() -> list[tuple[int, int]]:
            producer = aiokafka.AIOKafkaProducer(
                bootstrap_servers=self.address,
                compression_type=None if codec == "none" else codec,
                enable_idempotence=idempotent,
                max_request_size=10_000_000,
                linger_ms=5,
            )
            await producer.start()
            try:
                sent = [
                    await producer.send(
                        topic,
                        each.value,
                        each.key,
                        partition,
                        each.timestamp,
                        list(each.headers),
                    )
                    for each in records
                ]
                results = await asyncio.gather(*sent)
            finally:
                await producer.stop()
            return [(each.partition, each.offset) for each in results]

        places: list[tuple[int, int]] = self._loop.run(work())
        return places

    def read(self, topic: str, count: int, *, partition: int = 0, start: int = 0) -> list[Placed]:
        async def work() -> list[Placed]:
            consumer = aiokafka.AIOKafkaConsumer(
                bootstrap_servers=self.address, auto_offset_reset="none", enable_auto_commit=False
            )
            await consumer.start()
            where = TopicPartition(topic, partition)
            consumer.assign([where])
            consumer.seek(where, start)
            found: list[Placed] = []
            try:
                async with asyncio.timeout(TIMEOUT):
                    while len(found) < count:
                        found.append(_placed(await consumer.getone()))
            finally:
                await consumer.stop()
            return found

        found: list[Placed] = self._loop.run(work())
        return found

    def _asking(self, question: Any) -> Any:
        async def work() -> Any:
            consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=self.address)
            await consumer.start()
            try:
                return await question(consumer)
            finally:
                await consumer.stop()

        return self._loop.run(work())

    def offset_at(self, topic: str, partition: int, timestamp: int) -> int | None:
        where = TopicPartition(topic, partition)
        found = self._asking(lambda each: each.offsets_for_times({where: timestamp}))
        return None if found[where] is None else int(found[where].offset)

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        where = TopicPartition(topic, partition)
        first = self._asking(lambda each: each.beginning_offsets([where]))[where]
        return first, self._asking(lambda each: each.end_offsets([where]))[where]

    def _join(self, group: str, topic: str, options: Mapping[str, str]) -> Member:
        async def work() -> aiokafka.AIOKafkaConsumer:
            return aiokafka.AIOKafkaConsumer(
                topic,
                bootstrap_servers=self.address,
                group_id=group,
                group_instance_id=options.get("instance"),
                auto_offset_reset=options.get("reset", "earliest"),
                enable_auto_commit=False,
                partition_assignment_strategy=(ASSIGNORS[options.get("strategy", "range")],),
                heartbeat_interval_ms=500,
            )

        return GroupMember(self._loop, self._loop.run(work()), topic)

    @staticmethod
    def _check(response: Any) -> None:
        """Raise Refused for the first error in a per-topic answer of (name, code, message?)."""
        found = getattr(response, "topic_errors", None) or getattr(
            response, "topic_error_codes", ()
        )
        for _, code, *message in found:
            if code:
                raise Refused(code, str(message))

    def create_topic(
        self, topic: str, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        new = NewTopic(topic, partitions, 1, topic_configs=dict(config or {}))
        self._check(self._loop.run(self._admin.create_topics([new])))

    def topics(self) -> set[str]:
        return set(self._loop.run(self._admin.list_topics()))

    def delete_topic(self, topic: str) -> None:
        self._check(self._loop.run(self._admin.delete_topics([topic])))

    def partitions(self, topic: str) -> int:
        (found,) = self._loop.run(self._admin.describe_topics([topic]))
        if found["error_code"]:
            raise Refused(found["error_code"], topic)
        return len(found["partitions"])

    def topic_config(self, topic: str) -> dict[str, str]:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        (response,) = self._loop.run(self._admin.describe_configs([resource]))
        ((code, message, _, _, entries),) = response.resources
        if code:
            raise Refused(code, str(message))
        return {entry[0]: entry[1] for entry in entries}

    def alter_config(self, topic: str, config: Mapping[str, str]) -> None:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict(config))
        (response,) = self._loop.run(self._admin.alter_configs([resource]))
        for code, message, *_ in response.resources:
            if code:
                raise Refused(code, str(message))

    def add_partitions(self, topic: str, total: int) -> None:
        new = {topic: NewPartitions(total)}
        self._check(self._loop.run(self._admin.create_partitions(new)))

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        wanted = {TopicPartition(topic, partition): RecordsToDelete(before)}
        self._loop.run(self._admin.delete_records(wanted))

    def committed(self, group: str, topic: str, partition: int) -> int | None:
        where = TopicPartition(topic, partition)
        found = self._loop.run(self._admin.list_consumer_group_offsets(group, partitions=[where]))
        return None if found[where].offset < 0 else int(found[where].offset)

    def groups(self) -> set[str]:
        return {each[0] for each in self._loop.run(self._admin.list_consumer_groups())}

    def group_size(self, group: str) -> int:
        (response,) = self._loop.run(self._admin.describe_consumer_groups([group]))
        (found,) = response.groups
        return len(found[5])
