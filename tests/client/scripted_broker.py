"""A broker that speaks real Kafka bytes and answers as a test tells it to: errors on demand."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from mainstem.kernels import read_batches
from mainstem.testing.accepting import Accepting
from mainstem.wire import (
    Message,
    body_start,
    decode_request,
    encode_response,
    read_prefix,
    response_frame,
)

PRODUCE, FETCH, METADATA, API_VERSIONS, INIT_PRODUCER_ID = 0, 1, 3, 18, 22
VERSIONS = {PRODUCE: (3, 9), FETCH: (4, 12), METADATA: (0, 12), 18: (0, 3), 22: (0, 4)}
TOPIC_ID = uuid.UUID(int=7)

#: What happens to one Produce: an error code, "drop" (write, then cut), "cut" (cut first).
Step = int | str


class ScriptedBroker:
    """One topic ``"t"`` of ``partitions``; ``log`` holds what was written, by partition.

    ``script`` is taken step by step, one per Produce; when it is empty, all succeed. Sequence
    numbers are checked as Kafka does: duplicates are answered, gaps refused.
    """

    def __init__(self, partitions: int = 1) -> None:
        self.script: deque[Step] = deque()
        self.versions = dict(VERSIONS)
        self.requests: list[tuple[int, int]] = []
        self.log: dict[int, list[tuple[int, int, int]]] = {p: [] for p in range(partitions)}
        self.leader = 1
        self.hold: asyncio.Event | None = None
        self.producer_ids = 0
        self.refused = 0  # sequence numbers out of order
        self.throttle_ms = 0  # what answers to Produce and Metadata ask for
        self.arrivals: list[tuple[int, float]] = []  # API key and time of each request
        self.address = ("", 0)
        self.peers: list[ScriptedBroker] = []  # other nodes of the same cluster, 2 and so on
        self.behind = False  # it has not heard of the topic yet
        self._next: dict[tuple[int, int], int] = {}
        self._seen: dict[tuple[int, int, int], int] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = int.from_bytes(await reader.readexactly(4), "big")
                await self._answer(await reader.readexactly(size), writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _answer(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        header = read_prefix(data, 0, len(data))
        key, version = header.api_key, header.api_version
        self.requests.append((key, version))
        self.arrivals.append((key, asyncio.get_running_loop().time()))
        low, high = self.versions[key]
        if not low <= version <= high:  # KIP-511: only ApiVersions is answered, in version 0
            body = encode_response(key, 0, Message(error_code=35, api_keys=self._offers()))
            writer.write(response_frame(key, 0, header.correlation_id, body))
            return
        request = decode_request(key, version, data, body_start(header, data, len(data)))
        if self.hold is not None:
            await self.hold.wait()
        answer = self._handlers()[key](request)
        if answer is None:
            writer.transport.abort()
            return
        if key == PRODUCE and request.acks == 0:
            return
        body = encode_response(key, version, answer)
        writer.write(response_frame(key, version, header.correlation_id, body))

    def _handlers(self) -> dict[int, Callable[[Message], Message | None]]:
        return {
            API_VERSIONS: lambda _: Message(error_code=0, api_keys=self._offers()),
            METADATA: self._metadata,
            PRODUCE: self._produce,
            INIT_PRODUCER_ID: self._producer_id,
        }

    def _offers(self) -> list[Message]:
        return [
            Message(api_key=key, min_version=low, max_version=high)
            for key, (low, high) in self.versions.items()
        ]

    def _metadata(self, request: Message) -> Message:
        nodes = [
            Message(node_id=number, host=broker.address[0], port=broker.address[1], rack=None)
            for number, broker in enumerate([self, *self.peers], 1)
        ]
        parts = [
            Message(error_code=0, partition_index=p, leader_id=self.leader)
            for p in sorted(self.log)
        ]
        known = [] if self.behind else ["t"]
        wanted = known if request.topics is None else [topic.name for topic in request.topics]
        topics = [
            Message(error_code=0, name=name, topic_id=TOPIC_ID, partitions=parts)
            if name == "t" and not self.behind
            else Message(error_code=3, name=name, topic_id=None, partitions=[])
            for name in wanted
        ]
        return Message(
            brokers=nodes,
            cluster_id="scripted",
            controller_id=1,
            topics=topics,
            error_code=0,
            throttle_time_ms=self.throttle_ms,
        )

    def _producer_id(self, _request: Message) -> Message:
        self.producer_ids += 1
        return Message(error_code=0, producer_id=self.producer_ids, producer_epoch=0)

    def _produce(self, request: Message) -> Message | None:
        step = self.script.popleft() if self.script else 0
        if step == "cut":
            return None
        topics = []
        for topic in request.topic_data:
            parts = [self._write(part, step) for part in topic.partition_data]
            topics.append(Message(name="t", topic_id=None, partition_responses=parts))
        if step == "drop":
            return None
        return Message(responses=topics, throttle_time_ms=self.throttle_ms)

    def _write(self, part: Message, step: Step) -> Message:
        code = step if isinstance(step, int) else 0
        (header,) = read_batches(part.records)
        offset = -1
        if code == 0:
            code, offset = self._append(part.index, header)
        return Message(
            index=part.index,
            error_code=code,
            base_offset=offset,
            log_append_time_ms=-1,
            record_errors=[],
        )

    def _append(self, partition: int, header: Any) -> tuple[int, int]:
        who = (partition, header.producer_id)
        if header.producer_id >= 0:
            seen = self._seen.get((*who, header.base_sequence))
            if seen is not None:
                return 0, seen
            if header.base_sequence != self._next.get(who, 0):
                self.refused += 1
                return 45, -1
        log = self.log[partition]
        offset = sum(count for _, _, count in log)
        log.append((header.producer_id, header.base_sequence, header.record_count))
        self._seen[*who, header.base_sequence] = offset
        self._next[who] = header.base_sequence + header.record_count
        return 0, offset

    def rows(self, partition: int = 0) -> int:
        """How many records a partition holds."""
        return sum(count for _, _, count in self.log[partition])

    def cut_all(self) -> None:
        """Drop every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def end(self) -> None:
        """Let go of everything."""
        if self.hold is not None:
            self.hold.set()
        self.cut_all()
        await asyncio.gather(*self._tasks)


@asynccontextmanager
async def scripted_broker(partitions: int = 1) -> AsyncIterator[ScriptedBroker]:
    """Serve on a free loopback port until the block ends."""
    broker = ScriptedBroker(partitions)
    accepting = Accepting(broker.handle)
    broker.address = accepting.address
    try:
        yield broker
    finally:
        accepting.stop()  # a client that was cut comes back at once
        try:
            await broker.end()
        finally:
            await accepting.close()
