"""A group consumer without callbacks: batches and changes come one at a time, as asked for.

The faces call the user's callbacks between ``step`` and ``acknowledge``, each in its own way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import Any

from mainstem.client.arguments import check_offsets, check_partitions, check_seconds
from mainstem.client.cluster import Cluster
from mainstem.client.consumer.classic_membership import ClassicMembership
from mainstem.client.consumer.commits import Commits
from mainstem.client.consumer.intake import Intake
from mainstem.client.consumer.membership import Change, Membership, not_a_member
from mainstem.client.consumer.modern import CONSUMER_GROUP_HEARTBEAT
from mainstem.client.consumer.modern_membership import ModernMembership
from mainstem.client.consumer.positions import Positions
from mainstem.client.consumer.settings import ConsumerSettings
from mainstem.client.consumer.subscription import TopicPartition
from mainstem.client.offsets import Point
from mainstem.client.retry import Gate
from mainstem.errors import Conflict, Invalid, MainstemError, Unavailable

_FENCED, _INVALID_PATTERN = 82, 128
_NO_MODERN_GROUP = frozenset({23, 35, 69, 128})  # codes after which "auto" means classic
_PATTERN_VERSION = 1  # of ConsumerGroupHeartbeat, from which the broker matches patterns


class GroupConsumer:
    """One member of a group. Belongs to the client's event loop; one task calls ``step``."""

    def __init__(self, cluster: Cluster, settings: ConsumerSettings) -> None:
        self.settings = settings
        self.positions = Positions(cluster, settings)
        self._cluster = cluster
        self._gate = Gate(f"the consumer of group {settings.group!r}")
        self._commits = Commits(cluster, settings, lambda: self.membership, self.positions)
        self._intake = Intake(cluster, settings, self.positions, self.check)
        self._background: set[asyncio.Task[None]] = set()
        self._commit_failure: MainstemError | None = None
        self._turn: tuple[asyncio.Task[Any] | None, asyncio.Future[None]] | None = None
        self._unseen = False  # the last batch may not have reached the user
        self._closing = False
        self._membership: Membership | None = None
        self._classic = settings.protocol == "classic"
        self._automatic: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to join, once. Raises ``Invalid`` for a topic that does not exist."""
        if self._membership is not None:
            return
        over = await self._take_turn()
        try:
            self.check()
            for name in self.settings.topics:
                await self._cluster.topic(name, self._cluster.deadline(), fresh=True)
            await self._enter()
        finally:
            over.set_result(None)
        if self.settings.auto_commit is not None:
            self._automatic = asyncio.get_running_loop().create_task(self._commit_now_and_then())

    async def _take_turn(self) -> asyncio.Future[None]:
        """Raise ``Invalid`` while another task is inside; what is returned is set at the end.

        One that was cancelled, as by Ctrl-C, is on its way out: that is waited for.
        """
        while self._turn is not None and not self._turn[1].done():
            task, over = self._turn
            if task is None or not task.cancelling():
                raise Invalid(
                    f"another thread or task waits for the next batch of this consumer of group "
                    f"{self.settings.group!r}: one at a time, or open a consumer for each"
                )
            await asyncio.wait([over])
        loop = asyncio.get_running_loop()
        self._turn = asyncio.current_task(), loop.create_future()
        return self._turn[1]

    async def _enter(self) -> None:
        modern = await self._modern()
        self.check()  # it may have been closed meanwhile
        kind = ModernMembership if modern else ClassicMembership
        self._membership = kind(self._cluster, self.settings)
        self._membership.start()

    async def _modern(self) -> bool:
        settings = self.settings
        if self._classic:
            return False
        deadline = self._cluster.deadline()
        connection = await self._cluster.connection(
            await self._cluster.retrying(
                lambda deadline: self._cluster.coordinator(settings.group, deadline), deadline.left
            )
        )
        offered = CONSUMER_GROUP_HEARTBEAT in connection.versions
        if settings.protocol == "consumer" and not offered:
            raise Invalid(
                f'the broker at {connection.name} does not offer protocol="consumer" (KIP-848): '
                'use protocol="classic", or leave it to Mainstem',
                code=35,
            )
        if settings.pattern is not None:
            matched = offered and connection.version(CONSUMER_GROUP_HEARTBEAT) >= _PATTERN_VERSION
            offered = matched and settings.server_pattern is not None
            if settings.protocol == "consumer" and not offered:
                raise Invalid(
                    f"the broker at {connection.name} does not match {settings.pattern.pattern!r}"
                    f'{" (RE2 has no such syntax)" if matched else ""}: use protocol="classic", '
                    "where this client matches it, or leave it to Mainstem",
                    code=_INVALID_PATTERN,
                )
        return offered and (settings.protocol == "consumer" or settings.assignor is None)

    @property
    def membership(self) -> Membership:
        """The present one. Raises ``Closed``, and ``Conflict`` before ``start``."""
        self._gate.check()
        if self._membership is None:
            raise not_a_member(self.settings)
        return self._membership

    @property
    def member_id(self) -> str:
        """As the coordinator knows this member; empty before it does."""
        return "" if self._membership is None else self.membership.member_id

    def check(self) -> None:
        """Raise ``Closed`` after ``close``, ``Invalid`` on another event loop."""
        self._gate.check()
        self._cluster.check()

    # --- batches -----------------------------------------------------------------------------

    async def step(self, timeout: float | None = None) -> Any:
        """The next ``pa.RecordBatch``, a ``Change`` to acknowledge, or ``None`` after a time.

        Asking for the next batch says that the ones before are processed. Raises ``Conflict``
        when the group went on without this consumer; the next call joins again.
        """
        self.check()
        if timeout is not None:
            check_seconds("timeout", timeout, zero=True)
        over = await self._take_turn()
        try:
            await self.take_back()
            self.membership.inside()
            self.positions.all_processed()
            return await self._step(None if timeout is None else max(0.0, timeout))
        finally:
            over.set_result(None)
            if self._gate.open:
                self.membership.outside()

    async def step_unseen(self, timeout: float | None = None) -> Any:
        """As ``step``, for who may be interrupted before the batch is there: until ``seen`` it
        does not count as handed out."""
        found = await self.step(timeout)
        self._unseen = found is not None and not isinstance(found, Change)
        return found

    def seen(self) -> None:
        """What ``step_unseen`` returned has arrived."""
        self._unseen = False

    async def take_back(self) -> None:
        """Hand out again what nobody has seen: every call that may commit or move begins so."""
        if self._unseen:
            self._unseen = False
            self.positions.take_back()
            await self._intake.drop()

    async def _step(self, timeout: float | None) -> Any:
        loop = asyncio.get_running_loop()
        until = None if timeout is None else loop.time() + timeout
        while True:
            membership = self.membership
            if self._closing:
                raise self._gate.closed()
            self._raise_commit_failure()
            change = membership.pending
            if change is not None:
                await self._prepare(change)
                return change
            if membership.failure is not None:
                await self._again(membership.failure)
                continue
            # Only this waits for others; what comes above must not be cut off half-way.
            left = None if until is None else max(0.0, until - loop.time())
            batch = await self._intake.next(membership.signal, left)
            late = until is not None and loop.time() >= until
            if batch is not None or (late and not membership.signal.is_set()):
                return batch

    async def _again(self, failure: MainstemError) -> None:
        """Leave what failed, so that the next step joins again; raises why."""
        if failure.code == _FENCED:
            raise failure
        await self._intake.drop()
        await self.membership.close()
        unsupported = failure.code in _NO_MODERN_GROUP and not self._classic
        if self.settings.protocol is None and unsupported:
            self._classic = True
            await self._enter()
            return
        await self._enter()
        raise failure

    # --- changes -----------------------------------------------------------------------------

    async def _prepare(self, change: Change) -> None:
        await self._intake.drop()
        if change.kind == "assigned":
            committed = await self._commits.committed(change.partitions)
            await self.positions.assign(change.partitions, committed)
        elif change.kind == "revoked" and self.settings.auto_commit is not None:
            with suppress(Conflict):  # lost in this moment: read again by its next owner
                await self._commit_processed(change.partitions)

    async def acknowledge(self, change: Change) -> None:
        """The user knows of the change."""
        if change.kind != "assigned":
            self.positions.drop(change.partitions)
        self.membership.acknowledge(change)

    # --- commits -----------------------------------------------------------------------------

    async def commit(
        self, offsets: Mapping[TopicPartition, int] | None = None, *, wait: bool = True
    ) -> None:
        """Commit what was handed out, the last batch included, or these offsets.

        Without ``wait`` it happens behind the scenes, in order; an error is raised by the next
        ``step`` or ``commit``. Raises ``Conflict`` when partitions went to others meanwhile.
        """
        self.check()
        self._raise_commit_failure()
        if offsets is not None:
            check_offsets("offsets", offsets)
        await self.take_back()
        wanted = dict(self.positions.uncommitted() if offsets is None else offsets)
        if wait:
            await self._send(wanted)
        else:
            self._behind(self._send_behind(wanted))

    def _behind(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that ``close`` waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _send(self, offsets: Mapping[TopicPartition, int]) -> None:
        await self._commits.commit(offsets)
        self.positions.committed(offsets)

    async def _send_behind(self, offsets: Mapping[TopicPartition, int]) -> None:
        try:
            await self._send(offsets)
        except MainstemError as error:
            self._commit_failure = error

    def _raise_commit_failure(self) -> None:
        failure, self._commit_failure = self._commit_failure, None
        if failure is not None:
            raise failure

    async def _commit_processed(self, partitions: Iterable[TopicPartition]) -> None:
        wanted = set(partitions)
        found = self.positions.uncommitted(processed=True)
        await self._send({where: at for where, at in found.items() if where in wanted})

    async def _commit_now_and_then(self) -> None:
        interval = self.settings.auto_commit
        assert interval is not None
        while True:
            await asyncio.sleep(interval)
            try:
                await self._commit_processed(self.membership.owned)
            except (Conflict, Unavailable):
                continue  # membership says so itself, or the next one works
            except MainstemError as error:
                self._commit_failure = error

    # --- places ------------------------------------------------------------------------------

    async def seek(self, topic: str, partition: int, point: Point) -> None:
        """Go on elsewhere in an assigned partition; read-ahead is dropped."""
        self.check()
        await self.take_back()
        await self.positions.seek((topic, partition), point)
        await self._intake.drop()

    async def rewind(self) -> None:
        """Hand out again what came since the last commit: its transaction was aborted."""
        self._unseen = False
        self.positions.rewind()
        await self._intake.drop()

    async def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Hand out nothing of these until ``resume``; membership and positions stay."""
        self.check()
        await self.take_back()
        if self.positions.pause(check_partitions("partitions", partitions)):
            await self._intake.drop()

    async def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Undo ``pause``."""
        self.check()
        if self.positions.resume(check_partitions("partitions", partitions)):
            await self._intake.drop()

    async def committed(self) -> dict[TopicPartition, int]:
        """The group's commits in the assigned partitions; those without one are left out."""
        found = await self._commits.committed(self.positions.assigned())
        return {where: place.offset for where, place in found.items()}

    # --- the end -----------------------------------------------------------------------------

    async def close(self, *, processed: bool = True) -> None:
        """Commit (where automatic), leave the group, stop. May be called twice.

        ``processed`` says that the last batch handed out was processed, too.
        """
        if not self._gate.open:
            return
        membership = self._membership
        if membership is None:  # it never came to joining
            self._gate.open = False
            return
        if self._automatic is not None:
            self._automatic.cancel()
        failures: list[MainstemError] = []
        try:
            await self._finish(processed=processed)
        except Conflict:
            pass  # gone before: the records are read again by their next owner
        except MainstemError as error:
            failures.append(error)
        finally:
            # Also where that was cancelled: others wait for its partitions.
            await membership.close()
            self._gate.open = False
        if self._commit_failure is not None:
            failures.append(self._commit_failure)
        if failures:
            raise failures[0]

    async def _finish(self, *, processed: bool) -> None:
        """Hand out nothing more, and commit what was."""
        await self._end_step()
        if self._automatic is not None:
            await asyncio.gather(self._automatic, return_exceptions=True)
        await self.take_back()
        await self._intake.drop()
        if processed:
            self.positions.all_processed()
        if self._background:
            await asyncio.gather(*self._background)
        if self.settings.auto_commit is not None:
            await self._commit_processed(self.membership.owned)

    async def _end_step(self) -> None:
        """Whoever waits for a batch hears that there will be none."""
        self._closing = True
        self.membership.signal.set()
        task, over = self._turn or (None, None)
        if over is not None and not over.done() and task is not asyncio.current_task():
            await asyncio.wait([over])
