"""One group's effects made real: futures, event-loop timers, the store."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable

from mainstem.broker.background import Background
from mainstem.broker.groups import storage
from mainstem.broker.groups.effects import JoinResult, Snapshot, SyncResult, Timer
from mainstem.broker.groups.machine import ClassicGroup
from mainstem.broker.store import Store
from mainstem.clock import Clock

logger = logging.getLogger("mainstem.broker.groups")


class Shell:
    """Implements ``Effects`` for the group in ``group``; parked calls are futures."""

    def __init__(
        self,
        group_id: str,
        store: Store,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        background: Background,
        *,
        initial_delay_ms: int,
        on_timer: Callable[[ClassicGroup], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._loop = loop
        self._background = background
        self._on_timer = on_timer
        self._timers: dict[Timer, asyncio.TimerHandle] = {}
        #: Offset commits under way: the group must not be cleaned up beneath them.
        self.commits = 0
        self.group = ClassicGroup(group_id, self, initial_delay_ms=initial_delay_ms)

    def answer(self, call: asyncio.Future[JoinResult | SyncResult], result: object) -> None:
        # A client that went away cancelled its future; the group goes on without minding.
        if not call.done():
            assert isinstance(result, JoinResult | SyncResult)
            call.set_result(result)

    def start_timer(self, timer: Timer, delay_ms: int) -> None:
        self.stop_timer(timer)
        self._timers[timer] = self._loop.call_later(max(delay_ms, 0) / 1000, self._fire, timer)

    def stop_timer(self, timer: Timer) -> None:
        handle = self._timers.pop(timer, None)
        if handle is not None:
            handle.cancel()

    def _fire(self, timer: Timer) -> None:
        del self._timers[timer]
        self.group.timer_fired(timer)
        self._on_timer(self.group)

    def persist(self, snapshot: Snapshot, done: Callable[[bool], None]) -> None:
        async def run() -> None:
            try:
                await self._store.write(lambda connection: storage.save_group(connection, snapshot))
            except Exception as error:
                logger.error("group %s could not be stored: %s", snapshot.group_id, error)
                done(False)
            else:
                done(True)

        self._background.spawn(run())

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def new_member_id(self, prefix: str) -> str:
        return f"{prefix}-{uuid.uuid4()}"
