"""The group state machine with time, disk and sockets in the test's hands."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from typing import Any

from mainstem.broker.groups.effects import JoinRequest, JoinResult, Snapshot, SyncResult, Timer
from mainstem.broker.groups.machine import ClassicGroup
from mainstem.wire import ErrorCode

SESSION_MS = 10_000
REBALANCE_MS = 60_000


def subscription(*topics: str, version: int = 0, rest: bytes = b"\xff\xff\xff\xff") -> bytes:
    """A ConsumerProtocolSubscription: version, topics, and null user data."""
    body = struct.pack(">hi", version, len(topics))
    for topic in topics:
        body += struct.pack(">h", len(topic.encode())) + topic.encode()
    return body + rest


class Harness:
    """Records effects and checks them: a call is answered once, and only if it was made."""

    def __init__(
        self, *, initial_delay_ms: int = 0, max_size: int = 1_000, hold_disk: bool = False
    ) -> None:
        self.now = 1_000_000
        self.max_size = max_size
        self.hold_disk = hold_disk
        self.timers: dict[Timer, int] = {}
        self.parked: set[int] = set()
        self.answers: dict[int, Any] = {}
        self.stored: list[Snapshot] = []
        self.disk: list[tuple[Snapshot, Callable[[bool], None]]] = []
        self._calls = itertools.count(1)
        self._ids = itertools.count(1)
        self.group = ClassicGroup("g", self, initial_delay_ms=initial_delay_ms)

    # --- effects ------------------------------------------------------------------------------

    def answer(self, call: int, result: JoinResult | SyncResult) -> None:
        assert call in self.parked, f"call {call} answered twice, or never made: {result}"
        self.parked.remove(call)
        self.answers[call] = result

    def start_timer(self, timer: Timer, delay_ms: int) -> None:
        assert delay_ms >= 0
        self.timers[timer] = self.now + delay_ms

    def stop_timer(self, timer: Timer) -> None:
        self.timers.pop(timer, None)

    def persist(self, snapshot: Snapshot, done: Callable[[bool], None]) -> None:
        self.disk.append((snapshot, done))

    def now_ms(self) -> int:
        return self.now

    def new_member_id(self, prefix: str) -> str:
        return f"{prefix}-{next(self._ids)}"

    # --- time and disk ------------------------------------------------------------------------

    def write(self, *, works: bool = True, count: int | None = None) -> None:
        """Lets the disk finish what is queued."""
        for _ in range(len(self.disk) if count is None else count):
            snapshot, done = self.disk.pop(0)
            if works:
                self.stored.append(snapshot)
            done(works)
        if not self.hold_disk and self.disk:
            self.write()

    def settle(self) -> None:
        if not self.hold_disk and self.disk:
            self.write()

    def advance(self, milliseconds: int) -> None:
        """Lets time pass, firing timers in their order."""
        end = self.now + milliseconds
        while self.timers:
            timer, due = min(self.timers.items(), key=lambda item: (item[1], item[0]))
            if due > end:
                break
            self.now = max(self.now, due)
            del self.timers[timer]
            self.group.timer_fired(timer)
            self.settle()
        self.now = end

    # --- requests -----------------------------------------------------------------------------

    def join(
        self,
        member_id: str = "",
        *,
        instance: str | None = None,
        protocols: dict[str, bytes] | None = None,
        kind: str = "consumer",
        client: str = "c",
        session_ms: int = SESSION_MS,
        rebalance_ms: int = REBALANCE_MS,
        version: int = 9,
    ) -> int:
        call = next(self._calls)
        self.parked.add(call)
        request = JoinRequest(
            member_id=member_id,
            instance_id=instance,
            client_id=client,
            client_host="/127.0.0.1",
            session_timeout_ms=session_ms,
            rebalance_timeout_ms=rebalance_ms,
            protocol_type=kind,
            protocols={"range": subscription("t")} if protocols is None else protocols,
            requires_known_member=version >= 4,
            supports_skip_assignment=version >= 9,
        )
        self.group.join(request, call, max_size=self.max_size)
        self.settle()
        return call

    def enter(self, **options: Any) -> tuple[str, int]:
        """A dynamic member's first join: the id it was given, and its parked call."""
        promised = self.answers[self.join(**options)]
        assert promised.error == ErrorCode.member_id_required
        return promised.member_id, self.join(promised.member_id, **options)

    def sync(
        self,
        member_id: str,
        generation: int | None = None,
        assignments: dict[str, bytes] | None = None,
        *,
        instance: str | None = None,
        protocol: tuple[str | None, str | None] = (None, None),
    ) -> int:
        call = next(self._calls)
        self.parked.add(call)
        current = self.group.generation if generation is None else generation
        self.group.sync(member_id, instance, current, protocol, assignments or {}, call)
        self.settle()
        return call

    def heartbeat(self, member_id: str, *, instance: str | None = None) -> ErrorCode:
        return self.group.heartbeat(member_id, instance, self.group.generation)

    def leave(self, *member_ids: str) -> list[ErrorCode]:
        errors = self.group.leave([(member_id, None) for member_id in member_ids])
        self.settle()
        return errors

    def stable(self, count: int, **options: Any) -> list[str]:
        """A stable group of that many members; the first leads."""
        first, call = self.enter(**options)
        members = [first]
        for _ in range(count - 1):
            member_id, call = self.enter(**options)
            members.append(member_id)
            for waiting in members[:-1]:  # all others rejoin
                self.join(waiting, **options)
        assert self.answers[call].error == ErrorCode.none
        for member_id in reversed(members):
            self.sync(member_id, assignments={name: name.encode() for name in members})
        assert self.group.state == "Stable"
        return members

    def error(self, call: int) -> int:
        return int(self.answers[call].error)
