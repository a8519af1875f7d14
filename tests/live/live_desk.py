"""A dispatcher over a real broker, and ports that remember what they were told."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
import pyarrow as pa

import mainstem as ms
from mainstem.client import ClientConfig, Cluster, parse_addresses
from mainstem.live import bus
from mainstem.live.dispatcher import Dispatcher
from mainstem.live.settings import OUT_OF_THE_BOX, LiveSettings, Namespace

PATIENCE_S = 20.0
_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(bus.FromDispatcher).decode
M = TypeVar("M", bound=bus.Message)


class DeskPort:
    """A worker's place at the desk: what was said to it, in order."""

    def __init__(self, dispatcher: Dispatcher, number: int) -> None:
        self.number = number
        self.heard: list[bus.Message] = []
        self._dispatcher = dispatcher
        self._news = asyncio.Event()
        self._requests = itertools.count(1)

    def send(self, message: bus.Message) -> None:
        # Through the encoding, as between processes: what cannot be said fails here.
        self.heard.append(_decode(_encode(message)))
        self._news.set()

    def says(self, message: bus.Message) -> None:
        self._dispatcher.received(self, message)

    async def until(self, met: Callable[[], Any]) -> Any:
        """Wait for news until ``met`` gives something true, and return that."""
        async with asyncio.timeout(PATIENCE_S):
            while not (found := met()):
                self._news.clear()
                await self._news.wait()
        return found

    def all(self, kind: type[M]) -> list[M]:
        return [message for message in self.heard if isinstance(message, kind)]

    async def watch(self, channel: str) -> bus.Opened:
        before = len(self.all(bus.Opened))
        self.says(bus.Watch(channel))

        def opened() -> bus.Opened | None:
            return next((m for m in self.all(bus.Opened)[before:] if m.channel == channel), None)

        return await self.until(opened)  # type: ignore[no-any-return]

    async def publish(
        self, channel: str, data: Any, key: str | None = None, user: str | None = None
    ) -> bus.Published | bus.Failed:
        request = next(self._requests)
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.says(bus.Publish(request, channel, body, key, user))
        return await self.answer(request)

    async def answer(self, request: int) -> Any:
        kinds = (bus.Published, bus.Failed, bus.ReplayReset)

        def found() -> Any:
            return next(
                (m for m in self.heard if isinstance(m, kinds) and m.request == request), None
            )

        return await self.until(found)

    async def replay(
        self,
        channels: list[str],
        until: dict[bus.Stream, int],
        *,
        cursor: dict[bus.Stream, int] | None = None,
        origin: str | None = None,
        budget: int = 64 << 20,
    ) -> tuple[list[tuple[str, int, Any]], dict[bus.Stream, int]] | bus.ReplayReset | bus.Failed:
        """(channel, offset, data) of each item, and the vector behind them; or why not."""
        request = next(self._requests)
        given = None if cursor is None else list(cursor.items())
        self.says(bus.Replay(request, channels, given, origin, list(until.items()), budget))

        def over() -> Any:
            mine = [m for m in self.heard if getattr(m, "request", None) == request]
            last = mine[-1] if mine else None
            if isinstance(last, bus.Replayed) and not last.done:
                return None
            return mine

        mine = await self.until(over)
        if not isinstance(mine[-1], bus.Replayed):
            return mine[-1]  # type: ignore[no-any-return]
        items = [
            (channel, offset, json.loads(body)["data"])
            for slice_ in mine
            for channel, _, offset, body in slice_.items
        ]
        return items, dict(mine[-1].vector)

    def events(self, channel: str) -> list[tuple[int, Any]]:
        """(offset, data) of the channel's events so far."""
        return [
            (offset, json.loads(body)["data"])
            for message in self.all(bus.Events)
            if message.channel == channel
            for offset, body in message.items
        ]

    def states(self, channel: str) -> list[Any]:
        return [json.loads(m.state) for m in self.all(bus.State) if m.channel == channel]


@asynccontextmanager
async def desk(
    address: str, namespaces: dict[str, Namespace] | None = None, **settings: Any
) -> AsyncIterator[Dispatcher]:
    cluster = Cluster(parse_addresses(address), ClientConfig(client_id="live", retry_for=10.0))
    await cluster.start()
    chosen = dict(OUT_OF_THE_BOX) if namespaces is None else namespaces
    dispatcher = Dispatcher(cluster, LiveSettings(**settings), chosen)
    await dispatcher.start()
    try:
        yield dispatcher
    finally:
        await dispatcher.close()
        await cluster.close()


def write(address: str, topic: str, rows: list[tuple[str | None, bytes | None]]) -> None:
    """Append with an ordinary producer, keys as Kafka's clients place them."""
    with ms.connect(address) as stem:
        keys = [None if key is None else key.encode() for key, _ in rows]
        stem.topic(topic).append(
            pa.table(
                {
                    "_key": pa.array(keys, pa.binary()),
                    "value": pa.array([value for _, value in rows], pa.binary()),
                }
            )
        )
