"""What a gateway counts, in Prometheus's text format: per namespace, never per channel."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from mainstem.kernels import latency_bounds

if TYPE_CHECKING:
    from mainstem.live.bus import NamespaceGauges
    from mainstem.live.dispatcher import Dispatcher
    from mainstem.live.supervisor import Workers

__all__ = ["CONTENT_TYPE_LATEST", "render"]

_COUNTS = {
    "delivered": "Events put into viewers' streams.",
    "represented": "Records that the delivered frames stand for.",
    "sends": "System calls that sent them.",
    "evictions": "Viewers closed because they did not keep up.",
    "resets": "Viewers told that what they asked for is gone.",
}


def render(dispatcher: Dispatcher, workers: Workers) -> bytes:
    """Everything in one scrape."""
    return generate_latest(_Scrape(dispatcher, workers))


class _Scrape:
    """One scrape's values, as prometheus-client wants to collect them."""

    def __init__(self, dispatcher: Dispatcher, workers: Workers) -> None:
        self._dispatcher = dispatcher
        self._workers = workers
        self._namespaces = dispatcher.tallies.namespaces()
        self._numbers = dispatcher.tallies.numbers()

    def collect(self) -> Iterator[Metric]:
        """Called by ``generate_latest``."""
        yield from self._of_workers()
        yield from self._of_namespaces()
        yield from self._of_dispatcher()

    def _of_workers(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "mainstem_live_workers", "Worker processes.", len(self._workers.running)
        )
        yield CounterMetricFamily(
            "mainstem_live_worker_restarts", "Workers that died.", self._workers.restarts
        )
        queued = sum(worker.queued for worker in self._workers.running)
        yield GaugeMetricFamily(
            "mainstem_live_bus_queued_bytes", "Bytes that workers have not taken yet.", queued
        )
        for name, value in sorted(self._numbers.items()):
            yield GaugeMetricFamily(f"mainstem_live_worker_{name}", "Sum over workers.", value)

    def _of_namespaces(self) -> Iterator[Metric]:
        connections = GaugeMetricFamily(
            "mainstem_live_connections", "Open connections.", labels=["namespace"]
        )
        for name, gauges in self._namespaces.items():
            connections.add_metric([name], gauges.connections)
        yield connections
        for field, text in _COUNTS.items():
            family = CounterMetricFamily(f"mainstem_live_{field}", text, labels=["namespace"])
            for name, gauges in self._namespaces.items():
                family.add_metric([name], getattr(gauges, field))
            yield family
        yield self._latency()

    def _latency(self) -> Metric:
        family = HistogramMetricFamily(
            "mainstem_live_log_to_socket_seconds",
            "From a record's time to its bytes in the socket, per delivered event.",
            labels=["namespace"],
        )
        bounds = [f"{bound:g}" for bound in latency_bounds()[:-1]] + ["+Inf"]
        for name, gauges in self._namespaces.items():
            counts = _padded(gauges, len(bounds))
            family.add_metric([name], list(zip(bounds, accumulate(counts), strict=True)), None)
        return family

    def _of_dispatcher(self) -> Iterator[Metric]:
        found = self._dispatcher
        table = found.table
        gauges = {
            "channels": ("Channels watched, or a moment ago.", len(table.channels)),
            "partitions": ("Partitions read.", len(table.partitions)),
            "history_bytes": ("Bytes of the log held for replays.", found.history.held),
        }
        counts = {
            "records_read": ("Records the reader saw.", table.records_read),
            "records_told": ("Records of watched channels.", table.records_told),
            "records_poisoned": ("Records whose count is no number.", table.telling.poisoned),
            "reader_restarts": (
                "Times the reader's assignment changed.",
                table.reader.restarts,
            ),
            "replays": ("Requests for the past.", found.replayer.replays),
            "replay_resets": ("Those it could not be had for.", found.replayer.resets),
            "history_hits": ("Chunks of the log found in memory.", found.history.hits),
            "history_misses": ("Chunks read from the log.", found.history.misses),
            "replay_waits_seconds": ("Time replays waited.", found.history.pace.waited_s),
            "published": ("Records appended.", found.publisher.published),
            "published_again": ("Publishes that were duplicates.", found.publisher.duplicates),
            "checkpoints": ("Counters written down.", found.checkpoints.written),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(f"mainstem_live_{name}", text, value)
        for name, (text, number) in counts.items():
            yield CounterMetricFamily(f"mainstem_live_{name}", text, number)


def _padded(gauges: NamespaceGauges, size: int) -> list[int]:
    counts = gauges.latency[-size:]  # before them may be what has no time
    return counts + [0] * (size - len(counts))
