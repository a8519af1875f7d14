"""What the broker process reports about itself, as plain values for the control channel."""

from __future__ import annotations

import os
import resource
import time
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
        "start_time_seconds": _start_time(),
        "open_fds": sum(1 for _ in Path("/proc/self/fd").iterdir()),
    }


def _start_time() -> float:
    """Seconds since the epoch; field 22 of proc(5)'s stat counts from boot, in clock ticks."""
    fields = Path("/proc/self/stat").read_text("ascii").rpartition(")")[2].split()
    since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot
