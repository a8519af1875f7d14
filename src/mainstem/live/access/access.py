"""Who may do what here: one object per worker, asked once per connection and publish."""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from mainstem.clock import Clock
from mainstem.errors import Invalid
from mainstem.live.access.addresses import Proxies, limit_key
from mainstem.live.access.errors import AccessDenied, unauthenticated
from mainstem.live.access.identity import ANONYMOUS, Identity, RequestFacts, Right, Source
from mainstem.live.access.jwks import RemoteKeys, remote_keys
from mainstem.live.access.keys import KeySource, StaticKeys, configured_keys
from mainstem.live.access.limits import Admission, Limits
from mainstem.live.access.origins import Origins
from mainstem.live.access.revocation import Revocations
from mainstem.live.access.rights import Rights
from mainstem.live.access.settings import AccessSettings
from mainstem.live.access.tickets import Spend, TicketLedger, Tickets
from mainstem.live.access.tokens import Tokens

PROTOCOL = "mainstem.live"
"""The WebSocket subprotocol the server answers with."""
TOKEN_PROTOCOL = "bearer."
CLAIMED_PARAMETERS = ("access_token", "token", "authorization")


class Access:
    """Decisions only: no I/O but a key set's, off the loop. One event loop's.

    ``secret`` signs tickets; workers share it, and ``spend`` (one ledger per node). Without
    them tickets are good in this object only.
    """

    def __init__(
        self,
        settings: AccessSettings,
        clock: Clock,
        *,
        secret: bytes | None = None,
        node: str = "",
        spend: Spend | None = None,
    ) -> None:
        if settings.tokens.configured:
            # Some 100 ms: now, not with the first token, while viewers wait for the loop.
            importlib.import_module("jwt")
        self._settings = settings
        self._clock = clock
        self._remote: RemoteKeys | None = remote_keys(settings.tokens, clock)
        sources: list[KeySource] = [StaticKeys(configured_keys(settings.tokens))]
        if self._remote is not None:
            sources.append(self._remote)
        self._tokens = Tokens(settings.tokens, sources, clock)
        self._rights = Rights(settings)
        self._origins = Origins(settings.origins, settings.hosts, credentials=settings.credentials)
        self._proxies = Proxies(settings.trusted_proxies)
        self._revocations = Revocations(clock)
        self._limits = Limits(settings.limits, clock)
        self._tickets = Tickets(
            settings.tickets,
            clock,
            secret=secrets.token_bytes(32) if secret is None else secret,
            node=node,
            claims=self._rights.claims,
            spend=TicketLedger(clock).spend_async if spend is None else spend,
        )

    async def authenticate(self, request: RequestFacts) -> Identity:
        """Who sent ``request``: by bearer token, subprotocol, ticket or cookie, in this order.

        Credentials that are there must hold: a bad token is refused, not taken for nobody.
        Raises ``AccessDenied`` (401, 403), ``LimitReached`` (429) for an address that keeps
        failing, ``Unavailable`` while the key set cannot be had.
        """
        self._origins.check_host(request.headers.get("host"))
        self._check_forwarded(request)
        if request.websocket:
            self._check_websocket_origin(request)
        kind, credential = self._credential(request)
        if credential is None:
            if not self._rights.open_to_anyone and not request.websocket:
                raise unauthenticated("nothing here is open without a token: sign in", "token")
            return ANONYMOUS
        with self._counting_failures(request):
            self._check_configured()
            if kind is Source.TICKET:
                identity = await self._tickets.redeem(credential)
                self._revocations.check(identity)
                return identity
            if kind is Source.COOKIE and (request.websocket or request.method != "GET"):
                self._origins.check_ambient(request.headers)
            return await self._verify(credential, kind)

    async def authenticate_token(self, token: str, request: RequestFacts) -> Identity:
        """Who holds a token that came as a message (a WebSocket's first, or a renewed one)."""
        with self._counting_failures(request):
            self._check_configured()
            return await self._verify(token, Source.BEARER)

    def may(self, identity: Identity, right: Right, channel: str) -> None:
        """Raise ``AccessDenied`` naming channel and right unless ``identity`` has it, still."""
        self.check_alive(identity)
        self._rights.check(identity, right, channel)

    def expand(self, identity: Identity, channel: str) -> str:
        """``user:{sub}`` as the user's own channel. Raises ``AccessDenied`` without the claim."""
        return self._rights.expand(identity, channel)

    def check_alive(self, identity: Identity) -> None:
        """Raise ``AccessDenied`` (401) for an identity that has expired or was revoked."""
        if identity.anonymous:
            return
        if identity.expires_at is not None and self._now() >= identity.expires_at:
            raise unauthenticated("the token has expired: get a new one", "expired")
        self._revocations.check(identity)

    def cors(self, origin: str | None, method: str, *, host: str | None = None) -> dict[str, str]:
        """Headers to add to an answer (to a preflight, for OPTIONS).

        ``host``: the request's ``Host``, whose own pages are always allowed. Raises
        ``AccessDenied`` for an origin that is not.
        """
        return self._origins.headers(origin, method, host=host)

    def client_address(self, request: RequestFacts) -> str:
        """Where the request comes from, behind the proxies that are trusted to say."""
        return self._proxies.client_of(request.address, request.headers.get("x-forwarded-for"))

    def admit(self, identity: Identity, address: str) -> Admission:
        """A place for a connection from ``address`` (as :meth:`client_address` gave it).

        Raises ``LimitReached``. The place is held until its ``release()``.
        """
        return self._limits.connect(limit_key(address), identity.user)

    def admit_channels(self, address: str, count: int) -> None:
        """Count channels that this worker is to open. Raises ``LimitReached``."""
        if count:
            self._limits.open_channels(limit_key(address), count)

    def admit_publish(self, identity: Identity, address: str) -> None:
        """Count one publish. Raises ``LimitReached`` with the time to wait."""
        self._limits.publish(limit_key(address), identity.user)

    def issue_ticket(self, identity: Identity) -> str:
        """A ticket (``?ticket=``): one use, 30 s at most, never longer than its token."""
        self.check_alive(identity)
        return self._tickets.issue(identity)

    @property
    def ticket_seconds(self) -> float:
        """How long a ticket lives."""
        return self._settings.tickets.seconds

    def revoke(
        self,
        *,
        token_id: str | None = None,
        user: str | None = None,
        at: float | None = None,
    ) -> None:
        """Believe a token, or all tokens a user has by now (or had ``at``), no longer.

        Open connections are the caller's to end: ``Sessions.matching`` knows them.
        """
        if token_id is None and user is None:
            raise Invalid("revoke what? Name a token_id or a user")
        self._revocations.add(token_id=token_id, user=user, at=at)

    async def close(self) -> None:
        """Let a fetch of keys end."""
        if self._remote is not None:
            await self._remote.close()

    def _check_configured(self) -> None:
        if not self._settings.tokens.configured:
            raise unauthenticated("no token is believed here: no key is configured", "token")

    async def _verify(self, token: str, source: Source) -> Identity:
        identity = await self._tokens.verify(token, source)
        self._revocations.check(identity)
        return identity

    def _credential(self, request: RequestFacts) -> tuple[Source, str | None]:
        header = request.headers.get("authorization")
        if header is not None:
            scheme, _, token = header.partition(" ")
            if scheme.lower() != "bearer":
                raise unauthenticated("Authorization must be `Bearer` and a token", "token")
            return Source.BEARER, token.strip()
        if request.websocket:
            for protocol in request.headers.get("sec-websocket-protocol", "").split(","):
                if protocol.strip().startswith(TOKEN_PROTOCOL):
                    return Source.PROTOCOL, protocol.strip().removeprefix(TOKEN_PROTOCOL)
        tickets = request.query.get("ticket")
        if tickets:
            return Source.TICKET, tickets[0]
        for name in CLAIMED_PARAMETERS:
            if name in request.query:
                raise unauthenticated(
                    f"a token in the URL ({name}) is refused, because URLs are logged: exchange "
                    "it for a ticket",
                    "token",
                )
        cookie = self._settings.tokens.cookie
        return Source.COOKIE, request.cookies.get(cookie) if cookie is not None else None

    def _check_forwarded(self, request: RequestFacts) -> None:
        """Behind a proxy nobody knows of, the world would come from loopback."""
        names = ("x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip")
        if self._settings.refuse_forwarded and any(name in request.headers for name in names):
            raise AccessDenied(
                "a proxy forwarded this request, and this server is set up for its own machine "
                "only: list the proxy under access.trusted_proxies, and who may do what",
                reason="proxy",
            )

    def _check_websocket_origin(self, request: RequestFacts) -> None:
        """Browsers always name the origin of a WebSocket, and never ask before (no CORS)."""
        origin = request.headers.get("origin")
        if origin is not None:
            self._origins.headers(origin, "GET", host=request.headers.get("host"))

    @contextmanager
    def _counting_failures(self, request: RequestFacts) -> Iterator[None]:
        key = limit_key(self.client_address(request))
        self._limits.check_failures(key)
        try:
            yield
        except AccessDenied:
            self._limits.failed(key)
            raise

    def _now(self) -> float:
        return self._clock.now_ms() / 1000
