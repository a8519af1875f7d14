"""JoinGroup: who is let in, who is asked to come again, and what that sets off.

One difference from Apache Kafka: a static member that comes back with other *topics* triggers a
rebalance, where Kafka only looks at the protocol and leaves it with partitions of topics it no
longer reads.
"""

from __future__ import annotations

from mainstem.broker.groups.base import CONSUMER
from mainstem.broker.groups.effects import JoinRequest, JoinResult, State, Timer
from mainstem.broker.groups.phases import Phases
from mainstem.broker.groups.roster import Member, Parked
from mainstem.broker.groups.subscription import subscribed_topics
from mainstem.wire import ErrorCode

#: A parked first JoinGroup is given up after this long; a client still there asks again.
NEW_MEMBER_JOIN_TIMEOUT_MS = 5 * 60 * 1000
#: Subscriptions and assignments of one group together; the leader is sent all subscriptions.
GROUP_MAX_BYTES = 64 * 1024 * 1024
_CLIENT_ID_KEPT = 255


class Joining(Phases):
    """The join half of a group."""

    def join(self, request: JoinRequest, call: Parked, *, max_size: int) -> None:
        """JoinGroup: parked until the generation is complete, or answered at once."""
        refused = self._refuse_join(request, max_size)
        if refused is not None:
            result = JoinResult(error=refused, member_id=request.member_id)
            self._effects.answer(call, result)
        elif not request.member_id:
            self._join_unknown(request, call, max_size)
        elif request.member_id in self.roster.pending_joins:
            self._add(request, request.member_id, call)
        else:
            self._rejoin(request, call)

    def _refuse_join(self, request: JoinRequest, max_size: int) -> ErrorCode | None:
        if self.state is State.DEAD:
            return ErrorCode.coordinator_not_available
        if not self._has_room(request, max_size):
            if request.member_id in self.roster.members:
                self.remove_member(request.member_id)
                self.rebalance_or_complete("a member was refused")
            return ErrorCode.group_max_size_reached
        if not self._fits_protocol(request):
            return ErrorCode.inconsistent_group_protocol
        if not request.member_id or request.member_id in self.roster.pending_joins:
            # An id is promised to dynamic members only.
            promised = bool(request.member_id) and request.instance_id is not None
            return ErrorCode.unknown_member_id if promised else None
        return self.check_member(request.member_id, request.instance_id)

    def _has_room(self, request: JoinRequest, max_size: int) -> bool:
        member = self.roster.members.get(request.member_id)
        if member is None and request.instance_id is not None:
            member = self.roster.members.get(self.roster.static_ids.get(request.instance_id, ""))
        before = 0 if member is None else member.size
        new_bytes = sum(len(name) + len(data) for name, data in request.protocols.items())
        if self.roster.size - before + new_bytes > GROUP_MAX_BYTES:
            return False
        match self.state:
            case State.PREPARING:
                # Not the size: after the limit was lowered, the last to rejoin must go.
                awaiting = member is not None and member.join_call is not None
                return awaiting or self.roster.joined_count < max_size
            case State.COMPLETING | State.STABLE:
                return member is not None or len(self.roster.members) < max_size
        return True

    def _fits_protocol(self, request: JoinRequest) -> bool:
        if not request.protocol_type or not request.protocols:
            return False
        if self.state is State.EMPTY:
            return True
        return request.protocol_type == self.protocol_type and self.roster.supports(
            list(request.protocols)
        )

    def _join_unknown(self, request: JoinRequest, call: Parked, max_size: int) -> None:
        instance_id = request.instance_id
        prefix = request.client_id[:_CLIENT_ID_KEPT] if instance_id is None else instance_id
        member_id = self._effects.new_member_id(prefix)
        if instance_id is not None and instance_id in self.roster.static_ids:
            self._replace_static(request, instance_id, member_id, call)
        elif instance_id is not None or not request.requires_known_member:
            self._add(request, member_id, call)
        elif len(self.roster.pending_joins) >= max_size:
            error = ErrorCode.group_max_size_reached
            self._effects.answer(call, JoinResult(error=error, member_id=""))
        else:
            # KIP-394: the id first, so that a join that is retried does not join twice.
            self.roster.pending_joins.add(member_id)
            self._effects.start_timer(Timer("pending", member_id), request.session_timeout_ms)
            error = ErrorCode.member_id_required
            self._effects.answer(call, JoinResult(error=error, member_id=member_id))

    def _add(self, request: JoinRequest, member_id: str, call: Parked) -> None:
        member = Member(
            member_id=member_id,
            instance_id=request.instance_id,
            client_id=request.client_id,
            client_host=request.client_host,
            session_timeout_ms=request.session_timeout_ms,
            rebalance_timeout_ms=request.rebalance_timeout_ms,
            protocols=request.protocols,
            is_new=True,
        )
        if not self.roster.members:
            self.protocol_type = request.protocol_type
        self._effects.stop_timer(Timer("pending", member_id))
        self.roster.add(member, call)
        # Its session cannot count yet: no client sends heartbeats while its join is parked.
        self._effects.start_timer(Timer("session", member_id), NEW_MEMBER_JOIN_TIMEOUT_MS)
        self.joined_during_delay()
        self.rebalance_or_complete(f"member {member_id} joins")

    def _rejoin(self, request: JoinRequest, call: Parked) -> None:
        member = self.roster.members[request.member_id]
        changed = list(member.protocols.items()) != list(request.protocols.items())
        leading = self.roster.leader == member.member_id
        match self.state:
            case State.COMPLETING if not changed:  # it missed the answer to its first join
                self._effects.answer(call, self.join_result(member))
            # A leader rejoins to trigger a rebalance for what no subscription shows, such as
            # new partitions, and members of a cooperative group to hand over what they revoked.
            case State.STABLE if not changed and not leading:
                self._effects.answer(call, self.join_result(member))
            case _:
                self._update(member, request, call)
                self.rebalance_or_complete(f"member {member.member_id} rejoins")

    def _update(self, member: Member, request: JoinRequest, call: Parked) -> None:
        self.roster.update(
            member, request.protocols, request.session_timeout_ms, request.rebalance_timeout_ms
        )
        before = self.roster.park_join(member, call)
        retry = ErrorCode.rebalance_in_progress
        self.supersede(before, JoinResult(error=retry, member_id=member.member_id))

    def _replace_static(
        self, request: JoinRequest, instance_id: str, member_id: str, call: Parked
    ) -> None:
        """A static member came back without its id (KIP-345): the old one is fenced."""
        leader_before = self.roster.leader
        old, new = self.roster.replace_static(instance_id, member_id)
        self._effects.stop_timer(Timer("session", old.member_id))
        self.answer_join(old, ErrorCode.fenced_instance_id)
        self.answer_sync(old, ErrorCode.fenced_instance_id)
        self.stop_sync_timer_if_done()
        new.is_new = False
        before = self._topics_of(new)
        new.client_id, new.client_host = request.client_id, request.client_host
        self._update(new, request, call)
        self.restart_session(new)
        match self.state:
            case State.STABLE:
                same = self.protocol_name == self.roster.select_protocol()
                if same and before == self._topics_of(new):
                    self._keep_stable(request, new, leader_before, call)
                else:
                    self.rebalance_or_complete(f"static member {instance_id} changed")
            case State.COMPLETING:
                # The leader may have seen the old id only: its assignment would miss this one.
                self.prepare(f"static member {instance_id} was replaced")
            case _:
                self.maybe_complete_join()

    def _keep_stable(
        self, request: JoinRequest, member: Member, leader_before: str | None, call: Parked
    ) -> None:
        """No rebalance: store the new id, then give it the generation that is there."""

        def stored(on_disk: bool) -> None:
            if self.state is not State.STABLE or member.join_call is not call:
                return  # a rebalance began: that answers it
            self.restart_session(member)
            if not on_disk:
                error = ErrorCode.coordinator_not_available
                self.answer_join(member, error, member_id="")
                return
            self.roster.park_join(member, None)
            leading = self.roster.leader == member.member_id
            if request.supports_skip_assignment:
                result = self.join_result(member, skip=leading)
            else:
                # Named by its old id, the leader does not believe it leads: nobody would take
                # an assignment from it now.
                result = self.join_result(member, leader=leader_before)
            self._effects.answer(call, result)

        self._effects.persist(self.snapshot(), stored)

    def _topics_of(self, member: Member) -> frozenset[str] | None:
        if self.protocol_type != CONSUMER:
            return None
        return subscribed_topics(member.protocols.get(self.protocol_name or "", b""))
