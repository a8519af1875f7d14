"""Open connections by who they are: whose token ends when, and whom a kick hits."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from mainstem.clock import Clock
from mainstem.live.access.identity import Identity

ConnectionT = TypeVar("ConnectionT", bound=Hashable)


class Step(Enum):
    """What a connection is due for."""

    WARN = "auth"
    """Tell it (``event: auth``) that its token ends soon."""
    CLOSE = "expired"
    """End it, resumably: with a new token it goes on where it stopped."""


@dataclass(frozen=True, slots=True)
class Due(Generic[ConnectionT]):
    connection: ConnectionT
    step: Step
    expires_at: float


class Sessions(Generic[ConnectionT]):
    """Connections that have an identity, while they are open. Not thread-safe.

    Memory is a dictionary entry per connection, and one per user and token id; anonymous
    connections cost nothing.
    """

    def __init__(self, clock: Clock, *, warning: float = 30.0) -> None:
        self._clock = clock
        self._warning = warning
        self._identities: dict[ConnectionT, Identity] = {}
        self._by_user: dict[str, set[ConnectionT]] = {}
        self._by_token: dict[str, set[ConnectionT]] = {}
        # (when, number, connection, identity, step); an entry whose identity is not the
        # connection's any more is dead, and dropped when it is met or when most are.
        self._due: list[tuple[float, int, ConnectionT, Identity, Step]] = []
        self._number = 0

    def __len__(self) -> int:
        return len(self._identities)

    def add(self, connection: ConnectionT, identity: Identity) -> None:
        """Follow ``connection``; one that is followed already has a new identity from now on."""
        self.remove(connection)
        if identity.anonymous:
            return
        self._identities[connection] = identity
        if identity.user is not None:
            self._by_user.setdefault(identity.user, set()).add(connection)
        if identity.token_id is not None:
            self._by_token.setdefault(identity.token_id, set()).add(connection)
        if identity.expires_at is not None:
            self._push(identity.expires_at - self._warning, connection, identity, Step.WARN)

    def remove(self, connection: ConnectionT) -> None:
        """Forget ``connection``; one not known is no error."""
        identity = self._identities.pop(connection, None)
        if identity is None:
            return
        _discard(self._by_user, identity.user, connection)
        _discard(self._by_token, identity.token_id, connection)
        if len(self._due) > 2 * len(self._identities) + 64:
            self._due = [entry for entry in self._due if self._lives(entry)]
            heapq.heapify(self._due)

    def due(self) -> list[Due[ConnectionT]]:
        """What has come due since the last call: each step of each connection once."""
        now = self._clock.now_ms() / 1000
        found = []
        while self._due and self._due[0][0] <= now:
            entry = heapq.heappop(self._due)
            _, _, connection, identity, step = entry
            expires_at = identity.expires_at
            if not self._lives(entry) or expires_at is None:
                continue
            found.append(Due(connection, step, expires_at))
            if step is Step.WARN:
                self._push(expires_at, connection, identity, Step.CLOSE)
        return found

    def next_due(self) -> float | None:
        """Unix seconds at which :meth:`due` may have something, or ``None``."""
        return self._due[0][0] if self._due else None

    def matching(self, *, user: str | None = None, token_id: str | None = None) -> set[ConnectionT]:
        """Connections of ``user``, and those opened with the token ``token_id``."""
        users = self._by_user.get(user, set()) if user is not None else set()
        tokens = self._by_token.get(token_id, set()) if token_id is not None else set()
        return users | tokens

    def _push(self, when: float, connection: ConnectionT, identity: Identity, step: Step) -> None:
        self._number += 1
        heapq.heappush(self._due, (when, self._number, connection, identity, step))

    def _lives(self, entry: tuple[float, int, ConnectionT, Identity, Step]) -> bool:
        return self._identities.get(entry[2]) is entry[3]


def _discard(table: dict[str, set[ConnectionT]], name: str | None, connection: ConnectionT) -> None:
    if name is None:
        return
    table[name].discard(connection)
    if not table[name]:
        del table[name]
