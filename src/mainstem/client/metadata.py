"""What the cluster looked like when last asked: nodes, topics and who leads each partition."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from uuid import UUID

from mainstem.client.kafka_errors import error_for
from mainstem.errors import Invalid, MainstemError
from mainstem.wire import Message

METADATA = 3
_UNKNOWN_TOPIC = 3


@dataclass(frozen=True, slots=True)
class PartitionMetadata:
    """Who leads a partition; ``leader`` is -1 and ``error_code`` set where nobody does."""

    index: int
    leader: int
    leader_epoch: int
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]
    error_code: int = 0


@dataclass(frozen=True, slots=True)
class TopicMetadata:
    """A topic; ``id`` is ``None`` on clusters older than topic ids (KIP-516)."""

    name: str
    id: UUID | None
    internal: bool
    partitions: tuple[PartitionMetadata, ...]


@dataclass(slots=True)
class ClusterMetadata:
    """One answer, or several merged. Addresses are ``(host, port)`` by node id."""

    cluster_id: str | None = None
    controller: int = -1
    nodes: dict[int, tuple[str, int]] = field(default_factory=dict)
    topics: dict[str, TopicMetadata] = field(default_factory=dict)

    def merge(self, answer: Message, *, complete: bool) -> dict[str, MainstemError]:
        """Take an answer in; ``complete`` when it lists all topics. The topics' own errors."""
        self.cluster_id = answer.cluster_id
        self.controller = answer.controller_id
        self.nodes = {node.node_id: (node.host, node.port) for node in answer.brokers}
        if complete:
            self.topics = {}
        errors: dict[str, MainstemError] = {}
        for topic in answer.topics:
            if topic.error_code:
                self.topics.pop(topic.name, None)
                errors[topic.name] = error_for(topic.error_code, f"topic {topic.name!r}")
            else:
                self.topics[topic.name] = _topic(topic)
        return errors


def _topic(topic: Message) -> TopicMetadata:
    partitions = [
        PartitionMetadata(
            part.partition_index,
            part.leader_id,
            part.leader_epoch,
            tuple(part.replica_nodes),
            tuple(part.isr_nodes),
            int(part.error_code),
        )
        for part in topic.partitions
    ]
    partitions.sort(key=lambda part: part.index)
    return TopicMetadata(topic.name, topic.topic_id, topic.is_internal, tuple(partitions))


def request(topics: list[str] | None) -> Message:
    """A Metadata request for these topics, ``None`` for all; never creates any."""
    named = None if topics is None else [Message(name=name, topic_id=None) for name in topics]
    return Message(
        topics=named,
        allow_auto_topic_creation=False,
        include_topic_authorized_operations=False,
        include_cluster_authorized_operations=False,
    )


def unknown_topic(name: str, known: list[str]) -> Invalid:
    """There is no such topic: the error, with the nearest name that exists."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else "create it first, or check the name"
    return Invalid(f"there is no topic {name!r}: {hint}", code=_UNKNOWN_TOPIC)
