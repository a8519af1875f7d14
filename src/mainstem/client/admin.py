"""Topics of a cluster: create, change, describe and delete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mainstem.client.arguments import MOST_COUNT, check_count, check_mapping, check_text
from mainstem.client.cluster import Cluster, raise_for
from mainstem.client.metadata import TopicMetadata
from mainstem.client.offsets import LATEST, bounds, list_offsets
from mainstem.client.retry import Deadline
from mainstem.client.settings import (
    DESCRIBE_CONFIGS,
    INCREMENTAL_ALTER_CONFIGS,
    TOPIC,
    Setting,
    answered,
    change,
    check_settings,
    question,
    text,
)
from mainstem.errors import Invalid, Unavailable
from mainstem.wire import Message

_LEARNING_SECONDS = 5.0  # that nodes get to hear of a deletion
_CREATE_TOPICS, _DELETE_TOPICS, _DELETE_RECORDS = 19, 20, 21
_CREATE_PARTITIONS = 37
_UNKNOWN_TOPIC, _NOT_CONTROLLER, _EXISTS = 3, 41, 36


@dataclass(frozen=True, slots=True)
class PartitionDescription:
    """A partition and its range of offsets; ``end`` is the one after the last record.

    Without a leader at the moment ``leader``, ``start`` and ``end`` are -1.
    """

    index: int
    leader: int
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic, its partitions, and its settings that are not defaults."""

    name: str
    id: str | None
    internal: bool
    partitions: tuple[PartitionDescription, ...]
    settings: tuple[Setting, ...] = field(default=())

    @property
    def offsets(self) -> int:
        """How many offsets its partitions span: records, where none was compacted away."""
        return sum(part.end - part.start for part in self.partitions)


class Admin:
    """Administration of topics. Belongs to the client's event loop."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def _change(self, api_key: int, message: Message, subject: str, items: str) -> Message:
        """Send a change to the controller until one takes it; its one result, checked."""

        async def attempt(deadline: Deadline) -> Message:
            answer = await self._cluster.ask_controller(api_key, message, deadline)
            (result,) = getattr(answer, items)
            code = int(result.error_code)
            if code == _NOT_CONTROLLER:
                await self._cluster.refresh([], deadline)
            raise_for(code, subject, getattr(result, "error_message", None))
            return result  # type: ignore[no-any-return]  # messages are dynamic

        return await self._cluster.retrying(attempt)

    # --- topics ------------------------------------------------------------------------------

    async def topics(self, *, internal: bool = False) -> list[str]:
        """Names of all topics, sorted; the cluster's own only with ``internal``."""
        return [topic.name for topic in await self._all() if internal or not topic.internal]

    async def _all(self) -> list[TopicMetadata]:
        async def attempt(deadline: Deadline) -> None:
            await self._cluster.refresh(None, deadline)

        await self._cluster.retrying(attempt)
        return [topic for _, topic in sorted(self._cluster.metadata.topics.items())]

    async def create(
        self,
        name: str,
        partitions: int | None,
        config: Mapping[str, Any] | None,
        *,
        replication: int | None = None,
        exist_ok: bool = False,
    ) -> None:
        """Create a topic and wait until it can be used; the broker's defaults for ``None``.

        Raises ``Conflict`` when it exists (unless ``exist_ok``), ``Invalid`` for a bad name,
        number or setting.
        """
        check_text("topic", name, code=17)
        check_settings(config or {})
        if partitions is not None:
            check_count("partitions", partitions, most=MOST_COUNT, code=37)
        if replication is not None:
            check_count("replication", replication, most=2**15 - 1, code=38)
        configs = [Message(name=key, value=text(value)) for key, value in (config or {}).items()]
        topic = Message(
            name=name,
            num_partitions=-1 if partitions is None else partitions,
            replication_factor=-1 if replication is None else replication,
            assignments=[],
            configs=configs,
        )
        message = Message(topics=[topic], timeout_ms=30_000, validate_only=False)
        try:
            await self._change(_CREATE_TOPICS, message, f"create topic {name!r}", "topics")
        except Exception as error:
            if not (exist_ok and getattr(error, "code", None) == _EXISTS):
                raise

        async def usable(deadline: Deadline) -> None:
            errors = await self._cluster.refresh([name], deadline)
            if name in errors:  # the broker asked has not heard of it yet
                raise Unavailable(str(errors[name]), code=errors[name].code)
            for part in self._cluster.metadata.topics[name].partitions:
                await self._cluster.leader(name, part.index, deadline)

            # Apache Kafka announces a leader a moment before it leads: wait until it answers as
            # one, or the first records sent with acks=0 are lost.
            indexes = [part.index for part in self._cluster.metadata.topics[name].partitions]
            try:
                await list_offsets(self._cluster, name, dict.fromkeys(indexes, LATEST))
            except Invalid as error:
                if error.code != _UNKNOWN_TOPIC:
                    raise
                raise Unavailable(str(error), code=error.code) from error

        await self._cluster.retrying(usable)

    async def delete(self, name: str) -> None:
        """Delete a topic and its records, and wait a moment until all nodes have heard of it.

        Raises ``Invalid`` with the nearest name if unknown.
        """
        known = await self._known(name)
        topic = Message(name=name, topic_id=None)
        if (await self._version(_DELETE_TOPICS)) >= 6:
            topic = Message(name=None, topic_id=known.id) if known.id else topic
        message = Message(topics=[topic], timeout_ms=30_000)
        await self._change(_DELETE_TOPICS, message, f"delete topic {name!r}", "responses")
        deadline = self._cluster.deadline(_LEARNING_SECONDS)
        while await self._cluster.any_knows(name, deadline):
            found = self._cluster.metadata.topics.get(name)
            if found is None or found.id != known.id:  # another of that name already
                break
            if not await deadline.pause():
                break  # it is gone for good all the same
        self._cluster.metadata.topics.pop(name, None)
        self._cluster.forget(name)

    async def _version(self, api_key: int) -> int:
        return (await self._cluster.connection()).version(api_key)

    async def _known(self, name: str) -> TopicMetadata:
        return await self._cluster.topic(name, self._cluster.deadline(), fresh=True)

    async def describe(self, name: str) -> TopicDescription:
        """Partitions, leaders, offsets and settings of a topic.

        Offsets are -1 where a partition has no leader at the moment.
        """
        topic = await self._known(name)
        indexes = [part.index for part in topic.partitions]
        first, last = await bounds(self._cluster, name, indexes, only_led=True)
        topic = self._cluster.metadata.topics.get(name, topic)  # it may have been asked again
        led = first.keys() & last.keys()
        partitions = tuple(
            PartitionDescription(
                part.index,
                part.leader,
                part.replicas,
                part.in_sync,
                first[part.index] if part.index in led else -1,
                last[part.index] if part.index in led else -1,
            )
            for part in topic.partitions
        )
        settings = tuple(s for s in await self.settings(name) if s.source == "topic")
        identity = None if topic.id is None else str(topic.id)
        return TopicDescription(name, identity, topic.internal, partitions, settings)

    async def add_partitions(self, name: str, total: int) -> None:
        """Grow a topic to ``total`` partitions; keys may map elsewhere afterwards."""
        check_count("partitions", total, most=MOST_COUNT, code=37)
        await self._known(name)
        topic = Message(name=name, count=total, assignments=None)
        message = Message(topics=[topic], timeout_ms=30_000, validate_only=False)
        await self._change(
            _CREATE_PARTITIONS, message, f"set topic {name!r} to {total} partitions", "results"
        )

        async def grown(deadline: Deadline) -> None:
            if len((await self._cluster.topic(name, deadline, fresh=True)).partitions) < total:
                raise Unavailable(f"topic {name!r} has not got its new partitions yet: retry")

        await self._cluster.retrying(grown)

    # --- settings and records ----------------------------------------------------------------

    async def settings(self, name: str) -> list[Setting]:
        """All settings of a topic, sorted by name."""
        subject = f"settings of topic {name!r}"
        result = await self._change(DESCRIBE_CONFIGS, question(TOPIC, name), subject, "results")
        return answered(result)

    async def alter(self, name: str, config: Mapping[str, Any]) -> None:
        """Set a topic's settings; ``None`` puts one back to its default (KIP-339)."""
        check_settings(config)
        await self._known(name)
        message = change(TOPIC, name, config)
        await self._change(
            INCREMENTAL_ALTER_CONFIGS, message, f"change topic {name!r}", "responses"
        )

    async def delete_records(self, name: str, before: Mapping[int, int]) -> dict[int, int]:
        """Drop the records before these offsets; the partitions' first offsets afterwards."""
        check_mapping("before", before)
        found: dict[int, int] = {}
        for partition, offset in before.items():
            check_count(f"before[{partition!r}]", offset, least=0)

            async def attempt(
                deadline: Deadline, partition: int = partition, offset: int = offset
            ) -> int:
                leader = (await self._cluster.leader(name, partition, deadline)).leader
                part = Message(partition_index=partition, offset=offset)
                message = Message(topics=[Message(name=name, partitions=[part])], timeout_ms=30_000)
                answer = await self._cluster.call(_DELETE_RECORDS, message, deadline, node=leader)
                (result,) = answer.topics[0].partitions
                raise_for(int(result.error_code), f"drop records of {name!r} {partition}")
                return int(result.low_watermark)

            found[partition] = await self._cluster.retrying(attempt)
        return found
