"""A worker's numbers: per namespace, never per channel, so that they stay few."""

from __future__ import annotations

import os
import resource
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from mainstem.kernels import latency_bounds
from mainstem.live.bus import Gauges, NamespaceGauges

if TYPE_CHECKING:
    from mainstem.live.gateway import Gateway
    from mainstem.live.subscriptions import SubscriptionSet


class SetAccounts:
    """What sets have sent, by namespace, summed before the sets go. One per gateway."""

    def __init__(self) -> None:
        self.sends: Counter[str] = Counter()
        self.replayed: Counter[str] = Counter()
        self.resets: Counter[str] = Counter()

    def settle(self, each: SubscriptionSet) -> None:
        """Take over what a set has counted since the last time."""
        sends, replayed, resets = each.ring.sends, each.replayed, each.resets
        before = each.accounted
        for name in each.namespaces:
            self.sends[name] += sends - before[0]
            self.replayed[name] += replayed - before[1]
            self.resets[name] += resets - before[2]
        each.accounted = (sends, replayed, resets)


def gauges(gateway: Gateway) -> Gauges:
    """The worker's numbers, all but the connections counted from its start."""
    accounts = gateway.accounts
    for each in gateway.fanout.sets.values():
        accounts.settle(each)
    namespaces = {}
    for name, tag in gateway.fanout.tags.items():
        counts, represented = gateway.sender.counts(tag)
        namespaces[name] = NamespaceGauges(
            connections=gateway.by_namespace[name],
            delivered=sum(counts) + accounts.replayed[name],
            represented=represented + accounts.replayed[name],
            sends=accounts.sends[name],
            evictions=gateway.evictions[name],
            resets=accounts.resets[name] + gateway.resets[name],
            latency=counts[1:],
        )
    return Gauges(_numbers(gateway), namespaces)


def _numbers(gateway: Gateway) -> dict[str, float]:
    sender = gateway.sender
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "connections": sender.connections,
        "viewers": len(gateway.viewers),
        "channels": len(gateway.fanout.channels),
        "rings": len(gateway.fanout.sets),
        "ring_bytes": sum(each.ring.capacity for each in gateway.fanout.sets.values()),
        "sends": sender.sends,
        "bytes_sent": sender.bytes_sent,
        "delivered": sender.delivered,
        "blocked": sender.blocks,
        "lapped": sender.lapses,
        "late_windows": gateway.flusher.late,
        "hurried_flushes": gateway.flusher.hurried,
        "replays": gateway.desk.replays,
        "shed": gateway.shed,
        "refused": gateway.refused.total(),
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "resident_bytes": resident_bytes(),
    }


def statistics(gateway: Gateway) -> dict[str, Any]:
    """``GET /live/stats``: the same for people, of the worker that answered."""
    now = gauges(gateway)
    bounds = latency_bounds()
    namespaces = {}
    for name, of in now.namespaces.items():
        namespaces[name] = {
            "connections": of.connections,
            "delivered": of.delivered,
            "represented": of.represented,
            "sends": of.sends,
            "evictions": of.evictions,
            "resets": of.resets,
            **{f"p{share}_ms": quantile(bounds, of.latency, share) for share in (50, 90, 99)},
        }
    return {
        "worker": gateway.config.worker,
        "process": os.getpid(),
        "time": int(time.time() * 1000),
        "numbers": now.numbers,
        "namespaces": namespaces,
    }


def quantile(bounds: list[float], counts: list[int], percent: int) -> float | None:
    """The upper bound, in milliseconds, of the bucket that holds this percentile."""
    wanted = sum(counts) * percent / 100
    if not wanted:
        return None
    reached = 0
    for bound, count in zip(bounds, counts, strict=True):
        reached += count
        if reached >= wanted:
            return round(bound * 1000, 2) if bound != float("inf") else None
    return None


def resident_bytes() -> int:
    """Resident memory of this process."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - once a second, kept cheap
        return int(file.read().split()[1]) * resource.getpagesize()
