"""A year of departures through the log: one task writes, one reads along."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pyarrow as pa

import mainstem as ms
from mainstem.demo.flights import SCHEMA
from mainstem.errors import Invalid, MainstemError

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
    address: str,
    flights: pa.Table,
    speed: float | None,
    show: Callable[[Journey], None],
) -> Journey:
    """Writes all of ``flights`` and reads them back meanwhile; ``show`` is called as it goes.

    Returns when everything that was written has been read; raises what either side raised.
    """
    journey = Journey(total=flights.num_rows)
    try:
        asyncio.run(_replay(address, flights, speed, journey, show))
    except* MainstemError as errors:
        raise errors.exceptions[0] from errors
    show(journey)
    return journey


async def _replay(
    address: str,
    flights: pa.Table,
    speed: float | None,
    journey: Journey,
    show: Callable[[Journey], None],
) -> None:
    async with await ms.aconnect(address) as stem:
        topic = await stem.topic(
            TOPIC,
            partitions=PARTITIONS,
            create=True,
            config={"retention.ms": "-1"},  # 2013 is longer ago than the default keeps
        )
        began = time.perf_counter()
        showing = asyncio.create_task(_show(journey, show))
        try:
            async with asyncio.TaskGroup() as tasks:  # one that fails ends the other
                tasks.create_task(_write(topic, flights, speed, journey))
                tasks.create_task(_read(topic, journey))
        finally:
            showing.cancel()
        journey.seconds = time.perf_counter() - began


async def _show(journey: Journey, show: Callable[[Journey], None]) -> None:
    while True:
        show(journey)
        await asyncio.sleep(_SHOW_S)


async def _write(
    topic: ms.AsyncTopic, flights: pa.Table, speed: float | None, journey: Journey
) -> None:
    began = time.perf_counter()
    times = flights["_timestamp"].cast(pa.int64()).combine_chunks()
    async for start, end in _slices(times, speed):
        await topic.append(
            flights.slice(start, end - start),
            key="tailnum",
            format=ms.Json(),
            compression="zstd",
        )
        journey.written = end
        journey.event_time_ms = times[end - 1].as_py()
        journey.write_seconds = time.perf_counter() - began


async def _slices(times: pa.Array, speed: float | None) -> AsyncIterator[tuple[int, int]]:
    """Row ranges to append next: all that is due, or as much as is good at once."""
    rows = len(times)
    if speed is None:
        for start in range(0, rows, _CHUNK_ROWS):
            yield start, min(start + _CHUNK_ROWS, rows)
        return
    due = memoryview(times.buffers()[1]).cast("q")[times.offset : times.offset + rows]
    began = time.monotonic()
    position = 0
    while position < rows:
        event_ms = due[0] + (time.monotonic() - began) * 1000 * speed
        end = min(bisect_right(due, event_ms), position + _CHUNK_ROWS)
        if end > position:
            yield position, end
            position = end
        if position < rows and due[position] > event_ms:
            await asyncio.sleep(_TICK_S)


async def _read(topic: ms.AsyncTopic, journey: Journey) -> None:
    reader = await topic.reader("earliest", follow=True, format=ms.Json(SCHEMA))
    try:
        while journey.read < journey.total and (batch := await reader.next()) is not None:
            journey.batches.append(batch.select(list(_KEPT)))
            journey.read += batch.num_rows
            journey.largest_lag = max(journey.largest_lag, journey.lag)
    finally:
        await reader.close()
