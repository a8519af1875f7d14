"""The ``[access]`` part of ``live.toml``: typed, checked where it is read."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

import msgspec

from mainstem.errors import Invalid
from mainstem.live.access.identity import Right
from mainstem.live.access.origins import check_origin_pattern
from mainstem.live.access.templates import check_template

SHORTEST_SECRET = 32  # bytes: RFC 7518 section 3.2, a key as long as the hash
LONGEST_TICKET = 30.0
ALL_RIGHTS = tuple(Right)


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sections: immutable, unknown keys refused."""


def _at_least_zero(section: Section, *names: str) -> None:
    for name in names:
        value = getattr(section, name)
        if not 0 <= value < float("inf"):
            raise ValueError(f"`{name}` is {value}: it must be a number from 0 up")


class NamespaceAccess(Section, frozen=True):
    """Who may do what in one namespace.

    ``anonymous`` is what everybody may, ``user`` what everybody with a valid token may; a
    token may bring more for single channels in its own claim unless ``claims`` is off. With
    ``template`` (``"user:{sub}"``) the only channel of the namespace somebody can have is the
    one that the template makes of the claims.
    """

    anonymous: tuple[Right, ...] = ()
    user: tuple[Right, ...] = ()
    claims: bool = True
    template: str | None = None

    def __post_init__(self) -> None:
        if self.template is None:
            return
        check_template(self.template)
        if self.anonymous:
            raise ValueError(
                f"template {self.template!r} needs a token, so `anonymous` rights beside it "
                "would never apply: leave them out"
            )


class TokenSettings(Section, frozen=True):
    """Which tokens are believed. No key here: no token is.

    HS256 needs ``secret`` or ``secret_file``; RS256 and ES256 a ``public_key_file`` (PEM),
    ``jwks_file`` or ``jwks_url``. Times are seconds.
    """

    secret: str | None = None
    secret_file: str | None = None
    public_key_file: str | None = None
    jwks_file: str | None = None
    jwks_url: str | None = None
    audience: tuple[str, ...] = ()
    issuer: tuple[str, ...] = ()
    leeway: float = 10.0
    require_expiry: bool = True
    user_claim: str = "sub"
    rights_claim: str = "live"
    cookie: str | None = None
    jwks_refresh: float = 600.0
    jwks_pause: float = 30.0
    jwks_keep: float = 86_400.0

    def __post_init__(self) -> None:
        _at_least_zero(self, "leeway", "jwks_refresh", "jwks_pause", "jwks_keep")
        if self.secret is not None and self.secret_file is not None:
            raise ValueError("`secret` and `secret_file` exclude each other: keep one")
        if self.secret is not None and len(self.secret.encode()) < SHORTEST_SECRET:
            raise ValueError(
                f"`secret` has {len(self.secret.encode())} bytes: HS256 needs {SHORTEST_SECRET} "
                "at least (RFC 7518), random ones"
            )
        if self.jwks_file is not None and self.jwks_url is not None:
            raise ValueError("`jwks_file` and `jwks_url` exclude each other: keep one")
        if self.jwks_url is not None:
            check_key_url(self.jwks_url)

    @property
    def configured(self) -> bool:
        """Whether any key is."""
        keys = (self.secret, self.secret_file, self.public_key_file, self.jwks_file, self.jwks_url)
        return any(key is not None for key in keys)


class LimitSettings(Section, frozen=True):
    """How much one address (IPv6: one /64) and one user may have. Per node; 0: no limit.

    Rates are per second, with bursts of ``…_burst``. ``channels_per_address`` counts channels
    that are not watched yet: each is news for the dispatcher, those already there cost nothing.
    """

    connections_per_address: int = 1_000
    connections_per_user: int = 100
    connects_per_address: float = 100.0
    connects_burst: int = 1_000
    channels_per_address: float = 500.0
    channels_burst: int = 5_000
    publishes_per_address: float = 50.0
    publishes_per_user: float = 10.0
    publishes_burst: int = 100
    failures_per_address: float = 1.0
    failures_burst: int = 100
    remembered: int = 65_536

    def __post_init__(self) -> None:
        _at_least_zero(self, *(name for name in self.__struct_fields__ if name != "remembered"))
        if self.remembered < 1:
            raise ValueError(f"`remembered` is {self.remembered}: it must be 1 at least")
        for name in ("connects_burst", "channels_burst", "publishes_burst", "failures_burst"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` is {getattr(self, name)}: it must be 1 at least")

    def share(self, workers: int) -> LimitSettings:
        """One worker's part of these limits, counts rounded up.

        The kernel spreads connections over workers by chance, so all of them together may
        give one more per worker, and refuse somebody a little before the limit.
        """
        shared = {}
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name != "remembered":
                shared[name] = -(-value // workers) if isinstance(value, int) else value / workers
        return msgspec.structs.replace(self, **shared)


NO_LIMITS = LimitSettings(
    connections_per_address=0,
    connections_per_user=0,
    connects_per_address=0.0,
    channels_per_address=0.0,
    publishes_per_address=0.0,
    publishes_per_user=0.0,
    failures_per_address=0.0,
)


class TicketSettings(Section, frozen=True):
    """Tickets: ``seconds`` they live (30 at most); whether other nodes' are accepted.

    A ticket is good once per node. With ``any_node`` each node accepts it once, which a
    balancer that does not keep clients on one node needs.
    """

    seconds: float = 30.0
    any_node: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= LONGEST_TICKET:
            raise ValueError(f"`seconds` is {self.seconds}: above 0 and at most 30")


class AccessSettings(Section, frozen=True):
    """All of it. Nothing configured: nothing open, except on loopback (:meth:`on_listener`).

    ``origins`` lists the web origins whose pages may call (``https://example.org``,
    ``https://*.example.org``; ``*`` for all, then without credentials); pages of the server's
    own origin always may. ``hosts`` are the names by which it may be called (empty: any, but
    on loopback only loopback names, against DNS rebinding). ``trusted_proxies`` are networks
    whose ``X-Forwarded-For`` is believed. ``warning`` seconds before a token ends its
    connection is told. ``refuse_forwarded``: nothing is served to what a proxy forwarded.
    """

    namespaces: dict[str, NamespaceAccess] = {}
    tokens: TokenSettings = TokenSettings()
    origins: tuple[str, ...] = ()
    credentials: bool = True
    hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    limits: LimitSettings = LimitSettings()
    tickets: TicketSettings = TicketSettings()
    warning: float = 30.0
    refuse_forwarded: bool = False

    def __post_init__(self) -> None:
        _at_least_zero(self, "warning")
        for origin in self.origins:
            check_origin_pattern(origin)
        for network in self.trusted_proxies:
            ip_network(network)
        for name, namespace in self.namespaces.items():
            template = namespace.template
            if template is not None and template.partition(":")[0] != name:
                raise ValueError(f"template {template!r} is not of namespace {name!r}")
        if "*" in self.origins and len(self.origins) > 1:
            raise ValueError("origin `*` allows all: leave the others out, or leave `*` out")

    def on_listener(self, *, loopback: bool) -> AccessSettings:
        """These settings for a listener: on loopback with nothing configured, the demo's.

        Comments, likes and scores are then open to everybody who can reach loopback, that is
        to this machine's users; pages only where they come from loopback, too. Limits that are
        not configured are off, because everybody there has one address. Requests that a proxy
        forwarded come from somewhere else, so they are refused until it is configured.
        """
        if not loopback:
            return self
        settings = self
        if not self.namespaces and not self.tokens.configured:
            opened = NamespaceAccess(anonymous=ALL_RIGHTS)
            names = ("comments", "likes", "score")
            settings = msgspec.structs.replace(settings, namespaces=dict.fromkeys(names, opened))
        if not settings.hosts:
            settings = msgspec.structs.replace(settings, hosts=("localhost", "127.0.0.1", "::1"))
        if not settings.origins:
            origins = ("http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*")
            settings = msgspec.structs.replace(settings, origins=origins)
        if settings.trusted_proxies:
            return settings
        if settings.limits == LimitSettings():
            settings = msgspec.structs.replace(settings, limits=NO_LIMITS)
        return msgspec.structs.replace(settings, refuse_forwarded=True)


def read_settings(table: Mapping[str, Any], *, loopback: bool, workers: int = 1) -> AccessSettings:
    """The ``[access]`` table for one of ``workers`` behind a listener.

    Limits become the worker's share. Raises ``Invalid`` that names the key and what is wrong.
    """
    check_keys(table, AccessSettings, "access")
    try:
        settings = msgspec.convert(dict(table), AccessSettings, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(f"live settings, [access]: {error}") from None
    settings = settings.on_listener(loopback=loopback)
    return msgspec.structs.replace(settings, limits=settings.limits.share(workers))


def check_keys(table: Mapping[str, Any], kind: type[msgspec.Struct], path: str) -> None:
    """Raise ``Invalid`` for a key that ``kind`` does not have, naming the nearest it has."""
    known = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in table.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean '{path}.{close[0]}'?" if close else f"known: {', '.join(known)}"
            raise Invalid(f"unknown key '{path}.{key}': {hint}")
        inner = known[key]
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            if isinstance(value, Mapping):
                check_keys(value, inner, f"{path}.{key}")
        elif key == "namespaces" and isinstance(value, Mapping):
            for name, rights in value.items():
                if isinstance(rights, Mapping):
                    check_keys(rights, NamespaceAccess, f"{path}.namespaces.{name}")


def check_key_url(url: str) -> None:
    """Raise ``ValueError`` unless keys fetched from ``url`` are those of its host."""
    parts = urlsplit(url)
    local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and local)):
        return
    raise ValueError(
        f"`jwks_url` {url!r} must be https (http only on loopback): who can change the keys on "
        "their way can sign tokens"
    )
