"""The producer of one transactional id: batches carry its id and epoch and the transactional bit.

Source: KIP-98, and KIP-890 (transaction version 2: Produce adds partitions by itself, and every
transaction has an epoch of its own).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mainstem.client.cluster import Cluster
from mainstem.client.lanes import Batch, Lane
from mainstem.client.producer import Producer
from mainstem.client.retry import Deadline
from mainstem.errors import Conflict

#: From Produce 12 on, a transactional batch adds its partition to the transaction (KIP-890).
_PRODUCE_BEFORE_V2 = 11


class TransactionalProducer(Producer):
    """See ``Producer``. One identity for all partitions, given by ``adopt``."""

    def __init__(
        self,
        cluster: Cluster,
        transactional_id: str,
        add: Callable[[str, int], Awaitable[None]],
    ) -> None:
        super().__init__(cluster)
        self.transactional_id = transactional_id
        self.identity = (-1, -1)
        self._add = add
        self._numbered: set[Lane] = set()

    def adopt(self, identity: tuple[int, int], *, version2: bool) -> None:
        """A new producer id or epoch: every partition is numbered from 0 again."""
        self.identity = identity
        self.highest_produce = None if version2 else _PRODUCE_BEFORE_V2
        self._numbered.clear()
        for lane in self._lanes.values():
            lane.identity = None

    async def submit(
        self, topic: str, partition: int, acks: int, data: memoryview, deadline: Deadline
    ) -> Batch:
        """See ``Producer``; the partition is part of the transaction first."""
        await self._add(topic, partition)
        return await super().submit(topic, partition, acks, data, deadline)

    async def _prepare(self, lane: Lane) -> None:
        if lane.identity is None and lane in self._numbered:
            # A batch of this partition was given up. Those behind it must not be written.
            raise Conflict(f"{lane.name}: a batch before failed; abort the transaction", code=120)
        await super()._prepare(lane)
        self._numbered.add(lane)

    async def _producer_id(self, deadline: Deadline) -> tuple[int, int]:  # noqa: ARG002
        return self.identity
