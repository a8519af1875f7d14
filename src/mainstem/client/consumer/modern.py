"""A member of the consumer group protocol (KIP-848) without I/O.

One request does everything: the coordinator assigns, members heartbeat and reconcile. A member
first gives up what it lost and says so; only then are the others given it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from enum import Enum
from uuid import UUID

from mainstem.client.consumer.classic import Next, fenced
from mainstem.client.consumer.settings import ConsumerSettings
from mainstem.client.kafka_errors import error_for
from mainstem.wire import Message

CONSUMER_GROUP_HEARTBEAT = 68
_COORDINATOR = frozenset({-1, 7, 13, 14, 15, 16})
_FENCED_EPOCH, _UNKNOWN_MEMBER, _FENCED_INSTANCE = 110, 25, 82
#: A topic's id and one of its partitions.
Place = tuple[UUID, int]


class Epoch(int, Enum):
    """Epochs with a meaning of their own."""

    JOIN = 0
    LEAVE = -1
    LEAVE_FOR_A_WHILE = -2


class ModernMember:
    """What one member knows. ``target`` is what it shall have, ``owned`` what it has in hand.

    Answers that cannot be mended raise, as with ``ClassicMember``.
    """

    def __init__(self, settings: ConsumerSettings, new_id: Callable[[], str] | None = None) -> None:
        self.settings = settings
        self.member_id = (new_id or (lambda: str(uuid.uuid4())))()
        self.epoch = int(Epoch.JOIN)
        self.interval = settings.heartbeat_interval
        self.target: frozenset[Place] = frozenset()
        self.owned: frozenset[Place] = frozenset()
        self._told: frozenset[Place] | None = None  # None: tell everything

    def heartbeat(self) -> Message:
        """A ConsumerGroupHeartbeat: everything at first and after trouble, then what changed."""
        full = self._told is None
        settings = self.settings
        owned = None
        if full or self.owned != self._told:
            owned = _by_topic(self.owned)  # nothing while joining: see forget
        self._told = self.owned
        return Message(
            group_id=settings.group,
            member_id=self.member_id,
            member_epoch=self.epoch,
            instance_id=settings.instance_id,
            rack_id=settings.rack if full else None,
            rebalance_timeout_ms=int(settings.max_poll_interval * 1000) if full else -1,
            subscribed_topic_names=sorted(settings.topics) if full else None,
            subscribed_topic_regex=settings.server_pattern if full else None,
            server_assignor=settings.server_assignor if full else None,
            topic_partitions=owned,
        )

    def beaten(self, answer: Message) -> Next:
        """Take the answer. ``LOST``: what was owned is gone, join again."""
        code = int(answer.error_code)
        if code in _COORDINATOR:
            self.repeat()
            return Next.FIND
        if code in (_FENCED_EPOCH, _UNKNOWN_MEMBER):
            self.forget()
            return Next.LOST
        if code == _FENCED_INSTANCE:
            raise fenced(self.settings)
        if code:
            subject = f"heartbeat of group {self.settings.group!r}"
            raise error_for(code, subject, answer.error_message)
        self.epoch = int(answer.member_epoch)
        if answer.member_id:
            self.member_id = str(answer.member_id)
        if answer.heartbeat_interval_ms > 0:
            self.interval = answer.heartbeat_interval_ms / 1000
        if answer.assignment is not None:
            self.target = frozenset(
                (topic.topic_id, number)
                for topic in answer.assignment.topic_partitions
                for number in topic.partitions
            )
        return Next.GO_ON

    @property
    def must_tell(self) -> bool:
        """Whether the coordinator waits to hear what is owned now."""
        return self._told != self.owned

    def repeat(self) -> None:
        """The last heartbeat may not have arrived: tell everything again."""
        self._told = None

    def forget(self) -> None:
        """Start again; the member id stays this member's (KIP-1082)."""
        self.epoch = int(Epoch.JOIN)
        self.target = self.owned = frozenset()
        self._told = None

    def leave(self) -> Message:
        """The last heartbeat. A static member's partitions wait for it a while."""
        static = self.settings.instance_id is not None
        return Message(
            group_id=self.settings.group,
            member_id=self.member_id,
            member_epoch=int(Epoch.LEAVE_FOR_A_WHILE if static else Epoch.LEAVE),
            instance_id=self.settings.instance_id,
            rack_id=None,
            rebalance_timeout_ms=-1,
            subscribed_topic_names=None,
            subscribed_topic_regex=None,
            server_assignor=None,
            topic_partitions=None,
        )


def _by_topic(places: Iterable[Place]) -> list[Message]:
    topics: dict[UUID, list[int]] = {}
    for topic_id, number in sorted(places):
        topics.setdefault(topic_id, []).append(number)
    return [Message(topic_id=found, partitions=parts) for found, parts in topics.items()]
