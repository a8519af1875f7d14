"""Committed offsets: memory answers, the store remembers; memory changes after the commit."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence

from mainstem.broker.background import Background
from mainstem.broker.groups import storage
from mainstem.broker.groups.base import CONSUMER
from mainstem.broker.groups.effects import State
from mainstem.broker.groups.machine import ClassicGroup
from mainstem.broker.groups.storage import CommittedOffset, OffsetKey, OffsetRow
from mainstem.broker.store import Store


class Offsets:
    """All groups' offsets, on the event loop's thread. Changes finish even if their caller
    is cancelled, and are visible exactly when they are on disk.

    The store finishes writes in the order they were given, so memory ends as the disk does.
    """

    def __init__(self, store: Store, background: Background) -> None:
        self._store = store
        self._background = background
        self._by_group: dict[str, dict[OffsetKey, CommittedOffset]] = {}

    def load(self, topic_id_of: Callable[[str], uuid.UUID | None]) -> None:
        """Reads the store; offsets of topics that are gone, or were made anew, are dropped."""
        stale = []
        for row in self._store.read(storage.load_offsets):
            if topic_id_of(row.key.topic) == row.topic_id:
                self._by_group.setdefault(row.group_id, {})[row.key] = row.committed
            else:
                stale.append((row.group_id, row.key, None))
        if stale:
            self._store.write_now(lambda connection: storage.delete_offsets(connection, stale))

    def groups(self) -> list[str]:
        return list(self._by_group)

    def of(self, group_id: str) -> dict[OffsetKey, CommittedOffset]:
        """A group's offsets, to be read only."""
        return self._by_group.get(group_id, {})

    async def commit(self, rows: Sequence[OffsetRow]) -> None:
        """Durable on return. Raises what the store raises; then nothing has changed."""

        async def run() -> None:
            await self._store.write(lambda connection: storage.save_offsets(connection, rows))
            for row in rows:
                self._by_group.setdefault(row.group_id, {})[row.key] = row.committed

        await self._background.finish(run())

    async def delete(self, group_id: str, keys: Iterable[OffsetKey]) -> None:
        await self._remove([(group_id, key, None) for key in keys])

    async def expire(self, group: ClassicGroup, *, now_ms: int, retention_ms: int) -> None:
        """Drops what KIP-211 lets expire; a commit made meanwhile survives."""
        old = [
            (group.group_id, key, committed.committed_ms)
            for key, committed in self.of(group.group_id).items()
            if _expired(group, key, committed, now_ms, retention_ms)
        ]
        if old:
            await self._remove(old)

    async def _remove(self, keys: Sequence[tuple[str, OffsetKey, int | None]]) -> None:
        async def run() -> None:
            await self._store.write(lambda connection: storage.delete_offsets(connection, keys))
            for group_id, key, committed_ms in keys:
                present = self.of(group_id).get(key)
                if present is not None and committed_ms in {None, present.committed_ms}:
                    del self._by_group[group_id][key]
                    if not self._by_group[group_id]:
                        del self._by_group[group_id]

        await self._background.finish(run())

    async def forget_topic(self, topic: str, topic_id: uuid.UUID) -> None:
        """Drops every group's offsets in a topic that was deleted."""

        async def run() -> None:
            await self._store.write(
                lambda connection: storage.delete_topic_offsets(connection, topic, topic_id)
            )
            self._drop(lambda key: key.topic == topic)

        await self._background.finish(run())

    def forget_group(self, group_id: str) -> None:
        """Drops a group whose rows are gone."""
        self._by_group.pop(group_id, None)

    def _drop(self, gone: Callable[[OffsetKey], bool]) -> None:
        for group_id, offsets in list(self._by_group.items()):
            for key in [key for key in offsets if gone(key)]:
                del offsets[key]
            if not offsets:
                del self._by_group[group_id]


def _expired(
    group: ClassicGroup, key: OffsetKey, committed: CommittedOffset, now_ms: int, retention_ms: int
) -> bool:
    if group.protocol_type is None:
        since = committed.committed_ms
    elif group.state is State.EMPTY:
        # From when the last member left; but never earlier than a commit after that.
        since = max(group.state_since_ms, committed.committed_ms)
    elif group.state is State.STABLE and group.protocol_type == CONSUMER:
        if group.topics is None or key.topic in group.topics:
            return False
        since = committed.committed_ms
    else:
        return False
    if committed.expires_ms is not None:
        return now_ms >= committed.expires_ms
    return now_ms - since >= retention_ms
