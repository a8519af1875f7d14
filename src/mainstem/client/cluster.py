"""A Kafka cluster as one thing to talk to: finds brokers and leaders, reconnects, retries."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from mainstem.client import metadata
from mainstem.client.arguments import MOST_SECONDS, check_count, check_seconds, check_text
from mainstem.client.connection import Connection
from mainstem.client.kafka_errors import error_for, is_retriable
from mainstem.client.metadata import ClusterMetadata, PartitionMetadata, TopicMetadata
from mainstem.client.retry import Deadline, Gate, retry
from mainstem.client.security import Sasl, Tls, check_sasl, tls_context
from mainstem.errors import Invalid, MainstemError, Unavailable
from mainstem.wire import Message

T = TypeVar("T")
FIND_COORDINATOR = 10
CALLS = "calls"  # the lane of everything that is answered at once
_UNKNOWN_TOPIC = 3
_LEADER_NOT_AVAILABLE = 5


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """How patient a client is; all times in seconds.

    ``retry_for`` bounds a whole operation with its retries, ``request_timeout`` one request,
    ``metadata_max_age`` how long a leader is believed without asking again. Small appends to one
    ``Topic`` wait ``linger`` for others, and share a record batch with those that come. While
    ``buffer_bytes`` of record batches are not acknowledged, appends wait for room; each then holds
    a few slices of 8 MiB more, which are being encoded.
    ``security`` is a login, ``tls`` how to encrypt: ``True`` (the system's authorities),
    ``Tls(…)`` or a context.
    """

    client_id: str = "mainstem"
    connect_timeout: float = 10.0
    request_timeout: float = 30.0
    retry_for: float = 60.0
    metadata_max_age: float = 300.0
    linger: float = 0.0
    buffer_bytes: int = 32 << 20
    security: Sasl | None = None
    tls: Tls | ssl.SSLContext | bool | None = None

    def __post_init__(self) -> None:
        check_text("client_id", self.client_id)
        for name in ("connect_timeout", "request_timeout"):
            check_seconds(name, getattr(self, name), most=MOST_SECONDS)
        for name in ("retry_for", "metadata_max_age", "linger"):
            check_seconds(name, getattr(self, name), zero=True)
        check_count("buffer_bytes", self.buffer_bytes)


def parse_addresses(text: str) -> list[tuple[str, int]]:
    """``"host:port,host:port"`` as pairs; a missing port is 9092. Raises ``Invalid``."""
    if not isinstance(text, str):
        raise Invalid(f"{text!r} is not an address: write HOST:PORT")
    found: list[tuple[str, int]] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        host, colon, port = part.rpartition(":")
        if not colon or part.endswith("]"):
            host, port = part, "9092"
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise Invalid(f"{part!r} is not an address: write HOST:PORT")
        found.append((host.strip("[]"), int(port)))
    if not found:
        raise Invalid(f"no address in {text!r}: write HOST:PORT")
    return found


class Cluster:
    """Connections to the brokers of one cluster, and what is known about them.

    Belongs to the event loop that started it. Every method raises ``Closed`` after ``close``.
    """

    def __init__(self, addresses: list[tuple[str, int]], config: ClientConfig) -> None:
        self.addresses = addresses
        self.config = config
        self.metadata = ClusterMetadata()
        self._gate = Gate(f"the client of {self.name}")
        self._open: dict[tuple[tuple[str, int], object], asyncio.Task[Connection]] = {}
        self._coordinators: dict[tuple[int, str], int] = {}
        self._refreshed: dict[str, float] = {}
        self._random = random.Random()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sasl = check_sasl(config.security)
        self._tls = tls_context(config.tls)

    @property
    def name(self) -> str:
        """The addresses given, for messages."""
        return ",".join(f"{host}:{port}" for host, port in self.addresses)

    def check(self) -> None:
        """Raise ``Closed`` if the client was closed, ``Invalid`` on another event loop."""
        self._gate.check()
        running = asyncio.get_running_loop()
        if self._loop is not running and self._loop is not None:
            raise Invalid(
                f"the client of {self.name} belongs to another event loop: await it there, or open "
                "one in this loop (mainstem.connect works from any thread)"
            )

    def deadline(self, seconds: float | None = None) -> Deadline:
        """The time an operation may take, by default ``config.retry_for``."""
        return Deadline(self.config.retry_for if seconds is None else seconds)

    async def start(self) -> None:
        """Reach one broker and learn the others. Raises ``Unavailable`` at the first failure."""
        self._loop = asyncio.get_running_loop()
        await self.refresh([], self.deadline(self.config.connect_timeout))

    async def close(self) -> None:
        """Close every connection; calls under way raise ``Unavailable``. May be called twice."""
        self._gate.open = False
        tasks, self._open = list(self._open.values()), {}
        await _close_all(tasks)

    async def release(self, lane: object) -> None:
        """Close the connections of a lane that is not used any more."""
        keys = [key for key in self._open if key[1] is lane]
        await _close_all([self._open.pop(key) for key in keys])

    # --- connections -------------------------------------------------------------------------

    async def connection(self, node: int | None = None, *, lane: object = CALLS) -> Connection:
        """A connection to this node, or to any broker. Raises ``Unavailable``.

        A broker answers one connection's requests in order, so what may wait there (a long
        poll) goes in a ``lane`` of its own: each lane has its own connections.
        """
        self.check()
        if node is not None:
            address = self.metadata.nodes.get(node)
            if address is None:
                raise Unavailable(f"broker {node} is not in the cluster at the moment: retry")
            return await self._connect(address, lane)
        return await self._any()

    def ready(self, node: int, *, lane: object) -> Connection | None:
        """What ``connection`` would return at once, if it is open and well."""
        address = self.metadata.nodes.get(node)
        task = None if address is None else self._open.get((address, lane))
        if task is None or not task.done() or task.cancelled() or task.exception() is not None:
            return None
        return task.result() if task.result().usable else None

    async def _any(self) -> Connection:
        known = list(self.metadata.nodes.values())
        self._random.shuffle(known)
        candidates = [*known, *(address for address in self.addresses if address not in known)]
        candidates.sort(key=lambda address: (address, CALLS) not in self._open)
        failure: MainstemError | None = None
        for address in candidates:
            try:
                return await self._connect(address, CALLS)
            except Unavailable as error:
                failure = failure or error
        assert failure is not None
        raise failure

    async def _connect(self, address: tuple[str, int], lane: object) -> Connection:
        task = self._open.get((address, lane))
        if task is not None and task.done():
            failed = task.cancelled() or task.exception() is not None
            if failed or not task.result().usable:
                task = None
        if task is None:
            opening = Connection.open(
                address,
                client_id=self.config.client_id,
                timeout=self.config.connect_timeout,
                tls=self._tls,
                sasl=self._sasl,
            )
            task = asyncio.get_running_loop().create_task(opening)
            # Whoever asked may be cancelled, and then nobody looks at how it ended.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._open[address, lane] = task
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self.check()  # cancelled by close(), not by the caller
            raise

    # --- calls -------------------------------------------------------------------------------

    async def call(
        self, api_key: int, message: Message, deadline: Deadline, *, node: int | None = None
    ) -> Message:
        """One request to one broker, no retries. ``node`` is an id, or ``None`` for any."""
        connection = await self.connection(node)
        timeout = deadline.cap(self.config.request_timeout)
        return await connection.call(api_key, message, timeout=timeout)

    async def ask_controller(self, api_key: int, message: Message, deadline: Deadline) -> Message:
        """One request to the controller, or to any broker while none is known."""
        known = self.metadata
        node = known.controller if known.controller in known.nodes else None
        try:
            return await self.call(api_key, message, deadline, node=node)
        except Unavailable:
            known.controller = -1  # it may be gone for good: brokers pass it on to the next
            raise

    async def retrying(
        self, attempt: Callable[[Deadline], Awaitable[T]], seconds: float | None = None
    ) -> T:
        """``attempt`` with this client's patience; see ``retry``."""
        self.check()
        return await retry(attempt, self.deadline(seconds))

    # --- metadata ----------------------------------------------------------------------------

    async def refresh(
        self, topics: list[str] | None, deadline: Deadline, node: int | None = None
    ) -> dict[str, MainstemError]:
        """Ask for these topics, all with ``None``; errors by topic, those worth a retry raised."""
        answer = await self.call(metadata.METADATA, metadata.request(topics), deadline, node=node)
        errors = self.metadata.merge(answer, complete=topics is None)
        now = asyncio.get_running_loop().time()
        self._refreshed.update(
            dict.fromkeys(self.metadata.topics if topics is None else topics, now)
        )
        for error in errors.values():
            if isinstance(error, Unavailable):
                raise error
        return errors

    async def topic(self, name: str, deadline: Deadline, *, fresh: bool = False) -> TopicMetadata:
        """What is known about a topic. Raises ``Invalid`` with the nearest name if unknown."""
        self.check()
        check_text("topic", name, code=17)
        found = self.metadata.topics.get(name)
        age = asyncio.get_running_loop().time() - self._refreshed.get(name, 0.0)
        if found is not None and not fresh and age < self.config.metadata_max_age:
            return found

        async def ask(deadline: Deadline) -> dict[str, MainstemError]:
            return await self.refresh([name], deadline)

        error = (await retry(ask, deadline)).get(name)
        if error is not None and error.code == _UNKNOWN_TOPIC:
            others = found is not None and len(self.metadata.nodes) > 1
            if others and await self.any_knows(name, deadline):
                return self.metadata.topics[name]
            await self.refresh(None, deadline)
            raise metadata.unknown_topic(name, list(self.metadata.topics))
        if error is not None:
            raise error
        return self.metadata.topics[name]

    async def any_knows(self, topic: str, deadline: Deadline) -> bool:
        """Whether some node lists a topic: each learns of what was created or deleted by itself."""
        for node in list(self.metadata.nodes):
            with suppress(Unavailable):
                if not await self.refresh([topic], deadline, node):
                    return True
        return False

    def forget(self, topic: str) -> None:
        """Ask again before this topic's leaders are used next."""
        self._refreshed.pop(topic, None)

    async def leader(self, topic: str, index: int, deadline: Deadline) -> PartitionMetadata:
        """The partition's leader. Raises ``Unavailable`` for none, ``Invalid`` for no partition."""
        partitions = (await self.topic(topic, deadline)).partitions
        found = next((part for part in partitions if part.index == index), None)
        if found is None:
            raise Invalid(
                f"topic {topic!r} has no partition {index}: it has {len(partitions)}, "
                f"from 0 to {len(partitions) - 1}",
                code=_UNKNOWN_TOPIC,
            )
        if found.leader < 0 or found.leader not in self.metadata.nodes:
            self.forget(topic)
            raise error_for(_LEADER_NOT_AVAILABLE, f"topic {topic!r} partition {index}")
        return found

    async def coordinator(self, group: str, deadline: Deadline, kind: int = 0) -> int:
        """The node that coordinates a group, or with kind 1 a transactional id.

        Raises ``Unavailable`` while there is none.
        """
        check_text("group", group, code=24)
        known = self._coordinators.get((kind, group))
        if known is not None and known in self.metadata.nodes:
            return known
        message = Message(key_type=kind, coordinator_keys=[group])
        (found,) = (await self.call(FIND_COORDINATOR, message, deadline)).coordinators
        if found.error_code:
            what = "transactional id" if kind else "group"
            raise error_for(found.error_code, f"coordinator of {what} {group!r}")
        self.metadata.nodes.setdefault(found.node_id, (found.host, found.port))
        self._coordinators[kind, group] = found.node_id
        return int(found.node_id)

    def forget_coordinator(self, group: str, kind: int = 0) -> None:
        """Look the group's coordinator up again before it is used next."""
        self._coordinators.pop((kind, group), None)


async def _close_all(tasks: list[asyncio.Task[Connection]]) -> None:
    connections = []
    for task in tasks:
        task.cancel()
        if task.done() and not task.cancelled() and task.exception() is None:
            connections.append(task.result())
    # All of them before the first wait: nobody knows them any more, and it may be cancelled.
    for connection in connections:
        connection.hang_up()
    for connection in connections:
        await connection.close()
    await asyncio.gather(*tasks, return_exceptions=True)


def raise_for(code: int, subject: str, reason: str | None = None) -> None:
    """Raise for an error code other than 0; what Kafka calls retriable is ``Unavailable``."""
    if code == 0:
        return
    error = error_for(code, subject, reason)
    if is_retriable(code) and not isinstance(error, Unavailable) and code != _UNKNOWN_TOPIC:
        raise Unavailable(str(error), code=code)
    raise error
