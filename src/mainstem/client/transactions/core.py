"""Transactions of one transactional id, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from mainstem.client.append import Appender, AppendOptions
from mainstem.client.arguments import MOST_SECONDS, check_seconds, check_text
from mainstem.client.cluster import Cluster
from mainstem.client.consumer import GroupConsumer, TopicPartition
from mainstem.client.retry import Gate
from mainstem.client.sent import Appended
from mainstem.client.transactions.coordinator import TransactionCoordinator, fenced
from mainstem.client.transactions.producer import TransactionalProducer
from mainstem.errors import Conflict, Invalid, MainstemError, Unavailable

_FENCED = frozenset({47, 49, 90})
_INVALID_STATE = 48
_State = Literal["idle", "open", "failed", "unknown", "fenced"]


class TransactionalClient:
    """Holds a transactional id from ``start`` to ``close``. Belongs to the client's event loop.

    One transaction is open at a time. After a failed append only ``abort`` is left; when another
    producer takes the id, everything raises ``Conflict``.
    """

    def __init__(self, cluster: Cluster, transactional_id: str, *, timeout: float = 60.0) -> None:
        if not transactional_id or not isinstance(transactional_id, str):
            raise Invalid(f"transactional id {transactional_id!r} is not valid: give a name")
        check_text("transactional_id", transactional_id)
        check_seconds("timeout", timeout, most=MOST_SECONDS)
        self.id = transactional_id
        self._cluster = cluster
        self._gate = Gate(f"the transactional client {transactional_id!r}")
        self._coordinator = TransactionCoordinator(cluster, transactional_id, timeout)
        self._producer = TransactionalProducer(cluster, transactional_id, self._add)
        self._appenders: dict[str, Appender] = {}
        self._state: _State = "idle"
        self._used = False
        self._partitions: dict[TopicPartition, asyncio.Lock | None] = {}
        self._groups: set[str] = set()
        self._consumers: dict[GroupConsumer, dict[TopicPartition, int]] = {}
        self._appends: set[asyncio.Future[Any]] = set()
        self._ending: bool | None = None

    async def start(self) -> None:
        """Take the id. Raises ``Invalid`` for a broker without transactions."""
        await self._coordinator.initialise()
        self._producer.adopt(self._coordinator.identity, version2=self._coordinator.version2)

    @property
    def version(self) -> int:
        """The cluster's ``transaction.version``: 1, or 2 (KIP-890)."""
        return 2 if self._coordinator.version2 else 1

    @property
    def state(self) -> _State:
        """``"idle"``, ``"open"``, ``"failed"`` (abort it), ``"unknown"`` (end it again: no answer
        came) or ``"fenced"``."""
        return self._state

    def begin(self, consumer: GroupConsumer | None = None) -> None:
        """Open a transaction. Its ``consumer``'s offsets are committed and rewound with it."""
        self._gate.check()
        self._not_fenced()
        if self._state != "idle":
            raise Conflict(f"a transaction of {self.id!r} is {self._state}: end it first", code=48)
        if consumer is not None:
            _require_manual(consumer)
            self._consumers[consumer] = {}
        self._state = "open"

    async def append(self, topic: str, data: Any, options: AppendOptions) -> Appended:
        """Write rows as part of the transaction. After an error it can only be aborted."""
        self._open()
        if options.acks not in ("all", -1):
            raise Invalid('a transaction needs acks="all"', code=21)
        appender = self._appenders.get(topic)
        if appender is None:
            appender = Appender(self._cluster, self._producer, topic)
            self._appenders[topic] = appender
        work = asyncio.ensure_future(appender.append(data, options))
        self._appends.add(work)
        try:
            return await work
        except BaseException as error:
            await self._failed(error)
            if isinstance(error, MainstemError) and error.code in _FENCED:
                raise fenced(self.id, error.code) from error
            raise
        finally:
            self._appends.discard(work)

    async def send_offsets(
        self, consumer: GroupConsumer, offsets: Mapping[TopicPartition, int] | None = None
    ) -> None:
        """Commit what a consumer handed out, or ``offsets``, with the transaction.

        Raises ``Conflict`` when the group went on without the consumer: abort then.
        """
        self._open()
        _require_manual(consumer)
        await consumer.take_back()
        wanted = dict(consumer.positions.uncommitted() if offsets is None else offsets)
        self._consumers.setdefault(consumer, {}).update(wanted)
        if not wanted:
            return
        group = consumer.settings.group
        try:
            identity = consumer.membership.identity()
            self._used = True
            if not self._coordinator.version2 and group not in self._groups:
                await self._coordinator.add_group(group)
                self._groups.add(group)
            epochs = {where: consumer.positions.epoch(where, at) for where, at in wanted.items()}
            await self._coordinator.commit_offsets(group, identity, wanted, epochs)
        except BaseException as error:
            await self._failed(error)
            raise

    async def commit(self) -> None:
        """Make it count, all of it. Waits for appends under way.

        Raises ``Conflict`` when it can only be aborted, ``Unavailable`` when no answer came: it
        may count or not, and ``commit`` may be called again.
        """
        if self._state == "unknown" and self._ending is not True:
            raise Conflict(f"the transaction of {self.id!r} is being aborted: abort again", code=48)
        if self._state != "unknown":
            self._open()
            for consumer, sent in list(self._consumers.items()):
                if not sent:
                    await self.send_offsets(consumer)
            if self._appends:
                await asyncio.gather(*self._appends, return_exceptions=True)
            self._open()
        await self._end(commit=True)
        for consumer, sent in self._consumers.items():
            consumer.positions.committed(sent)
        self._reset()

    async def abort(self) -> None:
        """Make it never have been; its consumers go back to where it began."""
        self._gate.check()
        self._not_fenced()
        if self._state == "idle":
            raise Conflict(f"no transaction of {self.id!r} is open: begin one", code=48)
        if self._state == "unknown" and self._ending is not False:
            raise Conflict(f"the transaction of {self.id!r} is being committed", code=48)
        if self._state != "unknown":
            self._state = "failed"
        for append in self._appends:
            append.cancel()
        await asyncio.gather(*self._appends, return_exceptions=True)
        try:
            await self._end(commit=False)
        finally:
            await self._rewind()
        self._reset()

    async def close(self) -> None:
        """Abort what is open. May be called twice."""
        if not self._gate.open:
            return
        try:
            if self._state in ("open", "failed"):
                with suppress(MainstemError):
                    await self.abort()
        finally:
            self._gate.open = False
            try:
                await self._producer.close()
            finally:
                await self._cluster.release(self._producer)

    # --- inside ------------------------------------------------------------------------------

    async def _end(self, *, commit: bool) -> None:
        if not self._used:
            return
        coordinator = self._coordinator
        try:
            await coordinator.end(commit=commit)
            if not coordinator.version2 and not commit:
                await coordinator.initialise()  # a new epoch: late batches are refused (KIP-360)
        except Unavailable:
            self._state, self._ending = "unknown", commit
            raise
        except BaseException as error:
            nothing_there = isinstance(error, Invalid) and error.code == _INVALID_STATE
            if nothing_there and commit:  # aborted behind our back: the epoch is over, too
                error = fenced(self.id, _INVALID_STATE)
                self._state = "fenced"
            if commit or not nothing_there:  # the first request may have failed on its way
                await self._failed(error)
                raise error from None
        if coordinator.identity != self._producer.identity:
            self._producer.adopt(coordinator.identity, version2=coordinator.version2)

    def _reset(self) -> None:
        self._state, self._used, self._ending = "idle", False, None
        self._partitions.clear()
        self._groups.clear()
        self._consumers.clear()

    async def _add(self, topic: str, partition: int) -> None:
        self._used = True
        if self._coordinator.version2:
            return
        where = topic, partition
        if where not in self._partitions:
            self._partitions[where] = asyncio.Lock()
        lock = self._partitions[where]
        if lock is not None:
            async with lock:
                if self._partitions.get(where) is not None:
                    await self._coordinator.add_partition(topic, partition)
                    self._partitions[where] = None

    async def _failed(self, error: BaseException) -> None:
        code = error.code if isinstance(error, MainstemError) else None
        if code in _FENCED or self._state == "fenced":
            self._state = "fenced"
            await self._rewind()  # nobody can abort it any more
        else:
            self._state = "failed"

    async def _rewind(self) -> None:
        consumers, self._consumers = list(self._consumers), {}
        for consumer in consumers:
            with suppress(MainstemError):
                await consumer.rewind()

    def _not_fenced(self) -> None:
        if self._state == "fenced":
            raise fenced(self.id, 90)

    def _open(self) -> None:
        self._gate.check()
        self._not_fenced()
        if self._state == "idle":
            raise Conflict(f"no transaction of {self.id!r} is open: begin one", code=48)
        if self._state != "open":
            raise Conflict(
                f"the transaction of {self.id!r} failed before: it can only be aborted", code=120
            )


def _require_manual(consumer: GroupConsumer) -> None:
    if consumer.settings.auto_commit is not None:
        raise Invalid(
            f"the consumer of group {consumer.settings.group!r} commits by itself, which a "
            "transaction cannot undo: open it with auto_commit=None"
        )
