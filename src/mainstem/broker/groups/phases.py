"""The phases of a rebalance: prepare (members join), complete (the leader assigns), stable.

Follows Apache Kafka's ClassicGroup and GroupMetadataManager (KIP-62, 134, 345, 394, 559).
"""

from __future__ import annotations

import logging

from mainstem.broker.groups.base import GroupBase
from mainstem.broker.groups.effects import State, Timer
from mainstem.wire import ErrorCode

logger = logging.getLogger("mainstem.broker.groups")

_JOIN, _SYNC = Timer("join"), Timer("sync")


class Phases(GroupBase):
    """Moves a group from one generation to the next."""

    def remove_member(self, member_id: str) -> None:
        """Takes a member out and answers what it had parked; does not rebalance."""
        self._effects.stop_timer(Timer("session", member_id))
        self._effects.stop_timer(Timer("pending", member_id))
        member = self.roster.remove(member_id)
        if member is not None:
            self.answer_join(member, ErrorCode.unknown_member_id, member_id="")
            self.answer_sync(member, ErrorCode.unknown_member_id)
        self.stop_sync_timer_if_done()

    def rebalance_or_complete(self, reason: str) -> None:
        """Starts a rebalance, or ends the one under way if this was the last to wait for."""
        if self.state in {State.STABLE, State.COMPLETING, State.EMPTY}:
            self.prepare(reason)
        else:
            self.maybe_complete_join()

    def prepare(self, reason: str) -> None:
        if self.state is State.COMPLETING:  # have those that wait for the leader rejoin
            self.assign_all({}, ErrorCode.rebalance_in_progress)
        self.roster.pending_syncs.clear()
        self._effects.stop_timer(_SYNC)
        was_empty = self.state is State.EMPTY
        self.transition(State.PREPARING)
        logger.info(
            "group %s prepares to rebalance after generation %d: %s",
            self.group_id, self.generation, reason,
        )  # fmt: skip
        if not was_empty:
            self._complete_join_or_wait()
        elif self._initial_delay_ms <= 0:
            # Without a delay the first member must not wait for ids promised to others, either.
            self.complete_join()
        else:
            timeout = self.roster.rebalance_timeout_ms
            self._initial_remaining_ms = max(timeout - self._initial_delay_ms, 0)
            self._joined_during_delay = False
            self._effects.start_timer(_JOIN, self._initial_delay_ms)

    def maybe_complete_join(self) -> None:
        in_delay = self._initial_remaining_ms is not None
        if self.state is State.PREPARING and self.roster.all_joined and not in_delay:
            self.complete_join()

    def joined_during_delay(self) -> None:
        self._joined_during_delay = True

    def join_timer_fired(self) -> None:
        """The rebalance timeout, or one step of the initial delay (KIP-134)."""
        remaining = self._initial_remaining_ms
        if remaining and self._joined_during_delay:
            self._joined_during_delay = False
            self._initial_remaining_ms = max(remaining - self._initial_delay_ms, 0)
            self._effects.start_timer(_JOIN, min(self._initial_delay_ms, remaining))
            return
        self.complete_join()

    def _complete_join_or_wait(self) -> None:
        if self.roster.all_joined:
            self.complete_join()
        else:
            self._effects.start_timer(_JOIN, self.roster.rebalance_timeout_ms)

    def complete_join(self) -> None:
        """Starts the next generation with those who joined; the others are out (KIP-345)."""
        self._effects.stop_timer(_JOIN)
        self._initial_remaining_ms = None
        for member in self.roster.not_joined():
            if member.instance_id is None:
                self.remove_member(member.member_id)
        if self.roster.members and not self.roster.elect_joined_leader():
            # Only static members, and none came back: wait until their sessions end.
            self._effects.start_timer(_JOIN, self.roster.rebalance_timeout_ms)
            return
        self.generation += 1
        if not self.roster.members:
            self.protocol_name = None
            self.read_topics()
            self.transition(State.EMPTY)
            self._effects.persist(self.snapshot(), lambda _stored: None)
            return
        self.protocol_name = self.roster.select_protocol()
        self.read_topics()
        self.transition(State.COMPLETING)
        for member in self.roster.members.values():
            call = self.roster.park_join(member, None)
            if call is not None:
                self._effects.answer(call, self.join_result(member))
            member.is_new = False
            self.restart_session(member)
        self.roster.pending_syncs = set(self.roster.members)
        self._effects.start_timer(_SYNC, self.roster.rebalance_timeout_ms)

    # --- complete -----------------------------------------------------------------------------

    def received_sync(self, member_id: str) -> None:
        self.roster.pending_syncs.discard(member_id)
        self.stop_sync_timer_if_done()

    def stop_sync_timer_if_done(self) -> None:
        if self.state in {State.COMPLETING, State.STABLE} and not self.roster.pending_syncs:
            self._effects.stop_timer(_SYNC)

    def sync_timer_fired(self) -> None:
        """Members that never fetched their assignment are out."""
        late = list(self.roster.pending_syncs)
        if self.state not in {State.COMPLETING, State.STABLE} or not late:
            return
        for member_id in late:
            self.remove_member(member_id)
        self.prepare(f"{len(late)} members did not sync in time")

    def store_assignment(self, assignments: dict[str, bytes]) -> None:
        """Persists the leader's assignment, then makes the generation stable."""
        generation = self.generation
        if self._storing == generation:
            return  # the leader asked twice; the answer to its first goes to both
        self._storing = generation

        def stored(on_disk: bool) -> None:
            # Another member may have joined while the disk worked: then this is history.
            if self.state is not State.COMPLETING or self.generation != generation:
                return
            if on_disk:
                self.assign_all(assignments, ErrorCode.none)
                self.transition(State.STABLE)
            else:
                self.assign_all({}, ErrorCode.coordinator_not_available)
                self.rebalance_or_complete("the assignment could not be stored")

        self._effects.persist(self.snapshot(assignments), stored)

    def assign_all(self, assignments: dict[str, bytes], error: ErrorCode) -> None:
        for member in self.roster.members.values():
            self.roster.assign(member, assignments.get(member.member_id, b""))
            if self.answer_sync(member, error):
                self.restart_session(member)  # while it was parked, its timer could run out
