"""Group consumers as users hold them, for asyncio and for plain Python."""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

from mainstem.client import Change, Cluster, ConsumerSettings, GroupConsumer, Point, TopicPartition
from mainstem.errors import Closed, Invalid
from mainstem.face.loop import later, run

if TYPE_CHECKING:
    from mainstem.face.blocking import Stem

#: Called with the partitions, as (topic, partition) pairs, sorted.
OnChange: TypeAlias = "Callable[[list[TopicPartition]], object]"
#: The same for asyncio; may be a coroutine function.
AsyncOnChange: TypeAlias = "Callable[[list[TopicPartition]], Awaitable[object] | object]"
Callbacks = Mapping[str, "Callable[[list[TopicPartition]], Any] | None"]


def check_callbacks(callbacks: Callbacks) -> None:
    """Raise ``Invalid`` for one that cannot be called."""
    for kind, callback in callbacks.items():
        if callback is not None and not callable(callback):
            raise Invalid(f"on_{kind}={callback!r} is not valid: give a function")


def _not_within(callback: bool) -> None:
    if callback:
        raise Invalid("poll calls this callback, and cannot be called in it: return first")


class AsyncConsumer(AsyncIterator[Any]):
    """A member of a consumer group, see ``AsyncStem.consumer``. For one task at a time."""

    def __init__(self, cluster: Cluster, settings: ConsumerSettings, callbacks: Callbacks) -> None:
        self.core = GroupConsumer(cluster, settings)
        self._callbacks = callbacks
        self._calling = False

    def __repr__(self) -> str:
        return f"AsyncConsumer({self.core.settings.group!r})"

    async def start(self) -> None:
        """Begin to join the group; done by ``async with`` and by the first ``poll``."""
        await self.core.start()

    async def poll(self, timeout: float | None = None) -> Any:
        """The next batch, or ``None`` after ``timeout`` seconds. See ``Consumer.poll``."""
        _not_within(self._calling)
        await self.start()
        while isinstance(found := await self.core.step(timeout), Change):
            callback = self._callbacks.get(found.kind)
            self._calling = True
            try:
                if callback is not None:
                    result = callback(list(found.partitions))
                    if inspect.isawaitable(result):
                        await result
            finally:
                self._calling = False
                await self.core.acknowledge(found)
        return found

    async def __anext__(self) -> Any:
        return await self.poll()

    async def commit(
        self, offsets: Mapping[TopicPartition, int] | None = None, *, wait: bool = True
    ) -> None:
        """Commit exactly what was handed out. See ``Consumer.commit``."""
        await self.core.commit(offsets, wait=wait)

    @property
    def assignment(self) -> dict[TopicPartition, int]:
        """The assigned partitions, and the next offset each will hand out."""
        return self.core.positions.assigned()

    @property
    def member_id(self) -> str:
        """As the coordinator knows this member; empty before it does."""
        return self.core.member_id

    @property
    def paused(self) -> frozenset[TopicPartition]:
        """Partitions that hand out nothing at the moment."""
        return self.core.positions.paused()

    async def committed(self) -> dict[TopicPartition, int]:
        """The group's commits in the assigned partitions."""
        return await self.core.committed()

    async def lag(self) -> dict[TopicPartition, int]:
        """Offsets between what was handed out and the end, for each assigned partition."""
        return await self.core.positions.lag()

    async def seek(self, topic: str, partition: int, to: Point) -> None:
        """Go on elsewhere in an assigned partition."""
        await self.core.seek(topic, partition, to)

    async def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Hand out nothing of these until ``resume``."""
        await self.core.pause(partitions)

    async def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Undo ``pause``."""
        await self.core.resume(partitions)

    async def close(self, *, processed: bool = True) -> None:
        """Commit where that is automatic, and leave the group. See ``Consumer.close``."""
        await self.core.close(processed=processed)

    async def __aenter__(self) -> AsyncConsumer:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close(processed=kind is None)


class Consumer(Iterator[Any]):
    """A member of a consumer group, see ``Stem.consumer``: batches without end.

    For one thread at a time; heartbeats go on meanwhile by themselves. At most
    ``max_poll_interval`` seconds may pass between two batches.

    A pattern of topics is matched by the broker (KIP-848, in RE2's syntax), otherwise here, every
    ``metadata_max_age``. ``isolation="read_committed"`` leaves out open and aborted transactions.

    ``protocol`` is ``"classic"``, ``"consumer"`` (KIP-848) or what the broker offers;
    ``assignor`` one or more of ``"range"``, ``"roundrobin"``, ``"sticky"``,
    ``"cooperative-sticky"``, best first. ``instance_id`` makes a static member: it may restart
    within ``session_timeout`` without a rebalance.

    Callbacks get (topic, partition) pairs: ``on_assigned`` after partitions come, ``on_revoked``
    before they are given up (commit there), ``on_lost`` when they are lost.
    """

    def __init__(self, stem: Stem, consumer: AsyncConsumer, callbacks: Callbacks) -> None:
        self._stem = stem
        self._consumer: AsyncConsumer | None = consumer
        self._callbacks = callbacks
        self._calling = False
        self._pid = os.getpid()
        self._group = consumer.core.settings.group

    def __repr__(self) -> str:
        return f"Consumer({self._group!r})"

    @property
    def inner(self) -> AsyncConsumer:
        """The asyncio consumer underneath. Raises ``Closed``."""
        return self._open()

    def _open(self) -> AsyncConsumer:
        self._stem.check()
        if self._consumer is None:
            raise Closed(f"the consumer of group {self._group!r} is closed: open a new one")
        return self._consumer

    def poll(self, timeout: float | None = None) -> Any:
        """The next batch as ``pyarrow.RecordBatch``, or ``None`` after ``timeout`` seconds.

        Asking for the next batch says that those before are processed: automatic commits cover
        them from now on. Partitions come and go only in here, and the callbacks are called in
        here, on this thread. Raises ``Conflict`` when the group went on without this consumer:
        it took longer than ``max_poll_interval`` between two calls (the next call joins again),
        or another holder of its ``instance_id`` took over.
        """
        core = self._open().core
        _not_within(self._calling)
        while isinstance(found := run(core.step_unseen, timeout), Change):
            callback = self._callbacks.get(found.kind)
            self._calling = True
            try:
                if callback is not None:
                    callback(list(found.partitions))
            finally:
                self._calling = False
                run(core.acknowledge, found)
        core.seen()  # Ctrl-C before this line, and the next call gives the same batch
        return found

    def __next__(self) -> Any:
        return self.poll()

    def commit(
        self, offsets: Mapping[TopicPartition, int] | None = None, *, wait: bool = True
    ) -> None:
        """Commit exactly what was handed out, or ``offsets``: where to go on, by partition.

        Without ``wait`` it returns at once; commits keep their order, and an error is raised by
        the next ``poll`` or ``commit``. Raises ``Conflict`` when a partition went to another
        member meanwhile; nothing of it is committed then.
        """
        run(self._open().commit, offsets, wait=wait)

    @property
    def assignment(self) -> dict[TopicPartition, int]:
        """The assigned partitions, and the next offset each will hand out."""
        return self._open().assignment

    @property
    def member_id(self) -> str:
        """As the coordinator knows this member; empty before it does."""
        return self._open().member_id

    @property
    def paused(self) -> frozenset[TopicPartition]:
        """Partitions that hand out nothing at the moment."""
        return self._open().paused

    def committed(self) -> dict[TopicPartition, int]:
        """The group's commits in the assigned partitions; those without one are left out."""
        return run(self._open().committed)

    def lag(self) -> dict[TopicPartition, int]:
        """Offsets between what was handed out and the end, for each assigned partition."""
        return run(self._open().lag)

    def seek(self, topic: str, partition: int, to: Point) -> None:
        """Go on at ``to``, as in ``Topic.read``. Raises ``Invalid`` where that is not assigned."""
        run(self._open().seek, topic, partition, to)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Hand out nothing of these until ``resume``; they stay assigned."""
        run(self._open().pause, partitions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Undo ``pause``."""
        run(self._open().resume, partitions)

    def close(self, *, processed: bool = True) -> None:
        """Commit where that is automatic, and leave the group. May be called twice.

        ``processed`` says whether the last batch was processed; a ``with`` block that ends by
        an exception says no: that batch is read again.
        """
        consumer, self._consumer = self._consumer, None
        if consumer is not None and self._pid == os.getpid():
            run(consumer.close, processed=processed)

    def __del__(self) -> None:
        if getattr(self, "_consumer", None) is not None and self._pid == os.getpid():
            assert self._consumer is not None
            later(self._consumer.close(processed=False))

    def __enter__(self) -> Consumer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(processed=kind is None)
