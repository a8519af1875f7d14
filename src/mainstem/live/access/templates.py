"""Channels made of claims: ``user:{sub}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mainstem.live.access.errors import AccessDenied

PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]{0,63})\}")
# What a claim may put into a channel: nothing that reads as a pattern, a template or a gap.
SAFE_VALUE = re.compile(r"[^\s*{}?#&/\\\x00-\x20\x7f]{1,200}")


def check_template(template: str) -> None:
    """Raise ``ValueError`` unless ``template`` is ``namespace:…{claim}…`` with one place.

    Two places could be filled alike by different people: ``{a}-{b}`` with ``x-y`` and ``z``
    or with ``x`` and ``y-z``.
    """
    namespace, colon, rest = template.partition(":")
    places = PLACE.findall(rest)
    if not colon or "{" in namespace or len(places) != 1 or rest.count("{") != 1:
        raise ValueError(
            f"template {template!r} must be a namespace, a colon and a name with one "
            "{claim} in it, like user:{sub}"
        )


def fill(template: str, claims: Mapping[str, Any]) -> str:
    """``template`` with its place filled from ``claims``.

    Raises ``AccessDenied`` when the claim is missing or not fit for a channel's name.
    """

    def value_of(match: re.Match[str]) -> str:
        name = match[1]
        value = claims.get(name)
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(text, str) or not SAFE_VALUE.fullmatch(text):
            raise AccessDenied(
                f"channel {template!r} needs the claim {name!r}, which your token does not "
                "have, or not as a name: sign in with one that has",
                reason="template",
            )
        return text

    try:
        check_template(template)
    except ValueError as error:
        raise AccessDenied(str(error), reason="template") from None
    return PLACE.sub(value_of, template)
