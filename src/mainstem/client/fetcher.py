"""Fetches ahead from the leaders of many partitions, in bounded memory."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from mainstem.client.cluster import Cluster
from mainstem.client.fetch_request import TopicOffsets, fetch_body
from mainstem.client.growth import watch
from mainstem.client.kafka_errors import STALE_METADATA, error_for, is_retriable
from mainstem.client.leader_epochs import UNKNOWN, Epochs, TopicAnew, check_position
from mainstem.client.metadata import PartitionMetadata
from mainstem.client.quick_answers import fetched
from mainstem.client.retry import Deadline
from mainstem.errors import Corrupt, Invalid, MainstemError, Unavailable
from mainstem.kernels import BatchError, BatchHeader, read_batches
from mainstem.wire import Message

FETCH = 1
_OUT_OF_RANGE, _UNKNOWN_TOPIC = 1, 3
_CORRUPT = 2
_PARTITION_BYTES = 4 << 20
_REQUEST_BYTES = 16 << 20
_LEAST_BYTES = 64 << 10
_WAIT_MS = 500
_FEW_BYTES = 16 << 10
_NO_DEMAND_S = 0.002


@dataclass(slots=True, eq=False)
class Position:
    """Where one partition is read: the next offset, and where to stop (``None``: never).

    ``epoch`` is that of the leader that wrote the record before ``offset``, where known;
    ``leader_epoch`` the one in whose log ``offset`` is known to be a place; ``topic_id`` says which
    of the topics of that name is read.
    """

    topic: str
    partition: int
    offset: int
    end: int | None = None
    epoch: int = UNKNOWN
    leader: int | None = None
    leader_epoch: int = UNKNOWN
    topic_id: UUID | None = None
    deadline: Deadline | None = None
    trouble: MainstemError | None = None
    high_watermark: int = -1

    @property
    def name(self) -> str:
        """For messages."""
        return f"topic {self.topic!r} partition {self.partition}"

    @property
    def finished(self) -> bool:
        """Whether the end is reached."""
        return self.end is not None and self.offset >= self.end


@dataclass(frozen=True, slots=True)
class Fetched:
    """Record batches as they came; only records from ``start`` to before ``end`` are meant."""

    topic: str
    partition: int
    data: Any
    headers: list[BatchHeader]
    start: int
    end: int | None
    aborted: tuple[tuple[int, int], ...] = ()
    epochs: Epochs = ()


@dataclass(slots=True)
class _State:
    """What has arrived and not been taken."""

    chunks: deque[Fetched] = field(default_factory=deque)
    size: int = 0
    failure: BaseException | None = None


class Fetcher:
    """One reader's fetches; ``next`` hands out chunks in order per partition.

    At most about ``prefetch_bytes``, and one answer more, is held. ``committed`` leaves out what
    belongs to open and aborted transactions. Partitions that the topic ``growing`` gets meanwhile
    are read, too. Belongs to one event loop.
    """

    def __init__(
        self,
        cluster: Cluster,
        positions: list[Position],
        *,
        prefetch_bytes: int = 16 << 20,
        committed: bool = False,
        growing: str | None = None,
    ) -> None:
        self._cluster = cluster
        self._growing = growing
        self._grower: asyncio.Task[None] | None = None
        self._active = [position for position in positions if not position.finished]
        self._prefetch = prefetch_bytes
        self._committed = committed
        self._bytes = _REQUEST_BYTES
        self._state = _State()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        #: Whether somebody waits for records. Whoever clears it sets it again.
        self.demand = asyncio.Event()
        self.demand.set()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._router: asyncio.Task[None] | None = None

    async def next(self) -> Fetched | None:
        """The next chunk; ``None`` when every end is reached. Raises what a fetch raised."""
        while not self._state.chunks:
            self._cluster.check()
            if self._state.failure is not None:
                raise self._state.failure
            if not self._active:
                return None
            self._changed.clear()
            self._route()
            if self._growing is not None and self._grower is None:
                self._grower = self._start(self._grow(self._growing))
            await self._changed.wait()
        return self.take()

    def take(self) -> Fetched | None:
        """A chunk that has arrived already, or ``None``. Never waits."""
        if not self._state.chunks:
            return None
        chunk = self._state.chunks.popleft()
        self._state.size -= len(chunk.data)
        self._room.set()
        return chunk

    async def close(self) -> None:
        """Stop fetching. May be called twice."""
        others = filter(None, (self._router, self._grower))
        tasks = [*self._tasks.values(), *others]
        for task in tasks:
            task.cancel()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await self._cluster.release(self)

    # --- who is asked ------------------------------------------------------------------------

    def _route(self) -> None:
        """Have every partition's leader looked up, and one task per leader."""
        idle = self._router is None or self._router.done()
        if idle and any(position.leader is None for position in self._active):
            self._router = self._start(self._find_leaders())
        for node in {p.leader for p in self._active if p.leader is not None}:
            task = self._tasks.get(node)
            if task is None or task.done():
                self._tasks[node] = self._start(self._fetch_from(node))

    async def _grow(self, topic: str) -> None:
        def add(partition: int, offset: int) -> None:
            self._active.append(Position(topic, partition, offset))
            self._changed.set()

        await watch(self._cluster, topic, {found.partition for found in self._active}, add)

    def _start(self, work: Any) -> asyncio.Task[None]:
        async def run() -> None:
            try:
                await work
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                self._state.failure = error
            self._changed.set()

        return asyncio.get_running_loop().create_task(run())

    async def _find_leaders(self) -> None:
        for position in [found for found in self._active if found.leader is None]:
            if position.deadline is None:
                position.deadline = self._cluster.deadline()
            elif not await position.deadline.pause():
                trouble = position.trouble or Unavailable("no leader answered")
                raise Unavailable(
                    f"{position.name} could not be read for {position.deadline.seconds:g} s: "
                    f"{trouble}",
                    code=trouble.code,
                )
            try:
                found = await self._cluster.leader(
                    position.topic, position.partition, position.deadline
                )
                self._same_topic(position)
                await self._check(position, found, position.deadline)
            except Unavailable as error:
                self._cluster.forget(position.topic)
                position.trouble = error
                continue  # asked again, by the next route
            position.leader, position.leader_epoch = found.leader, found.leader_epoch
        self._changed.set()
        self._route()

    def _same_topic(self, position: Position) -> UUID | None:
        """The topic's id. Raises ``TopicAnew`` where it is another than it was."""
        known = self._cluster.metadata.topics.get(position.topic)
        found = None if known is None else known.id
        if position.topic_id is None:
            position.topic_id = found
        elif found is not None and found != position.topic_id:
            raise TopicAnew(position.topic)
        return found

    async def _check(
        self, position: Position, leader: PartitionMetadata, deadline: Deadline
    ) -> None:
        """Raise ``LogCut`` where a new leader's log is another one than was read."""
        epoch = leader.leader_epoch
        known = (UNKNOWN, position.leader_epoch, position.epoch)
        if position.epoch != UNKNOWN and epoch not in known:
            where = position.topic, position.partition
            at = position.offset, position.epoch
            await check_position(self._cluster, where, at, leader, deadline)

    # --- fetching ----------------------------------------------------------------------------

    async def _fetch_from(self, node: int) -> None:
        turn = 0
        while mine := [position for position in self._active if position.leader == node]:
            while self._state.size >= self._prefetch:
                self._room.clear()
                await self._room.wait()
            turn = (turn + 1) % len(mine)  # so that each partition is first in turn
            wanted = mine[turn:] + mine[:turn]
            try:
                answer = await self._ask(node, wanted)
            except Unavailable as error:
                # An answer that does not arrive in time, or whole, must become a smaller one.
                self._bytes = max(_LEAST_BYTES, self._bytes // 4)
                for position in wanted:
                    self._lost_leader(position, error)
                continue
            self._bytes = min(_REQUEST_BYTES, self._bytes * 2)
            before = self._state.size
            self._take_in(wanted, answer)
            if before < self._state.size < before + _FEW_BYTES:
                await self._wait_for_demand()

    async def _wait_for_demand(self) -> None:
        """At the end of a log, leave the loop to those who handle what has just come.

        Asking for more wakes the broker up, which takes as long as handing out a record does.
        """
        if not self.demand.is_set():
            timer = asyncio.get_running_loop().call_later(_NO_DEMAND_S, self.demand.set)
            await self.demand.wait()
            timer.cancel()

    async def _ask(self, node: int, wanted: list[Position]) -> Message:
        topics: dict[str, TopicOffsets] = {}
        for position in wanted:
            topic_id = self._same_topic(position)
            topic = topics.setdefault(position.topic, (position.topic, topic_id, []))
            topic[2].append((position.partition, position.offset, position.leader_epoch))
        connection = await self._cluster.connection(node, lane=self)
        timeout = self._cluster.config.request_timeout
        version = connection.version(FETCH)
        body = fetch_body(
            version,
            topics.values(),
            max_wait_ms=_WAIT_MS,
            max_bytes=self._bytes,
            partition_bytes=min(_PARTITION_BYTES, self._bytes),
            committed=self._committed,
        )
        if body is None:
            return await connection.call(FETCH, self._message(topics), timeout=timeout)
        answer = await connection.finish(connection.start(FETCH, version, [body]), FETCH, timeout)
        assert answer is not None
        return fetched(version, answer.frame, answer.body) or answer.decode()

    def _message(self, topics: dict[str, TopicOffsets]) -> Message:
        """The request for an old broker."""
        size = min(_PARTITION_BYTES, self._bytes)
        return Message(
            max_wait_ms=_WAIT_MS,
            min_bytes=1,
            max_bytes=self._bytes,
            isolation_level=int(self._committed),
            topics=[
                Message(
                    topic=name,
                    topic_id=topic_id,
                    partitions=[
                        Message(
                            partition=index,
                            fetch_offset=offset,
                            current_leader_epoch=epoch,
                            partition_max_bytes=size,
                            replica_directory_id=None,
                        )
                        for index, offset, epoch in partitions
                    ],
                )
                for name, topic_id, partitions in topics.values()
            ],
            forgotten_topics_data=[],
        )

    def _take_in(self, wanted: list[Position], answer: Message) -> None:
        if answer.error_code:
            error = error_for(int(answer.error_code), "fetch")
            if not is_retriable(int(answer.error_code)):
                raise error
            for position in wanted:
                self._lost_leader(position, error)
            return
        known = self._cluster.metadata.topics
        topics = {position.topic for position in wanted}
        names = {known[name].id: name for name in topics if name in known}
        found = {
            (topic.__dict__.get("topic") or names.get(_id(topic)), part.partition_index): part
            for topic in answer.responses
            for part in topic.partitions
        }
        for position in wanted:
            part = found.get((position.topic, position.partition))
            if part is None or part.error_code:
                self._failed(position, 100 if part is None else int(part.error_code))
            else:
                self._advance(position, part)

    def _advance(self, position: Position, part: Message) -> None:
        position.deadline = None
        position.high_watermark = int(part.high_watermark)
        data = part.records
        if not data:
            return
        headers, epochs = _batches(data, position.name)
        if not headers:
            raise Invalid(
                f"{position.name} at offset {position.offset}: the record batch does not fit "
                f"{_PARTITION_BYTES} bytes",
                code=10,
            )
        aborted = tuple(
            (found.producer_id, found.first_offset) for found in part.aborted_transactions or ()
        )
        chunk = Fetched(
            position.topic,
            position.partition,
            data,
            headers,
            position.offset,
            position.end,
            aborted,
            epochs,
        )
        position.offset = max(position.offset, headers[-1].last_offset + 1)
        position.epoch = epochs[-1][1]
        self._state.chunks.append(chunk)
        self._state.size += len(data)
        if position.finished:
            self._active.remove(position)
        self._changed.set()

    def _failed(self, position: Position, code: int) -> None:
        if code == _OUT_OF_RANGE:
            raise Invalid(
                f"{position.name} has no offset {position.offset} any more (or not yet): "
                "start from earliest, latest or an offset between them",
                code=code,
            )
        error = error_for(code, f"read from {position.name}")
        if code != _UNKNOWN_TOPIC and not is_retriable(code) and code not in STALE_METADATA:
            raise error
        if code == _CORRUPT:
            raise error
        self._lost_leader(position, error)

    def _lost_leader(self, position: Position, trouble: MainstemError) -> None:
        self._cluster.forget(position.topic)
        position.trouble = trouble
        position.leader = None
        self._changed.set()


def _id(topic: Message) -> Any:
    return topic.__dict__.get("topic_id")


def _batches(data: Any, name: str) -> tuple[list[BatchHeader], Epochs]:
    """The headers of the whole batches in ``data``, and the epochs of their leaders."""
    try:
        headers = read_batches(data, 0, -1, False, whole=False, dense=False)
    except BatchError as error:
        raise Corrupt(f"{name}: {error}", code=_CORRUPT) from error
    epochs: list[tuple[int, int]] = []
    for header in headers:
        if not epochs or header.leader_epoch != epochs[-1][1]:
            epochs.append((header.base_offset, header.leader_epoch))
    return headers, tuple(epochs)
