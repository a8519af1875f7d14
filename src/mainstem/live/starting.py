"""Where a viewer asks to begin: a cursor, or an origin in words."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from mainstem.errors import Invalid
from mainstem.live.cursor import CursorBook, Place


@dataclass(frozen=True, slots=True)
class Start:
    """Where a viewer wants to begin: a place read from a cursor, or an origin in words."""

    asked: str
    places: dict[Place, int] | None = None
    origin: str | None = None

    @property
    def needs_history(self) -> bool:
        """Whether it asks for what was before it came, other than by a cursor."""
        return self.origin is not None and self.origin != "latest"


NOW = Start("latest", None, "latest")


def start_of(book: CursorBook, last_event_id: str | None, origin: str | None) -> Start:
    """What a request asks for; the ``Last-Event-ID`` wins. Never raises: see ``Start``."""
    if last_event_id:
        return _cursor(book, last_event_id) or Start(last_event_id)
    if not origin:
        return NOW
    if origin in {"latest", "earliest"} or origin.startswith("last:"):
        return Start(origin, None, origin)
    return _cursor(book, origin) or Start(origin, None, origin if _is_time(origin) else None)


def _cursor(book: CursorBook, text: str) -> Start | None:
    try:
        return Start(text, book.read(text))
    except Invalid:
        return None


def _is_time(text: str) -> bool:
    if text.isascii() and text.isdigit():
        return len(text) <= 15
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
