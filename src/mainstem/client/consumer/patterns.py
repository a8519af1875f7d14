"""Topics by regular expression: ours where the client matches, RE2's where the broker does."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mainstem.client.metadata import TopicMetadata
from mainstem.errors import Invalid

#: What RE2 writes in front for Python's flags; Unicode needs none, others it does not have.
_RE2_FLAGS = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s"}
#: How Python writes what RE2 does not have, or means otherwise.
_NOT_RE2 = re.compile(r"\(\?[=!]|\(\?<[=!]|\(\?\(|\(\?>|\(\?P=|\\[1-9]|[*+?}]\+")


def check_pattern(pattern: re.Pattern[str]) -> None:
    """Raise ``Invalid`` for a pattern of bytes: names are text."""
    if not isinstance(pattern.pattern, str):
        raise Invalid(f"topics={pattern!r} matches bytes, and names are text: leave out the b")


def matching(pattern: re.Pattern[str], topics: Iterable[TopicMetadata]) -> tuple[str, ...]:
    """Names that match as a whole, sorted; the cluster's own topics are left out."""
    return tuple(
        sorted(
            found.name for found in topics if not found.internal and pattern.fullmatch(found.name)
        )
    )


def as_re2(pattern: re.Pattern[str]) -> str | None:
    """The same pattern in RE2's syntax, ``None`` where it has no words for it."""
    flags = pattern.flags & ~(re.UNICODE | re.ASCII)
    known = re.NOFLAG
    for flag in _RE2_FLAGS:
        known |= flag
    if flags & ~known or _NOT_RE2.search(pattern.pattern):
        return None
    letters = "".join(letter for flag, letter in _RE2_FLAGS.items() if flags & flag)
    return f"(?{letters}){pattern.pattern}" if letters else pattern.pattern
