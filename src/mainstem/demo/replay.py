"""A year of departures through the log: one thread writes, one reads along."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

import mainstem as ms
from mainstem.demo.flights import SCHEMA
from mainstem.errors import Invalid

TOPIC = "flights"
PARTITIONS = 3
#: Records per append at full speed.
_CHUNK_ROWS = 20_000
#: Between appends when paced, in seconds.
_TICK_S = 0.1
_SHOW_S = 0.1
#: What the answers need of each record; the rest is decoded, and let go.
_KEPT = ("_partition", "_offset", "_timestamp", "_key", "month", "day", "origin", "dep_time",
         "dep_delay", "tailnum")  # fmt: skip


@dataclass(slots=True)
class Journey:
    """What happened, filled in while it does. Rates are per second of wall time."""

    total: int
    written: int = 0
    read: int = 0
    largest_lag: int = 0
    write_seconds: float = 0.0
    seconds: float = 0.0
    event_time_ms: int = 0
    batches: list[pa.RecordBatch] = field(default_factory=list)

    @property
    def lag(self) -> int:
        """Records written and not yet read."""
        return max(self.written - self.read, 0)


def parse_speed(text: str) -> float | None:
    """``max`` → None; a positive factor otherwise."""
    if text == "max":
        return None
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise Invalid(f"--speed {text!r} is neither 'max' nor a positive number: try 3600")
    return factor


def replay(
    stem: ms.Stem,
    flights: pa.Table,
    speed: float | None,
    show: Callable[[Journey], None],
) -> Journey:
    """Writes all of ``flights`` and reads them back meanwhile; ``show`` is called as it goes.

    Returns when everything that was written has been read. Raises what either thread raised.
    """
    topic = stem.topic(TOPIC, partitions=PARTITIONS, create=True)
    journey = Journey(total=flights.num_rows)
    stop = threading.Event()
    began = time.perf_counter()
    with ThreadPoolExecutor(2, thread_name_prefix="demo") as pool:
        writing = pool.submit(_write, topic, flights, speed, journey, stop)
        reading = pool.submit(_read, topic, journey, stop)
        both: set[Future[None]] = {writing, reading}
        try:
            while wait(both, _SHOW_S, FIRST_EXCEPTION).not_done:
                show(journey)
                if any(future.done() and future.exception() for future in both):
                    break
        finally:
            stop.set()
    writing.result()
    reading.result()
    journey.seconds = time.perf_counter() - began
    show(journey)
    return journey


def _write(
    topic: Any, flights: pa.Table, speed: float | None, journey: Journey, stop: threading.Event
) -> None:
    began = time.perf_counter()
    times = flights["_timestamp"].cast(pa.int64()).combine_chunks()
    for start, end in _slices(times, speed, stop):
        if stop.is_set():
            return
        topic.append(
            flights.slice(start, end - start),
            key="tailnum",
            format=ms.Json(),
            compression="zstd",
        )
        journey.written = end
        journey.event_time_ms = times[end - 1].as_py()
        journey.write_seconds = time.perf_counter() - began


def _slices(
    times: pa.Array, speed: float | None, stop: threading.Event
) -> Iterator[tuple[int, int]]:
    """Row ranges to append next: all that is due, or as much as is good at once."""
    rows = len(times)
    if speed is None:
        for start in range(0, rows, _CHUNK_ROWS):
            yield start, min(start + _CHUNK_ROWS, rows)
        return
    due = memoryview(times.buffers()[1]).cast("q")[times.offset : times.offset + rows]
    began = time.monotonic()
    position = 0
    while position < rows and not stop.is_set():
        event_ms = due[0] + (time.monotonic() - began) * 1000 * speed
        end = min(bisect_right(due, event_ms), position + _CHUNK_ROWS)
        if end > position:
            yield position, end
            position = end
        if position < rows and due[position] > event_ms:
            stop.wait(_TICK_S)


def _read(topic: Any, journey: Journey, stop: threading.Event) -> None:
    for batch in topic.read(start="earliest", follow=True, format=ms.Json(SCHEMA)):
        journey.batches.append(batch.select(list(_KEPT)))
        journey.read += batch.num_rows
        journey.largest_lag = max(journey.largest_lag, journey.lag)
        if journey.read >= journey.total or stop.is_set():
            return
