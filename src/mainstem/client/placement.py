"""Where partitions live: which replica leads, which brokers hold them, moves under way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mainstem.client.arguments import check_mapping, indexes_of
from mainstem.client.cluster import Cluster, raise_for
from mainstem.client.features import NOT_CONTROLLER, ask_feature
from mainstem.client.kafka_errors import error_for
from mainstem.client.metadata import TopicMetadata
from mainstem.errors import Invalid
from mainstem.wire import Message

_ELECT_LEADERS, _REASSIGN, _LIST_REASSIGNMENTS = 43, 45, 46
_PREFERRED, _UNCLEAN = 0, 1
_ELECTION_NOT_NEEDED = 84
_TIMEOUT_MS = 30_000
_LACKING = (
    "{what} is not supported by the broker at {{}}: use one that has it, as Mainstem's own or "
    "Apache Kafka 2.4 or newer"
)


@dataclass(frozen=True, slots=True)
class Reassignment:
    """A partition that is moving: its replicas meanwhile, those to come and those to go."""

    topic: str
    partition: int
    replicas: tuple[int, ...]
    adding: tuple[int, ...]
    removing: tuple[int, ...]


class Placement:
    """Administration of replicas. Belongs to the client's event loop.

    Every method raises ``Invalid`` with code 35 where the broker does not have the feature, and
    ``Denied`` where the caller may not use it.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def elect_leaders(
        self,
        topic: str | None = None,
        partitions: Sequence[int] | None = None,
        *,
        unclean: bool = False,
    ) -> list[tuple[str, int]]:
        """Have the preferred replica (the first of each partition) lead; see the blocking face."""
        _check_election(topic, partitions, unclean)
        chosen = None
        if topic is not None:
            indexes = _indexes(await self._known(topic), partitions)
            chosen = [Message(topic=topic, partitions=indexes)]
        message = Message(
            election_type=_UNCLEAN if unclean else _PREFERRED,
            topic_partitions=chosen,
            timeout_ms=_TIMEOUT_MS,
        )
        lacking = _LACKING.format(what="electing leaders")
        found = await ask_feature(self._cluster, _ELECT_LEADERS, message, _outcomes, lacking)
        for name in {outcome.topic for outcome in found}:
            self._cluster.forget(name)
        return _elected(found)

    async def reassign(self, topic: str, replicas: Mapping[int, Sequence[int] | None]) -> None:
        """Give partitions other brokers, the preferred leader first; see the blocking face."""
        check_mapping("replicas", replicas)
        indexes = _indexes(await self._known(topic), list(replicas))
        wanted = {index: _brokers(index, replicas[index]) for index in sorted(indexes)}
        if not wanted:
            return
        parts = [Message(partition_index=index, replicas=wanted[index]) for index in wanted]
        message = Message(
            timeout_ms=_TIMEOUT_MS,
            allow_replication_factor_change=True,
            topics=[Message(name=topic, partitions=parts)],
        )

        def read(answer: Message) -> None:
            raise_for(int(answer.error_code), f"reassign {topic!r}", answer.error_message)
            for part in (part for each in answer.responses for part in each.partitions):
                where = f"{topic!r} partition {part.partition_index}"
                nodes = wanted[int(part.partition_index)]
                moved = f"move {where} to brokers {nodes}"
                subject = f"stop moving {where}" if nodes is None else moved
                raise_for(int(part.error_code), subject, part.error_message)

        lacking = _LACKING.format(what="moving partitions")
        await ask_feature(self._cluster, _REASSIGN, message, read, lacking)
        self._cluster.forget(topic)

    async def reassignments(self, topic: str | None = None) -> list[Reassignment]:
        """Moves under way, of all topics or one; one that ended is not there any more."""
        chosen = None
        if topic is not None:
            indexes = _indexes(await self._known(topic), None)
            chosen = [Message(name=topic, partition_indexes=indexes)]

        def read(answer: Message) -> list[Reassignment]:
            raise_for(int(answer.error_code), "list reassignments", answer.error_message)
            return [
                Reassignment(
                    str(each.name),
                    int(part.partition_index),
                    tuple(part.replicas),
                    tuple(part.adding_replicas),
                    tuple(part.removing_replicas),
                )
                for each in answer.topics
                for part in each.partitions
            ]

        message = Message(timeout_ms=_TIMEOUT_MS, topics=chosen)
        lacking = _LACKING.format(what="listing reassignments")
        found = await ask_feature(self._cluster, _LIST_REASSIGNMENTS, message, read, lacking)
        return sorted(found, key=lambda move: (move.topic, move.partition))

    async def _known(self, topic: str) -> TopicMetadata:
        return await self._cluster.topic(topic, self._cluster.deadline(), fresh=True)


@dataclass(frozen=True, slots=True, order=True)
class _Outcome:
    topic: str
    partition: int
    code: int
    reason: str = ""


def _outcomes(answer: Message) -> list[_Outcome]:
    """Of each partition; raises what holds for the whole request."""
    raise_for(int(getattr(answer, "error_code", 0)), "elect leaders")
    found = [
        _Outcome(each.topic, int(part.partition_id), int(part.error_code), part.error_message or "")
        for each in answer.replica_election_results
        for part in each.partition_result
    ]
    for outcome in found:
        if outcome.code == NOT_CONTROLLER:
            raise_for(outcome.code, "elect leaders", outcome.reason)
    return sorted(found)


def _check_election(topic: Any, partitions: Any, unclean: Any) -> None:
    if topic is None and partitions is not None:
        raise Invalid("partitions are those of a topic: name it, too")
    if topic is None and unclean:
        raise Invalid("an unclean election may lose acknowledged records: name the topic it is for")
    if not isinstance(unclean, bool):
        raise Invalid(f"unclean={unclean!r} is not valid: give True or False")


def _indexes(topic: TopicMetadata, wanted: Sequence[int] | None) -> list[int]:
    there = [part.index for part in topic.partitions]
    chosen = there if wanted is None else list(indexes_of("partitions", wanted))
    for index in chosen:
        if index not in there:
            raise Invalid(
                f"topic {topic.name!r} has no partition {index}: it has {len(there)}, from 0 to "
                f"{len(there) - 1}",
                code=3,
            )
    return chosen


def _brokers(index: int, nodes: Any) -> list[int] | None:
    if nodes is None:
        return None
    fine = isinstance(nodes, Iterable) and not isinstance(nodes, str | bytes)
    found = list(nodes) if fine else []
    if not found or any(type(node) is not int for node in found):
        raise Invalid(
            f"replicas[{index}]={nodes!r} is not valid: give broker ids in a list, or None", code=39
        )
    return found


def _elected(found: list[_Outcome]) -> list[tuple[str, int]]:
    """The partitions with a new leader. Raises for the first that could not get one."""
    elected = [(each.topic, each.partition) for each in found if not each.code]
    failed = [each for each in found if each.code not in (0, _ELECTION_NOT_NEEDED)]
    if not failed:
        return elected
    first = failed[0]
    subject = f"elect a leader of {first.topic!r} partition {first.partition}"
    error = error_for(first.code, subject, first.reason)
    counts = f"{len(elected)} partitions have a new leader, {len(failed)} could not get one"
    raise type(error)(f"{error} [{counts}]", code=error.code)
