"""Viewers of one worker's connections."""

from __future__ import annotations

from collections.abc import Iterable

from mainstem.live.viewers.pace import Pace
from mainstem.live.viewers.records import Report, Seen, encode
from mainstem.live.viewers.settings import ViewerSettings
from mainstem.live.viewers.users import Users, hash_of, pack_hashes

MOST_IDS = 1_000  # of one report: some 8 ms of the loop that serves viewers
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
            if watched.connections or watched.reported:
                self._mark(name, watched, now)
            else:
                self._forget(name)  # came and went unheard: touching ids costs the node nothing

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
                users = watched.pack(self._settings.presence_limit)
                size += sum(map(len, users.names or ())) + len(users.hashes or users.sketch or b"")
            seen[name] = Seen(watched.connections, watched.anonymous, users)
            watched.reported = True
            if not watched.connections:
                self._forget(name)
            if size > MOST_BYTES:
                break
        return encode(Report(seen)) if seen else None

    def _forget(self, name: str) -> None:
        del self._ids[name]
        self._pace.forget(name)

    def _mark(self, name: str, watched: _Watched, now: float) -> None:
        pause = self._settings.pause(watched.connections)
        self._pace.mark(name, now, min(SLOWEST_REPORT, pause))


class _Watched:
    """One id: how many connections, and of whom."""

    __slots__ = ("anonymous", "connections", "hashes", "reported", "users", "users_changed")

    def __init__(self) -> None:
        self.connections = 0
        self.anonymous = 0
        self.users: dict[str, int] = {}
        self.users_changed = True
        self.reported = False
        # Of all users, once they are too many for names: hashing 18,000 takes 20 ms, and every
        # report would, in the loop that serves them.
        self.hashes: dict[str, int] | None = None

    def join(self, user: str | None) -> None:
        self.connections += 1
        if user is None:
            self.anonymous += 1
            return
        before = self.users.get(user, 0)
        self.users[user] = before + 1
        if not before:
            self.users_changed = True
            if self.hashes is not None:
                self.hashes[user] = hash_of(user)

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
            if self.hashes is not None:
                del self.hashes[user]
        self.connections -= 1

    def pack(self, most_names: int) -> Users:
        self.users_changed = False
        if len(self.users) <= most_names:
            self.hashes = None
            return Users(names=list(self.users))
        if self.hashes is None:
            self.hashes = {user: hash_of(user) for user in self.users}
        return pack_hashes(self.hashes.values())
