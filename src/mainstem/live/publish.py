"""Publishing: one idempotent producer appends, and a key that was seen before writes nothing.

A key travels in the record's headers, so that it is remembered for as long as the log's tail is:
before the first keyed publish to a partition, and again before each, the tail is read up to its
end. So a retry is recognised after a restart, and at another gateway. Two gateways that get the
same key in the same few milliseconds may both write: Kafka has no conditional append.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from mainstem.client import Appender, AppendOptions, Cluster, Producer, bounds, list_offsets
from mainstem.clock import Clock, SystemClock
from mainstem.errors import Invalid, Unavailable
from mainstem.live.kinds import weight_of

if TYPE_CHECKING:
    from mainstem.live.bus import Stream
    from mainstem.live.history import History
    from mainstem.live.settings import Namespace
    from mainstem.live.topics import Topics

KEY_HEADER, USER_HEADER = "idempotency-key", "live-user"
LONGEST_KEY = 200
_BATCH_BYTES = 700_000  # below Kafka's default max.message.bytes, in one batch
_BATCH_ROWS = 500
_WAITING_BYTES = 16 << 20
_WAITING = 20_000
_REMEMBERED = 200_000
_CODE_BUSY = 89  # THROTTLING_QUOTA_EXCEEDED


class Appended(NamedTuple):
    """Where a record is; ``time`` in milliseconds."""

    stream: Stream
    offset: int
    time: int
    duplicate: bool


Identity = tuple[bytes, str, str]
"""Record key, user, idempotency key: what makes two publishes one."""


@dataclass(slots=True, eq=False)
class _Record:
    key: bytes
    body: bytes
    idempotency_key: str | None
    user: str | None
    done: asyncio.Future[Appended]

    @property
    def identity(self) -> Identity | None:
        if self.idempotency_key is None:
            return None
        return self.key, self.user or "", self.idempotency_key

    @property
    def size(self) -> int:
        return len(self.body) + len(self.key) + 256

    def headers(self) -> list[dict[str, Any]]:
        found = []
        if self.user is not None:
            found.append({"key": USER_HEADER, "value": self.user.encode()})
        if self.idempotency_key is not None:
            found.append({"key": KEY_HEADER, "value": self.idempotency_key.encode()})
        return found


@dataclass(slots=True, eq=False)
class _Lane:
    """One partition: what waits, and the keys seen up to ``read_to``."""

    stream: Stream
    queue: list[_Record] = field(default_factory=list)
    seen: OrderedDict[Identity, tuple[int, int]] = field(default_factory=OrderedDict)
    read_to: int | None = None
    task: asyncio.Task[None] | None = None


_HEADERS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))


class Publisher:
    """Appends for the workers. Belongs to the dispatcher's event loop."""

    def __init__(
        self,
        cluster: Cluster,
        producer: Producer,
        topics: Topics,
        history: History,
        *,
        remember_seconds: int,
        clock: Clock | None = None,
    ) -> None:
        self._cluster = cluster
        self._producer = producer
        self._topics = topics
        self._history = history
        self._clock = clock or SystemClock()
        self._remember_ms = remember_seconds * 1000
        self._appenders: dict[str, Appender] = {}
        self._lanes: dict[Stream, _Lane] = {}
        self._pending: dict[tuple[Stream, Identity], asyncio.Future[Appended]] = {}
        self._waiting = 0
        self._bytes = 0
        self.published = 0
        self.duplicates = 0

    async def publish(
        self, topic: str, key: bytes, body: bytes, idempotency_key: str | None, user: str | None
    ) -> Appended:
        """Append one record; returns when it is acknowledged by all replicas.

        ``Unavailable`` means retry, with the same key if there is one: it may be written or not.
        Code 89 says that too many wait.
        """
        if self._waiting >= _WAITING or self._bytes >= _WAITING_BYTES:
            raise Unavailable(
                f"{self._waiting:,} publishes wait for the log already: retry later",
                code=_CODE_BUSY,
            )
        if idempotency_key is not None and len(idempotency_key.encode()) > LONGEST_KEY:
            raise Invalid(f"the idempotency key is longer than {LONGEST_KEY} bytes")
        stream = (await self._topics.find(topic)).stream_of(key)
        done: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        record = _Record(key, body, idempotency_key, user, done)
        if record.identity is not None:
            first = self._pending.get((stream, record.identity))
            if first is not None:  # the same publish, twice at once
                return (await asyncio.shield(first))._replace(duplicate=True)
            self._pending[stream, record.identity] = done
        lane = self._lanes.setdefault(stream, _Lane(stream))
        lane.queue.append(record)
        self._waiting += 1
        self._bytes += record.size
        if lane.task is None:
            lane.task = asyncio.create_task(self._run(lane))
        try:
            return await asyncio.shield(done)  # who asked may leave: the record is under way
        finally:
            if not done.done():
                done.add_done_callback(lambda found: found.cancelled() or found.exception())

    async def close(self) -> None:
        """Wait for what is under way, at most a few seconds."""
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=5.0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- one partition -----------------------------------------------------------------------

    async def _run(self, lane: _Lane) -> None:
        try:
            while lane.queue:
                batch = _first(lane.queue)
                try:
                    await self._batch(lane, batch)
                except Exception as error:  # nobody must wait for ever
                    for record in batch:
                        if not record.done.done():
                            record.done.set_exception(error)
                            record.done.exception()
                finally:
                    self._settled(lane, batch)
        finally:
            lane.task = None
            if not lane.seen:
                self._lanes.pop(lane.stream, None)

    def _settled(self, lane: _Lane, batch: list[_Record]) -> None:
        for record in batch:
            self._waiting -= 1
            self._bytes -= record.size
            if record.identity is not None:
                self._pending.pop((lane.stream, record.identity), None)
            if not record.done.done():
                record.done.cancel()

    async def _batch(self, lane: _Lane, batch: list[_Record]) -> None:
        if any(record.identity is not None for record in batch):
            await self._catch_up(lane)
        fresh: list[_Record] = []
        for record in batch:
            seen = None if record.identity is None else lane.seen.get(record.identity)
            if seen is None:
                fresh.append(record)
                continue
            self.duplicates += 1
            record.done.set_result(Appended(lane.stream, *seen, duplicate=True))
        if not fresh:
            return
        time = self._clock.now_ms()
        first = await self._append(lane.stream, fresh, time)
        for row, record in enumerate(fresh):
            offset = first + row if first >= 0 else -1
            self.published += 1
            if record.identity is not None:
                _remember(lane, record.identity, offset, time)
            if not record.done.done():
                record.done.set_result(Appended(lane.stream, offset, time, duplicate=False))

    async def _append(self, stream: Stream, records: list[_Record], time: int) -> int:
        """The offset of the first; they lie one behind the other, for they are one batch."""
        topic, _, partition = stream
        appender = self._appenders.get(topic)
        if appender is None:
            appender = self._appenders[topic] = Appender(self._cluster, self._producer, topic)
        data = pa.record_batch(
            {
                "_key": pa.array([record.key for record in records], pa.binary()),
                "_timestamp": pa.array([time] * len(records), pa.timestamp("ms", tz="UTC")),
                "_headers": pa.array([record.headers() for record in records], _HEADERS),
                "value": pa.array([record.body for record in records], pa.binary()),
            }
        )
        found = await appender.append(data, AppendOptions(partition=partition))
        return found.partitions[partition].first_offset

    # --- what was published before -----------------------------------------------------------

    async def _catch_up(self, lane: _Lane) -> None:
        """Read the keys of the partition's tail, from where it was read to last."""
        topic, _, partition = lane.stream
        first, last = await bounds(self._cluster, topic, [partition], committed=True)
        end = last[partition]
        if lane.read_to is None:
            since = max(0, self._clock.now_ms() - self._remember_ms)
            found = (await list_offsets(self._cluster, topic, {partition: since}))[partition]
            lane.read_to = end if found.offset < 0 else found.offset
        start = max(lane.read_to, first[partition], end - _REMEMBERED)
        async for chunk in self._history.chunks(lane.stream, start, end):
            _read_keys(lane, chunk.records, start)
        lane.read_to = max(end, lane.read_to)
        oldest = self._clock.now_ms() - self._remember_ms
        while lane.seen and next(iter(lane.seen.values()))[1] < oldest:
            lane.seen.popitem(last=False)


def _first(queue: list[_Record]) -> list[_Record]:
    """Take what fits one batch."""
    size = rows = 0
    for record in queue:
        if rows and (size + record.size > _BATCH_BYTES or rows >= _BATCH_ROWS):
            break
        size += record.size
        rows += 1
    batch = queue[:rows]
    del queue[:rows]
    return batch


def _read_keys(lane: _Lane, records: Any, start: int) -> None:
    headers = records.column("_headers") if "_headers" in records.schema.names else None
    if headers is None:
        return
    with_headers = pc.fill_null(pc.greater(pc.list_value_length(headers), 0), False)
    records = records.filter(with_headers)
    if not records.num_rows:
        return
    headers = records.column("_headers")
    offsets = records.column("_offset").to_pylist()
    times = records.column("_timestamp").cast(pa.int64()).to_pylist()
    keys = records.column("_key").to_pylist()
    for row, found in enumerate(headers.to_pylist()):
        if not found or offsets[row] < start or keys[row] is None:
            continue
        named = {entry["key"]: entry["value"] for entry in found}
        key, user = named.get(KEY_HEADER), named.get(USER_HEADER) or b""
        if key is not None:
            identity = keys[row], user.decode("utf-8", "replace"), key.decode("utf-8", "replace")
            _remember(lane, identity, offsets[row], times[row])


def _remember(lane: _Lane, identity: Identity, offset: int, time: int) -> None:
    if identity not in lane.seen:  # the first one counts
        lane.seen[identity] = (offset, time)
        if len(lane.seen) > _REMEMBERED:
            lane.seen.popitem(last=False)


def check_body(body: bytes, namespace: Namespace, largest: int) -> None:
    """Raise ``Invalid`` for what cannot be published to a channel of this namespace."""
    if len(body) > largest:
        raise Invalid(f"the body has {len(body):,} bytes: at most {largest:,}", code=10)
    try:
        msgspec.json.decode(body.decode())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"the body is not JSON: {error}") from None
    if namespace.kind == "counter" and weight_of(body) is None:
        raise Invalid('"n" must be an integer between -1000000000 and 1000000000')
