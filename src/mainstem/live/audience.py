"""Viewer counts and presence: workers' reports, other nodes' records, announcements to ports.

``NodeViewers`` decides; this joins it to the bus and to the topic ``live._viewers``, which all
nodes of a cluster write to and read from its beginning. A node takes part from its first viewer
or report on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from mainstem.client import Appender, AppendOptions, Cluster, Producer, bounds
from mainstem.clock import Clock
from mainstem.errors import Corrupt, Invalid, MainstemError
from mainstem.live.bus import Opened, Refused, State
from mainstem.live.viewers import NodeViewers, ViewerSettings

if TYPE_CHECKING:
    from mainstem.live.reader import LogReader
    from mainstem.live.topics import Place, Topics
    from mainstem.live.watched import Port

logger = logging.getLogger("mainstem.live")

TOPIC = "live._viewers"
CONFIG = {"cleanup.policy": "compact", "delete.retention.ms": "60000"}
PARTITIONS = 1
_TICK_S = 0.1
_PAUSE_S = 1.0


class Audience:
    """Who watches. Belongs to the dispatcher's event loop."""

    def __init__(
        self,
        cluster: Cluster,
        producer: Producer,
        topics: Topics,
        reader: LogReader,
        clock: Clock,
        name: str,
        settings: ViewerSettings,
    ) -> None:
        self._cluster = cluster
        self._topics = topics
        self._reader = reader
        self._clock = clock
        self._appender = Appender(cluster, producer, TOPIC)
        self.viewers = NodeViewers(name, clock.now_ms(), settings)
        self._ports: dict[str, set[Port]] = {}
        self._begun = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to announce, and to take part in the topic once somebody watches."""
        self._tasks = [
            asyncio.create_task(self._announce()),
            asyncio.create_task(self._exchange()),
        ]

    async def close(self) -> None:
        """Take this node out of the counts."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._begun.is_set():
            with contextlib.suppress(MainstemError, TimeoutError):
                async with asyncio.timeout(2.0):
                    await self._write(self.viewers.farewell())

    # --- ports -------------------------------------------------------------------------------

    def watch(self, port: Port, channel: str) -> None:
        """``viewers:ID`` or ``presence:ID`` has a viewer at this worker."""
        try:
            snapshot = self.viewers.watch(channel, self._now())
        except Invalid as error:
            port.send(Refused(channel, "Invalid", str(error)))
            return
        self._begun.set()
        self._ports.setdefault(channel, set()).add(port)
        port.send(Opened(channel, channel.partition(":")[0], None, 0, snapshot))

    def unwatch(self, port: Port, channel: str) -> None:
        """It has none there any more."""
        ports = self._ports.get(channel)
        if ports is None:
            return
        ports.discard(port)
        if not ports:
            del self._ports[channel]
            self.viewers.unwatch(channel)

    def report(self, port: Port, payload: bytes) -> None:
        """What a worker counted."""
        self._begun.set()
        try:
            self.viewers.report(port.number, payload, self._now())
        except Corrupt as error:
            logger.error("worker %d's viewer report: %s", port.number, error)

    def gone(self, port: Port) -> None:
        """A worker ended, with all its connections."""
        self.viewers.worker_gone(port.number, self._now())
        for channel in [name for name, ports in self._ports.items() if port in ports]:
            self.unwatch(port, channel)

    # --- the topic ---------------------------------------------------------------------------

    def records(self, records: Any) -> None:
        """Records of the topic, this node's own included."""
        now = self._now()
        keys, values = records.column("_key").to_pylist(), records.column("value").to_pylist()
        for key, value in zip(keys, values, strict=True):
            if key is None:
                continue
            try:
                self.viewers.remote(key, value, now)
            except (Corrupt, Invalid) as error:
                logger.info("a record of %s: %s", TOPIC, error)

    async def follow(self) -> Place:
        """Read the topic from its beginning."""
        topic = await self._topics.find(TOPIC)
        first, _ = await bounds(self._cluster, TOPIC, [0], committed=True)
        self._reader.assign((TOPIC, 0), first[0], topic.epoch)
        return (TOPIC, 0)

    async def _exchange(self) -> None:
        await self._begun.wait()
        following = False
        while True:
            try:
                if not following or (TOPIC, 0) not in self._reader.places:
                    await self.follow()
                    following = True
                await self._write(self.viewers.records(self._now()))
            except MainstemError as error:
                logger.warning("viewers cannot be told to other nodes: %s", error)
                await asyncio.sleep(_PAUSE_S)
            await asyncio.sleep(_TICK_S * 2)

    async def _write(self, records: list[tuple[bytes, bytes | None]]) -> None:
        if not records:
            return
        keys, values = zip(*records, strict=True)
        batch = pa.record_batch(
            {"_key": pa.array(keys, pa.binary()), "value": pa.array(values, pa.binary())}
        )
        await self._appender.append(batch, AppendOptions())

    async def _announce(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            time = self._clock.now_ms()
            for said in self.viewers.tick(self._now()):
                message = State(said.channel, said.state, said.snapshot, time)
                for port in self._ports.get(said.channel, ()):
                    port.send(message)

    def _now(self) -> float:
        return self._clock.monotonic()


def viewer_settings(table: Mapping[str, Any]) -> ViewerSettings:
    """The ``[viewers]`` table. Raises ``Invalid``."""
    try:
        return msgspec.convert(dict(table), ViewerSettings, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(f"live settings, [viewers]: {error}") from None
