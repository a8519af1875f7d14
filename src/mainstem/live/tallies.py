"""What workers counted, added up; what a worker that ended had counted stays counted."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest

from mainstem.live.bus import Gauges, NamespaceGauges

_NOTHING = NamespaceGauges(0, 0, 0, 0, 0, 0, [])


class Tallies:
    """The last gauges of each worker, and the sums of those that are gone."""

    def __init__(self) -> None:
        self._latest: dict[int, Gauges] = {}
        self._gone: dict[str, NamespaceGauges] = {}

    def take(self, worker: int, gauges: Gauges) -> None:
        """A worker's numbers since its start."""
        self._latest[worker] = gauges

    def gone(self, worker: int) -> None:
        """It ended: its connections are closed, its counts remain."""
        last = self._latest.pop(worker, None)
        if last is not None:
            for name, gauges in last.namespaces.items():
                past = self._gone.get(name, _NOTHING)
                self._gone[name] = _sum([past, gauges], connections=0)

    def namespaces(self) -> dict[str, NamespaceGauges]:
        """By namespace, over all workers."""
        names = {name for gauges in self._latest.values() for name in gauges.namespaces}
        found = {}
        for name in sorted(names | self._gone.keys()):
            alive = [g.namespaces[name] for g in self._latest.values() if name in g.namespaces]
            connections = sum(gauges.connections for gauges in alive)
            past = self._gone.get(name, _NOTHING)
            found[name] = _sum([past, *alive], connections=connections)
        return found

    def numbers(self) -> dict[str, float]:
        """The numbers that workers give in all, summed."""
        found: dict[str, float] = {}
        for gauges in self._latest.values():
            for name, value in gauges.numbers.items():
                found[name] = found.get(name, 0.0) + value
        return found


def _sum(parts: Iterable[NamespaceGauges], *, connections: int) -> NamespaceGauges:
    parts = list(parts)
    latency = [sum(counts) for counts in zip_longest(*(p.latency for p in parts), fillvalue=0)]
    return NamespaceGauges(
        connections,
        sum(part.delivered for part in parts),
        sum(part.represented for part in parts),
        sum(part.sends for part in parts),
        sum(part.evictions for part in parts),
        sum(part.resets for part in parts),
        latency,
    )
