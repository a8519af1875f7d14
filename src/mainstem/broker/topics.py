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

from mainstem.broker.config import BrokerConfig
from mainstem.broker.configs import BrokerConfigs, log_config, validate
from mainstem.broker.store import Store
from mainstem.broker.topic import Topic, check_name, check_partitions, colliding_key
from mainstem.errors import Conflict, Corrupt, Invalid, MainstemError, Unavailable
from mainstem.log import Log

T = TypeVar("T")
_LOGGER = logging.getLogger(__name__)
_UNKNOWN_TOPIC_OR_PARTITION = 3
_TOPIC_ALREADY_EXISTS = 36
_INVALID_TOPIC = 17
_KAFKA_STORAGE_ERROR = 56

_TABLES = """
CREATE TABLE IF NOT EXISTS topics (
    name TEXT PRIMARY KEY, id BLOB NOT NULL UNIQUE, partitions INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS topic_configs (
    topic TEXT NOT NULL REFERENCES topics (name), name TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (topic, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS topic_deletions (name TEXT PRIMARY KEY) WITHOUT ROWID
"""


class Topics:
    """All topics of the broker, loaded at construction. Belongs to the event loop's thread.

    Changes are serialised, and each finishes even if the request that asked for it is dropped.
    ``on_deleted`` functions are called with a topic that has just gone, before its files go.
    """

    def __init__(self, store: Store, log: Log, config: BrokerConfig) -> None:
        self._store = store
        self._log = log
        self._config = config
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._by_name: dict[str, Topic] = {}
        self._by_id: dict[uuid.UUID, Topic] = {}
        self._collisions: dict[str, str] = {}
        self.on_deleted: list[Callable[[Topic], None]] = []
        self.strays: set[tuple[str, int]] = set()
        store.schema(_TABLES)
        self.configs = BrokerConfigs(store, config)
        self._load()

    # --- reading -----------------------------------------------------------------------------

    def get(self, name: str) -> Topic | None:
        return self._by_name.get(name)

    def by_id(self, topic_id: uuid.UUID) -> Topic | None:
        return self._by_id.get(topic_id)

    def all(self) -> list[Topic]:
        """Every topic, by name."""
        return [self._by_name[name] for name in sorted(self._by_name)]

    def require(self, name: str) -> Topic:
        """The topic, or ``Invalid`` (3)."""
        topic = self._by_name.get(name)
        if topic is None:
            raise Invalid(
                f"there is no topic {name!r}: create it first", code=_UNKNOWN_TOPIC_OR_PARTITION
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
        topic = Topic(
            name, uuid.uuid4(), count, overrides, log_config(overrides, self.configs.log_defaults)
        )
        if not validate_only:
            await self._alone(lambda: self._create(topic))
        return topic

    async def delete(self, topic: Topic) -> None:
        """Removes a topic and its records. Raises ``Invalid`` (3) if it is gone already.

        Once this returns the topic is gone for good; files that the disk refuses to remove go
        at the next start, and until then its name cannot be used again.
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
        self.configs.validate(configs)
        await self._alone(lambda: self._alter_broker_configs(broker, configs))

    # --- under the lock ----------------------------------------------------------------------

    async def _alone(self, change: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Runs a change to its end, one at a time, whatever happens to the caller."""

        async def run() -> T:
            async with self._lock:
                return await change()

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _create(self, topic: Topic) -> None:
        self._check_new(topic.name, topic.partition_count, topic.overrides)
        await self._store.write(lambda connection: _insert(connection, topic, self._now()))
        try:
            for index in range(topic.partition_count):
                topic.open_partition(self._log, index)
                await asyncio.sleep(0)  # a thousand directories must not hold up the loop
        except Exception as error:
            await self._undo_create(topic)
            raise _as_unavailable(error, f"topic {topic.name} cannot be created") from error
        self._register(topic)

    async def _undo_create(self, topic: Topic) -> None:
        try:
            await self._store.write(lambda connection: _move_to_deletions(connection, topic.name))
        except MainstemError:
            # The row stays, so the topic is there after a restart: be that topic now, too.
            topic.refuse_missing("its directory could not be made; restart to try again")
            self._register(topic)
            return
        await self._remove_files(topic)

    async def _delete(self, topic: Topic) -> None:
        self._check_present(topic)
        await self._store.write(lambda connection: _move_to_deletions(connection, topic.name))
        self._unregister(topic)
        for listener in self.on_deleted:
            listener(topic)
        await self._remove_files(topic)

    async def _remove_files(self, topic: Topic) -> None:
        for index in range(topic.partition_count):
            try:
                topic.close_partition(index)
                self._log.delete(topic.name, index)
            except (OSError, MainstemError) as error:
                self.strays.add((topic.name, index))
                _LOGGER.warning(
                    "the files of deleted partition %s-%d stay until the next start: %s",
                    topic.name, index, error,
                )  # fmt: skip
            await asyncio.sleep(0)
        if not any(name == topic.name for name, _index in self.strays):
            await self._store.write(lambda connection: _end_deletion(connection, topic.name))

    async def _add_partitions(self, topic: Topic, total: int) -> None:
        self._check_present(topic)
        check_partitions(total, present=topic.partition_count)
        self._check_strays(topic.name)

        def save(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE topics SET partitions = ? WHERE name = ?", (total, topic.name)
            )

        await self._store.write(save)
        for index in range(topic.partition_count, total):
            try:
                topic.open_partition(self._log, index)
            except (OSError, MainstemError) as error:
                topic.refused[index] = str(error)
            topic.partition_count = index + 1
            await asyncio.sleep(0)

    async def _alter_configs(self, topic: Topic, overrides: dict[str, str]) -> None:
        self._check_present(topic)

        def save(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM topic_configs WHERE topic = ?", (topic.name,))
            _insert_configs(connection, topic.name, overrides)

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
        overrides = validate(configs)
        self._check_strays(name)
        return overrides

    def _check_strays(self, name: str) -> None:
        in_the_way = sorted(index for stray, index in self.strays if stray == name)
        if in_the_way:
            raise Unavailable(
                f"directory {name}-{in_the_way[0]} is in the way and belongs to no topic: move it "
                "out of the data directory (it may hold records), then restart",
                code=_KAFKA_STORAGE_ERROR,
            )

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

    def _now(self) -> int:
        return self._store.clock.now_ms()

    # --- start -------------------------------------------------------------------------------

    def _load(self) -> None:
        rows, configs, deletions = self._store.read(_read_all)
        self._sweep(deletions - {name for name, _id, _count in rows})
        on_disk = set(self._log.existing())
        for name, topic_id, count in rows:
            overrides = configs.get(name, {})
            effective = log_config(overrides, self.configs.log_defaults)
            topic = Topic(name, uuid.UUID(bytes=topic_id), count, overrides, effective)
            for index in range(count):
                on_disk.discard((name, index))
                self._load_partition(topic, index)
            self._register(topic)
        self.strays |= on_disk
        for name, index in sorted(on_disk):
            _LOGGER.warning("directory %s-%d belongs to no topic; it is left alone", name, index)

    def _load_partition(self, topic: Topic, index: int) -> None:
        try:
            topic.open_partition(self._log, index)
        except (Corrupt, Unavailable, OSError) as error:
            topic.refused[index] = str(error)
            _LOGGER.error("partition %s-%d is refused: %s", topic.name, index, error)

    def _sweep(self, deletions: set[str]) -> None:
        """Finishes deletions that a crash cut short; what still resists is left as a stray."""
        if not deletions:
            return
        resisting = set()
        for name, index in self._log.existing():
            if name in deletions:
                try:
                    self._log.delete(name, index)
                except (OSError, MainstemError) as error:
                    resisting.add(name)
                    _LOGGER.warning("deleted partition %s-%d stays: %s", name, index, error)

        def done(connection: sqlite3.Connection) -> None:
            for name in deletions - resisting:
                _end_deletion(connection, name)

        self._store.write_now(done)


# --- SQL -------------------------------------------------------------------------------------

_Rows = tuple[list[tuple[str, bytes, int]], dict[str, dict[str, str]], set[str]]


def _read_all(connection: sqlite3.Connection) -> _Rows:
    rows = connection.execute("SELECT name, id, partitions FROM topics").fetchall()
    configs: dict[str, dict[str, str]] = {}
    for topic, name, value in connection.execute("SELECT topic, name, value FROM topic_configs"):
        configs.setdefault(topic, {})[name] = value
    deletions = {name for (name,) in connection.execute("SELECT name FROM topic_deletions")}
    return rows, configs, deletions


def _insert(connection: sqlite3.Connection, topic: Topic, now_ms: int) -> None:
    # A deletion left open would take the new topic's records at the next start.
    _end_deletion(connection, topic.name)
    connection.execute(
        "INSERT INTO topics (name, id, partitions, created_ms) VALUES (?, ?, ?, ?)",
        (topic.name, topic.id.bytes, topic.partition_count, now_ms),
    )
    _insert_configs(connection, topic.name, topic.overrides)


def _insert_configs(
    connection: sqlite3.Connection, topic: str, overrides: Mapping[str, str]
) -> None:
    connection.executemany(
        "INSERT INTO topic_configs (topic, name, value) VALUES (?, ?, ?)",
        [(topic, name, value) for name, value in overrides.items()],
    )


def _move_to_deletions(connection: sqlite3.Connection, name: str) -> None:
    connection.execute("DELETE FROM topic_configs WHERE topic = ?", (name,))
    connection.execute("DELETE FROM topics WHERE name = ?", (name,))
    connection.execute("INSERT OR IGNORE INTO topic_deletions (name) VALUES (?)", (name,))


def _end_deletion(connection: sqlite3.Connection, name: str) -> None:
    connection.execute("DELETE FROM topic_deletions WHERE name = ?", (name,))


def _as_unavailable(error: Exception, what: str) -> MainstemError:
    if isinstance(error, MainstemError):
        return error
    return Unavailable(f"{what} ({error}): check the disk", code=_KAFKA_STORAGE_ERROR)
