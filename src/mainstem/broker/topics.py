"""Topics: their names, ids, partitions and configs, durable in the store.

The row in the store *is* the topic; directories follow it. Creation commits the row, then makes
the directories, and start makes any that are missing. Deletion moves the row to
``topic_deletions`` in one transaction, then removes the directories, then that row; start
finishes what a crash cut short. A directory that neither table explains is never touched: it is
listed in ``Topics.strays``, and no topic that would need its place can be created.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import uuid
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from mainstem.broker import topic_rows
from mainstem.broker.background import Background
from mainstem.broker.config import BrokerConfig
from mainstem.broker.configs import BrokerConfigs, log_config, validate
from mainstem.broker.store import Store
from mainstem.broker.topic import Topic, check_name, check_partitions, colliding_key
from mainstem.broker.topic_files import finish_deletions, remove_files
from mainstem.errors import Conflict, Invalid, MainstemError, Unavailable
from mainstem.log import Log

__all__ = ["Topic", "Topics"]

T = TypeVar("T")
_LOGGER = logging.getLogger("mainstem.broker")
_UNKNOWN_TOPIC_OR_PARTITION = 3
_TOPIC_ALREADY_EXISTS = 36
_INVALID_TOPIC = 17
_KAFKA_STORAGE_ERROR = 56


class Topics:
    """All topics of the broker, loaded at construction. Belongs to the event loop's thread.

    Changes are made one at a time, and each finishes even if the request that asked for it is
    dropped. ``on_deleted`` functions are called with a topic that has just gone, before its
    files go.
    """

    def __init__(self, store: Store, log: Log, config: BrokerConfig) -> None:
        self._store = store
        self._log = log
        self._config = config
        self._lock = asyncio.Lock()
        self._background = Background()
        self._by_name: dict[str, Topic] = {}
        self._by_id: dict[uuid.UUID, Topic] = {}
        self._collisions: dict[str, str] = {}
        self.on_deleted: list[Callable[[Topic], None]] = []
        self.strays: set[tuple[str, int]] = set()
        store.schema(topic_rows.TABLES)
        self.configs = BrokerConfigs(store, config)
        self._load()

    # --- reading -----------------------------------------------------------------------------

    def get(self, name: str) -> Topic | None:
        """The topic of that name."""
        return self._by_name.get(name)

    def by_id(self, topic_id: uuid.UUID) -> Topic | None:
        """The topic with that id (KIP-516)."""
        return self._by_id.get(topic_id)

    def all(self) -> list[Topic]:
        """Every topic, by name."""
        return [self._by_name[name] for name in sorted(self._by_name)]

    def require(self, name: str) -> Topic:
        """The topic, or ``Invalid`` (3)."""
        topic = self._by_name.get(name)
        if topic is None:
            raise Invalid(
                f"there is no topic {name[:249]!r}: create it first",
                code=_UNKNOWN_TOPIC_OR_PARTITION,
            )
        return topic

    # --- changing ----------------------------------------------------------------------------

    async def create(
        self,
        name: str,
        partitions: int = -1,
        configs: Mapping[str, str | None] | None = None,
        *,
        validate_only: bool = False,
    ) -> Topic:
        """A new topic; -1 partitions means the broker's default.

        Raises ``Conflict`` (36) if it exists, ``Invalid`` (17 name, 37 partitions, 40 config),
        ``Unavailable`` (56) if the disk refuses; then there is no such topic. With
        ``validate_only`` the topic returned is a description: nothing was created.
        """
        count = self._config.num_partitions if partitions == -1 else partitions
        overrides = self._check_new(name, count, configs or {})
        effective = log_config(overrides, self.configs.log_defaults)
        topic = Topic(name, uuid.uuid4(), count, overrides, effective)
        if not validate_only:
            await self._alone(lambda: self._create(topic))
        return topic

    async def delete(self, topic: Topic) -> None:
        """Removes a topic and its records. Raises ``Invalid`` (3) if it is gone already.

        Once this returns the topic is gone for good. Files that the disk refuses to remove go
        at the next start; until then the name cannot be used again.
        """
        await self._alone(lambda: self._delete(topic))

    async def add_partitions(self, topic: Topic, total: int) -> None:
        """Raises the number of partitions to ``total``; raises ``Invalid`` (37, 3)."""
        await self._alone(lambda: self._add_partitions(topic, total))

    async def alter_configs(self, topic: Topic, configs: Mapping[str, str | None]) -> None:
        """Replaces all of a topic's overrides; raises ``Invalid`` (40, 3)."""
        overrides = validate(configs)
        await self._alone(lambda: self._alter_configs(topic, overrides))

    async def alter_broker_configs(self, broker: str, configs: Mapping[str, str]) -> None:
        """Replaces the dynamic configs of a broker (``""`` for every one), topics following."""
        wanted = self.configs.validate(configs)
        await self._alone(lambda: self._alter_broker_configs(broker, wanted))

    async def close(self) -> None:
        """Waits for changes under way: call it before the log and the store are closed."""
        await self._background.close()

    # --- under the lock ----------------------------------------------------------------------

    async def _alone(self, change: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Runs a change to its end, one at a time, whatever happens to the caller."""

        async def run() -> T:
            async with self._lock:
                return await change()

        return await self._background.finish(run())

    async def _create(self, topic: Topic) -> None:
        self._check_new(topic.name, topic.partition_count, topic.overrides)
        await self._check_free(topic.name, 0)
        now_ms = self._store.clock.now_ms()
        await self._store.write(lambda connection: topic_rows.insert(connection, topic, now_ms))
        try:
            # Syncs directories: not on the loop. Nobody else knows of the topic yet.
            await asyncio.to_thread(topic.open, self._log, range(topic.partition_count))
        except MainstemError:
            await self._undo_create(topic)
            raise
        # Broker configs may have changed since the request was checked.
        topic.configure(log_config(topic.overrides, self.configs.log_defaults))
        self._register(topic)

    async def _undo_create(self, topic: Topic) -> None:
        try:
            await self._store.write(
                lambda connection: topic_rows.move_to_deletions(connection, topic.name)
            )
        except MainstemError as error:
            # The row stays, so the topic will be there after a restart: let it be there now.
            topic.refuse_missing(str(error))
            self._register(topic)
            return
        await self._remove_files(topic)

    async def _delete(self, topic: Topic) -> None:
        self._check_present(topic)
        await self._store.write(
            lambda connection: topic_rows.move_to_deletions(connection, topic.name)
        )
        self._unregister(topic)
        for listener in self.on_deleted:
            listener(topic)
        await self._remove_files(topic)

    async def _remove_files(self, topic: Topic) -> None:
        """After the row is gone: a failure here costs space, not correctness."""
        try:
            left = await asyncio.to_thread(remove_files, self._log, topic)
            if not left:
                await self._store.write(
                    lambda connection: topic_rows.end_deletion(connection, topic.name)
                )
        except (OSError, MainstemError) as error:
            _LOGGER.warning("files of deleted topic %s stay until restart: %s", topic.name, error)

    async def _add_partitions(self, topic: Topic, total: int) -> None:
        self._check_present(topic)
        check_partitions(total, present=topic.partition_count)
        await self._check_free(topic.name, topic.partition_count)

        def save(connection: sqlite3.Connection) -> None:
            topic_rows.set_partitions(connection, topic.name, total)

        await self._store.write(save)
        try:
            await asyncio.to_thread(topic.open, self._log, range(topic.partition_count, total))
        except MainstemError as error:
            # The number is durable: what could not be opened is refused until a restart.
            _LOGGER.error("new partitions of %s: %s", topic.name, error)
            topic.partition_count = total
            topic.refuse_missing(str(error))
        topic.partition_count = total

    async def _alter_configs(self, topic: Topic, overrides: dict[str, str]) -> None:
        self._check_present(topic)

        def save(connection: sqlite3.Connection) -> None:
            topic_rows.replace_configs(connection, topic.name, overrides)

        await self._store.write(save)
        topic.overrides = overrides
        topic.configure(log_config(overrides, self.configs.log_defaults))

    async def _alter_broker_configs(self, broker: str, configs: Mapping[str, str]) -> None:
        await self.configs.alter(broker, configs)
        for topic in self._by_name.values():
            topic.configure(log_config(topic.overrides, self.configs.log_defaults))

    # --- checks and memory -------------------------------------------------------------------

    def _check_new(
        self, name: str, count: int, configs: Mapping[str, str | None]
    ) -> dict[str, str]:
        check_name(name)
        if name in self._by_name:
            raise Conflict(f"Topic '{name}' already exists.", code=_TOPIC_ALREADY_EXISTS)
        twin = self._collisions.get(colliding_key(name))
        if twin is not None:
            raise Invalid(
                f"Topic '{name}' collides with existing topic '{twin}': '.' and '_' are the same "
                "letter in metric names; choose another name",
                code=_INVALID_TOPIC,
            )
        check_partitions(count)
        return validate(configs)

    async def _check_free(self, name: str, first: int) -> None:
        """No directory may be where partition ``first`` or a later one would be made."""
        present = await asyncio.to_thread(self._log.existing)
        in_the_way = [index for topic, index in present if topic == name and index >= first]
        if in_the_way:
            self.strays.update((name, index) for index in in_the_way)
            raise Unavailable(
                f"directory {name}-{in_the_way[0]} is in the way and belongs to no topic: move it "
                "out of the data directory (it may hold records), then retry",
                code=_KAFKA_STORAGE_ERROR,
            )
        self.strays = {stray for stray in self.strays if stray[0] != name}

    def _check_present(self, topic: Topic) -> None:
        if self._by_id.get(topic.id) is not topic:
            raise Invalid(
                f"topic {topic.name!r} has been deleted meanwhile",
                code=_UNKNOWN_TOPIC_OR_PARTITION,
            )

    def _register(self, topic: Topic) -> None:
        self._by_name[topic.name] = topic
        self._by_id[topic.id] = topic
        self._collisions[colliding_key(topic.name)] = topic.name

    def _unregister(self, topic: Topic) -> None:
        del self._by_name[topic.name]
        del self._by_id[topic.id]
        del self._collisions[colliding_key(topic.name)]

    # --- start -------------------------------------------------------------------------------

    def _load(self) -> None:
        rows, configs, deletions = self._store.read(topic_rows.read_all)
        finish_deletions(self._store, self._log, deletions - {name for name, _id, _count in rows})
        self.strays = set(self._log.existing())
        for name, topic_id, count in rows:
            overrides = configs.get(name, {})
            effective = log_config(overrides, self.configs.log_defaults)
            topic = Topic(name, uuid.UUID(bytes=topic_id), count, overrides, effective)
            self.strays.difference_update((name, index) for index in range(count))
            for index in range(count):
                try:
                    topic.open(self._log, (index,))
                except MainstemError as error:
                    topic.refused[index] = str(error)
                    _LOGGER.error("partition %s-%d is refused: %s", name, index, error)
            self._register(topic)
        for name, index in sorted(self.strays):
            _LOGGER.warning("directory %s-%d belongs to no topic: it is left alone", name, index)
