"""Which web pages may call: origins, hosts and the headers of CORS.

Sources: Fetch standard (CORS protocol), RFC 6454 (origins), RFC 6455 section 10.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from mainstem.live.access.errors import AccessDenied

ORIGIN = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([0-9]{1,5}))?")
PATTERN = re.compile(
    r"(https?)://(\*\.[a-z0-9_.-]+|\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([0-9]{1,5}|\*))?"
)
DEFAULT_PORTS = {"http": "80", "https": "443"}
METHODS = "GET, POST, OPTIONS"
REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"
PREFLIGHT_SECONDS = 600


def check_origin_pattern(pattern: str) -> None:
    """Raise ``ValueError`` unless ``pattern`` is an origin as browsers write it, or a wildcard."""
    if pattern in {"*", "null"}:
        return
    if not PATTERN.fullmatch(pattern):
        raise ValueError(
            f"origin {pattern!r} must be scheme://host[:port] in lower case without a path, "
            "like https://example.org or https://*.example.org"
        )


class Origins:
    """The allow-list, compiled. Immutable, so thread-safe."""

    def __init__(self, patterns: Sequence[str], hosts: Sequence[str], *, credentials: bool) -> None:
        self._everyone = "*" in patterns
        self._null = "null" in patterns
        self._patterns = [_compile(each) for each in patterns if each not in {"*", "null"}]
        self._hosts = frozenset(host.lower().strip("[]") for host in hosts)
        self._credentials = credentials and not self._everyone

    def check_host(self, host: str | None) -> None:
        """Raise ``AccessDenied`` unless the server may be called by this ``Host`` header.

        A page of a name that its owner re-points at this machine (DNS rebinding) would be of
        the server's own origin; only the name in ``Host`` gives it away.
        """
        if not self._hosts:
            return
        name, _ = split_host(host or "")
        if name not in self._hosts:
            raise AccessDenied(
                f"this server does not answer to the name {name[:100]!r}: list it under "
                "access.hosts if it should",
                reason="host",
            )

    def allows(self, origin: str, host: str | None) -> bool:
        """Whether a page of ``origin`` may call a server that it calls ``host``."""
        if self._everyone or (origin == "null" and self._null):
            return True
        match = ORIGIN.fullmatch(origin)
        if match is None:
            return False
        scheme, name, port = match[1], match[2], match[3] or DEFAULT_PORTS[match[1]]
        # Without a port in Host the scheme decides, which a proxy in front may have changed.
        here = split_host(host) if host else ("", "")
        if name and here in {(name.strip("[]"), match[3] or ""), (name.strip("[]"), port)}:
            return True
        return any(pattern.fullmatch(f"{scheme}://{name}:{port}") for pattern in self._patterns)

    def headers(
        self, origin: str | None, method: str, *, host: str | None = None
    ) -> dict[str, str]:
        """Headers of the answer to a request of ``origin``; those of a preflight for OPTIONS.

        Raises ``AccessDenied`` when the origin is not allowed: then no header is sent.
        ``Vary`` is in every answer, or a cache would give one page's answer to another.
        """
        preflight = method == "OPTIONS"
        vary = "Origin"
        if preflight:
            vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
        headers = {"Vary": vary}
        if origin is None:
            return headers
        if not self.allows(origin, host):
            raise denied_origin(origin)
        headers["Access-Control-Allow-Origin"] = "*" if self._everyone else origin
        if self._credentials:
            headers["Access-Control-Allow-Credentials"] = "true"
        if preflight:
            headers["Access-Control-Allow-Methods"] = METHODS
            headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
            headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        else:
            headers["Access-Control-Expose-Headers"] = "Retry-After"
        return headers

    def check_ambient(self, headers: Mapping[str, str]) -> None:
        """Raise ``AccessDenied`` unless a request with a cookie names an origin to trust.

        Browsers add cookies to what any page makes them send. ``*`` trusts nobody with them.
        """
        origin, host = headers.get("origin"), headers.get("host")
        if origin is None:
            if headers.get("sec-fetch-site") == "same-origin":
                return
            raise AccessDenied(
                "a request that is signed in by a cookie must say which page it is from: send "
                "Origin, or a bearer token instead",
                reason="origin",
            )
        if self._everyone or not self.allows(origin, host):
            raise denied_origin(origin)


def denied_origin(origin: str) -> AccessDenied:
    return AccessDenied(
        f"pages of {origin[:100]!r} may not call this server: list the origin under "
        "access.origins if they should",
        reason="origin",
    )


def split_host(host: str) -> tuple[str, str]:
    """Name (lower case, no brackets) and port (or "") of a ``Host`` header."""
    try:
        parts = urlsplit(f"//{host}")
        port = "" if parts.port is None else str(parts.port)
    except ValueError:
        return "", ""
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        return "", ""
    return (parts.hostname or "").lower(), port


def _compile(pattern: str) -> re.Pattern[str]:
    match = PATTERN.fullmatch(pattern)
    assert match is not None  # the settings checked it
    scheme, name, port = match[1], match[2], match[3] or DEFAULT_PORTS[match[1]]
    host = re.escape(name)
    if name.startswith("*."):
        host = r"(?:[a-z0-9_-]+\.)+" + re.escape(name[2:])
    return re.compile(f"{scheme}://{host}:{'[0-9]{1,5}' if port == '*' else port}")
