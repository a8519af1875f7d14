"""Keeps the demo's page alive: derives records from the flights, and writes them to the log.

The gateway sends them on, as it would those of any Kafka producer. ``board:JFK`` (newest value)
is what the board says, ``delay:JFK`` (counter) the minutes of delay of flights that left,
``score:JFK`` (newest value) the whole year so far, counted from what was read from the log.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from datetime import datetime
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

import mainstem as ms
from mainstem.demo.board import Board
from mainstem.demo.flights import AIRPORTS, TIME_ZONE
from mainstem.demo.replay import Journey
from mainstem.errors import MainstemError

#: The page's channels beside those that are there out of the box, for ``mainstem live``.
NAMESPACES = {"board": "latest", "delay": "counter"}
#: The day with the longest waits of the year, in the afternoon.
OPENING = datetime(2013, 3, 8, 15, 0, tzinfo=TIME_ZONE)
#: Milliseconds of 2013 per second.
PACE = 60_000
_TICK_S = 1.0
_PARTITIONS = 4


class Show:
    """A context manager: plays while the block runs. ``year`` may be called meanwhile.

    ``failure`` is what ended it early, if anything did.
    """

    def __init__(self, address: str, flights: pa.Table) -> None:
        self.failure: MainstemError | None = None
        self._address = address
        self._flights = flights
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="show", daemon=True)
        self._journey: Journey | None = None
        self._counted = 0
        self._year = {airport: Counter[str]() for airport in AIRPORTS}

    def __enter__(self) -> Show:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def year(self, journey: Journey) -> None:
        """From now on the year's figures follow this journey. Thread-safe."""
        self._journey = journey

    def _run(self) -> None:
        try:
            with ms.connect(self._address) as stem:
                self._play(stem)
        except MainstemError as error:  # the demo's checks say so
            self.failure = error

    def _play(self, stem: ms.Stem) -> None:
        topics = {
            name: stem.topic(f"live.{name}", partitions=_PARTITIONS, create=True)
            for name in (*NAMESPACES, "score")
        }
        board = Board(self._flights)
        opening, began, before = int(OPENING.timestamp() * 1000), time.monotonic(), 0
        while True:
            over = self._over.wait(_TICK_S if before else 0)
            now = opening + int((time.monotonic() - began) * PACE)
            _write(topics["board"], board.at(now))
            late = board.delays(before or now, now)
            _write(topics["delay"], {airport: {"n": n} for airport, n in late.items()})
            _write(topics["score"], self._count())
            before = now
            if over:
                return

    def _count(self) -> dict[str, Counter[str]]:
        """The year so far, where there is news."""
        batches = self._journey.batches[self._counted :] if self._journey else []
        if not batches:
            return {}
        self._counted += len(batches)
        table = pa.Table.from_batches(batches)
        cancelled = pc.is_null(table["dep_time"]).cast(pa.int64())
        table = table.append_column("cancelled", cancelled)
        sums = table.group_by("origin").aggregate(
            [("cancelled", "count"), ("cancelled", "sum"), ("dep_delay", "sum")]
        )
        for row in sums.to_pylist():
            self._year[row["origin"]].update(
                departures=row["cancelled_count"],
                cancelled=row["cancelled_sum"],
                delay=row["dep_delay_sum"] or 0,
            )
        return self._year


def _write(topic: ms.Topic, records: dict[str, Any]) -> None:
    """Appends each value as JSON under its key."""
    if not records:
        return
    values = [json.dumps(value, separators=(",", ":")).encode() for value in records.values()]
    keys = [key.encode() for key in records]
    topic.append(pa.table({"_key": pa.array(keys, pa.binary()), "value": values}))
