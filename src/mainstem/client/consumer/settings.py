"""What a group consumer is told: the group, its topics, and how to behave in it."""

from __future__ import annotations

import datetime
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from mainstem.client.arguments import (
    MOST_SECONDS,
    check_count,
    check_seconds,
    check_text,
    names_of,
)
from mainstem.client.consumer.assignors import Assignor, Range, RoundRobin
from mainstem.client.consumer.patterns import as_re2, check_pattern
from mainstem.client.consumer.sticky import CooperativeSticky, Sticky
from mainstem.client.formats import Format, Raw, check_format
from mainstem.client.offsets import Point
from mainstem.client.reader import BATCH_BYTES
from mainstem.errors import Invalid

GroupProtocol = Literal["classic", "consumer"]
Isolation = Literal["read_uncommitted", "read_committed"]
ASSIGNORS: dict[str, Assignor] = {
    found.name: found for found in (Range(), RoundRobin(), Sticky(), CooperativeSticky())
}
#: As Java's consumer has it: everybody understands the first, the second is the better one.
_DEFAULT_ASSIGNORS = ("range", "cooperative-sticky")


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """See ``Stem.consumer`` for each; all times in seconds."""

    group: str
    topics: tuple[str, ...]  # none where there is a pattern
    pattern: re.Pattern[str] | None = None
    format: Format = field(default_factory=Raw)
    start: Point | None = "earliest"
    isolation: Isolation = "read_uncommitted"
    batch_rows: int = 65_536
    batch_bytes: int = BATCH_BYTES
    max_wait: float = 0.0
    prefetch_bytes: int = 16 << 20
    auto_commit: float | None = 5.0
    protocol: GroupProtocol | None = None
    assignor: str | Sequence[str] | None = None
    instance_id: str | None = None
    rack: str | None = None
    session_timeout: float = 45.0
    heartbeat_interval: float = 3.0
    max_poll_interval: float = 300.0

    def __post_init__(self) -> None:
        if not self.group or not isinstance(self.group, str):
            raise Invalid(f"group={self.group!r} is not valid: give a name", code=24)
        check_text("group", self.group, code=24)
        if self.pattern is not None:
            check_pattern(self.pattern)
        elif not _names(self.topics):
            raise Invalid(f"topics={self.topics!r} is not valid: name one topic or more", code=17)
        for name in self.topics:
            check_text("topics", name, code=17)
        _choice("protocol", self.protocol, (None, "classic", "consumer"))
        check_isolation(self.isolation)
        for name in ("session_timeout", "heartbeat_interval", "max_poll_interval"):
            check_seconds(name, getattr(self, name), most=MOST_SECONDS)
        if self.auto_commit is not None:
            check_seconds("auto_commit", self.auto_commit)
        if self.heartbeat_interval >= self.session_timeout:
            raise Invalid(
                f"heartbeat_interval={self.heartbeat_interval:g} must be below "
                f"session_timeout={self.session_timeout:g}: a third of it is usual"
            )
        check_count("batch_rows", self.batch_rows)
        check_count("batch_bytes", self.batch_bytes, least=1024)
        check_seconds("max_wait", self.max_wait, zero=True)
        check_format(self.format)
        if self.instance_id is not None:
            check_text("instance_id", self.instance_id)
        if self.start is not None and not isinstance(self.start, int | datetime.datetime):
            _choice("start", self.start, ("earliest", "latest", None))
        if self.protocol != "consumer":
            self.assignors  # noqa: B018 - raises for an unknown one

    @property
    def assignors(self) -> tuple[Assignor, ...]:
        """Those of the classic protocol, best first. Raises ``Invalid`` for an unknown one."""
        if self.assignor is None:
            return tuple(ASSIGNORS[name] for name in _DEFAULT_ASSIGNORS)
        names = names_of("assignor", self.assignor)
        for name in names:
            _choice("assignor", name, tuple(ASSIGNORS))
        return tuple(ASSIGNORS[name] for name in names)

    @property
    def server_pattern(self) -> str | None:
        """The pattern in the coordinator's syntax (RE2), where it can be said in it."""
        return None if self.pattern is None else as_re2(self.pattern)

    @property
    def server_assignor(self) -> str | None:
        """What the coordinator is asked for under KIP-848; ``None`` leaves it to it."""
        if self.assignor is None or isinstance(self.assignor, str):
            return self.assignor
        raise Invalid('protocol="consumer" takes one assignor, such as "uniform" or "range"')


def check_isolation(isolation: str) -> None:
    """Raise ``Invalid`` unless it is one."""
    _choice("isolation", isolation, ("read_uncommitted", "read_committed"))


def _names(topics: Sequence[object]) -> bool:
    return bool(topics) and all(isinstance(name, str) and name for name in topics)


def _choice(name: str, value: object, known: Sequence[object]) -> None:
    if value not in known:
        near = difflib.get_close_matches(str(value), [str(each) for each in known], n=1)
        names = ", ".join(repr(each) for each in known)
        hint = f"did you mean {near[0]!r}?" if near else f"use one of {names}"
        raise Invalid(f"{name}={value!r} is not valid: {hint}")
