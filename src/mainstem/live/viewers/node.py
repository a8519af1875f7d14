"""Viewers over all workers of a node and all nodes of a cluster."""

from __future__ import annotations

from typing import TypeAlias

from mainstem.errors import Invalid
from mainstem.live.viewers.pace import Pace
from mainstem.live.viewers.peers import Peer, Peers
from mainstem.live.viewers.records import (
    Heartbeat,
    NodeSeen,
    RecordKey,
    Report,
    Seen,
    check_node_name,
    decode,
    encode,
    read_key,
)
from mainstem.live.viewers.settings import ViewerSettings
from mainstem.live.viewers.users import NOBODY, Users, combine, merge
from mainstem.live.viewers.watching import (
    Announcement,
    Count,
    PresenceWatching,
    ViewersWatching,
    Watching,
)

Record: TypeAlias = tuple[bytes, bytes | None]
MOST_RECORDS = 1_000  # of one call
SETTLED = 1.0  # seconds an id must be watched before other nodes hear of it
WATCHINGS: dict[str, type[ViewersWatching] | type[PresenceWatching]] = {
    "viewers": ViewersWatching,
    "presence": PresenceWatching,
}


class NodeViewers:
    """Merges reports of workers and records of nodes; says what changed. Not thread-safe.

    ``epoch``: milliseconds at which this node started, higher at every start. ``now`` is
    everywhere a clock that never goes back, in seconds. Memory is that of the ids watched now,
    here or elsewhere; ids that nobody watches any more are forgotten with their last record.
    """

    def __init__(
        self,
        node: str,
        epoch: int,
        settings: ViewerSettings | None = None,
        *,
        alone: bool = False,
    ) -> None:
        self._node = check_node_name(node)
        self._epoch = epoch
        self._settings = settings or ViewerSettings()
        self._alone = alone
        # id → source (worker number or node name) → what it has seen.
        self._ids: dict[str, dict[int | str, Seen]] = {}
        self._workers: dict[int, set[str]] = {}
        self._peers = Peers(self._settings)
        self._watching: dict[str, Watching] = {}
        self._announce = Pace()  # channels
        self._publish = Pace()  # ids
        self._published: set[str] = set()
        self._obsolete: dict[bytes, None] = {}
        self._last_beat: float | None = None

    def __len__(self) -> int:
        return len(self._ids)

    # From workers -------------------------------------------------------------------------

    def report(self, worker: int, payload: bytes, now: float) -> None:
        """Take what ``WorkerViewers.changes`` of ``worker`` gave. Raises ``Corrupt``."""
        known = self._workers.setdefault(worker, set())
        for name, seen in decode(payload, Report).seen.items():
            if not seen.connections:
                known.discard(name)
                self._drop(name, worker, now)
                continue
            known.add(name)
            users = seen.users
            if users is None:
                before = self._ids.get(name, {}).get(worker)
                users = NOBODY if before is None else before.users
            self._put(name, worker, Seen(seen.connections, seen.anonymous, users), now)

    def worker_gone(self, worker: int, now: float) -> None:
        """All connections of ``worker`` are closed: it ended, was killed or starts anew."""
        for name in self._workers.pop(worker, set()):
            self._drop(name, worker, now)

    # From other nodes ---------------------------------------------------------------------

    def remote(self, key: bytes, value: bytes | None, now: float) -> None:
        """Take a record of the topic, this node's own included. Raises ``Corrupt``."""
        node, name = read_key(key)
        if node == self._node:
            self._own(name, value, now)
        elif value is None:
            self._taken_back(node, name, now)
        elif name is None:
            epoch = decode(value, Heartbeat).epoch
            peer = self._meet(node, epoch, now)
            if peer.epoch == epoch:
                for each in self._peers.beat(peer, now):
                    self._changed(each, now)
        else:
            record = decode(value, NodeSeen)
            peer = self._meet(node, record.epoch, now)
            peer.ids.add(name)
            if peer.epoch == record.epoch:
                self._put(name, node, record.seen, now)

    def records(self, now: float) -> list[Record]:
        """Records to write to the topic (``None``: a tombstone), 1,000 at most per call."""
        found: list[Record] = []
        if self._last_beat is None or now - self._last_beat >= self._settings.heartbeat:
            self._last_beat = now
            found.append((RecordKey(self._node, None).encode(), encode(Heartbeat(self._epoch))))
        while self._obsolete and len(found) < MOST_RECORDS:
            key = next(iter(self._obsolete))  # in order: a node's heartbeat goes last
            del self._obsolete[key]
            found.append((key, None))
        for name in self._publish.take(now, MOST_RECORDS - len(found)):
            key = RecordKey(self._node, name).encode()
            seen = self._local(name)
            if seen is not None:
                self._published.add(name)
                found.append((key, encode(NodeSeen(self._epoch, seen))))
            else:
                self._publish.forget(name)
                if name in self._published:
                    self._published.remove(name)
                    found.append((key, None))
        return found

    def farewell(self) -> list[Record]:
        """Records that take this node out at once, for an orderly end."""
        keys = [*(RecordKey(self._node, n) for n in self._published), RecordKey(self._node, None)]
        self._published.clear()
        return [(key.encode(), None) for key in keys]

    # To viewers ---------------------------------------------------------------------------

    def watch(self, channel: str, now: float) -> bytes:
        """``viewers:ID`` or ``presence:ID`` is watched on this node: its snapshot, as JSON.

        Announcements follow until :meth:`unwatch`. Raises ``Invalid`` for other channels.
        """
        watching = self._watching.get(channel)
        if watching is None:
            kind, _, name = channel.partition(":")
            if kind not in WATCHINGS or not name:
                raise Invalid(f"{channel!r} is not viewers:ID or presence:ID")
            watching = WATCHINGS[kind](name, self._settings)
            watching.update(now, self.count(name))
            self._watching[channel] = watching
        return watching.snapshot()

    def unwatch(self, channel: str) -> None:
        """Nobody watches ``channel`` on this node any more; not known is no error."""
        self._watching.pop(channel, None)
        self._announce.forget(channel)

    def tick(self, now: float) -> list[Announcement]:
        """What to say now; call it every 100 ms or so. Also notes which nodes fell silent."""
        for name in self._peers.silent(now):
            self._changed(name, now)
        for node, names in self._peers.to_tidy(self._node):
            self._obsolete.update(dict.fromkeys(RecordKey(node, name).encode() for name in names))
            self._obsolete.setdefault(RecordKey(node, None).encode())
        found = []
        for channel in self._announce.take(now):
            watching = self._watching[channel]
            said = watching.update(now, self.count(channel.partition(":")[2]))
            if said is not None:
                found.append(said)
            again = watching.next_change()
            if again is not None:
                self._announce.at(channel, again)
        return found

    def count(self, name: str) -> Count:
        """Viewers of an id at this moment, without grace."""
        seen = self._counted(name)
        connections = sum(each.connections for each in seen)
        anonymous = sum(each.anonymous for each in seen)
        tally = merge(_users(each) for each in seen)
        # An estimate may be above what is possible: nobody watches without a connection.
        users = min(tally.users, connections - anonymous)
        return Count(connections, users + anonymous, tally.error, anonymous, tally.names)

    # ------------------------------------------------------------------------------------------

    def _counted(self, name: str) -> list[Seen]:
        return [
            seen
            for source, seen in self._ids.get(name, {}).items()
            if isinstance(source, int) or self._peers.believed(source)
        ]

    def _local(self, name: str) -> Seen | None:
        own = [s for source, s in self._ids.get(name, {}).items() if isinstance(source, int)]
        if not own:
            return None
        users = combine(map(_users, own), most_names=self._settings.presence_limit)
        return Seen(sum(s.connections for s in own), sum(s.anonymous for s in own), users)

    def _put(self, name: str, source: int | str, seen: Seen, now: float) -> None:
        self._ids.setdefault(name, {})[source] = seen
        self._changed(name, now)
        if isinstance(source, int):
            self._mark_local(name, now)

    def _drop(self, name: str, source: int | str, now: float) -> None:
        sources = self._ids.get(name)
        if sources is None or sources.pop(source, None) is None:
            return
        if not sources:
            del self._ids[name]
        self._changed(name, now)
        if isinstance(source, int):
            self._mark_local(name, now)

    def _changed(self, name: str, now: float) -> None:
        for kind in WATCHINGS:
            channel = f"{kind}:{name}"
            if channel in self._watching:
                connections = sum(each.connections for each in self._counted(name))
                self._announce.mark(channel, now, self._settings.pause(connections))

    def _mark_local(self, name: str, now: float) -> None:
        if self._alone:
            return
        own = self._ids.get(name, {})
        connections = sum(s.connections for source, s in own.items() if isinstance(source, int))
        pause = max(SETTLED, self._settings.pause(connections))
        self._publish.mark(name, now + (0.0 if name in self._published else SETTLED), pause)

    def _meet(self, node: str, epoch: int, now: float) -> Peer:
        peer, replaced = self._peers.meet(node, epoch, now)
        for name in replaced:
            self._drop(name, node, now)
        return peer

    def _taken_back(self, node: str, name: str | None, now: float) -> None:
        if name is not None:
            self._peers.drop(node, name)
            self._drop(name, node, now)
            return
        for each in self._peers.part(node):
            self._changed(each, now)

    def _own(self, name: str | None, value: bytes | None, now: float) -> None:
        """A record under this node's name that may not be its own.

        It is from before its start, or a tombstone of a node that took it for dead.
        """
        if name is None or self._alone:
            return
        if value is not None:
            if decode(value, NodeSeen).epoch >= self._epoch:
                return
            self._published.add(name)
        if name in self._published:
            self._publish.mark(name, now, SETTLED)  # says what is so, or takes it back


def _users(seen: Seen) -> Users:
    return seen.users if seen.users is not None else NOBODY
