"""The classic group protocol as a state machine without I/O: requests and timers in, effects out.

Follows Apache Kafka 4.x (the classic half of its GroupMetadataManager).
"""

from __future__ import annotations

from collections.abc import Mapping

from mainstem.broker.groups.effects import State, SyncResult, Timer
from mainstem.broker.groups.joining import GROUP_MAX_BYTES, Joining
from mainstem.broker.groups.roster import Parked
from mainstem.wire import ErrorCode


class ClassicGroup(Joining):
    """One group. ``call`` arguments are answered through ``Effects.answer``, exactly once each."""

    @property
    def unused(self) -> bool:
        """Nobody ever formed a generation and nobody is about to."""
        roster = self.roster
        nobody = not roster.members and not roster.pending_joins
        return self.state is State.EMPTY and self.generation == 0 and nobody

    def sync(
        self,
        member_id: str,
        instance_id: str | None,
        generation: int,
        protocol: tuple[str | None, str | None],
        assignments: Mapping[str, bytes],
        call: Parked,
    ) -> None:
        """SyncGroup: parked until the leader's assignment is stored. ``protocol``: type, name."""
        error = self._refuse_sync(member_id, instance_id, generation, protocol)
        if error is not None:
            self._effects.answer(call, SyncResult(error=error))
            return
        member = self.roster.members[member_id]
        self.received_sync(member_id)
        if self.state is State.STABLE:
            self.restart_session(member)
            self._effects.answer(call, self.sync_result(member, ErrorCode.none))
            return
        before, member.sync_call = member.sync_call, call
        self.supersede(before, SyncResult(error=ErrorCode.rebalance_in_progress))
        if self.roster.leader == member_id:
            known = {name: assignments.get(name, b"") for name in self.roster.members}
            if self.roster.size + sum(map(len, known.values())) > GROUP_MAX_BYTES:
                self.answer_sync(member, ErrorCode.invalid_request)
                self.restart_session(member)
                return
            self.store_assignment(known)

    def _refuse_sync(
        self,
        member_id: str,
        instance_id: str | None,
        generation: int,
        protocol: tuple[str | None, str | None],
    ) -> ErrorCode | None:
        error = self.check_generation(member_id, instance_id, generation)
        if error is not None:
            return error
        if self.state is State.EMPTY:
            return ErrorCode.unknown_member_id
        ours = (self.protocol_type, self.protocol_name)
        if any(given not in {None, own} for given, own in zip(protocol, ours, strict=True)):
            return ErrorCode.inconsistent_group_protocol
        return ErrorCode.rebalance_in_progress if self.state is State.PREPARING else None

    def heartbeat(self, member_id: str, instance_id: str | None, generation: int) -> ErrorCode:
        error = self.check_generation(member_id, instance_id, generation)
        if error is not None:
            return error
        if self.state is State.EMPTY:
            return ErrorCode.unknown_member_id
        self.restart_session(self.roster.members[member_id])
        preparing = self.state is State.PREPARING
        return ErrorCode.rebalance_in_progress if preparing else ErrorCode.none

    def leave(self, members: list[tuple[str, str | None]]) -> list[ErrorCode]:
        """LeaveGroup of ``(member_id, instance_id)`` each; one rebalance for all of them."""
        if self.state is State.DEAD:
            return [ErrorCode.coordinator_not_available] * len(members)
        errors = [self._leave_one(*identity) for identity in members]
        if ErrorCode.none in errors:
            if self.state is State.PREPARING:
                self.maybe_complete_join()
            elif self.state is not State.EMPTY:
                self.rebalance_or_complete("members left")
        return errors

    def _leave_one(self, member_id: str, instance_id: str | None) -> ErrorCode:
        if not member_id:  # an administrator removes a static member by its instance (KIP-345)
            member_id = self.roster.static_ids.get(instance_id or "", "")
            if not member_id:
                return ErrorCode.unknown_member_id
        elif member_id not in self.roster.pending_joins:
            error = self.check_member(member_id, instance_id)
            if error is not None:
                return error
        self.remove_member(member_id)
        return ErrorCode.none

    # --- timers, end --------------------------------------------------------------------------

    def timer_fired(self, timer: Timer) -> None:
        match timer.kind:
            case "join":
                self.join_timer_fired()
            case "sync":
                self.sync_timer_fired()
            case "pending":
                self.roster.pending_joins.discard(timer.member_id)
                self.maybe_complete_join()
            case "session":
                self._session_expired(timer.member_id)

    def _session_expired(self, member_id: str) -> None:
        member = self.roster.members.get(member_id)
        if member is None:
            return
        waiting = member.join_call is not None or member.sync_call is not None
        if waiting and not member.is_new:
            return  # it waits for us; its session starts anew with the answer
        self.remove_member(member_id)
        if self.state not in {State.EMPTY, State.DEAD}:
            self.rebalance_or_complete(f"the session of member {member_id} ended")

    def die(self, error: ErrorCode = ErrorCode.coordinator_not_available) -> None:
        """Ends the group: parked calls are refused, later ones too."""
        self._effects.stop_timer(Timer("join"))
        self._effects.stop_timer(Timer("sync"))
        for member in self.roster.members.values():
            self._effects.stop_timer(Timer("session", member.member_id))
            self.answer_join(member, error)
            self.answer_sync(member, error)
        for member_id in self.roster.pending_joins:
            self._effects.stop_timer(Timer("pending", member_id))
        self.roster.pending_joins.clear()
        self.transition(State.DEAD)
