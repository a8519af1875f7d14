"""Membership in a group on asyncio: what both protocols share.

Heartbeats go on in tasks of their own, whatever the user does. Everything that takes partitions
away or brings new ones is a ``Change`` that waits until the user asks for the next batch, so
that nothing is taken away under a batch in work.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from mainstem.client.cluster import Cluster
from mainstem.client.consumer.settings import ConsumerSettings
from mainstem.client.consumer.subscription import TopicPartition
from mainstem.client.retry import Deadline
from mainstem.errors import Conflict, MainstemError, Unavailable
from mainstem.wire import Message

_LEAVE_SECONDS = 5.0
_UNKNOWN_MEMBER = 25


@dataclass(frozen=True, slots=True)
class Change:
    """Partitions come (``"assigned"``), are asked back (``"revoked"``) or are gone (``"lost"``)."""

    kind: Literal["assigned", "revoked", "lost"]
    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who commits: generation (or member epoch), member id and instance id."""

    generation: int
    member_id: str
    instance_id: str | None


class Membership(ABC):
    """One member, from ``start`` to ``close``. Belongs to the client's event loop.

    ``owned`` is what the user has in hand. ``signal`` is set while a change or a failure waits.
    """

    def __init__(self, cluster: Cluster, settings: ConsumerSettings) -> None:
        self.owned: frozenset[TopicPartition] = frozenset()
        self.failure: MainstemError | None = None
        self.signal = asyncio.Event()
        self.stable = asyncio.Event()  # set while the generation holds
        self._cluster = cluster
        self._settings = settings
        self._pending: Change | None = None
        self._answered: asyncio.Future[None] | None = None
        self._lost = asyncio.Event()  # what is owned is gone already
        self._tasks: list[asyncio.Task[None]] = []
        self._outside: float | None = None  # since when the user has been at work

    # --- the user's side ---------------------------------------------------------------------

    def start(self) -> None:
        """Begin to join."""
        self._tasks = [self._task(self._run()), self._task(self._watch())]

    @property
    def pending(self) -> Change | None:
        """The change to make now; made with ``acknowledge``."""
        change = self._pending
        if self.failure is not None:
            change = Change("lost", tuple(sorted(self.owned))) if self.owned else None
        elif change is not None and self._lost.is_set() and change.kind == "revoked":
            change = replace(change, kind="lost")
        elif change is not None and self._lost.is_set() and change.kind == "assigned":
            change = None
            self._answer()
        self._pending = change
        return change

    def acknowledge(self, change: Change) -> None:
        """The user has taken, or let go of, these partitions."""
        if change.kind == "assigned":
            self.owned |= set(change.partitions)
        else:
            self.owned -= set(change.partitions)
        if self._pending == change:
            self._pending = None
            self._answer()

    def _answer(self) -> None:
        if self.failure is None:
            self.signal.clear()
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def inside(self) -> None:
        """The user waits for a batch."""
        self._outside = None

    def outside(self) -> None:
        """The user works, for at most ``max_poll_interval``."""
        self._outside = asyncio.get_running_loop().time()

    @abstractmethod
    def identity(self) -> Identity:
        """For commits. Raises ``Conflict`` while this is no member."""

    @property
    @abstractmethod
    def member_id(self) -> str:
        """As the coordinator knows it; empty before it does."""

    async def close(self) -> None:
        """Stop and leave the group; never raises for a group that cannot be reached."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        self.stable.clear()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
            # A JoinGroup may still wait there, and what comes behind it would wait, too.
            await self._cluster.release(self)
            await self._leave()
        finally:
            await self._cluster.release(self)

    # --- the members' side -------------------------------------------------------------------

    @abstractmethod
    async def _run(self) -> None:
        """Join, stay, follow changes; ends by an exception only."""

    @abstractmethod
    def _farewell(self) -> tuple[int, Message] | None:
        """API key and request that leave the group, if anything is to be said."""

    async def _ask(self, kind: Literal["assigned", "revoked", "lost"], what: Any) -> None:
        """Have the user make a change, and wait for it."""
        partitions = tuple(sorted(what))
        if not partitions:
            return
        self._answered = asyncio.get_running_loop().create_future()
        self._pending = Change(kind, partitions)
        self.signal.set()
        await self._answered

    async def _call(self, api_key: int, message: Message, timeout: float) -> Message:
        """One request to the coordinator on a connection of this member's own."""
        group = self._settings.group
        try:
            node = await self._cluster.coordinator(group, self._cluster.deadline(timeout))
            connection = await self._cluster.connection(node, lane=self)
            return await connection.call(api_key, message, timeout=timeout)
        except MainstemError:
            self._cluster.forget_coordinator(group)
            raise

    def _patience(self) -> Deadline:
        return self._cluster.deadline()

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        async def run() -> None:
            try:
                await work
            except MainstemError as error:
                self._fail(error)
            except Exception as error:  # a bug must not leave the user waiting for ever
                self._fail(Unavailable(f"group {self._settings.group!r}: {error!r}"))
                raise

        return asyncio.get_running_loop().create_task(run())

    def _fail(self, error: MainstemError) -> None:
        if self.failure is None:
            self.failure = error
        self.stable.clear()
        self.signal.set()

    async def _leave(self) -> None:
        farewell = self._farewell()
        if farewell is not None:
            with suppress(MainstemError, TimeoutError):
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await self._call(*farewell, _LEAVE_SECONDS)

    # --- max_poll_interval -------------------------------------------------------------------

    async def _watch(self) -> None:
        """Leave when the user has been at work for too long: the others must go on."""
        loop = asyncio.get_running_loop()
        limit = self._settings.max_poll_interval
        while True:
            since = self._outside
            left = limit if since is None else since + limit - loop.time()
            if since is not None and left <= 0:
                break
            await asyncio.sleep(max(left, 0.01))
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._fail(overdue(self._settings))
        await self._leave()


def overdue(settings: ConsumerSettings) -> Conflict:
    """The user took too long."""
    return Conflict(
        f"group {settings.group!r}: more than max_poll_interval={settings.max_poll_interval:g} s "
        "passed between two batches, so this consumer left the group and its partitions went to "
        "others: do less per batch (batch_rows), or raise max_poll_interval",
        code=_UNKNOWN_MEMBER,
    )


def not_a_member(settings: ConsumerSettings) -> Conflict:
    """There is no generation to commit in."""
    return Conflict(
        f"group {settings.group!r} does not count this consumer among its members at the moment: "
        "ask for the next batch, which joins again",
        code=_UNKNOWN_MEMBER,
    )
