"""What a group is, what its members are told, and who may speak for it."""

from __future__ import annotations

from mainstem.broker.groups.effects import (
    Effects,
    JoinedMember,
    JoinResult,
    Snapshot,
    State,
    StoredMember,
    SyncResult,
    Timer,
)
from mainstem.broker.groups.roster import Member, Parked, Roster
from mainstem.broker.groups.subscription import subscribed_topics
from mainstem.wire import ErrorCode

CONSUMER = "consumer"


class GroupBase:
    """A group's state and its transitions; not thread-safe, knows neither clock nor sockets."""

    def __init__(self, group_id: str, effects: Effects, *, initial_delay_ms: int = 0) -> None:
        self.group_id = group_id
        self.roster = Roster()
        self.state = State.EMPTY
        self.state_since_ms = effects.now_ms()
        self.generation = 0
        self.protocol_type: str | None = None
        self.protocol_name: str | None = None
        #: Topics of all members; ``None`` where unknown (no consumers, or unreadable metadata).
        self.topics: frozenset[str] | None = None
        self._effects = effects
        self._initial_delay_ms = initial_delay_ms
        self._initial_remaining_ms: int | None = None
        self._joined_during_delay = False
        self._storing: int | None = None

    # --- answers ------------------------------------------------------------------------------

    def restart_session(self, member: Member) -> None:
        self._effects.start_timer(Timer("session", member.member_id), member.session_timeout_ms)

    def answer_join(
        self, member: Member, error: ErrorCode, *, member_id: str | None = None
    ) -> None:
        """Refuses a member's parked JoinGroup, if there is one."""
        call = self.roster.park_join(member, None)
        if call is not None:
            told = member.member_id if member_id is None else member_id
            self._effects.answer(call, JoinResult(error=error, member_id=told))

    def answer_sync(self, member: Member, error: ErrorCode) -> bool:
        """Answers a member's parked SyncGroup, if there is one."""
        call, member.sync_call = member.sync_call, None
        if call is None:
            return False
        self._effects.answer(call, self.sync_result(member, error))
        return True

    def supersede(self, call: Parked | None, result: JoinResult | SyncResult) -> None:
        """Answers a call whose member has asked again, so that nothing waits for ever."""
        if call is not None:
            self._effects.answer(call, result)

    def sync_result(self, member: Member, error: ErrorCode) -> SyncResult:
        if error:
            return SyncResult(error=error)
        return SyncResult(
            error=error,
            protocol_type=self.protocol_type,
            protocol_name=self.protocol_name,
            assignment=member.assignment,
        )

    def join_result(
        self, member: Member, *, leader: str | None = None, skip: bool = False
    ) -> JoinResult:
        """The current generation as one member sees it; the leader sees all members."""
        leading = leader or self.roster.leader or ""
        return JoinResult(
            error=ErrorCode.none,
            member_id=member.member_id,
            generation=self.generation,
            protocol_type=self.protocol_type,
            protocol_name=self.protocol_name,
            leader=leading,
            skip_assignment=skip,
            members=self._joined_members() if leading == member.member_id else (),
        )

    def _joined_members(self) -> tuple[JoinedMember, ...]:
        name = self.protocol_name or ""
        return tuple(
            JoinedMember(m.member_id, m.instance_id, m.protocols.get(name, b""))
            for m in self.roster.members.values()
        )

    # --- checks -------------------------------------------------------------------------------

    def check_member(self, member_id: str, instance_id: str | None) -> ErrorCode | None:
        """Whether this member may speak; a static one only under its latest id."""
        if instance_id is not None:
            current = self.roster.static_ids.get(instance_id)
            if current is None:
                return ErrorCode.unknown_member_id
            return None if current == member_id else ErrorCode.fenced_instance_id
        return None if member_id in self.roster.members else ErrorCode.unknown_member_id

    def check_generation(
        self, member_id: str, instance_id: str | None, generation: int
    ) -> ErrorCode | None:
        if self.state is State.DEAD:
            return ErrorCode.coordinator_not_available
        error = self.check_member(member_id, instance_id)
        if error is None and generation != self.generation:
            return ErrorCode.illegal_generation
        return error

    def check_commit(
        self, member_id: str, instance_id: str | None, generation: int
    ) -> ErrorCode | None:
        """Whether an offset commit is allowed; a member's commit keeps it alive."""
        if self.state is State.DEAD:
            return ErrorCode.coordinator_not_available
        if generation < 0 and self.state is State.EMPTY:
            return None  # the group only stores offsets here
        error = self.check_generation(member_id, instance_id, generation)
        if error is not None:
            return error
        if self.state is State.COMPLETING:
            return ErrorCode.rebalance_in_progress
        if self.state is not State.EMPTY:
            self.restart_session(self.roster.members[member_id])
        return None

    # --- whole --------------------------------------------------------------------------------

    def transition(self, state: State) -> None:
        self.state = state
        self.state_since_ms = self._effects.now_ms()

    def read_topics(self) -> None:
        self.topics = None
        if self.protocol_type != CONSUMER:
            return
        found: set[str] = set()
        for member in self.roster.members.values():
            topics = subscribed_topics(member.protocols.get(self.protocol_name or "", b""))
            if topics is None:
                return
            found |= topics
        self.topics = frozenset(found)

    def snapshot(self, assignments: dict[str, bytes] | None = None) -> Snapshot:
        name = self.protocol_name or ""
        members = tuple(
            StoredMember(
                m.member_id, m.instance_id, m.client_id, m.client_host,
                m.session_timeout_ms, m.rebalance_timeout_ms, m.protocols.get(name, b""),
                m.assignment if assignments is None else assignments.get(m.member_id, b""),
            )
            for m in self.roster.members.values()
        )  # fmt: skip
        return Snapshot(
            group_id=self.group_id,
            generation=self.generation,
            protocol_type=self.protocol_type,
            protocol_name=self.protocol_name,
            leader=self.roster.leader,
            state_since_ms=self.state_since_ms,
            members=members,
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Takes up where the broker stopped: members go on if they heartbeat in time."""
        self.generation = snapshot.generation
        self.protocol_type = snapshot.protocol_type
        self.protocol_name = snapshot.protocol_name
        for stored in snapshot.members:
            member = Member(
                member_id=stored.member_id,
                instance_id=stored.instance_id,
                client_id=stored.client_id,
                client_host=stored.client_host,
                session_timeout_ms=stored.session_timeout_ms,
                rebalance_timeout_ms=stored.rebalance_timeout_ms,
                protocols={snapshot.protocol_name or "": stored.subscription},
                assignment=stored.assignment,
            )
            self.roster.add(member, None)
            self.restart_session(member)
        if snapshot.leader in self.roster.members:
            self.roster.leader = snapshot.leader
        self.state = State.STABLE if snapshot.members else State.EMPTY
        self.state_since_ms = snapshot.state_since_ms
        self.read_topics()
