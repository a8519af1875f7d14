"""The broker: everything that serves one data directory, on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import Any

from mainstem.broker import descriptors
from mainstem.broker.config import BrokerConfig
from mainstem.broker.dispatch import Dispatcher
from mainstem.broker.durability import Done, Durability
from mainstem.broker.groups import GroupCoordinator
from mainstem.broker.producer_ids import ProducerIds
from mainstem.broker.server import Server
from mainstem.broker.statistics import Statistics
from mainstem.broker.store import Store
from mainstem.broker.topics import Topic, Topics
from mainstem.broker.upkeep import Upkeep
from mainstem.broker.waiters import Waiters
from mainstem.clock import Clock, SystemClock
from mainstem.errors import MainstemError
from mainstem.log import Log, Partition

logger = logging.getLogger("mainstem.broker")

_DRAIN_SECONDS = 5.0


class Broker:
    """Construct, ``await start()``, and ``await close()``, all on one running event loop.

    ``address`` is ``(host, port)`` once started; ``advertised`` what clients are told.
    """

    def __init__(self, config: BrokerConfig, *, clock: Clock | None = None) -> None:
        self.config = config
        self.clock: Clock = clock or SystemClock()
        self.counters = Statistics()
        self.waiters = Waiters()
        self.node_id = config.node_id
        self.loop: asyncio.AbstractEventLoop
        self.store: Store
        self.log: Log
        self.topics: Topics
        self.groups: GroupCoordinator
        self.producer_ids: ProducerIds
        self.cluster_id: str
        self.address: tuple[str, int]
        self._server: Server
        self._durability: Durability
        self._upkeep: Upkeep
        self._closed = False

    async def start(self, listener: socket.socket | None = None) -> tuple[str, int]:
        """Open the data directory, recover, listen. Raises ``MainstemError`` or ``OSError``.

        A ``listener`` that is already bound is taken over, and closed with the broker.
        """
        self.loop = asyncio.get_running_loop()
        self.config.data.mkdir(parents=True, exist_ok=True)
        opened = contextlib.ExitStack()  # closed again where a later step fails
        with opened:
            self._open(opened)
            self.address = self._server.listen(Dispatcher(self), listener)
            opened.pop_all()
        self.groups.start()
        self._upkeep.start(self.config.retention_check_ms, self.config.checkpoint_ms)
        return self.address

    def _open(self, opened: contextlib.ExitStack) -> None:
        self.store = Store(self.config.data / "metadata.sqlite", clock=self.clock)
        opened.callback(self.store.close)
        shares = descriptors.share()
        self.log = Log(self.config.data, clock=self.clock, max_open_files=shares.open_files)
        opened.callback(self.log.close)
        self.topics = Topics(self.store, self.log, self.config)
        self.topics.on_deleted.append(self._wake_readers)
        self.producer_ids = ProducerIds(self.store)
        self.cluster_id = self.store.cluster_id
        self.groups = GroupCoordinator(self.store, self.topics, self.config, self.clock, self.loop)
        self._durability = Durability(self.loop, self.counters)
        opened.callback(self._durability.close)
        self._server = Server(self.config, self.counters, self.loop, shares.connections)
        self._upkeep = Upkeep(self.topics, self.log, self.clock)

    @property
    def advertised(self) -> tuple[str, int]:
        """What Metadata tells clients to connect to."""
        host, port = self.address
        if host in ("0.0.0.0", "::"):  # recognised, not bound
            host = "127.0.0.1" if host == "0.0.0.0" else "::1"
        return self.config.advertised_host or host, self.config.advertised_port or port

    def durable(self, partition: Partition, done: Done) -> None:
        """Call ``done(error)`` once all appended so far is on disk."""
        self._durability.wait(partition, done)

    def _wake_readers(self, topic: Topic) -> None:
        """Long polls of a topic that has gone look again, and tell their clients."""
        for partition in topic.partitions():
            self.waiters.notify(partition)

    def sweep_connections(self) -> None:
        """Close what is idle or stuck now, not at the next round."""
        self._server.sweep()

    async def close(self) -> None:
        """Answer what was accepted, then close sockets, groups, log and store. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._server.stop_accepting()
        await self._upkeep.close()
        await self.groups.close()
        await self._drain()
        tasks = self._server.tasks()
        self._server.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.topics.close()
        self._durability.close()
        self.log.close(clean=True)
        self.store.close()

    async def _drain(self) -> None:
        """Let produce requests that wait for the disk be answered."""
        deadline = self.loop.time() + _DRAIN_SECONDS
        while not self._durability.idle and self.loop.time() < deadline:
            await asyncio.sleep(0.001)

    def statistics(self) -> dict[str, Any]:
        """Counters and gauges as plain values (JSON-ready), for metrics."""
        partitions: list[dict[str, Any]] = []
        for topic in self.topics.all():
            for index in range(topic.partition_count):
                try:
                    partition = topic.partition(index)
                except MainstemError:
                    continue
                partitions.append(
                    {
                        "topic": topic.name,
                        "partition": index,
                        "log_start_offset": partition.log_start_offset,
                        "log_end_offset": partition.log_end_offset,
                        "size_bytes": partition.size_bytes,
                    }
                )
        return {**self.counters.snapshot(), "partitions": partitions}
