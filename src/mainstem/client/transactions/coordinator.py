"""Requests to the coordinator of one transactional id, retried as they may be."""

from __future__ import annotations

from collections.abc import Mapping

from mainstem.client.cluster import Cluster
from mainstem.client.consumer.membership import Identity
from mainstem.client.consumer.subscription import TopicPartition
from mainstem.client.kafka_errors import STALE_METADATA, error_for, is_retriable
from mainstem.client.retry import Deadline
from mainstem.errors import Conflict, Invalid, MainstemError, Unavailable
from mainstem.wire import Message

INIT_PRODUCER_ID, ADD_PARTITIONS, ADD_OFFSETS, END_TXN, TXN_OFFSET_COMMIT = 22, 24, 25, 26, 28
_TRANSACTION = 1
_FENCED = frozenset({47, 49, 90})
_LOST_MEMBERSHIP = frozenset({22, 25, 27, 82, 110, 113})
#: The highest versions that do not imply transaction version 2.
_BEFORE_V2 = {END_TXN: 4, TXN_OFFSET_COMMIT: 4}
_CLIENTS = {ADD_PARTITIONS: 3}  # later ones are between brokers


class TransactionCoordinator:
    """Speaks for one transactional id; ``identity`` is its producer id and epoch.

    Every method raises ``Conflict`` once a newer producer has taken over.
    """

    def __init__(self, cluster: Cluster, transactional_id: str, timeout: float) -> None:
        self.identity = (-1, -1)
        self.version2 = False
        self._cluster = cluster
        self._id = transactional_id
        self._timeout = timeout

    async def initialise(self) -> None:
        """Get the producer id with the next epoch: older producers of this id are fenced, and
        what they left open is aborted. Raises ``Invalid`` for a broker without transactions."""
        producer_id, epoch = self.identity
        message = Message(
            transactional_id=self._id,
            transaction_timeout_ms=int(self._timeout * 1000),
            producer_id=producer_id,
            producer_epoch=epoch,
            enable2_pc=False,
            keep_prepared_txn=False,
        )
        answer = await self._retry(INIT_PRODUCER_ID, message, "begin with")
        self.identity = int(answer.producer_id), int(answer.producer_epoch)

    async def add_partition(self, topic: str, partition: int) -> None:
        """Transaction version 1: make a partition part of it."""
        producer_id, epoch = self.identity
        message = Message(
            v3_and_below_transactional_id=self._id,
            v3_and_below_producer_id=producer_id,
            v3_and_below_producer_epoch=epoch,
            v3_and_below_topics=[Message(name=topic, partitions=[partition])],
        )
        await self._retry(ADD_PARTITIONS, message, f"add {topic}-{partition} to")

    async def add_group(self, group: str) -> None:
        """Transaction version 1: make a group's offsets part of it."""
        await self._retry(ADD_OFFSETS, self._message(group_id=group), f"add group {group!r} to")

    async def end(self, *, commit: bool) -> None:
        """Commit or abort. Under version 2 the epoch rises with it.

        Raises ``Unavailable`` when no answer came: it may have taken effect, and may be repeated.
        """
        what = "commit" if commit else "abort"
        answer = await self._retry(END_TXN, self._message(committed=commit), what)
        if self.version2 and answer.producer_id >= 0:
            self.identity = int(answer.producer_id), int(answer.producer_epoch)

    async def commit_offsets(
        self,
        group: str,
        identity: Identity,
        offsets: Mapping[TopicPartition, int],
        epochs: Mapping[TopicPartition, int],
    ) -> None:
        """Offsets that become the group's with the transaction."""

        topics: dict[str, list[Message]] = {}
        for (topic, index), offset in offsets.items():
            part = Message(
                partition_index=index,
                committed_offset=offset,
                committed_leader_epoch=epochs[topic, index],
                committed_metadata=None,
            )
            topics.setdefault(topic, []).append(part)

        async def attempt(deadline: Deadline) -> None:
            message = self._message(
                group_id=group,
                generation_id=identity.generation,
                member_id=identity.member_id,
                group_instance_id=identity.instance_id,
                topics=[Message(name=name, partitions=parts) for name, parts in topics.items()],
            )
            answer = await self._call(TXN_OFFSET_COMMIT, message, deadline, group=group)
            for found in answer.topics:
                for part in found.partitions:
                    code = int(part.error_code)
                    if code in _LOST_MEMBERSHIP:
                        raise Conflict(
                            f"group {group!r} went on without this consumer, so its offsets were "
                            "not added to the transaction: abort it; its records are read again",
                            code=code,
                        )
                    self._check(code, f"add offsets of group {group!r} to", group)

        await self._cluster.retrying(attempt)

    # --- inside ------------------------------------------------------------------------------

    def _message(self, **fields: object) -> Message:
        producer_id, epoch = self.identity
        return Message(
            transactional_id=self._id, producer_id=producer_id, producer_epoch=epoch, **fields
        )

    async def _retry(self, api_key: int, message: Message, what: str) -> Message:
        async def attempt(deadline: Deadline) -> Message:
            answer = await self._call(api_key, message, deadline)
            for code in _codes(api_key, answer):
                self._check(code, what)
            return answer

        return await self._cluster.retrying(attempt)

    async def _call(
        self, api_key: int, message: Message, deadline: Deadline, group: str | None = None
    ) -> Message:
        name, kind = (self._id, _TRANSACTION) if group is None else (group, 0)
        try:
            if api_key == INIT_PRODUCER_ID:
                await self._require()
            node = await self._cluster.coordinator(name, deadline, kind)
            connection = await self._cluster.connection(node)
            if api_key == INIT_PRODUCER_ID:
                self.version2 = connection.features.get("transaction.version", 0) >= 2
            highest = _CLIENTS.get(api_key)
            if not self.version2:
                highest = _BEFORE_V2.get(api_key, highest)
            timeout = deadline.cap(self._cluster.config.request_timeout)
            return await connection.call(api_key, message, timeout=timeout, highest=highest)
        except Unavailable:
            self._cluster.forget_coordinator(name, kind)
            raise

    async def _require(self) -> None:
        connection = await self._cluster.connection()
        if END_TXN not in connection.versions:
            raise Invalid(
                f"transactional id {self._id!r}: the broker at {connection.name} has no "
                "transactions; append without them, which is idempotent, too",
                code=35,
            )

    def _check(self, code: int, what: str, group: str | None = None) -> None:
        if code == 0:
            return
        if code in _FENCED:
            raise fenced(self._id, code)
        if code in STALE_METADATA:
            if group is None:
                self._cluster.forget_coordinator(self._id, _TRANSACTION)
            else:
                self._cluster.forget_coordinator(group)
        error: MainstemError = error_for(code, f"{what} the transaction of {self._id!r}")
        if is_retriable(code) and not isinstance(error, Unavailable):
            raise Unavailable(str(error), code=code)
        raise error


def _codes(api_key: int, answer: Message) -> list[int]:
    if api_key != ADD_PARTITIONS:
        return [int(answer.error_code)]
    return [
        int(part.partition_error_code)
        for topic in answer.results_by_topic_v3_and_below
        for part in topic.results_by_partition
    ]


def fenced(transactional_id: str, code: int | None) -> Conflict:
    """This producer may not go on."""
    return Conflict(
        f"transactional id {transactional_id!r}: a newer producer with it has taken over, or the "
        "transaction was open for longer than its timeout and was aborted: nothing of it counts; "
        "open a new one, if no other should do this work",
        code=code,
    )
