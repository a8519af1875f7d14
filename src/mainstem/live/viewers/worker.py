"""Viewers of one worker's connections."""

from __future__ import annotations

from collections.abc import Iterable

from mainstem.live.viewers.pace import Pace
from mainstem.live.viewers.records import Report, Seen, encode
from mainstem.live.viewers.settings import ViewerSettings
from mainstem.live.viewers.users import pack

MOST_IDS = 5_000  # of one report
MOST_BYTES = 4 << 20
SLOWEST_REPORT = 1.0


class WorkerViewers:
    """Counts connections and users by id, and reports what changed. Not thread-safe.

    Exact; memory is that of the ids that connections watch now, plus those that left within
    the last second.
    """

    def __init__(self, settings: ViewerSettings | None = None) -> None:
        self._settings = settings or ViewerSettings()
        self._ids: dict[str, _Watched] = {}
        self._pace = Pace()

    def __len__(self) -> int:
        return len(self._ids)

    def joined(self, ids: Iterable[str], user: str | None, now: float) -> None:
        """A connection of ``user`` (``None``: anonymous) began to watch ``ids``.

        ``ids`` are those of the channels' ids that this connection did not watch before: one
        that adds ``likes:42`` to ``comments:42`` is still one viewer of 42.
        """
        for name in set(ids):
            watched = self._ids.get(name)
            if watched is None:
                watched = self._ids[name] = _Watched()
            watched.join(user)
            self._mark(name, watched, now)

    def left(self, ids: Iterable[str], user: str | None, now: float) -> None:
        """The same connection stopped watching ``ids``. Raises ``KeyError`` if it never did."""
        for name in set(ids):
            watched = self._ids[name]
            watched.leave(user)
            self._mark(name, watched, now)

    def changes(self, now: float) -> bytes | None:
        """A report for :meth:`NodeViewers.report`, or ``None``; call it every 100 ms or so.

        Bounded: what does not fit is in the next one.
        """
        seen: dict[str, Seen] = {}
        size = 0
        for name in self._pace.take(now, MOST_IDS):
            watched = self._ids[name]
            users = None
            if watched.users_changed:
                users = pack(watched.users, most_names=self._settings.presence_limit)
                watched.users_changed = False
                size += sum(map(len, users.names or ())) + len(users.hashes or users.sketch or b"")
            seen[name] = Seen(watched.connections, watched.anonymous, users)
            if not watched.connections:
                del self._ids[name]
                self._pace.forget(name)
            if size > MOST_BYTES:
                break
        return encode(Report(seen)) if seen else None

    def _mark(self, name: str, watched: _Watched, now: float) -> None:
        pause = self._settings.pause(watched.connections)
        self._pace.mark(name, now, min(SLOWEST_REPORT, pause))


class _Watched:
    """One id: how many connections, and of whom."""

    __slots__ = ("anonymous", "connections", "users", "users_changed")

    def __init__(self) -> None:
        self.connections = 0
        self.anonymous = 0
        self.users: dict[str, int] = {}
        self.users_changed = True

    def join(self, user: str | None) -> None:
        self.connections += 1
        if user is None:
            self.anonymous += 1
            return
        before = self.users.get(user, 0)
        self.users[user] = before + 1
        self.users_changed |= not before

    def leave(self, user: str | None) -> None:
        if user is None:
            if not self.anonymous:
                raise KeyError("an anonymous viewer left who never joined")
            self.anonymous -= 1
        elif self.users[user] > 1:
            self.users[user] -= 1
        else:
            del self.users[user]
            self.users_changed = True
        self.connections -= 1
