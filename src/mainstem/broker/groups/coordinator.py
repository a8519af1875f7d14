"""The group coordinator: consumer groups and their committed offsets, on the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mainstem.broker.groups.base import CONSUMER
from mainstem.broker.groups.effects import JoinRequest, JoinResult, State, SyncResult
from mainstem.broker.groups.registry import Registry
from mainstem.broker.groups.storage import CommittedOffset, OffsetKey, OffsetRow
from mainstem.errors import MainstemError
from mainstem.wire import ErrorCode

if TYPE_CHECKING:
    from mainstem.broker.topic import Topic

logger = logging.getLogger("mainstem.broker.groups")

#: Groups are cheap, but not free; a client that makes up names must meet an end.
MAX_GROUPS = 100_000


class GroupCoordinator(Registry):
    """All groups of the broker. Belongs to the event loop's thread; answers with Kafka's codes.

    ``start`` loads what the store has: members of a stable group go on where they were if they
    heartbeat within their session timeout. ``close`` refuses what is parked and finishes writes.
    """

    async def join(self, group_id: str, request: JoinRequest) -> JoinResult:
        """JoinGroup: returns when the next generation is complete, or with an error code."""
        error = self._refuse(group_id)
        shell = self._shells.get(group_id)
        shortest = self._config.group_min_session_timeout_ms
        longest = self._config.group_max_session_timeout_ms
        if error is None and not shortest <= request.session_timeout_ms <= longest:
            error = ErrorCode.invalid_session_timeout
        elif error is None and shell is None:
            if request.member_id:
                error = ErrorCode.unknown_member_id
            elif len(self._shells) >= MAX_GROUPS:
                error = ErrorCode.policy_violation
        if error is not None:
            return JoinResult(error=error, member_id=request.member_id)
        shell = shell or self._open(group_id)
        call: asyncio.Future[JoinResult] = self._loop.create_future()
        shell.group.join(request, call, max_size=self._config.group_max_size)
        self._close_if_unused(shell.group)
        return await call

    async def sync(
        self,
        group_id: str,
        member_id: str,
        instance_id: str | None,
        generation: int,
        protocol: tuple[str | None, str | None],
        assignments: Mapping[str, bytes],
    ) -> SyncResult:
        """SyncGroup: returns when the leader's assignment is on disk, or with an error code."""
        error = self._refuse(group_id)
        shell = self._shells.get(group_id)
        if error is not None or shell is None:
            return SyncResult(error=error or ErrorCode.unknown_member_id)
        call: asyncio.Future[SyncResult] = self._loop.create_future()
        shell.group.sync(member_id, instance_id, generation, protocol, assignments, call)
        return await call

    def heartbeat(
        self, group_id: str, member_id: str, instance_id: str | None, generation: int
    ) -> ErrorCode:
        error = self._refuse(group_id)
        shell = self._shells.get(group_id)
        if error is not None or shell is None:
            return error or ErrorCode.unknown_member_id
        return shell.group.heartbeat(member_id, instance_id, generation)

    def leave(
        self, group_id: str, members: list[tuple[str, str | None]]
    ) -> tuple[ErrorCode, list[ErrorCode]]:
        """LeaveGroup of ``(member_id, instance_id)`` each: the whole's error, and each one's."""
        error = self._refuse(group_id)
        if error is not None:
            return error, []
        shell = self._shells.get(group_id)
        if shell is None:
            return ErrorCode.none, [ErrorCode.unknown_member_id] * len(members)
        if shell.group.state is State.DEAD:
            return ErrorCode.coordinator_not_available, []
        errors = shell.group.leave(members)
        self._close_if_unused(shell.group)
        return ErrorCode.none, errors

    def _refuse(self, group_id: str) -> ErrorCode | None:
        if not group_id:
            return ErrorCode.invalid_group_id
        return ErrorCode.coordinator_not_available if self._closed else None

    # --- offsets ---------------------------------------------------------------------------------

    async def commit(
        self,
        group_id: str,
        member_id: str,
        instance_id: str | None,
        generation: int,
        offsets: Sequence[tuple[Topic, int, CommittedOffset]],
    ) -> ErrorCode:
        """OffsetCommit of existing partitions: durable when it returns ``none``."""
        if self._closed:
            return ErrorCode.coordinator_not_available
        shell = self._shells.get(group_id)
        if shell is None:
            if generation >= 0:
                return ErrorCode.illegal_generation
            if len(self._shells) >= MAX_GROUPS:
                return ErrorCode.policy_violation
            shell = self._open(group_id)
        error = shell.group.check_commit(member_id, instance_id, generation)
        if error is not None:
            return error
        rows = [
            OffsetRow(group_id, OffsetKey(topic.name, index), topic.id, committed)
            for topic, index, committed in offsets
        ]
        shell.commits += 1
        try:
            if rows:
                await self._offsets.commit(rows)
        except MainstemError as failure:
            logger.error("offsets of group %s could not be stored: %s", group_id, failure)
            return ErrorCode.coordinator_not_available
        finally:
            shell.commits -= 1
            self._close_if_unused(shell.group)
        return ErrorCode.none

    def committed(self, group_id: str) -> tuple[ErrorCode, Mapping[OffsetKey, CommittedOffset]]:
        """A group's offsets, whatever its state; none for a group that is unknown."""
        if self._closed:
            return ErrorCode.coordinator_not_available, {}
        return ErrorCode.none, self._offsets.of(group_id)

    async def delete_offsets(
        self, group_id: str, keys: Iterable[OffsetKey]
    ) -> tuple[ErrorCode, dict[OffsetKey, ErrorCode]]:
        """OffsetDelete: the whole's error, and each partition's."""
        if self._closed:
            return ErrorCode.coordinator_not_available, {}
        group = self.get(group_id)
        if group is None:
            return ErrorCode.group_id_not_found, {}
        if group.state is not State.EMPTY and group.protocol_type != CONSUMER:
            return ErrorCode.non_empty_group, {}
        errors = {}
        for key in keys:
            # Topics that cannot be read from the subscriptions may well be subscribed to.
            unsure = group.topics is None and group.state is not State.EMPTY
            taken = unsure or key.topic in (group.topics or ())
            errors[key] = ErrorCode.group_subscribed_to_topic if taken else ErrorCode.none
        free = [key for key, error in errors.items() if not error]
        if free:
            try:
                await self._offsets.delete(group_id, free)
            except MainstemError as failure:
                logger.error("offsets of group %s stay: %s", group_id, failure)
                return ErrorCode.coordinator_not_available, {}
        return ErrorCode.none, errors
