"""What idempotent producers wrote last, so that a retry is answered and not stored twice.

The rules are those of Kafka's ProducerAppendInfo and ProducerStateEntry (KIP-98):

* the last five batches of a producer are remembered; one with the same epoch and the same first
  and last sequence is a duplicate, answered with its original offset;
* a producer this partition does not know may begin at any sequence (its records may have been
  deleted), so UNKNOWN_PRODUCER_ID and DUPLICATE_SEQUENCE_NUMBER are never raised;
* an older epoch is refused; a newer one must begin at sequence 0;
* else the sequence must follow the last one; after 2^31-1 comes 0.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from mainstem.errors import Conflict, Invalid
from mainstem.kernels import BatchHeader

REMEMBERED_BATCHES = 5
_MAX_SEQUENCE = 2**31 - 1

OUT_OF_ORDER_SEQUENCE_NUMBER = 45
INVALID_PRODUCER_EPOCH = 47


class ProducedBatch(NamedTuple):
    """One remembered batch; offsets and sequences are inclusive."""

    first_sequence: int
    last_sequence: int
    base_offset: int
    last_offset: int
    timestamp: int


@dataclass(slots=True)
class Producer:
    """``seen_ms`` is this machine's time of the last append, not a record's timestamp: a replay
    of old events must not expire its own producer at once."""

    producer_id: int
    epoch: int
    seen_ms: int
    batches: deque[ProducedBatch] = field(default_factory=lambda: deque(maxlen=REMEMBERED_BATCHES))


def last_sequence(first: int, last_offset_delta: int) -> int:
    return (first + last_offset_delta) & _MAX_SEQUENCE


class Producers:
    """All producers of a partition. Not thread safe: the partition's lock guards it."""

    def __init__(self) -> None:
        self.by_id: dict[int, Producer] = {}

    def check(self, header: BatchHeader) -> ProducedBatch | None:
        """The batch that ``header`` repeats, or ``None`` if it is the next one.

        Raises ``Conflict`` (INVALID_PRODUCER_EPOCH) or ``Invalid``
        (OUT_OF_ORDER_SEQUENCE_NUMBER).
        """
        producer = self.by_id.get(header.producer_id)
        if producer is None:
            return None
        first = header.base_sequence
        if header.producer_epoch < producer.epoch:
            raise Conflict(
                f"producer {header.producer_id} has epoch {producer.epoch} here; a batch with "
                f"epoch {header.producer_epoch} comes from one that was replaced",
                code=INVALID_PRODUCER_EPOCH,
            )
        if header.producer_epoch > producer.epoch:
            expected = 0
        else:
            last = last_sequence(first, header.last_offset_delta)
            for batch in producer.batches:
                if batch.first_sequence == first and batch.last_sequence == last:
                    return batch
            expected = last_sequence(producer.batches[-1].last_sequence, 1)
        if first != expected:
            raise Invalid(
                f"producer {header.producer_id} epoch {header.producer_epoch} sent sequence "
                f"{first} where {expected} is next; a batch before it is missing",
                code=OUT_OF_ORDER_SEQUENCE_NUMBER,
            )
        return None

    def record(
        self,
        producer_id: int,
        epoch: int,
        first_sequence: int,
        base_offset: int,
        last_offset: int,
        timestamp: int,
        now_ms: int,
    ) -> None:
        """Remember a batch that is in the log."""
        producer = self.by_id.get(producer_id)
        if producer is None or producer.epoch != epoch:
            producer = self.by_id[producer_id] = Producer(producer_id, epoch, now_ms)
        producer.seen_ms = now_ms
        last = last_sequence(first_sequence, last_offset - base_offset)
        producer.batches.append(
            ProducedBatch(first_sequence, last, base_offset, last_offset, timestamp)
        )

    def expire(self, before_ms: int) -> int:
        """Forget producers not seen since; returns how many."""
        gone = [pid for pid, producer in self.by_id.items() if producer.seen_ms < before_ms]
        for producer_id in gone:
            del self.by_id[producer_id]
        return len(gone)
