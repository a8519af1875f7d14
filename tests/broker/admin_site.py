"""A store, a log and topics on a real directory, and handlers called as the dispatcher does."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Coroutine
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, TypeVar

from mainstem import wire
from mainstem.broker.apis import APIS, handler
from mainstem.broker.call import Call
from mainstem.broker.config import BrokerConfig
from mainstem.broker.producer_ids import ProducerIds
from mainstem.broker.statistics import Statistics
from mainstem.broker.store import Store
from mainstem.broker.topics import Topics
from mainstem.clock import Clock, SystemClock
from mainstem.log import FileSystem, Log, Partition
from mainstem.wire import Message
from reference.record_batch import Record, batch_of, encode

T = TypeVar("T")


class Site:
    """What of a broker the admin APIs use; everything in it is the real thing."""

    def __init__(
        self,
        data: Path,
        *,
        filesystem: FileSystem | None = None,
        store_class: type[Store] = Store,
        clock: Clock | None = None,
        log_root: str | None = None,
        **options: Any,
    ) -> None:
        self.data = data
        config = BrokerConfig(data=data, **options)
        self.clock = clock or SystemClock()
        self.store = store_class(data / "metadata.sqlite", clock=self.clock)
        self.log = Log(log_root or str(data), filesystem=filesystem, clock=self.clock)
        self.runner = asyncio.Runner()
        self.topics = Topics(self.store, self.log, config)
        self.producer_ids = ProducerIds(self.store)
        self.broker: Any = SimpleNamespace(
            config=config,
            clock=self.clock,
            store=self.store,
            log=self.log,
            topics=self.topics,
            producer_ids=self.producer_ids,
            counters=Statistics(),
            node_id=config.node_id,
            cluster_id=self.store.cluster_id,
            address=("127.0.0.1", 9093),
            advertised=("127.0.0.1", 9092),
        )

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    def create(self, name: str, partitions: int = 1, **configs: str) -> None:
        overrides = {key.replace("_", "."): value for key, value in configs.items()}
        self.run(self.topics.create(name, partitions, overrides))

    def partition(self, topic: str, index: int = 0) -> Partition:
        return self.topics.require(topic).partition(index)

    def append(self, topic: str, index: int = 0, count: int = 1, **fields: int) -> None:
        records = [Record(key=b"k", value=b"v") for _ in range(count)]
        batch = bytearray(encode(batch_of(records, base_timestamp=self.clock.now_ms(), **fields)))
        self.partition(topic, index).append(batch)

    def call(self, api_key: int, version: int | None = None, **fields: Any) -> Message:
        """The answer, with request and answer sent through the wire format of that version."""
        if version is None:
            version = APIS[api_key].highest
        request = wire.decode_request(
            api_key, version, wire.encode_request(api_key, version, Message(**fields))
        )
        answer = handler(api_key)(request, Call(self.broker, version))
        if inspect.iscoroutine(answer):
            answer = self.run(answer)
        return wire.decode_response(
            api_key, version, wire.encode_response(api_key, version, answer)
        )

    def close(self) -> None:
        self.run(self.topics.close())
        self.log.close()
        self.store.close()
        self.runner.close()

    def __enter__(self) -> Site:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def versions(api_key: int) -> range:
    """Every version of an API that is served."""
    api = APIS[api_key]
    return range(api.lowest, api.highest + 1)


logging.getLogger("mainstem.broker").addHandler(logging.NullHandler())
