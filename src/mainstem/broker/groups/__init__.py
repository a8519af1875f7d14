"""Consumer groups: membership (``machine``, without I/O), offsets, and their coordinator."""

from __future__ import annotations

from mainstem.broker.groups.base import CONSUMER
from mainstem.broker.groups.coordinator import GroupCoordinator
from mainstem.broker.groups.effects import JoinRequest, JoinResult, State, SyncResult
from mainstem.broker.groups.machine import ClassicGroup
from mainstem.broker.groups.storage import CommittedOffset, OffsetKey

__all__ = [
    "CONSUMER",
    "ClassicGroup",
    "CommittedOffset",
    "GroupCoordinator",
    "JoinRequest",
    "JoinResult",
    "OffsetKey",
    "State",
    "SyncResult",
]
