"""Who is in a group: members, static instances, promised ids, votes for a protocol.

Data only: no states, no timers, no replies. ``phases`` and ``machine`` decide.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

#: A request waiting for its answer; the shell knows what it is (a future), the machine does not.
Parked = Any


@dataclass(slots=True, kw_only=True)
class Member:
    """One member of a group. ``protocols`` maps names to subscription bytes, preferred first."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocols: dict[str, bytes]
    assignment: bytes = b""
    #: Has never been given a generation: a parked first JoinGroup does not keep it alive.
    is_new: bool = False
    join_call: Parked | None = None
    sync_call: Parked | None = None

    @property
    def size(self) -> int:
        """Bytes of its subscription and assignment."""
        named = sum(len(name) + len(data) for name, data in self.protocols.items())
        return named + len(self.assignment)

    def vote(self, candidates: set[str]) -> str:
        """The first of its protocols that everyone supports."""
        return next(name for name in self.protocols if name in candidates)


@dataclass(slots=True)
class Roster:
    """The members and what can be counted about them, kept current at every change.

    ``pending_joins`` are ids promised to dynamic members (KIP-394) that have not come back;
    ``pending_syncs`` are members of this generation that have not asked for their assignment.
    """

    members: dict[str, Member] = field(default_factory=dict)
    static_ids: dict[str, str] = field(default_factory=dict)
    pending_joins: set[str] = field(default_factory=set)
    pending_syncs: set[str] = field(default_factory=set)
    leader: str | None = None
    size: int = 0
    _joined: set[str] = field(default_factory=set)
    _support: Counter[str] = field(default_factory=Counter)

    @property
    def joined_count(self) -> int:
        """Members whose JoinGroup is parked."""
        return len(self._joined)

    @property
    def all_joined(self) -> bool:
        return len(self._joined) == len(self.members) and not self.pending_joins

    @property
    def rebalance_timeout_ms(self) -> int:
        return max((member.rebalance_timeout_ms for member in self.members.values()), default=0)

    def add(self, member: Member, call: Parked | None) -> None:
        self.pending_joins.discard(member.member_id)
        self._insert(member)
        if self.leader is None:
            self.leader = member.member_id
        self.park_join(member, call)

    def update(
        self, member: Member, protocols: dict[str, bytes], session_ms: int, rebalance_ms: int
    ) -> None:
        self._withdraw(member)
        self.size -= member.size
        member.protocols = protocols
        member.session_timeout_ms = session_ms
        member.rebalance_timeout_ms = rebalance_ms
        self._support.update(protocols.keys())
        self.size += member.size

    def assign(self, member: Member, assignment: bytes) -> None:
        self.size += len(assignment) - len(member.assignment)
        member.assignment = assignment

    def remove(self, member_id: str) -> Member | None:
        """Takes a member (or a promised id) out; the next in line becomes leader."""
        self.pending_joins.discard(member_id)
        self.pending_syncs.discard(member_id)
        self._joined.discard(member_id)
        member = self.members.pop(member_id, None)
        if member is None:
            return None
        self._withdraw(member)
        self.size -= member.size
        if member.instance_id is not None:
            self.static_ids.pop(member.instance_id, None)
        if self.leader == member_id:
            self.leader = next(iter(self.members), None)
        return member

    def replace_static(self, instance_id: str, new_member_id: str) -> tuple[Member, Member]:
        """Gives a static member a new id, keeping its place; returns the old and the new one."""
        old_id = self.static_ids[instance_id]
        was_leader = self.leader == old_id
        old = self.remove(old_id)
        assert old is not None
        new = replace(old, member_id=new_member_id, join_call=None, sync_call=None)
        self._insert(new)
        if was_leader:
            self.leader = new_member_id
        return old, new

    def park_join(self, member: Member, call: Parked | None) -> Parked | None:
        """Parks ``call`` as the member's JoinGroup; returns the one that waited before."""
        before, member.join_call = member.join_call, call
        if call is None:
            self._joined.discard(member.member_id)
        else:
            self._joined.add(member.member_id)
        return before

    def not_joined(self) -> list[Member]:
        return [m for member_id, m in self.members.items() if member_id not in self._joined]

    def elect_joined_leader(self) -> bool:
        """Keeps the leader if it has joined, else takes one that has; False if nobody has."""
        if self.leader not in self._joined:
            joined = next((name for name in self.members if name in self._joined), None)
            if joined is None:
                return False
            self.leader = joined
        return True

    def supports(self, names: list[str]) -> bool:
        """Whether every member supports at least one of ``names``."""
        return any(self._support[name] == len(self.members) for name in names)

    def select_protocol(self) -> str:
        """The candidate with most first votes; ties go to the one first voted for."""
        everyone = len(self.members)
        candidates = {name for name, count in self._support.items() if count == everyone}
        votes = Counter(member.vote(candidates) for member in self.members.values())
        return votes.most_common(1)[0][0]

    def _insert(self, member: Member) -> None:
        self.members[member.member_id] = member
        if member.instance_id is not None:
            self.static_ids[member.instance_id] = member.member_id
        self._support.update(member.protocols.keys())
        self.size += member.size

    def _withdraw(self, member: Member) -> None:
        for name in member.protocols:
            self._support[name] -= 1
            if not self._support[name]:
                del self._support[name]  # made-up names must not pile up
