"""The broker's statistics in Prometheus's text format."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from mainstem import __version__

__all__ = ["CONTENT_TYPE_LATEST", "render"]

Statistics = dict[str, Any]

_COUNTERS = {
    "refused_connections": "Connections closed at once because there were too many.",
    "bytes_in": "Bytes received from clients.",
    "bytes_out": "Bytes sent to clients.",
    "produced_records": "Records accepted.",
    "produced_bytes": "Bytes of record batches accepted.",
    "fetched_bytes": "Bytes of record batches handed out.",
    "syncs": "Times a partition was made durable (fdatasync).",
    "sync_seconds": "Time from asking for a sync to its end.",
}
_GAUGES = {
    "connections": "Open client connections.",
    "groups": "Consumer groups known.",
    "refused_partitions": "Partitions not served because they are corrupt.",
}
_PARTITION = (
    ("log_start_offset", "First offset still there."),
    ("log_end_offset", "Offset the next record gets."),
    ("size_bytes", "Bytes in segments."),
)
_PROCESS = {
    "resident_memory_bytes": "Memory in use.",
    "cpu_seconds_total": "Processor time used.",
    "start_time_seconds": "When it started, in seconds since the epoch.",
    "open_fds": "Open file descriptors.",
}


def render(
    statistics: Statistics | None, processes: dict[str, dict[str, float]], restarts: int
) -> bytes:
    """Everything in one scrape. ``statistics`` is None while the broker is down;
    ``processes`` maps a role to its figures."""
    return generate_latest(_Scrape(statistics, processes, restarts))


class _Scrape:
    """One scrape's values, as prometheus-client wants to collect them."""

    def __init__(
        self,
        statistics: Statistics | None,
        processes: dict[str, dict[str, float]],
        restarts: int,
    ) -> None:
        self._statistics = statistics
        self._processes = processes
        self._restarts = restarts

    def collect(self) -> Iterator[Metric]:
        """Called by ``generate_latest``."""
        yield GaugeMetricFamily(
            "mainstem_up", "Whether the broker answers.", self._statistics is not None
        )
        yield CounterMetricFamily(
            "mainstem_broker_restarts",
            "Broker processes that died and were replaced.",
            self._restarts,
        )
        build = GaugeMetricFamily("mainstem_build_info", "Version.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        yield from _process_metrics(self._processes)
        if self._statistics is not None:
            yield from _plain(self._statistics)
            yield from _requests(self._statistics)
            yield from _partitions(self._statistics)


def _process_metrics(processes: dict[str, dict[str, float]]) -> Iterator[Metric]:
    for name, text in _PROCESS.items():
        kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
        family = kind(f"mainstem_process_{name}", text, labels=["role"])
        for role, figures in processes.items():
            if name in figures:
                family.add_metric([role], figures[name])
        yield family


def _plain(statistics: Statistics) -> Iterator[Metric]:
    for name, text in _COUNTERS.items():
        if name in statistics:
            yield CounterMetricFamily(f"mainstem_{name}", text, statistics[name])
    for name, text in _GAUGES.items():
        if name in statistics:
            yield GaugeMetricFamily(f"mainstem_{name}", text, statistics[name])


def _requests(statistics: Statistics) -> Iterator[Metric]:
    bounds = [*map(str, statistics["latency_buckets"]), "+Inf"]
    latency = HistogramMetricFamily(
        "mainstem_request_seconds", "From reading a request to its answer.", labels=["api"]
    )
    for api, histogram in statistics["latency"].items():
        cumulative = list(zip(bounds, accumulate(histogram["counts"]), strict=True))
        latency.add_metric([api], cumulative, histogram["sum"])
    yield latency
    errors = CounterMetricFamily("mainstem_errors", "Kafka errors answered.", labels=["code"])
    for code, count in statistics["errors"].items():
        errors.add_metric([code], count)
    yield errors


def _partitions(statistics: Statistics) -> Iterator[Metric]:
    for name, text in _PARTITION:
        family = GaugeMetricFamily(
            f"mainstem_partition_{name}", text, labels=["topic", "partition"]
        )
        for row in statistics["partitions"]:
            family.add_metric([row["topic"], str(row["partition"])], row[name])
        yield family
