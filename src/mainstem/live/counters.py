"""Where counters stand, written down: total and offset in one record of a compacted topic.

A total is a function of the log, so any node may write it and any node go on from it: key
``topic/epoch/partition/id``, value ``{"total": …, "offset": …}``, meaning *all records of this key
before this offset sum up to this*. One record holds both, so there is nothing to go out of step;
a node that is behind writes an older truth, which is still true.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from mainstem.client import Appender, AppendOptions, Cluster, Producer, bounds
from mainstem.live.interest import Interest
from mainstem.live.kinds import rows_of

if TYPE_CHECKING:
    from mainstem.live.bus import Stream
    from mainstem.live.history import History
    from mainstem.live.topics import Topic, Topics

TOPIC = "live._counters"
CONFIG = {"cleanup.policy": "compact"}
PARTITIONS = 4


class Checkpoint(msgspec.Struct, frozen=True):
    """All records before ``offset`` sum up to ``total``."""

    total: int
    offset: int


_decoder = msgspec.json.Decoder(Checkpoint)


def checkpoint_key(stream: Stream, key: bytes) -> bytes:
    """The record key of a counter's checkpoint."""
    topic, epoch, partition = stream
    return f"{topic}/{epoch}/{partition}/".encode() + key


class Checkpoints:
    """Reads and writes them. Belongs to the dispatcher's event loop."""

    def __init__(
        self, cluster: Cluster, producer: Producer, topics: Topics, history: History
    ) -> None:
        self._cluster = cluster
        self._topics = topics
        self._history = history
        self._appender = Appender(cluster, producer, TOPIC)
        self.written = 0

    async def read(self, stream: Stream, keys: Iterable[bytes]) -> dict[bytes, Checkpoint]:
        """The last checkpoint of each record key that has one."""
        topic = await self._topics.find(TOPIC)
        by_stream: dict[Stream, dict[bytes, bytes]] = {}
        for key in keys:
            name = checkpoint_key(stream, key)
            by_stream.setdefault(topic.stream_of(name), {})[name] = key
        found: dict[bytes, Checkpoint] = {}
        for place, names in by_stream.items():
            found |= await self._scan(topic, place, names)
        return found

    async def _scan(
        self, topic: Topic, stream: Stream, names: dict[bytes, bytes]
    ) -> dict[bytes, Checkpoint]:
        table: Interest[bytes] = Interest()
        for name, key in names.items():
            table.add(name, key)
        partition = stream[2]
        first, last = await bounds(self._cluster, topic.name, [partition], committed=True)
        found: dict[bytes, Checkpoint] = {}
        async for chunk in self._history.chunks(stream, first[partition], last[partition]):
            picked = table.pick(chunk.records)
            if picked is None:
                continue
            rows = rows_of(picked)
            for name, value in zip(rows.keys, rows.values, strict=True):
                checkpoint = _read(value)
                if checkpoint is not None:
                    found[names[name]] = checkpoint
        return found

    async def write(self, entries: Iterable[tuple[Stream, bytes, Checkpoint]]) -> None:
        """Append these; returns when they are safe."""
        rows = [
            (checkpoint_key(stream, key), msgspec.json.encode(checkpoint))
            for stream, key, checkpoint in entries
        ]
        if not rows:
            return
        await self._topics.find(TOPIC)
        keys, values = zip(*rows, strict=True)
        batch: Any = pa.record_batch(
            {"_key": pa.array(keys, pa.binary()), "value": pa.array(values, pa.binary())}
        )
        await self._appender.append(batch, AppendOptions())
        self.written += len(rows)


def _read(value: bytes | None) -> Checkpoint | None:
    if value is None:
        return None
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return None  # somebody else's record; without it the counter is counted from the start
