"""What goes into the group state machine and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol

from mainstem.broker.groups.roster import Parked
from mainstem.wire import ErrorCode


class State(StrEnum):
    """Kafka's names, as DescribeGroups and ListGroups show them."""

    EMPTY = "Empty"
    PREPARING = "PreparingRebalance"
    COMPLETING = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


class Timer(NamedTuple):
    """Which clock runs out; starting a timer that runs starts it anew."""

    kind: Literal["join", "sync", "session", "pending"]
    member_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """A JoinGroup request, checked by the coordinator, with what its version allows."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocol_type: str
    protocols: dict[str, bytes]
    requires_known_member: bool = True  # v4 and later, KIP-394
    supports_skip_assignment: bool = True  # v9 and later, KIP-814


class JoinedMember(NamedTuple):
    """What the leader learns about one member."""

    member_id: str
    instance_id: str | None
    metadata: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinResult:
    error: ErrorCode
    member_id: str
    generation: int = -1
    protocol_type: str | None = None
    protocol_name: str | None = None
    leader: str = ""
    skip_assignment: bool = False
    members: tuple[JoinedMember, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    error: ErrorCode
    protocol_type: str | None = None
    protocol_name: str | None = None
    assignment: bytes = b""


class StoredMember(NamedTuple):
    """A member as it survives a restart."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    subscription: bytes
    assignment: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A generation as it survives a restart: stable with members, or empty without."""

    group_id: str
    generation: int
    protocol_type: str | None
    protocol_name: str | None
    leader: str | None
    state_since_ms: int
    members: tuple[StoredMember, ...]


class Effects(Protocol):
    """What the machine asks of its surroundings; none of these calls back at once."""

    def answer(self, call: Parked, result: JoinResult | SyncResult) -> None:
        """Answers a parked call: exactly once each."""

    def start_timer(self, timer: Timer, delay_ms: int) -> None: ...

    def stop_timer(self, timer: Timer) -> None: ...

    def persist(self, snapshot: Snapshot, done: Callable[[bool], None]) -> None:
        """Stores the snapshot, then calls ``done(whether it is on disk)``, later."""

    def now_ms(self) -> int: ...

    def new_member_id(self, prefix: str) -> str: ...
