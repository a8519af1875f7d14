"""One-use tickets: what a native ``EventSource`` of another site puts into its URL.

A URL ends in logs and histories, so no token belongs there (RFC 9700 section 4.3.2). A ticket
is signed, lives 30 seconds at most and is good once: whoever reads it later has nothing.
"""

from __future__ import annotations

import hashlib
import heapq
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeAlias

from mainstem.clock import Clock
from mainstem.errors import Invalid
from mainstem.live.access.errors import AccessDenied, LimitReached, unauthenticated
from mainstem.live.access.identity import Identity, Source, is_name
from mainstem.live.access.settings import TicketSettings
from mainstem.live.access.tokens import LONGEST_TOKEN, TICKET_TYPE, seconds_of

AUDIENCE: Final = "mainstem-live"
MOST_REMEMBERED = 200_000

Spend: TypeAlias = Callable[[str, float], Awaitable[bool]]
"""(ticket id, when it expires in Unix seconds) → whether nobody used it before."""


class TicketLedger:
    """Tickets used so far, each until it expires: one ledger per node, in the dispatcher.

    Full (200,000 tickets within 30 s) it refuses rather than forgets. Not thread-safe.
    """

    def __init__(self, clock: Clock, *, remembered: int = MOST_REMEMBERED) -> None:
        self._clock = clock
        self._remembered = remembered
        self._used: set[str] = set()
        self._ends: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._used)

    def spend(self, ticket_id: str, expires_at: float) -> bool:
        """Whether this is the first use, which it then was; false for an expired ticket."""
        now = self._clock.now_ms() / 1000
        while self._ends and self._ends[0][0] <= now:
            self._used.discard(heapq.heappop(self._ends)[1])
        if expires_at <= now or ticket_id in self._used:
            return False
        if len(self._used) >= self._remembered:
            raise LimitReached(
                "too many tickets were used within the last 30 s: try again",
                reason="tickets",
                retry_after=5.0,
            )
        self._used.add(ticket_id)
        heapq.heappush(self._ends, (expires_at, ticket_id))
        return True

    async def spend_async(self, ticket_id: str, expires_at: float) -> bool:
        """:meth:`spend`, in the shape that :class:`Tickets` calls."""
        return self.spend(ticket_id, expires_at)


class Tickets:
    """Issues and redeems tickets. ``secret`` is shared by the workers (by nodes, too, if
    ``any_node``); ``claims`` are the claims that rights and templates need."""

    def __init__(
        self,
        settings: TicketSettings,
        clock: Clock,
        *,
        secret: bytes,
        node: str,
        claims: Iterable[str],
        spend: Spend,
    ) -> None:
        if len(secret) < 16:
            raise Invalid(f"the tickets' secret has {len(secret)} bytes: give 16 at least")
        self._settings = settings
        self._clock = clock
        self._node = node
        self._claims = frozenset(claims)
        self._spend = spend
        # A key for nothing else: no cursor, token or other signature can pass for a ticket.
        self._key = hashlib.blake2b(secret, digest_size=32, person=b"live-tickets").digest()

    def issue(self, identity: Identity) -> str:
        """A ticket for ``identity``. Raises ``AccessDenied`` for those who have no token."""
        import jwt

        if identity.anonymous or identity.source is Source.TICKET:
            raise unauthenticated("a ticket is issued for a token: send one", "ticket")
        now = self._clock.now_ms() / 1000
        expires_at = now + self._settings.seconds
        if identity.expires_at is not None:
            expires_at = min(expires_at, identity.expires_at)
        body = {
            "aud": AUDIENCE,
            "jti": secrets.token_urlsafe(16),
            "exp": expires_at,
            "node": self._node,
            "user": identity.user,
            "end": identity.expires_at,
            "token": identity.token_id,
            "issued": identity.issued_at,
            "claims": {k: v for k, v in identity.claims.items() if k in self._claims},
        }
        return jwt.encode(body, self._key, "HS256", headers={"typ": TICKET_TYPE})

    async def redeem(self, ticket: str) -> Identity:
        """Who the ticket was issued for. Raises ``AccessDenied`` (401); good once."""
        body = self._read(ticket)
        expires_at, ticket_id = seconds_of(body, "exp"), body.get("jti")
        if expires_at is None or not isinstance(ticket_id, str):
            raise not_ours()
        if self._clock.now_ms() / 1000 >= expires_at:
            raise unauthenticated("the ticket has expired: get a new one", "ticket_expired")
        if body.get("node") != self._node and not self._settings.any_node:
            raise unauthenticated(
                "the ticket is another node's: use it there, or allow `access.tickets.any_node`",
                "ticket_node",
            )
        if not await self._spend(ticket_id, expires_at):
            raise unauthenticated("the ticket was used: a ticket is good once", "ticket_used")
        user, claims = body.get("user"), body.get("claims")
        if not is_name(user) or not isinstance(claims, dict):
            raise not_ours()
        return Identity(
            user,
            seconds_of(body, "end"),
            body.get("token"),
            claims,
            seconds_of(body, "issued"),
            Source.TICKET,
        )

    def _read(self, ticket: str) -> dict[str, Any]:
        import jwt

        if len(ticket) > 2 * LONGEST_TOKEN:
            raise not_ours()
        try:
            decoded = jwt.decode_complete(
                ticket,
                self._key,
                algorithms=["HS256"],
                audience=AUDIENCE,
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except (jwt.PyJWTError, RecursionError, ValueError, TypeError) as error:
            raise not_ours() from error
        if decoded["header"].get("typ") != TICKET_TYPE:
            raise not_ours()
        body: dict[str, Any] = decoded["payload"]
        return body


def not_ours() -> AccessDenied:
    return unauthenticated("that is no ticket of this server", "ticket")
