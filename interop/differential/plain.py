"""Answers reduced to what two correct brokers must agree on."""

from __future__ import annotations

import time
import uuid
from typing import Any

from mainstem.kernels import read_batches
from mainstem.wire import Message

#: Of the machine and the moment, or free text.
_IGNORED = frozenset(
    {
        "throttle_time_ms", "error_message", "batch_index_error_message", "record_errors",
        "host", "port", "cluster_id", "documentation", "log_dir", "total_bytes", "usable_bytes",
        "partition_size", "node_endpoints", "current_leader", "client_id",
        "finalized_features_epoch", "snapshot_id", "last_timestamp",
    }
)  # fmt: skip
#: Made up by the broker: named in the order they appear.
_NAMED = frozenset({"member_id", "leader", "producer_id"})
#: What the elements of an array are put in order by; brokers may answer in any.
_KEYS = (
    "name", "topic", "group_id", "key", "resource_name", "resource_type", "partition_index",
    "partition", "partition_id", "index", "api_key", "source", "member_id",
)  # fmt: skip
_TIMES = frozenset({"log_append_time_ms", "timestamp"})
_NOW_MS = int(time.time() * 1000)


class Plainer:
    """Remembers the names it gave, for the length of one scenario."""

    def __init__(self) -> None:
        self._names: dict[Any, str] = {}

    def plain(self, value: Any, field: str = "") -> Any:
        if isinstance(value, Message):
            return {
                name: self.plain(each, name)
                for name, each in value.__dict__.items()
                if name not in _IGNORED
            }
        if isinstance(value, list | tuple):
            return sorted((self.plain(each, field) for each in value), key=_order)
        if field in _NAMED and value not in {None, "", -1}:
            return self._names.setdefault(value, f"{field} {len(self._names)}")
        if isinstance(value, uuid.UUID):
            return "an id"
        if field == "records":
            return _batches(value)
        if field in _TIMES and value >= _NOW_MS:
            return "now"
        if field == "aborted_transactions":
            return value or []  # null and empty mean the same
        return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _order(value: Any) -> str:
    if isinstance(value, dict):
        return repr([str(value[key]).rjust(8) for key in _KEYS if key in value])
    return repr(value)


def _batches(records: bytes | None) -> Any:
    if not records:
        return []  # null and empty mean the same
    return [
        {
            "offsets": (header.base_offset, header.last_offset),
            "count": header.record_count,
            "attributes": header.attributes,
            "timestamps": "now"
            if header.attributes & 8
            else (header.base_timestamp, header.max_timestamp),
            "producer": (header.producer_epoch, header.base_sequence),
        }
        for header in read_batches(records, whole=False, dense=False)
    ]
