"""A worker's state in one place: who is connected, and what happens to them together."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from mainstem.clock import Clock, SystemClock
from mainstem.kernels import Sender
from mainstem.live.access import Access, AccessSettings, Identity, Sessions, Step
from mainstem.live.bus import Configure, Kick, Message, ViewerReport
from mainstem.live.cursor import CursorBook
from mainstem.live.desk import Desk
from mainstem.live.fanout import Fanout
from mainstem.live.flushing import Flusher
from mainstem.live.frames import Fields
from mainstem.live.gauges import SetAccounts
from mainstem.live.joining import Joiner
from mainstem.live.subscriptions import SubscriptionSet
from mainstem.live.viewers import ViewerSettings, WorkerViewers

if TYPE_CHECKING:
    from mainstem.live.connection import HttpConnection


class Handler(Protocol):
    """What sits behind a connection of the sender; told what the sender reports."""

    def readable(self) -> None: ...
    def lapped(self) -> None: ...
    def deadline(self) -> None: ...
    def closed(self) -> None: ...


class Viewer(Handler, Protocol):
    """A handler whose connection is a viewer, over either transport."""

    identity: Identity

    def tell(self, name: str, fields: Fields) -> None:
        """A control message, ahead of the ring's next frame."""
        ...

    def end(self, code: int, reason: str) -> None:
        """Send what is queued, then close; ``code`` is a WebSocket close code."""
        ...

    def subscription(self) -> SubscriptionSet | None:
        """The set it reads."""
        ...

    def leave_at(self, seconds: float) -> None:
        """End it by itself, resumably, so many seconds from now."""
        ...


class Gateway:
    """One worker's parts, wired. One event loop's."""

    def __init__(self, config: Configure, send: Any, clock: Clock | None = None) -> None:
        self.config = config
        self.clock = clock or SystemClock()
        self.send: Any = send
        settings = msgspec.json.decode(config.access, type=AccessSettings)
        counting = msgspec.json.decode(config.viewers, type=ViewerSettings)
        self.sender = Sender()
        self.book = CursorBook(config.cursor_key)
        self.desk = Desk(self._post)
        self.flusher = Flusher(self.sender, config.window_ms / 1000, self.settle)
        self.fanout = Fanout(
            self.book,
            config.ring_bytes,
            config.window_ms,
            self._post,
            self.flusher.news,
            self._opened_anew,
            self.flusher.wake,
        )
        self.joiner = Joiner(self.fanout, self.desk, self.sender, self.book)
        self.access = Access(
            settings,
            self.clock,
            secret=config.cursor_key,
            node=config.node,
            spend=self.desk.use_ticket,
        )
        for user, token_id, at in config.revoked:
            self.access.revoke(user=user, token_id=token_id, at=at)
        self.sessions: Sessions[int] = Sessions(self.clock, warning=settings.warning)
        self.counting = WorkerViewers(counting)
        self.handlers: dict[int, Handler] = {}
        self.viewers: dict[int, Viewer] = {}
        self.waiting: dict[int, HttpConnection] = {}
        self.by_namespace: Counter[str] = Counter()
        self.evictions: Counter[str] = Counter()
        self.resets: Counter[str] = Counter()
        self.accounts = SetAccounts()
        self.refused: Counter[str] = Counter()
        self.draining = False
        self.shed = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def _post(self, message: Message) -> None:
        self.send(message)

    def settle(self) -> None:
        """Once per flush window."""
        self.fanout.settle()

    @property
    def full(self) -> bool:
        """No room for another viewer."""
        return len(self.viewers) >= self.config.max_connections or self.draining

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` in a task that is kept alive; it must handle its own errors."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def retry_ms(self) -> int:
        """When this client should come back: each another moment."""
        return random.randint(*self.config.retry_ms)

    # Viewers --------------------------------------------------------------------------

    def arrived(self, ident: int, viewer: Viewer) -> None:
        """A connection becomes a viewer."""
        self.handlers[ident] = viewer
        self.viewers[ident] = viewer
        self.sessions.add(ident, viewer.identity)

    def departed(self, ident: int) -> None:
        """It is one no more. A second time does nothing."""
        self.viewers.pop(ident, None)
        self.handlers.pop(ident, None)
        self.sessions.remove(ident)

    def watches(self, viewer: Viewer, each: SubscriptionSet | None) -> None:
        """Count ``viewer`` for the set it enters."""
        if each is not None:
            self.by_namespace.update(each.namespaces)
            self.counting.joined(each.ids, viewer.identity.user, self.clock.monotonic())

    def watches_no_more(self, viewer: Viewer, each: SubscriptionSet | None) -> None:
        """The reverse of ``watches``."""
        if each is not None:
            self.by_namespace.subtract(each.namespaces)
            self.counting.left(each.ids, viewer.identity.user, self.clock.monotonic())

    def moves(
        self, viewer: Viewer, old: SubscriptionSet | None, new: SubscriptionSet | None
    ) -> None:
        """Count a viewer that changes its set; ids in both go on being watched."""
        before = old.ids if old is not None else frozenset()
        after = new.ids if new is not None else frozenset()
        now, user = self.clock.monotonic(), viewer.identity.user
        if after - before:
            self.counting.joined(after - before, user, now)
        if before - after:
            self.counting.left(before - after, user, now)
        if old is not None:
            self.by_namespace.subtract(old.namespaces)
        if new is not None:
            self.by_namespace.update(new.namespaces)

    def evicted(self, each: SubscriptionSet) -> None:
        """Count a viewer that was too slow for its ring."""
        self.evictions.update(each.namespaces)

    # Together -------------------------------------------------------------------------

    def kick(self, message: Kick) -> None:
        """End what a user, or the holder of a token, has open; believe them no more."""
        if message.user is not None or message.token_id is not None:
            self.access.revoke(token_id=message.token_id, user=message.user, at=message.at)
        for ident in self.sessions.matching(user=message.user, token_id=message.token_id):
            viewer = self.viewers.get(ident)
            if viewer is not None:
                viewer.tell("auth", {"reason": message.reason})
                viewer.end(4403, message.reason)

    def check_tokens(self) -> None:
        """Warn those whose token ends soon, and end those whose token has."""
        for due in self.sessions.due():
            viewer = self.viewers.get(due.connection)
            if viewer is None:
                continue
            if due.step is Step.WARN:
                viewer.tell("auth", {"reason": "expiring", "expires_at": due.expires_at})
            else:
                viewer.end(4401, "the token has expired")

    def report_viewers(self) -> None:
        """Tell the dispatcher how many are here."""
        report = self.counting.changes(self.clock.monotonic())
        if report is not None:
            self._post(ViewerReport(report))

    def beat(self) -> None:
        """Heartbeats for the rings that have been silent: once a second."""
        before = time.time_ns() // 1000 - int(self.config.heartbeat_s * 1_000_000)
        for each in list(self.fanout.sets.values()):
            if each.spoke_us <= before and each.ring.viewers > 0:
                self.fanout.beat(each)

    def drain(self, seconds: float) -> None:
        """Tell everybody, and end each at its own moment within ``seconds``."""
        self.draining = True
        now_us = time.time_ns() // 1000
        for each in list(self.fanout.sets.values()):
            fields = {"reason": "shutdown", "seconds": seconds}
            each.say(each.framing.control("drain", each.cursor(), fields), now_us)
            self.flusher.news(each)
        for viewer in list(self.viewers.values()):
            viewer.leave_at(0.2 + random.random() * max(0.0, seconds - 0.4))

    def _opened_anew(self, each: SubscriptionSet, reason: str) -> None:
        # Their cursors name a life of the topic that is over: each gets `reset` on coming back.
        self.resets.update(each.namespaces)
        for viewer in list(self.viewers.values()):
            if viewer.subscription() is each:
                viewer.end(4409, reason)

    async def close(self) -> None:
        """Stop what is under way; connections are closed with the sender."""
        self.flusher.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.access.close()
