"""What the broker process reports about itself, as plain values for the control channel."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mainstem.broker import Broker


def gather(broker: Broker) -> dict[str, Any]:
    """The broker's own counters and partitions, and the figures of its process."""
    answer = broker.statistics()
    answer["groups"] = len(broker.groups.all())
    answer["refused_partitions"] = sum(len(topic.refused) for topic in broker.topics.all())
    answer["process"] = process()
    return answer


def process() -> dict[str, float]:
    """Memory in bytes, processor time in seconds, open descriptors (Linux's /proc)."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return {
        "resident_memory_bytes": pages * resource.getpagesize(),
        "cpu_seconds_total": usage.ru_utime + usage.ru_stime,
        "open_fds": sum(1 for _ in Path("/proc/self/fd").iterdir()),
    }
