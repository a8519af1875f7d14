"""Sends record batches to their leaders: pipelined, grouped by broker, retried in order."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from mainstem.client.cluster import Cluster, raise_for
from mainstem.client.connection import Connection
from mainstem.client.hang_ups import HangUps
from mainstem.client.kafka_errors import STALE_METADATA, error_for, is_retriable
from mainstem.client.lanes import MAX_IN_FLIGHT, Batch, Lane
from mainstem.client.produce_request import PRODUCE, TopicBatches, body_parts
from mainstem.client.protocol import Answer
from mainstem.client.quick_answers import produced
from mainstem.client.retry import Deadline
from mainstem.errors import Closed, MainstemError, Unavailable
from mainstem.wire import Message

INIT_PRODUCER_ID = 22
_OUT_OF_ORDER, _DUPLICATE, _UNKNOWN_PRODUCER, _UNKNOWN_TOPIC = 45, 46, 59, 3
_ROWS_AT = 57
_REQUEST_BYTES = 4 << 20


#: The batches of one request.
Load = list[tuple[Lane, Batch]]


class _Sent(NamedTuple):
    """A request under way."""

    connection: Connection
    waiter: asyncio.Future[Answer] | None
    version: int
    topics: dict[str, TopicBatches]
    timeout: float
    size: int


async def _answer_of(sent: _Sent) -> dict[tuple[Any, int], Message] | None:
    answer = await sent.connection.finish(sent.waiter, PRODUCE, sent.timeout)
    if answer is None:
        return None
    names: dict[Any, str] = {topic_id: name for name, topic_id, _ in sent.topics.values()}
    if quick := produced(sent.version, answer.frame, answer.body):
        found, index, base_offset, throttle_ms = quick
        sent.connection.throttle(throttle_ms)
        part = Message(error_code=0, base_offset=base_offset, error_message=None)
        return {(found if sent.version < 13 else names.get(found), index): part}
    message = answer.decode()
    sent.connection.throttle(getattr(message, "throttle_time_ms", 0))
    return {
        (topic.name if sent.version < 13 else names.get(topic.topic_id), part.index): part
        for topic in message.responses
        for part in topic.partition_responses
    }


class Producer:
    """One per client; appends of all topics share it. Belongs to the client's event loop.

    At most ``buffer_bytes`` of batches (and one more) are held; ``submit`` waits for room. With
    ``acks=-1`` the producer is idempotent: a retry never writes a batch twice and never changes
    the order.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.transactional_id: str | None = None
        self.highest_produce: int | None = None
        self._cluster = cluster
        self._lanes: dict[tuple[str, int, int], Lane] = {}
        self._active: set[Lane] = set()
        self._requests: Counter[int] = Counter()
        self._hang_ups = HangUps(cluster)
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._unsent: Counter[int] = Counter()  # requests that wait for their turn
        self._serials = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._buffer_bytes = cluster.config.buffer_bytes
        self._held = 0
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False

    async def submit(
        self, topic: str, partition: int, acks: int, data: memoryview, deadline: Deadline
    ) -> Batch:
        """Queue a batch. Its ``done`` becomes the base offset, or the error it failed with.

        Raises ``Unavailable`` where there is no room for it in time: it was not sent.
        """
        if self._held >= self._buffer_bytes:
            await self._wait_for_room(f"{topic!r} partition {partition}", deadline)
        if self._closed:
            raise Closed("the client is closed: open a new one")
        lane = self._lanes.get((topic, partition, acks))
        if lane is None:
            idempotent = acks == -1
            lane = self._lanes[topic, partition, acks] = Lane(topic, partition, acks, idempotent)
            lane.transactional = self.transactional_id is not None
        rows = int.from_bytes(data[_ROWS_AT : _ROWS_AT + 4], "big")
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        batch = Batch(data, rows, next(self._serials), deadline, done)
        self._held += len(data)
        done.add_done_callback(lambda _: self._release(batch))
        lane.queue.append(batch)
        self._active.add(lane)
        self._pump()
        return batch

    async def close(self) -> None:
        """Stop; what is still under way raises ``Closed``. Appends wait for theirs themselves."""
        self._closed = True
        self._room.set()
        error = Closed("the client was closed before the records were acknowledged")
        for lane in self._active:
            for batch in (*lane.queue, *lane.in_flight, *lane.failed):
                if not batch.done.done():
                    batch.done.set_exception(error)
                    batch.done.exception()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _wait_for_room(self, where: str, deadline: Deadline) -> None:
        try:
            async with asyncio.timeout(deadline.left):
                while self._held >= self._buffer_bytes and not self._closed:
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError:
            raise Unavailable(
                f"rows for {where} were not sent, there was no room for them within "
                f"{deadline.seconds:g} s: {self._held:,} bytes appended before are not "
                f"acknowledged (buffer_bytes={self._buffer_bytes:,}); see that the brokers answer, "
                "append more slowly, or connect with a longer retry_for or a larger buffer_bytes"
            ) from None

    def _release(self, batch: Batch) -> None:
        self._held -= len(batch.data)
        batch.data = memoryview(b"")  # whoever counts the rows later need not hold the bytes
        if self._held < self._buffer_bytes:
            self._room.set()

    # --- sending -----------------------------------------------------------------------------

    def _pump(self) -> None:
        """Send what can be sent; called whenever something changed."""
        if self._closed:
            return
        by_node: dict[tuple[int, int], list[Lane]] = {}
        for lane in list(self._active):
            if lane.failed and not lane.in_flight and not lane.blocked:
                self._block(lane, self._recover)
            elif lane.sendable:
                if lane.leader is None or (lane.idempotent and lane.identity is None):
                    if not lane.in_flight:
                        self._block(lane, self._prepare)
                else:
                    by_node.setdefault((lane.leader, lane.acks), []).append(lane)
            elif lane.idle:
                self._active.discard(lane)
        for (node, acks), lanes in by_node.items():
            while self._requests[node] < MAX_IN_FLIGHT and (load := _load(lanes)):
                self._requests[node] += 1
                sent = self._at_once(node, acks, load)
                self._unsent[node] += sent is None  # from now on, not from its first turn on
                self._spawn(self._send(node, acks, load, sent))

    async def _send(self, node: int, acks: int, load: Load, sent: _Sent | None) -> None:
        try:
            sent = sent or await self._in_turn(node, acks, load)
            answer = {} if sent is None else await _answer_of(sent)
        except Exception as error:  # a bug here must not leave its append waiting for ever
            size, line = (0, None) if sent is None else (sent.size, sent.connection)
            self._hang_ups.lost(node, size, [batch for _, batch in load], line)
            for lane, batch in load:
                self._lost(lane, batch, error)
        else:
            if sent is not None and answer is not None:
                self._hang_ups.answered(node, sent.size)
            for lane, batch in load:
                self._settle(lane, batch, answer)
        finally:
            self._requests[node] -= 1
            self._pump()

    def _at_once(self, node: int, acks: int, load: Load) -> _Sent | None:
        """Send without a turn of the loop, where the connection is there and nobody waits."""
        if self._unsent[node]:
            return None
        connection = self._cluster.ready(node, lane=self)
        try:
            return None if connection is None else self._start(connection, acks, load)
        except Exception:
            return None  # it comes again, to whoever waits

    async def _in_turn(self, node: int, acks: int, load: Load) -> _Sent | None:
        """Send; ``None`` where nothing is left to be sent.

        Whoever departed first is sent first, also while the connection is being opened: a
        producer's sequence numbers must arrive in order.
        """
        try:
            async with self._turns[node]:
                connection = await self._cluster.connection(node, lane=self)
                hold_back(load)
                return self._start(connection, acks, load) if load else None
        finally:
            self._unsent[node] -= 1

    def _start(self, connection: Connection, acks: int, load: Load) -> _Sent:
        timeout = min(_patience(load), self._cluster.config.request_timeout)
        version = connection.version(PRODUCE)
        topics = self._by_topic(load)
        if version >= 13 and any(topic_id is None for _, topic_id, _ in topics.values()):
            version = 12
        if self.highest_produce is not None:
            version = min(version, self.highest_produce)
        parts = body_parts(
            version, acks, int(timeout * 1000), topics.values(), self.transactional_id
        )
        waiter = connection.start(PRODUCE, version, parts, answered=acks != 0)
        return _Sent(connection, waiter, version, topics, timeout + 1, sum(map(len, parts)))

    def _by_topic(self, load: Load) -> dict[str, TopicBatches]:
        topics: dict[str, TopicBatches] = {}
        for lane, batch in load:
            known = self._cluster.metadata.topics.get(lane.topic)
            topic_id = None if known is None else known.id
            topics.setdefault(lane.topic, (lane.topic, topic_id, []))
            topics[lane.topic][2].append((lane.partition, batch.data))
        return topics

    # --- answers -----------------------------------------------------------------------------

    def _settle(
        self, lane: Lane, batch: Batch, answer: dict[tuple[Any, int], Message] | None
    ) -> None:
        if answer is None:
            lane.succeed(batch, -1)
            return
        part = answer.get((lane.topic, lane.partition))
        if part is None:
            self._lost(lane, batch, Unavailable(f"{lane.name} is missing in the answer: retry"))
            return
        code = int(part.error_code)
        if code in (0, _DUPLICATE):
            lane.succeed(batch, int(part.base_offset))
            return
        error = error_for(code, f"append to {lane.name}", part.error_message)
        if code == _UNKNOWN_TOPIC or code in STALE_METADATA:
            self._cluster.forget(lane.topic)
            lane.leader = None
        if code == _OUT_OF_ORDER and (not lane.is_next(batch) or lane.renumbers(batch)):
            lane.again(batch, error)
        elif code == _UNKNOWN_PRODUCER and lane.is_next(batch):
            lane.identity = None
            lane.again(batch, error)
        elif is_retriable(code):
            lane.again(batch, error)
        else:
            lane.fail(batch, error)

    def _lost(self, lane: Lane, batch: Batch, error: Exception) -> None:
        self._cluster.forget(lane.topic)
        lane.leader = None
        if isinstance(error, Unavailable):
            lane.again(batch, error)
        else:
            lane.fail(batch, error)

    # --- what a lane waits for ---------------------------------------------------------------

    def _block(self, lane: Lane, step: Callable[[Lane], Awaitable[None]]) -> None:
        lane.blocked = True

        async def run() -> None:
            try:
                await step(lane)
            except Exception as error:  # as above
                for batch in list(lane.queue):
                    lane.fail(batch, error)
                lane.queue.clear()
            finally:
                lane.blocked = False
                self._pump()

        self._spawn(run())

    async def _prepare(self, lane: Lane) -> None:
        """Find the leader, and a producer id where one is needed."""

        async def attempt(deadline: Deadline) -> None:
            lane.leader = (await self._cluster.leader(lane.topic, lane.partition, deadline)).leader
            if lane.idempotent and lane.identity is None:
                lane.adopt(await self._producer_id(deadline))

        await self._cluster.retrying(attempt, max(batch.deadline.left for batch in lane.queue))

    async def _producer_id(self, deadline: Deadline) -> tuple[int, int]:
        message = Message(
            transactional_id=None,
            transaction_timeout_ms=0,
            producer_id=-1,
            producer_epoch=-1,
            enable2_pc=False,
            keep_prepared_txn=False,
        )
        answer = await self._cluster.call(INIT_PRODUCER_ID, message, deadline)
        raise_for(int(answer.error_code), "get a producer id")
        return int(answer.producer_id), int(answer.producer_epoch)

    async def _recover(self, lane: Lane) -> None:
        """All are home: give up what is late or in vain, wait a moment, send the rest again."""
        for batch in list(lane.failed):
            if error := await self._hang_ups.verdict(lane, batch):
                lane.failed.remove(batch)
                lane.fail(batch, error)
        if not lane.failed:
            return
        deadline = min((batch.deadline for batch in lane.failed), key=lambda found: found.left)
        patient = await deadline.pause()
        for batch in list(lane.failed):
            if batch.done.done() or (not patient and batch.deadline is deadline):
                lane.failed.remove(batch)
                lane.fail(batch, _given_up(lane, batch))
        lane.requeue()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _load(lanes: list[Lane]) -> Load:
    """The next batch of each lane, up to a request's size; Produce takes one per partition."""
    load: Load = []
    size = 0
    for lane in lanes:
        if lane.sendable and (not load or size + len(lane.queue[0].data) <= _REQUEST_BYTES):
            ready = lane.leader is not None and (lane.identity is not None or not lane.idempotent)
            if ready:
                batch = lane.depart()
                size += len(batch.data)
                load.append((lane, batch))
    return load


def hold_back(load: Load) -> None:
    """Take out what must wait because a batch before it failed while this was in the queue.

    Sent now, it could be written before the failed one is sent again; and a broker knows only
    the last five batches of a producer, so that one might not be seen as a duplicate any more.
    """
    for lane, batch in list(load):
        if lane.failed and lane.cause is not None:
            load.remove((lane, batch))
            lane.again(batch, lane.cause)


def _patience(load: Load) -> float:
    """Seconds that the most patient batch of a request has left."""
    return max(0.001, *(batch.deadline.left for _, batch in load))


def _given_up(lane: Lane, batch: Batch) -> MainstemError:
    cause = lane.cause
    return Unavailable(
        f"{batch.rows} rows for {lane.name} were not acknowledged within "
        f"{batch.deadline.seconds:g} s, and may be written or not: {cause}",
        code=None if cause is None else cause.code,
    )
