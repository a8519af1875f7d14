"""Records to messages: events as they are, everything else as its newest state, at its pace."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mainstem.live.bus import Advance, Events
from mainstem.live.interest import Interest
from mainstem.live.kinds import (
    CounterChannel,
    EventsChannel,
    LatestChannel,
    Rows,
    SampleChannel,
    rows_of,
    weight_of,
)
from mainstem.live.settings import Namespace
from mainstem.live.watched import Partition, Watched

_COLUMNS_FROM = 256  # rows from which summing up as columns is quicker than one by one

Event = tuple[int, int, Watched, bytes]
"""(offset, time, channel, JSON)."""


class Telling:
    """Turns what was read into what ports are told. Belongs to the dispatcher's event loop."""

    def __init__(self, namespaces: Mapping[str, Namespace]) -> None:
        self._windows = {name: found.window_ms / 1000 for name, found in namespaces.items()}
        self._changed: dict[str, set[Watched]] = {}
        self._flushed: dict[str, float] = {}
        self._due: set[str] = set()
        self.poisoned = 0

    def records(self, partition: Partition, records: Any) -> int:
        """Tell the watched among these records; how many they are."""
        told = 0
        events: list[Event] = []
        for namespace, table in partition.tables.items():
            picked = table.pick(records)
            if picked is None:
                continue
            told += picked.num_rows
            kind = next(iter(table.by_key.values())).state.kind
            if kind == "counter" and picked.num_rows >= _COLUMNS_FROM:
                self._count(table, picked)
            elif kind == "events":
                _render(partition, table, rows_of(picked), events)
            elif kind == "latest":
                self._replace(partition, table, rows_of(picked))
                self._flush(namespace)
            else:
                self._take(table, rows_of(picked))
        if events:
            _tell(partition, events)
        return told

    def advance(self, partition: Partition) -> None:
        """Let cursors move over what nobody watches."""
        message = Advance(partition.stream, partition.position)
        for port in partition.ports:
            if partition.told.get(port, -1) < partition.position:
                partition.told[port] = partition.position
                port.send(message)

    # --- states ------------------------------------------------------------------------------

    def changed(self, watched: Watched) -> None:
        """Its state is news to its viewers; told at the end of its namespace's window."""
        if watched.state.kind == "events":
            return
        namespace = watched.channel.namespace
        self._changed.setdefault(namespace, set()).add(watched)
        if namespace not in self._due:
            self._due.add(namespace)
            loop = asyncio.get_running_loop()
            last = self._flushed.get(namespace, 0.0)
            loop.call_at(max(loop.time(), last + self._windows[namespace]), self._flush, namespace)

    def _flush(self, namespace: str) -> None:
        self._due.discard(namespace)
        self._flushed[namespace] = asyncio.get_running_loop().time()
        for watched in self._changed.pop(namespace, ()):
            if not watched.ready or isinstance(watched.state, EventsChannel):
                continue
            state = watched.state.flush()
            if state is not None:
                watched.say(state)

    def _replace(self, partition: Partition, table: Interest[Watched], rows: Rows) -> None:
        """Of each key only the last record is of interest."""
        counts = Counter(rows.keys)
        for key, row in {key: row for row, key in enumerate(rows.keys)}.items():
            watched = table.by_key[key]
            assert isinstance(watched.state, LatestChannel)
            offset, time, value = rows.offsets[row], rows.times[row], rows.values[row]
            watched.state.take(partition.stream[2], offset, time, value, counts[key])
            self.changed(watched)

    def _take(self, table: Interest[Watched], rows: Rows) -> None:
        for _, time, key, value in zip(*rows, strict=True):
            watched = table.by_key[key]
            state = watched.state
            if isinstance(state, SampleChannel):
                state.take(time, value)
            elif isinstance(state, CounterChannel):
                weight = weight_of(value)
                self.poisoned += weight is None
                state.take(weight or 0, 1, time)
            self.changed(watched)

    def _count(self, table: Interest[Watched], picked: Any) -> None:
        """Many likes: each distinct value is weighed once, the rest is columns."""
        values = picked.column("value").dictionary_encode()
        weights = [weight_of(value) for value in values.dictionary.to_pylist()]
        weighed = pa.array(weights, pa.int64()).take(values.indices)
        weighed = pc.if_else(values.indices.is_null(), 1, weighed)
        self.poisoned += weighed.null_count
        times = picked.column("_timestamp").cast(pa.int64())
        sums = (
            pa.table({"key": picked.column("_key"), "n": pc.fill_null(weighed, 0), "time": times})
            .group_by("key")
            .aggregate([("n", "sum"), ("n", "count"), ("time", "min")])
        )
        names = ("key", "n_sum", "n_count", "time_min")
        for key, total, count, time in zip(*(sums[n].to_pylist() for n in names), strict=True):
            watched = table.by_key[key]
            assert isinstance(watched.state, CounterChannel)
            watched.state.take(total, count, time)
            self.changed(watched)


def _render(
    partition: Partition, table: Interest[Watched], rows: Rows, events: list[Event]
) -> None:
    number = partition.stream[2]
    for offset, time, key, value in zip(*rows, strict=True):
        watched = table.by_key[key]
        if watched.ports and isinstance(watched.state, EventsChannel):
            events.append(
                (offset, time, watched, watched.state.render(number, offset, time, value))
            )


def _tell(partition: Partition, events: list[Event]) -> None:
    """In log order over all channels of the stream: a cursor behind one covers the others."""
    if len(partition.tables) > 1:
        events.sort(key=lambda event: event[0])
    run: list[tuple[int, bytes]] = []
    for at, (offset, _, watched, body) in enumerate(events):
        run.append((offset, body))
        if at + 1 < len(events) and events[at + 1][2] is watched:
            continue
        final = at + 1 == len(events)
        position = partition.position if final else offset + 1
        time = events[at + 1 - len(run)][1]
        watched.say(Events(watched.name, partition.stream, run, position, time))
        if final:
            for port in watched.ports:
                partition.told[port] = position
        run = []
