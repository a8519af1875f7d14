"""JSON Web Tokens: believed, or refused with the reason.

Sources: RFC 7519 (claims), RFC 7515 section 4.1.11 (`crit`), RFC 8725 (best practice).
Signatures, audience and issuer are PyJWT's to check; times are ours, on a clock that is
passed in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mainstem.clock import Clock
from mainstem.live.access.errors import AccessDenied, unauthenticated
from mainstem.live.access.identity import Identity, Source, is_name
from mainstem.live.access.keys import ALGORITHMS, Key, KeySource
from mainstem.live.access.settings import TokenSettings

LONGEST_TOKEN = 8192
MOST_TRIALS = 4  # keys tried on one token without a key id
# Our own tickets say so in their header; they are not tokens (RFC 8725 section 3.11).
TICKET_TYPE = "mainstem-live-ticket+jwt"


class Tokens:
    """Verifies tokens against key sources. One event loop's."""

    def __init__(self, settings: TokenSettings, sources: Sequence[KeySource], clock: Clock) -> None:
        self._settings = settings
        self._sources = tuple(sources)
        self._clock = clock

    async def verify(self, token: str, source: Source) -> Identity:
        """Who holds ``token``. Raises ``AccessDenied`` (401), or ``Unavailable`` without keys."""
        algorithm, key_id = read_header(token)
        for each in self._sources:
            keys = await each.find(algorithm, key_id)
            claims = self._check_signature(token, keys[:MOST_TRIALS])
            if claims is not None:
                return self._identity(claims, source)
        raise unauthenticated("the token is not signed by a key known here", "signature")

    def _check_signature(self, token: str, keys: Sequence[Key]) -> Mapping[str, Any] | None:
        import jwt

        settings = self._settings
        for key in keys:
            try:
                return jwt.decode(
                    token,
                    key.material,
                    algorithms=[key.algorithm],
                    audience=settings.audience or None,
                    issuer=settings.issuer or None,
                    options={
                        "verify_exp": False,
                        "verify_nbf": False,
                        "verify_iat": False,
                        "verify_sub": False,
                        "verify_jti": False,
                    },
                )
            except jwt.InvalidSignatureError:
                continue
            # Hostile JSON: too deep, numbers too long, lone surrogates.
            except (jwt.PyJWTError, RecursionError, ValueError, TypeError) as error:
                raise refusal_of(error) from error
        return None

    def _identity(self, claims: Mapping[str, Any], source: Source) -> Identity:
        settings = self._settings
        now = self._clock.now_ms() / 1000
        expires_at = seconds_of(claims, "exp")
        if expires_at is None and settings.require_expiry:
            raise unauthenticated("the token never expires: give it an `exp`", "exp")
        if expires_at is not None and now >= expires_at + settings.leeway:
            raise unauthenticated("the token has expired: get a new one", "expired")
        issued_at = seconds_of(claims, "iat")
        not_before = seconds_of(claims, "nbf")
        for start in (issued_at, not_before):
            if start is not None and start > now + settings.leeway:
                raise unauthenticated("the token is not valid yet: check the clocks", "nbf")
        user = claims.get(settings.user_claim)
        if not is_name(user):
            raise unauthenticated(
                f"the token's {settings.user_claim!r} must be a name of 1 to 256 printable "
                "characters",
                "user",
            )
        token_id = claims.get("jti")
        if token_id is not None and not is_name(token_id):
            raise unauthenticated("the token's `jti` must be 1 to 256 printable characters", "jti")
        if expires_at is not None:
            expires_at += settings.leeway
        return Identity(user, expires_at, token_id, claims, issued_at, source)


def read_header(token: str) -> tuple[str, str | None]:
    """Algorithm and key id that ``token`` claims. Raises ``AccessDenied`` for what is no token.

    Nothing is verified yet: these only choose among keys, each of which has one algorithm.
    """
    import jwt

    if len(token) > LONGEST_TOKEN:
        raise unauthenticated(f"the token is longer than {LONGEST_TOKEN} characters", "token")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, RecursionError, ValueError, TypeError) as error:
        raise damaged() from error
    algorithm, key_id = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise unauthenticated(
            f"the token's algorithm is {str(algorithm)[:20]!r}: {', '.join(ALGORITHMS)} are "
            "accepted",
            "algorithm",
        )
    if "crit" in header or header.get("b64", True) is not True:
        raise unauthenticated("the token demands extensions that are not known here", "token")
    if header.get("typ") == TICKET_TYPE:
        raise unauthenticated("that is a ticket, not a token: pass it as ?ticket=", "token")
    if key_id is not None and not is_name(key_id):
        raise damaged()
    return algorithm, key_id


def seconds_of(claims: Mapping[str, Any], name: str) -> float | None:
    """A time claim (RFC 7519: a JSON number), or ``None``. Raises ``AccessDenied`` for others."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise unauthenticated(f"the token's `{name}` is not a number of seconds", name)
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise unauthenticated(f"the token's `{name}` is not a number of seconds", name)
    return seconds


def refusal_of(error: Exception) -> AccessDenied:
    """What to answer where PyJWT raised ``error``."""
    import jwt

    if isinstance(error, jwt.InvalidAudienceError):
        return unauthenticated(f"the token is not for this server: {error}", "audience")
    if isinstance(error, jwt.InvalidIssuerError):
        return unauthenticated(f"the token is of an unknown issuer: {error}", "issuer")
    if isinstance(error, jwt.MissingRequiredClaimError):
        return unauthenticated(f"the token lacks the claim {error.claim!r}", error.claim)
    return damaged()


def damaged() -> AccessDenied:
    return unauthenticated("that is no JSON Web Token in compact form", "token")
