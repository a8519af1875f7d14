"""A member of the classic group protocol without I/O: what it says, and what answers mean.

Join (tell the subscription), sync (the leader gives out partitions), heartbeat, and again
whenever the coordinator says so. Source: Java's AbstractCoordinator and ConsumerCoordinator,
KIP-345 (static members), KIP-394 (member id first), KIP-429 (cooperative).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum

from mainstem.client.consumer.assignors import Assignor, Candidate
from mainstem.client.consumer.settings import ConsumerSettings
from mainstem.client.consumer.subscription import (
    Subscription,
    TopicPartition,
    read_assignment,
    read_subscription,
    write_assignment,
    write_subscription,
)
from mainstem.client.kafka_errors import error_for
from mainstem.errors import Conflict
from mainstem.wire import Message

JOIN_GROUP, HEARTBEAT, LEAVE_GROUP, SYNC_GROUP = 11, 12, 13, 14
_COORDINATOR = frozenset({-1, 7, 13, 14, 15, 16})
_ILLEGAL_GENERATION, _UNKNOWN_MEMBER, _REBALANCE, _MEMBER_ID_REQUIRED = 22, 25, 27, 79
FENCED_INSTANCE = 82


class Next(Enum):
    """What an answer asks the member to do."""

    GO_ON = "go on"
    REJOIN = "join again, keep the partitions until then"
    LOST = "the partitions are gone already: say so, then join again"
    FIND = "find the coordinator, then try again"


class ClassicMember:
    """What one member knows. ``owned`` is what its user has in hand; the skin keeps it true.

    Answers that cannot be mended raise: ``Conflict`` when another holder of the instance id took
    over, otherwise what the code means.
    """

    def __init__(self, settings: ConsumerSettings) -> None:
        self.settings = settings
        self.member_id = ""
        self.generation = -1
        self.protocol = ""
        self.leads = False
        self.owned: frozenset[TopicPartition] = frozenset()
        self.given: frozenset[TopicPartition] = frozenset()
        self.group_topics: tuple[str, ...] = ()
        self.topics = settings.topics  # what a pattern means now, where there is one
        self._assignors: dict[str, Assignor] = {found.name: found for found in settings.assignors}
        self._others: list[Candidate] = []
        self._skip = False
        #: With one eager strategy among the choices the group may be eager (KIP-429).
        self.cooperative = all(found.cooperative for found in settings.assignors)

    # --- join --------------------------------------------------------------------------------

    def join(self) -> Message:
        """A JoinGroup request. An eager member must have given up its partitions before."""
        settings = self.settings
        protocols = [
            Message(name=found.name, metadata=write_subscription(self._wish(found)))
            for found in settings.assignors
        ]
        return Message(
            group_id=settings.group,
            session_timeout_ms=int(settings.session_timeout * 1000),
            rebalance_timeout_ms=int(settings.max_poll_interval * 1000),
            member_id=self.member_id,
            group_instance_id=settings.instance_id,
            protocol_type="consumer",
            protocols=protocols,
            reason=None,
        )

    def _wish(self, assignor: Assignor) -> Subscription:
        settings = self.settings
        owned = tuple(sorted(self.owned)) if self.cooperative else ()
        user_data = assignor.user_data(self.given, self.generation)
        return Subscription(self.topics, owned, self.generation, user_data, settings.rack)

    def joined(self, answer: Message) -> Next:
        """Take the answer to ``join``. ``GO_ON`` means: sync."""
        code = int(answer.error_code)
        if code == _MEMBER_ID_REQUIRED:
            self.member_id = str(answer.member_id)
            return Next.REJOIN
        if code:
            return self._failed(code, "join")
        self.member_id = str(answer.member_id)
        self.generation = int(answer.generation_id)
        self.protocol = str(answer.protocol_name or "")
        self.leads = answer.leader == answer.member_id
        self._skip = bool(answer.skip_assignment)
        self._others = []
        if self.leads:
            if self.protocol not in self._assignors:
                raise error_for(23, self._subject("lead"), None)
            self._others = [_candidate(found) for found in answer.members]
            wanted = {name for found in self._others for name in found.subscription.topics}
            self.group_topics = tuple(sorted(wanted))
        return Next.GO_ON

    # --- sync --------------------------------------------------------------------------------

    def sync(self, partitions: Mapping[str, int]) -> Message:
        """A SyncGroup request; a leader's holds everybody's partitions.

        ``partitions`` is how many each of ``group_topics`` has, those that exist.
        """
        assignments: list[Message] = []
        if self.leads and not self._skip:
            found = self._assignors[self.protocol].assign(self._others, partitions)
            assignments = [
                Message(member_id=name, assignment=write_assignment(parts))
                for name, parts in found.items()
            ]
        return Message(
            group_id=self.settings.group,
            generation_id=self.generation,
            member_id=self.member_id,
            group_instance_id=self.settings.instance_id,
            protocol_type="consumer",
            protocol_name=self.protocol,
            assignments=assignments,
        )

    def synced(self, answer: Message) -> Next:
        """Take the answer to ``sync``. ``GO_ON`` means: ``given`` holds the new partitions."""
        code = int(answer.error_code)
        if code:
            return self._failed(code, "sync")
        self.given = read_assignment(bytes(answer.assignment))
        return Next.GO_ON

    # --- stay and leave ----------------------------------------------------------------------

    def heartbeat(self) -> Message:
        """A Heartbeat request."""
        return Message(
            group_id=self.settings.group,
            generation_id=self.generation,
            member_id=self.member_id,
            group_instance_id=self.settings.instance_id,
        )

    def beaten(self, answer: Message) -> Next:
        """Take the answer to ``heartbeat``."""
        code = int(answer.error_code)
        return self._failed(code, "heartbeat") if code else Next.GO_ON

    def leave(self) -> Message | None:
        """A LeaveGroup request. ``None`` for a static member, who may come back (KIP-345)."""
        if not self.member_id or self.settings.instance_id is not None:
            return None
        member = Message(member_id=self.member_id, group_instance_id=None, reason=None)
        return Message(group_id=self.settings.group, members=[member])

    # --- what codes mean ---------------------------------------------------------------------

    def _failed(self, code: int, doing: str) -> Next:
        if code in _COORDINATOR:
            return Next.FIND
        if code == _REBALANCE:
            return Next.REJOIN
        if code in (_ILLEGAL_GENERATION, _UNKNOWN_MEMBER):
            self.forget(keep_id=code == _ILLEGAL_GENERATION)
            return Next.LOST
        if code == FENCED_INSTANCE:
            self.forget()
            raise fenced(self.settings)
        raise error_for(code, self._subject(doing))

    def forget(self, *, keep_id: bool = False) -> None:
        """The coordinator does not hold this member's partitions for it any more."""
        self.generation = -1
        self.given = frozenset()
        if not keep_id:
            self.member_id = ""

    def _subject(self, doing: str) -> str:
        return f"{doing} group {self.settings.group!r}"


def _candidate(found: Message) -> Candidate:
    subscription = read_subscription(bytes(found.metadata))
    return Candidate(found.member_id, subscription, found.group_instance_id)


def fenced(settings: ConsumerSettings) -> Conflict:
    """Another consumer with the same instance id has taken over."""
    return Conflict(
        f"group {settings.group!r}: another consumer with instance_id={settings.instance_id!r} "
        "has taken over, and this one is fenced: close it, or give each its own instance_id",
        code=FENCED_INSTANCE,
    )


def stale(previous: Mapping[str, int], current: Callable[[str], int]) -> bool:
    """Whether a topic of the group has another number of partitions than the leader gave out."""
    return any(current(topic) != count for topic, count in previous.items())
