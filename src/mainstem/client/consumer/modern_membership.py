"""The consumer group protocol (KIP-848) on asyncio: a thin skin over ``ModernMember``."""

from __future__ import annotations

import asyncio

from mainstem.client.cluster import Cluster
from mainstem.client.consumer.classic import Next
from mainstem.client.consumer.membership import Identity, Membership, not_a_member
from mainstem.client.consumer.modern import CONSUMER_GROUP_HEARTBEAT, ModernMember, Place
from mainstem.client.consumer.settings import ConsumerSettings
from mainstem.client.consumer.subscription import TopicPartition
from mainstem.errors import MainstemError, Unavailable
from mainstem.wire import Message


class ModernMembership(Membership):
    """See ``Membership``."""

    def __init__(self, cluster: Cluster, settings: ConsumerSettings) -> None:
        super().__init__(cluster, settings)
        self._member = ModernMember(settings)
        self._target_changed = asyncio.Event()
        self._tell = asyncio.Event()
        self._beating: asyncio.Task[None] | None = None

    @property
    def member_id(self) -> str:
        """See ``Membership``."""
        return self._member.member_id

    def identity(self) -> Identity:
        """See ``Membership``."""
        member = self._member
        if member.epoch <= 0 or self.failure is not None:
            raise self.failure or not_a_member(self._settings)
        return Identity(member.epoch, member.member_id, self._settings.instance_id)

    def _farewell(self) -> tuple[int, Message] | None:
        if self._member.epoch <= 0:
            return None
        return CONSUMER_GROUP_HEARTBEAT, self._member.leave()

    # --- reconcile ---------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while self.failure is None:
                if self._lost.is_set():
                    await self._ask("lost", self.owned)
                    self._lost.clear()
                if self._beating is None or self._beating.done():
                    self._beating = asyncio.get_running_loop().create_task(self._beat())
                await self._target_changed.wait()
                self._target_changed.clear()
                if not self._lost.is_set():
                    await self._reconcile()
        finally:
            if self._beating is not None:
                self._beating.cancel()

    async def _reconcile(self) -> None:
        """Towards the target: give up first and say so, then take."""
        target = await self._named(self._member.target)
        wanted = frozenset(target)
        gone = self.owned - wanted
        await self._ask("revoked", gone)
        if self._lost.is_set():
            return
        self._member.owned = frozenset(
            place for name, place in target.items() if name in self.owned
        )
        if not gone:
            await self._ask("assigned", wanted - self.owned)
            if self._lost.is_set():
                return
            self._member.owned = frozenset(target.values())
        self._tell.set()
        if gone and wanted - self.owned:
            self._target_changed.set()  # what is free already can be taken now

    async def _named(self, places: frozenset[Place]) -> dict[TopicPartition, Place]:
        """Topic names for ids; a topic the brokers do not know yet is taken later."""
        names = self._topic_names()
        if any(topic_id not in names for topic_id, _ in places):
            try:
                wanted = None if self._settings.pattern else list(self._settings.topics)
                await self._cluster.refresh(wanted, self._patience())
            except Unavailable:
                asyncio.get_running_loop().call_later(1.0, self._target_changed.set)
            names = self._topic_names()
        return {(names[found], part): (found, part) for found, part in places if found in names}

    def _topic_names(self) -> dict[object, str]:
        topics = self._cluster.metadata.topics.values()
        return {topic.id: topic.name for topic in topics if topic.id is not None}

    # --- heartbeats --------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Until the coordinator does not know this member any more."""
        deadline = self._patience()
        trouble: MainstemError | None = None
        try:
            while True:
                before = self._member.target
                try:
                    verdict = await self._beat_once()
                except Unavailable as error:
                    trouble = error
                    self._member.repeat()
                    verdict = Next.FIND
                if verdict is Next.LOST:
                    break
                if verdict is Next.FIND:
                    self._cluster.forget_coordinator(self._settings.group)
                    if not await deadline.pause():
                        reason = trouble or "its coordinator is not available"
                        name = self._settings.group
                        raise Unavailable(f"group {name!r} cannot be reached: {reason}")
                    continue
                deadline = self._patience()
                self.stable.set()
                if self._member.target != before:
                    self._target_changed.set()
                await self._pause()
        except MainstemError as error:
            self._fail(error)
        self._lost.set()
        self.stable.clear()
        self._target_changed.set()

    async def _beat_once(self) -> Next:
        timeout = self._cluster.config.request_timeout
        answer = await self._call(CONSUMER_GROUP_HEARTBEAT, self._member.heartbeat(), timeout)
        return self._member.beaten(answer)

    async def _pause(self) -> None:
        """Until the next heartbeat is due, or there is something to tell."""
        self._tell.clear()
        if self._member.must_tell:
            return
        try:
            async with asyncio.timeout(self._member.interval):
                await self._tell.wait()
        except TimeoutError:
            return
