"""Which groups there are: loading, making, deleting and expiring them."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING

from mainstem.broker.background import Background
from mainstem.broker.groups import storage
from mainstem.broker.groups.effects import State
from mainstem.broker.groups.machine import ClassicGroup
from mainstem.broker.groups.offsets import Offsets
from mainstem.broker.groups.shell import Shell
from mainstem.broker.store import Store
from mainstem.clock import Clock
from mainstem.errors import MainstemError
from mainstem.wire import ErrorCode

if TYPE_CHECKING:
    from mainstem.broker.config import BrokerConfig
    from mainstem.broker.topic import Topic
    from mainstem.broker.topics import Topics

logger = logging.getLogger("mainstem.broker.groups")


class Registry:
    """Owns the groups, their offsets and their clean-up, on the event loop's thread."""

    def __init__(
        self,
        store: Store,
        topics: Topics,
        config: BrokerConfig,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._store = store
        self._topics = topics
        self._config = config
        self._clock = clock
        self._loop = loop
        self._background = Background()
        self._shells: dict[str, Shell] = {}
        self._offsets = Offsets(store, self._background)
        self._expiry: asyncio.TimerHandle | None = None
        self._closed = False
        store.schema(storage.TABLES)

    def start(self) -> None:
        """Loads groups and offsets; call once the topics are loaded."""

        def topic_id_of(name: str) -> uuid.UUID | None:
            topic = self._topics.get(name)
            return None if topic is None else topic.id

        for snapshot in self._store.read(storage.load_groups):
            self._open(snapshot.group_id).group.restore(snapshot)
        self._offsets.load(topic_id_of)
        for group_id in self._offsets.groups():
            self._open(group_id)
        self._topics.on_deleted.append(
            lambda topic: self._background.spawn(self.forget_topic(topic))
        )
        self._schedule_expiry()

    async def close(self) -> None:
        """Refuses parked and later calls, and finishes what was begun. Idempotent."""
        self._closed = True
        if self._expiry is not None:
            self._expiry.cancel()
        for shell in self._shells.values():
            shell.group.die()
        await self._background.close()

    # --- administration --------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return self._closed

    def get(self, group_id: str) -> ClassicGroup | None:
        """A group, to be read only; ``None`` where it is unknown or being deleted."""
        shell = self._shells.get(group_id)
        return None if shell is None or shell.group.state is State.DEAD else shell.group

    def all(self) -> list[ClassicGroup]:
        """Every group, by id, to be read only."""
        alive = (self.get(group_id) for group_id in sorted(self._shells))
        return [group for group in alive if group is not None]

    async def delete(self, group_id: str) -> ErrorCode:
        """DeleteGroups: an empty group goes, with its offsets."""
        if self._closed:
            return ErrorCode.coordinator_not_available
        group = self.get(group_id)
        if group is None:
            return ErrorCode.group_id_not_found
        if group.state is not State.EMPTY:
            return ErrorCode.non_empty_group
        try:
            await self._delete(group)
        except MainstemError as failure:
            logger.error("group %s could not be deleted: %s", group_id, failure)
            return ErrorCode.coordinator_not_available
        return ErrorCode.none

    async def _delete(self, group: ClassicGroup) -> None:
        snapshot = group.snapshot()
        group.die()  # nobody may join or commit while the disk forgets it

        async def run() -> None:
            try:
                await self._store.write(
                    lambda connection: storage.delete_group(connection, group.group_id)
                )
            except BaseException:
                self._open(group.group_id).group.restore(snapshot)
                raise
            del self._shells[group.group_id]
            self._offsets.forget_group(group.group_id)

        await self._background.finish(run())

    async def forget_topic(self, topic: Topic) -> None:
        """Drops every group's offsets in a deleted topic; ``start`` wires it to ``Topics``."""
        await self._offsets.forget_topic(topic.name, topic.id)

    # --- inside ----------------------------------------------------------------------------------

    def _open(self, group_id: str) -> Shell:
        shell = self._shells.get(group_id)
        if shell is None or shell.group.state is State.DEAD:
            shell = self._shells[group_id] = Shell(
                group_id,
                self._store,
                self._clock,
                self._loop,
                self._background,
                initial_delay_ms=self._config.group_initial_rebalance_delay_ms,
                on_timer=self._close_if_unused,
            )
        return shell

    def _close_if_unused(self, group: ClassicGroup) -> None:
        """A group that came to nothing leaves no trace."""
        shell = self._shells.get(group.group_id)
        if shell is None or shell.group is not group or shell.commits:
            return
        if group.unused and not self._offsets.of(group.group_id):
            del self._shells[group.group_id]

    # --- retention -------------------------------------------------------------------------------

    def _schedule_expiry(self) -> None:
        self._expiry = self._loop.call_later(
            self._config.retention_check_ms / 1000,
            lambda: self._background.spawn(self._expire_then_schedule()),
        )

    async def _expire_then_schedule(self) -> None:
        try:
            await self.expire()
        finally:
            if not self._closed:
                self._schedule_expiry()

    async def expire(self) -> None:
        """Drops offsets past their retention (KIP-211) and empty groups without offsets."""
        retention_ms = self._config.offsets_retention_ms
        for group_id in list(self._shells):
            if self._closed:
                return
            group = self.get(group_id)
            if group is None:
                continue
            now_ms = self._clock.now_ms()
            await self._offsets.expire(group, now_ms=now_ms, retention_ms=retention_ms)
            shell = self._shells.get(group_id)
            if shell is None or shell.group is not group or shell.commits:
                continue
            joining = bool(group.roster.pending_joins)
            if group.state is State.EMPTY and not joining and not self._offsets.of(group_id):
                await self._delete(group)
