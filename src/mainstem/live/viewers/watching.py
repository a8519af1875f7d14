"""What the channels ``viewers:ID`` and ``presence:ID`` say, and when they say it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec

from mainstem.live.viewers.pace import Hold
from mainstem.live.viewers.settings import ViewerSettings


@dataclass(frozen=True, slots=True)
class Count:
    """Viewers of an id. ``users``: different ones, each anonymous connection being one;
    ``error``: their relative standard error, 0.0 where they are exact."""

    connections: int
    users: int
    error: float
    anonymous: int = 0
    names: frozenset[str] | None = None


class Announcement(NamedTuple):
    """``state`` is what viewers of ``channel`` get now, ``snapshot`` what later ones get first:
    both JSON objects of the wire contract."""

    channel: str
    state: bytes
    snapshot: bytes


class Watching(Protocol):
    """One watched channel."""

    def update(self, now: float, count: Count) -> Announcement | None:
        """What to say of ``count``, if it is not what was said last."""
        ...

    def next_change(self) -> float | None:
        """When there is something to say even if nothing happens."""
        ...

    def snapshot(self) -> bytes:
        """What somebody who joins now gets first."""
        ...


class ViewersWatching:
    """``viewers:ID``: numbers."""

    def __init__(self, name: str, settings: ViewerSettings) -> None:
        self._channel = f"viewers:{name}"
        self._connections = Hold(settings.grace)
        self._users = Hold(settings.grace)
        self._said: tuple[int, int, float] = (0, 0, 0.0)

    def update(self, now: float, count: Count) -> Announcement | None:
        connections = self._connections.see(now, count.connections)
        users = self._users.see(now, count.users)
        said = (connections, users, count.error)
        if said == self._said:
            return None
        self._said = said
        return Announcement(self._channel, self._frame({}), self.snapshot())

    def next_change(self) -> float | None:
        return _earliest(self._connections.next_fall(), self._users.next_fall())

    def snapshot(self) -> bytes:
        return self._frame({"snapshot": True})

    def _frame(self, more: dict[str, Any]) -> bytes:
        connections, users, error = self._said
        return msgspec.json.encode(
            {
                "channel": self._channel,
                "kind": "viewers",
                "connections": connections,
                "users": users,
                "error": round(error, 4),
                **more,
            }
        )


class PresenceWatching:
    """``presence:ID``: who came and who left, in numbered frames; above the limit how many.

    Back below 80 % of the limit there are names again: between the two nothing flips.
    """

    def __init__(self, name: str, settings: ViewerSettings) -> None:
        self._channel = f"presence:{name}"
        self._limit = settings.presence_limit
        self._grace = settings.grace
        # Name → since when they are away (None: they are not).
        self._members: dict[str, float | None] | None = {}
        self._anonymous = Hold(settings.grace)
        self._users = Hold(settings.grace)
        self._count = 0
        self._version = 0

    def update(self, now: float, count: Count) -> Announcement | None:
        anonymous = self._anonymous.see(now, count.anonymous)
        users = self._users.see(now, count.users)
        names = count.names
        limit = self._limit if self._members is not None else self._limit * 4 // 5
        if names is None or len(names) > limit:
            said = self._members is None and users == self._count
            self._members, self._count = None, users
            return None if said else self._announce(None)
        if self._members is None:
            self._members, self._count = dict.fromkeys(names), len(names) + anonymous
            return self._announce(None)
        joined, left = self._compare(now, self._members, names)
        number = len(self._members) + anonymous
        if not joined and not left and number == self._count:
            return None
        self._count = number
        return self._announce({"joined": joined, "left": left})

    def next_change(self) -> float | None:
        holds = _earliest(self._anonymous.next_fall(), self._users.next_fall())
        members = self._members or {}
        away = [since + self._grace for since in members.values() if since is not None]
        return _earliest(holds, min(away, default=None))

    def snapshot(self) -> bytes:
        users = None if self._members is None else sorted(self._members)
        return self._frame({"users": users, "snapshot": True})

    def _compare(
        self, now: float, members: dict[str, float | None], names: frozenset[str]
    ) -> tuple[list[str], list[str]]:
        joined = sorted(names - members.keys())
        left = []
        for name, away_since in members.items():
            if name in names:
                members[name] = None
                continue
            since = now if away_since is None else away_since
            members[name] = since
            if since + self._grace <= now:
                left.append(name)
        for name in left:
            del members[name]
        members.update(dict.fromkeys(joined))
        return joined, sorted(left)

    def _announce(self, change: dict[str, Any] | None) -> Announcement:
        self._version += 1
        snapshot = self.snapshot()
        state = snapshot if change is None else self._frame(change)
        return Announcement(self._channel, state, snapshot)

    def _frame(self, more: dict[str, Any]) -> bytes:
        return msgspec.json.encode(
            {
                "channel": self._channel,
                "kind": "presence",
                "count": self._count,
                "version": self._version,
                **more,
            }
        )


def _earliest(first: float | None, second: float | None) -> float | None:
    if first is None or second is None:
        return first if second is None else second
    return min(first, second)
