"""What a topic may choose about how it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_DAY_MS = 24 * 60 * 60 * 1000
_UNLIMITED = 2**63 - 1


@dataclass(frozen=True, slots=True)
class LogConfig:
    """One partition's settings; bytes and milliseconds throughout, -1 for no limit.

    Names follow Kafka's topic configuration with dots turned into underscores. ``flush`` says
    what ``acks=all`` waits for: ``group`` and ``always`` mean fdatasync (``always`` for every
    ``acks``), ``os`` the page cache. The log itself never syncs inside ``append``; whoever
    answers the producer waits for :class:`GroupCommit` or does not, by this setting.
    """

    segment_bytes: int = 1 << 30
    segment_ms: int = 7 * _DAY_MS
    retention_ms: int = 7 * _DAY_MS
    retention_bytes: int = -1
    max_message_bytes: int = 1_048_588
    index_interval_bytes: int = 4096
    timestamp_type: Literal["CreateTime", "LogAppendTime"] = "CreateTime"
    flush: Literal["group", "always", "os"] = "group"
    cleanup_policy: tuple[str, ...] = ("delete",)
    message_timestamp_before_max_ms: int = _UNLIMITED
    message_timestamp_after_max_ms: int = 60 * 60 * 1000
    producer_expiry_ms: int = _DAY_MS
