"""A real worker in this process, and at the other end of its bus a small dispatcher in memory."""

from __future__ import annotations

import asyncio
import functools
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mainstem.live import bus
from mainstem.live.access import AccessSettings
from mainstem.live.cursor import CursorBook
from mainstem.live.gateway import Gateway
from mainstem.live.pipe import dispatcher_pipe, worker_pipe
from mainstem.live.worker import Post, Worker

PATIENCE_S = 30.0
KEY = b"a key for the cursors of tests"
KINDS = {"comments": "events", "chat": "events", "score": "latest", "likes": "counter"}


@dataclass
class Log:
    """Streams of records: (channel, JSON) per offset, ``None`` for what is nobody's."""

    epoch: int = 1
    partitions: int = 1
    streams: dict[bus.Stream, list[tuple[str, bytes] | None]] = field(default_factory=dict)
    expired: dict[bus.Stream, int] = field(default_factory=dict)

    def stream(self, channel: str) -> bus.Stream:
        namespace, _, identity = channel.partition(":")
        return (f"live.{namespace}", self.epoch, sum(identity.encode()) % self.partitions)

    def records(self, stream: bus.Stream) -> list[tuple[str, bytes] | None]:
        return self.streams.setdefault(stream, [])


class MemoryDispatcher:
    """Answers a worker as the real one does, from ``log``; tests make it speak and keep still."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.pipe: Any = None
        self.watched: set[str] = set()
        self.said: list[bus.Message] = []
        self.tickets: set[str] = set()
        self.replays: list[bus.Replay] = []
        self.hold_replays: asyncio.Event | None = None
        self.slice_items = 3
        self.generous = 0
        self.mute: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def receive(self, message: Any) -> None:
        self.said.append(message)
        name = f"_{type(message).__name__.lower()}"
        answer = getattr(self, name, None)
        if answer is not None:
            answer(message)

    def heard(self, kind: type) -> list[Any]:
        return [message for message in self.said if isinstance(message, kind)]

    # What the real one says -----------------------------------------------------------

    def _watch(self, message: bus.Watch) -> None:
        channel = message.channel
        namespace = channel.partition(":")[0]
        if namespace not in KINDS and namespace not in {"viewers", "presence"}:
            self.pipe.send(bus.Refused(channel, "Invalid", f"no namespace {namespace}"))
            return
        self.watched.add(channel)
        if channel not in self.mute:
            self.open(channel)

    def open(self, channel: str, reason: str | None = None) -> None:
        kind = KINDS.get(channel.partition(":")[0], channel.partition(":")[0])
        stream = self.log.stream(channel)
        state = None if kind == "events" else body_of(channel, kind, 0, snapshot=True)
        end = len(self.log.records(stream))
        if kind in {"viewers", "presence"}:
            self.pipe.send(bus.Opened(channel, kind, None, 0, state, reason))
        else:
            self.pipe.send(bus.Opened(channel, kind, stream, end, state, reason))

    def _unwatch(self, message: bus.Unwatch) -> None:
        self.watched.discard(message.channel)

    def _publish(self, message: bus.Publish) -> None:
        if message.channel == "comments:broken":
            failed = bus.Failed(message.request, "Unavailable", "no log today", 5)
            self.pipe.send(failed)
            return
        if message.channel == "comments:silent":
            return
        if message.channel == "comments:later":
            asyncio.get_running_loop().call_later(0.1, self._published, message)
            return
        self._published(message)

    def _published(self, message: bus.Publish) -> None:
        offset = self.append(message.channel, json.loads(message.body))
        stream = self.log.stream(message.channel)
        self.pipe.send(bus.Published(message.request, stream, offset, 1000 + offset, False))

    def _useticket(self, message: bus.UseTicket) -> None:
        first = message.ticket not in self.tickets
        self.tickets.add(message.ticket)
        self.pipe.send(bus.TicketUsed(message.request, first))

    def _replay(self, message: bus.Replay) -> None:
        self.replays.append(message)
        task = asyncio.get_running_loop().create_task(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, wanted: bus.Replay) -> None:
        if self.hold_replays is not None:
            await self.hold_replays.wait()
        until = dict(wanted.until)
        starts = self._starts(wanted, until)
        for stream, start in starts.items():
            reason = None
            if stream[1] != self.log.epoch:
                reason = "epoch"
            elif start < self.log.expired.get(stream, 0):
                reason = "expired"
            elif start > len(self.log.records(stream)):
                reason = "truncated"
            if reason is not None:
                first = [(each, self.log.expired.get(each, 0)) for each in until]
                last = [(each, len(self.log.records(each))) for each in until]
                self.pipe.send(bus.ReplayReset(wanted.request, reason, first, last))
                return
        self._slices(wanted, starts, until)

    def _starts(self, wanted: bus.Replay, until: dict[bus.Stream, int]) -> dict[bus.Stream, int]:
        if wanted.cursor is not None:
            given = dict(wanted.cursor)
            return {stream: given.get(stream, end) for stream, end in until.items()}
        if wanted.origin == "earliest":
            return {stream: self.log.expired.get(stream, 0) for stream in until}
        count = int((wanted.origin or "").removeprefix("last:"))
        return {stream: max(0, end - count) for stream, end in until.items()}

    def _slices(
        self, wanted: bus.Replay, starts: dict[bus.Stream, int], until: dict[bus.Stream, int]
    ) -> None:
        vector = dict(starts)
        spent = 0
        for stream, start in starts.items():
            items = []
            for offset in range(max(0, start - self.generous), until[stream]):
                record = self.log.records(stream)[offset]
                vector[stream] = offset + 1
                if record is not None and record[0] in wanted.channels:
                    items.append((record[0], stream, offset, record[1]))
                    spent += len(record[1])
                if len(items) == self.slice_items:
                    self.pipe.send(bus.Replayed(wanted.request, items, list(vector.items()), False))
                    items = []
                if spent >= wanted.budget_bytes:
                    break
            self.pipe.send(bus.Replayed(wanted.request, items, list(vector.items()), False))
            if spent >= wanted.budget_bytes:
                break
        self.pipe.send(bus.Replayed(wanted.request, [], list(vector.items()), True))

    # What tests make happen -----------------------------------------------------------

    def append(self, channel: str, data: Any, *, tell: bool = True) -> int:
        """A record of ``channel``; told to the worker as the reader would."""
        stream = self.log.stream(channel)
        records = self.log.records(stream)
        offset = len(records)
        kind = KINDS[channel.partition(":")[0]]
        body = body_of(channel, kind, offset, partition=stream[2], data=data)
        records.append((channel, body))
        if tell:
            self.tell(stream)
        return offset

    def skip(self, channel: str, count: int) -> None:
        """Records of channels that nobody here watches."""
        stream = self.log.stream(channel)
        self.log.records(stream).extend([None] * count)
        self.pipe.send(bus.Advance(stream, len(self.log.records(stream))))

    def tell(self, stream: bus.Stream) -> None:
        """Say the newest record of a stream."""
        records = self.log.records(stream)
        offset = len(records) - 1
        record = records[offset]
        if record is None or record[0] not in self.watched:
            self.pipe.send(bus.Advance(stream, offset + 1))
            return
        self.pipe.send(bus.Events(record[0], stream, [(offset, record[1])], offset + 1))

    def state(self, channel: str, kind: str, **fields: Any) -> None:
        body = body_of(channel, kind, 0, **fields)
        snapshot = body_of(channel, kind, 0, snapshot=True, **fields)
        self.pipe.send(bus.State(channel, body, snapshot))


def body_of(channel: str, kind: str, offset: int, **fields: Any) -> bytes:
    named = {"offset": offset} if kind == "events" else {}
    return msgspec.json.encode({"channel": channel, "kind": kind, **named, **fields})


@dataclass
class Site:
    """A worker that serves, and its dispatcher."""

    worker: Worker
    dispatcher: MemoryDispatcher
    pipe: Any

    @property
    def gateway(self) -> Gateway:
        return self.worker.gateway

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.worker.port}"

    async def settled(self) -> None:
        """Everything said on the bus so far has been heard by the worker."""
        mark = f"mark-{len(self.dispatcher.said)}"
        waiting = asyncio.get_running_loop().create_task(self.gateway.desk.use_ticket(mark, 0.0))
        await waiting


@asynccontextmanager
async def site(
    log: Log | None = None, access: AccessSettings | None = None, **settings: Any
) -> AsyncIterator[Site]:
    """A worker on a free port, open to anyone unless ``access`` says otherwise."""
    ours, theirs = socket.socketpair()
    dispatcher = MemoryDispatcher(log or Log())
    dispatcher.pipe = await dispatcher_pipe(ours, dispatcher.receive, lambda _: None)
    chosen = access or AccessSettings().on_listener(loopback=True)
    if access is None:
        opened = chosen.namespaces["comments"]
        names = [*KINDS, "ghost", "viewers", "presence"]
        chosen = msgspec.structs.replace(chosen, namespaces=dict.fromkeys(names, opened))
    values = {"window_ms": 8.0, "request_s": 30.0, **settings}
    config = bus.Configure(0, "127.0.0.1", 0, KEY, msgspec.json.encode(chosen), **values)
    post: list[Post] = []
    pipe = await worker_pipe(theirs, lambda each: post[0](each), lambda _: None)  # noqa: PLW0108
    worker = Worker(Gateway(config, lambda message: pipe.send(message) if pipe.open else None))
    post.append(Post(worker))
    worker.gateway.flusher.pressed = lambda: pipe.hold(0.005)
    worker.start()
    try:
        yield Site(worker, dispatcher, pipe)
    finally:
        await worker.stop()
        pipe.close()
        dispatcher.pipe.close()
        await asyncio.sleep(0)


@dataclass
class Event:
    """One block of a stream, as the HTML Standard's parser sees it."""

    name: str
    id: str
    data: Any
    retry: int | None = None

    @property
    def channel(self) -> str:
        return self.data["channel"]

    @property
    def offset(self) -> int:
        return self.data["offset"]


class Stream:
    """A viewer over server-sent events: a strict parser on a plain socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.last_id = ""
        self.retry = 0

    async def begin(self) -> None:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {
            name.lower(): value for name, value in (line.split(": ", 1) for line in lines if line)
        }

    async def block(self) -> dict[str, str]:
        """The fields of the next block, whether it is an event or not."""
        async with asyncio.timeout(PATIENCE_S):
            text = (await self.reader.readuntil(b"\n\n")).decode()
        fields: dict[str, str] = {}
        for line in text.rstrip("\n").split("\n"):
            name, colon, value = line.partition(": ")
            assert colon, f"not a field: {line!r}"
            assert name not in fields, f"{name} twice in one block"
            fields[name] = value
        if "id" in fields:
            self.last_id = fields["id"]
        if "retry" in fields:
            self.retry = int(fields["retry"])
        return fields

    async def event(self) -> Event:
        """The next event; blocks without data are taken in silently."""
        while True:
            fields = await self.block()
            if "data" in fields:
                name = fields.get("event", "message")
                return Event(name, self.last_id, json.loads(fields["data"]))

    async def events(self, count: int) -> list[Event]:
        return [await self.event() for _ in range(count)]

    async def ended(self) -> bytes:
        """All that comes until the end."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    def close(self) -> None:
        self.writer.close()


@asynccontextmanager
async def viewer(
    place: Site, query: str, *, last_id: str | None = None, headers: str = ""
) -> AsyncIterator[Stream]:
    """A viewer of ``/live?query`` whose head has been read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.worker.port)
    last = "" if last_id is None else f"Last-Event-ID: {last_id}\r\n"
    request = f"GET /live?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n{last}{headers}\r\n"
    writer.write(request.encode())
    stream = Stream(reader, writer)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await stream.begin()
        yield stream
    finally:
        writer.close()


async def until(condition: Any) -> None:
    """Wait, a turn of the loop at a time, until something is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.001)


def places(text: str) -> dict[Any, int]:
    """What a cursor says."""
    return CursorBook(KEY).read(text)


def asynchronous(test: Any) -> Any:
    """Run an ``async def`` test on a loop of its own."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run
