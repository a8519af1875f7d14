"""The classic group protocol on asyncio: a thin skin over ``ClassicMember``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from mainstem.client.cluster import Cluster
from mainstem.client.consumer.classic import (
    HEARTBEAT,
    JOIN_GROUP,
    LEAVE_GROUP,
    SYNC_GROUP,
    ClassicMember,
    Next,
)
from mainstem.client.consumer.membership import Identity, Membership, not_a_member
from mainstem.client.consumer.patterns import matching
from mainstem.client.consumer.settings import ConsumerSettings
from mainstem.errors import Invalid, MainstemError, Unavailable
from mainstem.wire import Message

_UNKNOWN_TOPIC = 3
_GRACE = 5.0  # seconds beyond the rebalance time-out, as Java's client waits


class ClassicMembership(Membership):
    """See ``Membership``."""

    def __init__(self, cluster: Cluster, settings: ConsumerSettings) -> None:
        super().__init__(cluster, settings)
        self._member = ClassicMember(settings)
        self._wake = asyncio.Event()
        self._beating: asyncio.Task[None] | None = None
        self._counts: dict[str, int] = {}
        self._trouble: MainstemError | None = None

    @property
    def member_id(self) -> str:
        """See ``Membership``."""
        return self._member.member_id

    def identity(self) -> Identity:
        """See ``Membership``."""
        member = self._member
        if member.generation < 0 or self.failure is not None:
            raise self.failure or not_a_member(self._settings)
        return Identity(member.generation, member.member_id, self._settings.instance_id)

    def _farewell(self) -> tuple[int, Message] | None:
        message = self._member.leave()
        return None if message is None else (LEAVE_GROUP, message)

    async def close(self) -> None:
        """See ``Membership``."""
        try:
            await self._rest()
        finally:
            await super().close()

    # --- the round ---------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while self.failure is None:
                if self._lost.is_set():
                    await self._ask("lost", self.owned)
                    self._lost.clear()
                elif not self._member.cooperative:
                    await self._ask("revoked", self.owned)
                    if self._lost.is_set():
                        continue
                await self._rest()
                self._member.owned = self.owned
                await self._join()
                if self._lost.is_set():
                    continue
                again = await self._hand_over()
                if not again:
                    await self._wake.wait()
        finally:
            self._stop_beating()

    async def _hand_over(self) -> bool:
        """Give up first, then take; whether to join again at once for what was given up."""
        gone = self.owned - self._member.given
        await self._ask("revoked", gone)
        if not self._lost.is_set():
            await self._ask("assigned", self._member.given - self.owned)
        return bool(gone) or self._lost.is_set()

    async def _join(self) -> None:
        """Until the partitions are known. Raises ``Unavailable`` when patience ends."""
        deadline = self._patience()
        self.stable.clear()
        while True:
            verdict = await self._try(self._join_once)
            if verdict is Next.GO_ON:
                verdict = await self._try(self._sync_once)
                if verdict is Next.GO_ON:
                    break
            if verdict is Next.LOST:
                if self.owned:
                    self._lost.set()
                    return
            elif verdict is Next.FIND:
                self._cluster.forget_coordinator(self._settings.group)
                if not await deadline.pause():
                    raise self._gave_up(deadline.seconds)
        self._wake.clear()
        self.stable.set()
        self._beating = asyncio.get_running_loop().create_task(self._beat())

    async def _join_once(self) -> Next:
        await self._match()
        timeout = self._settings.max_poll_interval + _GRACE
        answer = await self._call(JOIN_GROUP, self._member.join(), timeout)
        return self._member.joined(answer)

    async def _sync_once(self) -> Next:
        if self._member.leads:
            self._counts = await self._count(self._member.group_topics)
        known = {topic: count for topic, count in self._counts.items() if count}
        timeout = self._settings.max_poll_interval + _GRACE
        answer = await self._call(SYNC_GROUP, self._member.sync(known), timeout)
        return self._member.synced(answer)

    async def _try(self, step: Callable[[], Awaitable[Next]]) -> Next:
        try:
            return await step()
        except Unavailable as error:
            self._trouble = error
            return Next.FIND

    def _gave_up(self, seconds: float) -> Unavailable:
        reason = self._trouble or "its coordinator is not available"
        return Unavailable(
            f"group {self._settings.group!r} could not be joined for {seconds:g} s: {reason}",
            code=getattr(self._trouble, "code", 15),
        )

    # --- heartbeats --------------------------------------------------------------------------

    async def _beat(self) -> None:
        """Until the coordinator wants this member to join again, or does not know it."""
        loop = asyncio.get_running_loop()
        interval = self._settings.heartbeat_interval
        checked = loop.time()
        try:
            while True:
                await asyncio.sleep(interval)
                if loop.time() - checked >= self._cluster.config.metadata_max_age:
                    checked = loop.time()
                    if await self._grown():
                        break
                verdict = await self._try(self._beat_once)
                if verdict is Next.LOST:
                    self._lost.set()
                if verdict in (Next.LOST, Next.REJOIN):
                    break
                interval = self._settings.heartbeat_interval
                if verdict is Next.FIND:
                    self._cluster.forget_coordinator(self._settings.group)
                    interval = min(interval, 0.5)
        except MainstemError as error:
            self._lost.set()
            self._fail(error)
        if self._lost.is_set():
            self.stable.clear()
        self._wake.set()

    async def _beat_once(self) -> Next:
        timeout = self._settings.session_timeout
        return self._member.beaten(await self._call(HEARTBEAT, self._member.heartbeat(), timeout))

    async def _rest(self) -> None:
        beating = self._beating
        self._stop_beating()
        if beating is not None:
            await asyncio.gather(beating, return_exceptions=True)

    def _stop_beating(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None

    # --- what a leader watches ---------------------------------------------------------------

    async def _grown(self) -> bool:
        """Whether topics have other numbers of partitions than when this leader gave them out, or
        others fit the pattern."""
        try:
            if await self._match():
                return True
            if not self._member.leads:
                return False
            return await self._count(self._counts, fresh=True) != self._counts
        except Unavailable:
            return False  # looked at again later

    async def _match(self) -> bool:
        """See which topics the pattern means now, if there is one; whether that is new."""
        pattern = self._settings.pattern
        if pattern is None:
            return False
        await self._cluster.refresh(None, self._patience())
        before = self._member.topics
        self._member.topics = matching(pattern, self._cluster.metadata.topics.values())
        return self._member.topics != before

    async def _count(self, topics: Iterable[str], *, fresh: bool = True) -> dict[str, int]:
        """How many partitions each topic has; 0 where it does not exist (yet)."""
        counts: dict[str, int] = {}
        deadline = self._patience()
        for topic in topics:
            try:
                found = await self._cluster.topic(topic, deadline, fresh=fresh)
            except Invalid as error:
                if error.code != _UNKNOWN_TOPIC:
                    raise
                counts[topic] = 0
            else:
                counts[topic] = len(found.partitions)
        return counts
