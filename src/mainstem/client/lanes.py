"""The batches on their way to one partition: their order, sequence numbers and retries.

What Apache Kafka's client does in RecordAccumulator and TransactionManager: up to five requests
in flight per partition; after a failure all of them come home before the failed ones are sent
again, in order and with the same numbers, so that the broker can tell duplicates (KIP-98).
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from mainstem.client.retry import Deadline
from mainstem.errors import MainstemError
from mainstem.kernels import number

MAX_IN_FLIGHT = 5
_SEQUENCES = 1 << 31


@dataclass(slots=True, eq=False)
class Batch:
    """A record batch, its rows, and who waits: ``done`` becomes its base offset, -1 if unknown.

    ``departed`` says that it was sent at least once, ``unwanted`` that it must not be sent again:
    its append has failed elsewhere. ``hang_ups`` counts how often in a row the broker hung up at
    it, ``hung_up_at`` is which broker, at how many bytes.
    """

    data: memoryview
    rows: int
    serial: int
    deadline: Deadline
    done: asyncio.Future[int]
    departed: bool = False
    unwanted: bool = False
    stamped: tuple[int, int, int] | None = None
    hang_ups: int = 0
    hung_up_at: tuple[int, int] | None = None


@dataclass(slots=True, eq=False)
class Lane:
    """One partition's queue, for one level of ``acks``.

    ``identity`` is the producer id and epoch; ``None`` asks for one before the next batch is
    sent. ``blocked`` is set while the lane waits: for a leader, an identity or a pause.
    """

    topic: str
    partition: int
    acks: int
    idempotent: bool
    leader: int | None = None
    identity: tuple[int, int] | None = None
    next_sequence: int = 0
    blocked: bool = False
    transactional: bool = False
    queue: deque[Batch] = field(default_factory=deque)
    in_flight: list[Batch] = field(default_factory=list)
    failed: list[Batch] = field(default_factory=list)
    cause: MainstemError | None = None

    @property
    def name(self) -> str:
        """For messages."""
        return f"topic {self.topic!r} partition {self.partition}"

    @property
    def sendable(self) -> bool:
        """Whether the next batch may go now."""
        return (
            not self.blocked
            and not self.failed
            and len(self.in_flight) < MAX_IN_FLIGHT
            and self._has_next()
        )

    def _has_next(self) -> bool:
        while self.queue and self.queue[0].done.done():  # its append was cancelled
            self.queue.popleft()
        return bool(self.queue)

    @property
    def idle(self) -> bool:
        """Nothing queued, in flight or waiting to be sent again."""
        return not (self.queue or self.in_flight or self.failed)

    def depart(self) -> Batch:
        """The next batch, numbered and in flight."""
        batch = self.queue.popleft()
        batch.departed = True
        if self.idempotent:
            self._stamp(batch)
        self.in_flight.append(batch)
        return batch

    def _stamp(self, batch: Batch) -> None:
        assert self.identity is not None
        producer_id, epoch = self.identity
        if batch.stamped is not None and batch.stamped[:2] == self.identity:
            return  # sent before: the same numbers let the broker see a duplicate
        batch.stamped = (producer_id, epoch, self.next_sequence)
        number(
            batch.data,
            producer_id=producer_id,
            producer_epoch=epoch,
            base_sequence=self.next_sequence,
            transactional=self.transactional,
        )
        self.next_sequence = (self.next_sequence + batch.rows) % _SEQUENCES

    def is_next(self, batch: Batch) -> bool:
        """Whether all earlier batches of this lane have been answered well."""
        earlier = any(other.serial < batch.serial for other in self.in_flight)
        return not earlier and not self.failed

    def renumbers(self, batch: Batch) -> bool:
        """Whether the batch will get a new number, because one before it was given up."""
        return batch.stamped is not None and batch.stamped[:2] != self.identity

    def succeed(self, batch: Batch, base_offset: int) -> None:
        """The broker has it."""
        self.in_flight.remove(batch)
        if not batch.done.done():
            batch.done.set_result(base_offset)

    def again(self, batch: Batch, error: MainstemError) -> None:
        """To be sent again, once all others are home."""
        self.in_flight.remove(batch)
        self.failed.append(batch)
        self.cause = error

    def fail(self, batch: Batch, error: Exception) -> None:
        """Given up. Later batches get new numbers, since this one's are missing now."""
        if batch in self.in_flight:
            self.in_flight.remove(batch)
        self.identity = None
        if not batch.done.done():
            batch.done.set_exception(error)

    def requeue(self) -> None:
        """Put the failed batches back to the front, in their order."""
        wanted = [batch for batch in self.failed if not batch.unwanted]
        for batch in self.failed:
            if batch.unwanted:
                batch.done.cancel()
                self.identity = None  # its number is missing now
        wanted.sort(key=lambda batch: batch.serial)
        self.queue.extendleft(reversed(wanted))
        self.failed.clear()

    def adopt(self, identity: tuple[int, int]) -> None:
        """Number what is not sent yet from 0, under this producer id and epoch."""
        self.identity = identity
        self.next_sequence = 0
