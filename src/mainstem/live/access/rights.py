"""What an identity may do with a channel: configured rights, and those its token brings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mainstem.live.access.errors import AccessDenied, unauthenticated
from mainstem.live.access.identity import Identity, Right
from mainstem.live.access.settings import AccessSettings, NamespaceAccess
from mainstem.live.access.templates import PLACE, fill

# About the viewers of an id in any namespace; the right that reading them takes.
BUILT_IN: Mapping[str, Right] = {"viewers": Right.SUBSCRIBE, "presence": Right.PRESENCE}
MOST_PATTERNS = 1000


class Rights:
    """The rules of the settings. Immutable, so thread-safe."""

    def __init__(self, settings: AccessSettings) -> None:
        self._namespaces = settings.namespaces
        self._claim = settings.tokens.rights_claim
        self._user_claim = settings.tokens.user_claim

    @property
    def claims(self) -> frozenset[str]:
        """Names of the claims that decide: what a ticket must carry."""
        templates = (each.template for each in self._namespaces.values())
        places = (name for template in templates if template for name in PLACE.findall(template))
        return frozenset({self._claim, self._user_claim, *places})

    @property
    def open_to_anyone(self) -> bool:
        """Whether there is anything to be had without a token."""
        return any(namespace.anonymous for namespace in self._namespaces.values())

    def check(self, identity: Identity, right: Right, channel: str) -> None:
        """Raise ``AccessDenied`` unless ``identity`` has ``right`` on ``channel``."""
        namespace, colon, name = channel.partition(":")
        if colon and name and self._holds(identity, right, namespace, name):
            return
        what = f"{right} on channel {channel[:200]!r}"
        if identity.anonymous:
            raise unauthenticated(f"{what} needs a token: sign in", "right")
        raise AccessDenied(f"{what} is not yours: ask for a token with that right", reason="right")

    def expand(self, identity: Identity, channel: str) -> str:
        """``channel`` with a ``{claim}`` in it filled; others as they are."""
        if "{" not in channel:
            return channel
        return fill(channel, self._values(identity))

    def _holds(self, identity: Identity, right: Right, namespace: str, name: str) -> bool:
        rule = self._namespaces.get(namespace)
        if namespace not in BUILT_IN:
            return rule is not None and self._granted(identity, right, rule, namespace, name)
        if right is Right.PUBLISH:
            return False  # the server counts; nobody tells it
        right = BUILT_IN[namespace]
        if rule is not None:
            return self._granted(identity, right, rule, namespace, name)
        # Not configured: whoever has the right in some namespace of this id.
        return any(
            self._granted(identity, right, each, other, name)
            for other, each in self._namespaces.items()
        )

    def _granted(
        self, identity: Identity, right: Right, rule: NamespaceAccess, namespace: str, name: str
    ) -> bool:
        channel = f"{namespace}:{name}"
        if rule.template is not None and not self._is_own(identity, rule.template, channel):
            return False
        if right in rule.anonymous:
            return True
        if identity.anonymous:
            return False
        if right in rule.user:
            return True
        return rule.claims and any(
            matches(pattern, channel) for pattern in self._patterns(identity, right)
        )

    def _is_own(self, identity: Identity, template: str, channel: str) -> bool:
        try:
            return not identity.anonymous and fill(template, self._values(identity)) == channel
        except AccessDenied:
            return False

    def _values(self, identity: Identity) -> Mapping[str, Any]:
        if identity.user is None:
            return identity.claims
        return {**identity.claims, self._user_claim: identity.user}

    def _patterns(self, identity: Identity, right: Right) -> Iterable[str]:
        """The token's own patterns for ``right``; whatever is not shaped so grants nothing."""
        grants = identity.claims.get(self._claim)
        patterns = grants.get(right.value) if isinstance(grants, dict) else None
        if not isinstance(patterns, list):
            return ()
        return [each for each in patterns[:MOST_PATTERNS] if isinstance(each, str)]


def matches(pattern: str, channel: str) -> bool:
    """Whether ``pattern`` is ``channel``, or its beginning with a ``*`` after.

    Only the end may be open: ``comments:*``, ``comments:team-*``. A ``*`` for a namespace, too,
    is the one pattern ``*``.
    """
    if pattern == "*":
        return True
    stem, star, rest = pattern.partition("*")
    if star and not rest and ":" in stem:
        return channel.startswith(stem)
    return channel == pattern
