"""The face for asyncio. ``blocking`` has the same names for everybody else."""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any, NoReturn
from weakref import WeakSet

from mainstem.client import (
    BATCH_BYTES,
    Access,
    Admin,
    BrokerSettings,
    ClientConfig,
    Cluster,
    ConsumerSettings,
    Format,
    GroupDescription,
    GroupListing,
    GroupProtocol,
    Groups,
    Isolation,
    Placement,
    Point,
    Points,
    Producer,
    Raw,
    Reader,
    Setting,
    TopicDescription,
    TransactionalClient,
    check_mapping,
    names_of,
    parse_addresses,
    resolve,
)
from mainstem.errors import Invalid, MainstemError
from mainstem.face.async_topic import BATCH_ROWS, AsyncTopic
from mainstem.face.consumers import AsyncConsumer, AsyncOnChange, check_callbacks
from mainstem.face.opening import Embedded, Opening
from mainstem.face.transactions import AsyncTransactions


async def aconnect(address: str, **options: Any) -> AsyncStem:
    """Connect to any Kafka cluster, ``"host:port"`` or several with commas.

    ``options`` are the fields of ``mainstem.client.ClientConfig``. Raises ``Unavailable`` when
    no broker answers, ``Invalid`` for a bad address or option.
    """
    cluster = Cluster(parse_addresses(address), _config(options))
    try:
        await cluster.start()
    except BaseException:
        await cluster.close()
        raise
    return AsyncStem(cluster, None)


async def aopen(
    path: str | os.PathLike[str],
    *,
    broker: dict[str, Any] | None = None,
    log: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncStem:
    """Open a data directory: a broker starts in this process, or the running one is joined.

    ``broker`` and ``log`` are settings of the broker where it starts here, ``options`` those of
    ``aconnect``.
    """
    from mainstem.node import open_embedded

    _config(options)
    if not isinstance(path, str | os.PathLike):
        raise Invalid(f"path={path!r} is not valid: give a directory")
    check_mapping("broker", broker or {})
    check_mapping("log", log or {})
    opening = Opening(lambda: open_embedded(path, broker=broker, log=log))
    try:
        embedded = await asyncio.to_thread(opening.open)
        stem = await aconnect(embedded.address, **options)
    except BaseException:
        await asyncio.to_thread(opening.leave)
        raise
    return AsyncStem(stem.cluster, embedded)


async def _leave(consumer: AsyncConsumer) -> None:
    with suppress(MainstemError):
        await consumer.close(processed=False)


def _config(options: dict[str, Any]) -> ClientConfig:
    known = [field.name for field in dataclasses.fields(ClientConfig)]
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise Invalid(f"there is no client option {name!r}: {hint}")
    return ClientConfig(**options)


class AsyncStem:
    """A connection to one log: an embedded broker or any Kafka cluster.

    Made by ``aopen`` and ``aconnect``; belongs to the event loop it was made on; closed with
    ``close`` or as an async context manager. Afterwards everything raises ``Closed``.
    """

    def __init__(self, cluster: Cluster, embedded: Embedded | None) -> None:
        self.cluster = cluster
        self.producer = Producer(cluster)
        self.readers: WeakSet[Reader] = WeakSet()
        self.consumers: WeakSet[AsyncConsumer] = WeakSet()
        self.transactional: WeakSet[AsyncTransactions] = WeakSet()
        self._embedded = embedded
        self._admin = Admin(cluster)
        self._groups = Groups(cluster)
        self._brokers = BrokerSettings(cluster)
        self.access = Access(cluster)
        self.placement = Placement(cluster)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a stem has connections and cannot be pickled: open one in the other process"
        )

    @property
    def address(self) -> str:
        """Where any Kafka client reaches the same log, ``host:port``."""
        return self.cluster.name

    async def close(self) -> None:
        """Close the connections and, where it runs here, the broker. May be called twice."""
        embedded, self._embedded = self._embedded, None
        async with AsyncExitStack() as ends:  # from the last to the first, also if one is cancelled
            if embedded is not None:
                ends.push_async_callback(asyncio.to_thread, embedded.close)
            ends.push_async_callback(self.cluster.close)
            ends.push_async_callback(self.producer.close)
            for reader in list(self.readers):
                ends.push_async_callback(reader.close)
            for consumer in list(self.consumers):
                ends.push_async_callback(_leave, consumer)
            for transactions in list(self.transactional):
                ends.push_async_callback(transactions.close)

    async def __aenter__(self) -> AsyncStem:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # --- topics ------------------------------------------------------------------------------

    async def topic(
        self,
        name: str,
        partitions: int | None = None,
        *,
        create: bool = False,
        config: Mapping[str, Any] | None = None,
        replication: int | None = None,
    ) -> AsyncTopic:
        """A topic by name. See ``Stem.topic``."""
        if not isinstance(name, str):
            raise Invalid(f"a topic's name is text, not {name!r}", code=17)
        if create:
            await self._admin.create(
                name, partitions, config, replication=replication, exist_ok=True
            )
        elif (partitions, config, replication) != (None, None, None):
            raise Invalid("partitions, config and replication make a new topic: add create=True")
        else:
            await self.cluster.topic(name, self.cluster.deadline())
        return AsyncTopic(self, name)

    async def topics(self, *, internal: bool = False) -> list[str]:
        """Names of all topics, sorted."""
        return await self._admin.topics(internal=internal)

    async def create_topic(
        self,
        name: str,
        partitions: int | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        replication: int | None = None,
    ) -> AsyncTopic:
        """A new topic. Raises ``Conflict`` where it exists."""
        await self._admin.create(name, partitions, config, replication=replication)
        return AsyncTopic(self, name)

    async def delete_topic(self, name: str) -> None:
        """Delete a topic with all its records."""
        await self._admin.delete(name)

    async def describe_topic(self, name: str) -> TopicDescription:
        """Partitions, offsets and settings of a topic."""
        return await self._admin.describe(name)

    async def topic_settings(self, name: str) -> list[Setting]:
        """All settings of a topic, with where each value comes from."""
        return await self._admin.settings(name)

    async def alter_topic(
        self,
        name: str,
        *,
        partitions: int | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Add partitions and change settings; a setting of ``None`` goes back to its default."""
        if config:
            await self._admin.alter(name, config)
        if partitions is not None:
            await self._admin.add_partitions(name, partitions)

    async def delete_records(self, name: str, before: Mapping[int, int]) -> dict[int, int]:
        """Drop records before these offsets by partition; the first offsets left."""
        return await self._admin.delete_records(name, before)

    # --- brokers -----------------------------------------------------------------------------

    async def broker_settings(self, broker: int | None = None) -> list[Setting]:
        """All settings of a broker, or those set for all of them. See ``Stem``'s."""
        return await self._brokers.get(broker)

    async def alter_brokers(self, config: Mapping[str, Any], *, broker: int | None = None) -> None:
        """Change settings of one broker or of all, without a restart. See ``Stem``'s."""
        await self._brokers.alter(broker, config)

    # --- membership --------------------------------------------------------------------------

    def consumer(
        self,
        group: str,
        topics: str | Sequence[str] | re.Pattern[str],
        *,
        format: Format | None = None,  # noqa: A002
        start: Point | None = "earliest",
        isolation: Isolation = "read_uncommitted",
        auto_commit: float | None = 5.0,
        batch_rows: int = BATCH_ROWS,
        batch_bytes: int = BATCH_BYTES,
        max_wait: float = 0.0,
        protocol: GroupProtocol | None = None,
        assignor: str | Sequence[str] | None = None,
        instance_id: str | None = None,
        session_timeout: float = 45.0,
        heartbeat_interval: float = 3.0,
        max_poll_interval: float = 300.0,
        on_assigned: AsyncOnChange | None = None,
        on_revoked: AsyncOnChange | None = None,
        on_lost: AsyncOnChange | None = None,
    ) -> AsyncConsumer:
        """A member of a group; joins with ``async with`` or the first batch. See ``Stem``'s."""
        pattern = topics if isinstance(topics, re.Pattern) else None
        settings = ConsumerSettings(
            group, names_of("topics", topics) if pattern is None else (), pattern=pattern,
            format=Raw() if format is None else format, start=start, isolation=isolation,
            auto_commit=auto_commit, batch_rows=batch_rows, batch_bytes=batch_bytes,
            max_wait=max_wait, protocol=protocol, assignor=assignor, instance_id=instance_id,
            session_timeout=session_timeout,
            heartbeat_interval=heartbeat_interval, max_poll_interval=max_poll_interval,
        )  # fmt: skip
        callbacks = {"assigned": on_assigned, "revoked": on_revoked, "lost": on_lost}
        check_callbacks(callbacks)
        consumer = AsyncConsumer(self.cluster, settings, callbacks)
        self.consumers.add(consumer)
        return consumer

    def transactions(self, transactional_id: str, *, timeout: float = 60.0) -> AsyncTransactions:
        """Take a transactional id with ``async with`` or at ``begin``. See ``Stem``'s."""
        found = AsyncTransactions(
            TransactionalClient(self.cluster, transactional_id, timeout=timeout)
        )
        self.transactional.add(found)
        return found

    # --- groups ------------------------------------------------------------------------------

    async def groups(self) -> list[GroupListing]:
        """All consumer groups."""
        return await self._groups.list()

    async def describe_group(self, group: str) -> GroupDescription:
        """Members, committed offsets and lag of a group."""
        return await self._groups.describe(group)

    async def committed(self, group: str) -> dict[tuple[str, int], int]:
        """A group's committed offsets by topic and partition; empty for an unknown group."""
        return await self._groups.committed(group)

    async def commit(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        """Set offsets of a group that has no members. Raises ``Conflict`` where it has."""
        await self._groups.commit(group, offsets)

    async def require_idle(self, group: str) -> None:
        """Raise ``Conflict`` if the group has running members."""
        await self._groups.require_idle(group)

    async def reset_group(
        self, group: str, topic: str, to: Points, *, dry_run: bool = False
    ) -> dict[int, tuple[int | None, int]]:
        """Move a group in one topic: (committed before, new) by partition.

        With ``dry_run`` nothing changes. Raises ``Conflict`` while the group has members.
        """
        await self._groups.require_idle(group)
        first, last = await AsyncTopic(self, topic).offsets()
        new = await resolve(self.cluster, topic, to, first, last, what="to")
        old = await self._groups.committed(group)
        if not dry_run:
            await self._groups.commit(group, {(topic, index): at for index, at in new.items()})
        return {index: (old.get((topic, index)), at) for index, at in sorted(new.items())}

    async def delete_group(self, group: str) -> None:
        """Forget a group and its offsets. Raises ``Conflict`` while it has members."""
        await self._groups.delete(group)
