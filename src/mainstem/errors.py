"""The few kinds of error, named by what the caller must do.

Every error keeps the Kafka error code behind it (``code``, an int; ``None`` where none
applies) and its message says what was wrong, with the value, and what to do next.
"""

from __future__ import annotations


class MainstemError(Exception):
    """Base of every error Mainstem raises on purpose."""

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class Unavailable(MainstemError):
    """Not now: retry, with a pause."""


class Conflict(MainstemError):
    """Somebody else was first: re-read, then decide."""


class Invalid(MainstemError):
    """The request itself is wrong: fix it."""


class Denied(MainstemError):
    """Not allowed: change who asks, or what is permitted."""


class Corrupt(MainstemError):
    """Bytes are not what they must be: stop and look."""


class Closed(MainstemError):
    """The object was closed: open a new one."""
