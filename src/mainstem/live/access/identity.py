"""Who asks, with what request, for which right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

NO_CLAIMS: Final[Mapping[str, Any]] = MappingProxyType({})
LONGEST_NAME = 256  # characters of a user or token id
MOST_QUERY_FIELDS = 1000


class Right(StrEnum):
    """What a namespace can allow."""

    SUBSCRIBE = "subscribe"
    PUBLISH = "publish"
    HISTORY = "history"
    """Reading what was there before: ``from`` other than ``latest``. Resuming by a cursor
    needs ``subscribe`` only, because cursors are signed: who holds one was there."""
    PRESENCE = "presence"


class Source(StrEnum):
    """Where the credentials came from; ambient ones (cookies) need an origin beside them."""

    ANONYMOUS = "anonymous"
    BEARER = "bearer"
    COOKIE = "cookie"
    TICKET = "ticket"
    PROTOCOL = "protocol"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a connection is, for as long as it lasts.

    ``expires_at`` and ``issued_at`` are seconds since the Unix epoch; ``claims`` are the
    verified claims of the token (of a ticket: those that rights and templates read).
    """

    user: str | None = None
    expires_at: float | None = None
    token_id: str | None = None
    claims: Mapping[str, Any] = field(default_factory=lambda: NO_CLAIMS, hash=False)
    issued_at: float | None = None
    source: Source = Source.ANONYMOUS

    @property
    def anonymous(self) -> bool:
        return self.source is Source.ANONYMOUS


ANONYMOUS: Final = Identity()


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What access wants to know of a request.

    ``headers``: names in lower case, repeated ones joined by ``", "``; ``query``: every value
    of every name; ``address``: the peer of the socket, before any proxy is believed.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, Sequence[str]]
    cookies: Mapping[str, str]
    address: str
    websocket: bool = False

    @classmethod
    def parse(
        cls,
        method: str,
        target: str,
        headers: Iterable[tuple[bytes, bytes]],
        address: str,
    ) -> RequestFacts:
        """The facts of a request as it came off the socket.

        Raises ``ValueError`` for a target that is no URL, no UTF-8 or has over 1,000 fields.
        """
        parts = urlsplit(target)
        merged: dict[str, str] = {}
        for raw_name, raw_value in headers:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
            # RFC 9110 section 5.3, and RFC 6265 section 5.4 for cookies over HTTP/2 proxies.
            joint = "; " if name == "cookie" else ", "
            merged[name] = f"{merged[name]}{joint}{value}" if name in merged else value
        return cls(
            method=method.upper(),
            path=parts.path,
            headers=merged,
            query=parse_qs(
                parts.query,
                keep_blank_values=True,
                errors="strict",  # or all bytes that are no text would be one name
                max_num_fields=MOST_QUERY_FIELDS,
            ),
            cookies=parse_cookies(merged.get("cookie", "")),
            address=address,
            websocket=merged.get("upgrade", "").lower() == "websocket",
        )


def parse_cookies(header: str) -> dict[str, str]:
    """Cookies of a ``Cookie`` header; of two with one name the first counts.

    Browsers send the cookie with the longer path first (RFC 6265 section 5.4), so one that
    a sibling domain sets for ``/`` does not displace the one of the application.
    """
    cookies: dict[str, str] = {}
    for part in header.split(";"):
        name, equals, value = part.strip().partition("=")
        if equals and name:
            cookies.setdefault(name.strip(), value.strip().removeprefix('"').removesuffix('"'))
    return cookies


def is_name(value: object) -> bool:
    """Whether ``value`` can be a user or token id: 1 to 256 printable characters."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable()
