"""What access answers when the answer is no: an HTTP status, a machine's word, one sentence."""

from __future__ import annotations

import msgspec

from mainstem.errors import Denied, Unavailable


class Refusal(Exception):  # noqa: N818 - a base of the two kinds below, never raised itself
    """What a refused request is told.

    ``status`` is the HTTP status (401 who are you, 403 not you, 429 slower), ``reason`` a
    stable word for programs and metrics, ``retry_after`` seconds until trying again makes
    sense (``None``: it never does, unchanged).
    """

    status: int = 403
    reason: str = "denied"
    retry_after: float | None = None

    def body(self) -> bytes:
        """The JSON body of the answer: ``{"error": one sentence, "code": reason}``."""
        return msgspec.json.encode({"error": str(self), "code": self.reason})


class AccessDenied(Denied, Refusal):
    """Not allowed: another token, another origin or another configuration is needed."""

    def __init__(self, message: str, *, reason: str, status: int = 403) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status


class LimitReached(Unavailable, Refusal):
    """Allowed, but not so much at once: retry after ``retry_after`` seconds."""

    def __init__(self, message: str, *, reason: str, retry_after: float) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = 429
        self.retry_after = retry_after


def unauthenticated(message: str, reason: str) -> AccessDenied:
    """A 401: the request does not say who it is, or not credibly."""
    return AccessDenied(message, reason=reason, status=401)
