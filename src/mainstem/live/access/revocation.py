"""Tokens and users that are not believed any more, before their time."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from mainstem.clock import Clock
from mainstem.live.access.errors import unauthenticated
from mainstem.live.access.identity import Identity

REMEMBERED_SECONDS = 86_400.0
MOST_REMEMBERED = 100_000


class Revoked(NamedTuple):
    """A user or a token id, and since when (Unix seconds)."""

    user: str | None
    token_id: str | None
    at: float


class Revocations:
    """Revoked token ids and users, each for a day; of over 100,000 the oldest go.

    A user is revoked with every token issued up to that second: one issued later is believed
    (signing in again), one that does not say when it was issued is not. Not thread-safe.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        seconds: float = REMEMBERED_SECONDS,
        remembered: int = MOST_REMEMBERED,
    ) -> None:
        self._clock = clock
        self._seconds = seconds
        self._remembered = remembered
        self._tokens: OrderedDict[str, float] = OrderedDict()
        self._users: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tokens) + len(self._users)

    def add(self, *, token_id: str | None, user: str | None, at: float | None = None) -> None:
        """Revoke a token by its ``jti``, or a user with all tokens there are.

        ``at``: Unix seconds, for what was revoked before (:meth:`entries` of another).
        """
        now = self._clock.now_ms() / 1000
        for table, name in ((self._tokens, token_id), (self._users, user)):
            self._forget(table, now)
            if name is not None:
                table[name] = max(now if at is None else at, table.get(name, 0.0))
                table.move_to_end(name)

    def entries(self) -> list[Revoked]:
        """All that is revoked, for a worker that starts later."""
        return [
            *(Revoked(None, token_id, at) for token_id, at in self._tokens.items()),
            *(Revoked(user, None, at) for user, at in self._users.items()),
        ]

    def check(self, identity: Identity) -> None:
        """Raise ``AccessDenied`` (401) for an identity that was revoked."""
        if identity.token_id is not None and identity.token_id in self._tokens:
            raise unauthenticated("the token was revoked: sign in again", "revoked")
        revoked_at = self._users.get(identity.user) if identity.user is not None else None
        if revoked_at is None:
            return
        # `iat` is often whole seconds, so a token of the same second counts as issued before.
        if identity.issued_at is None or identity.issued_at <= revoked_at:
            raise unauthenticated("the user's tokens were revoked: sign in again", "revoked")

    def _forget(self, table: OrderedDict[str, float], now: float) -> None:
        while table:
            oldest = next(iter(table))
            if len(table) < self._remembered and table[oldest] + self._seconds > now:
                break
            del table[oldest]
