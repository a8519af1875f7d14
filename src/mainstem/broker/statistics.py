"""What a broker counts about itself; plain numbers, cheap enough for every request."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

#: Upper bounds in seconds of the latency histogram's buckets; the last is open.
LATENCY_BUCKETS = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0,
)  # fmt: skip


class Histogram:
    """Counts per bucket of ``LATENCY_BUCKETS``, and the sum, in seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self.total += seconds


class Statistics:
    """Counters since start; read by ``Broker.statistics``."""

    def __init__(self) -> None:
        self.connections = 0
        self.refused_connections = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.produced_records = 0
        self.produced_bytes = 0
        self.fetched_bytes = 0
        self.syncs = 0
        self.sync_seconds = 0.0
        self.latency: dict[str, Histogram] = {}
        self.errors: dict[int, int] = {}

    def served(self, api: str, seconds: float) -> None:
        """One request answered, so long after it was read."""
        histogram = self.latency.get(api)
        if histogram is None:
            histogram = self.latency[api] = Histogram()
        histogram.add(seconds)

    def failed(self, code: int) -> None:
        """One Kafka error code handed to a client."""
        self.errors[code] = self.errors.get(code, 0) + 1

    def snapshot(self) -> dict[str, Any]:
        """Everything as plain values, ready for JSON."""
        plain = {
            name: value for name, value in vars(self).items() if isinstance(value, int | float)
        }
        return {
            **plain,
            "errors": {str(code): count for code, count in self.errors.items()},
            "latency_buckets": list(LATENCY_BUCKETS),
            "latency": {
                api: {"counts": list(histogram.counts), "sum": histogram.total}
                for api, histogram in self.latency.items()
            },
        }
