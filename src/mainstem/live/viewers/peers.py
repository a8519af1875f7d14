"""Other nodes: heard of, believed, silent.

A compacted topic also tells of nodes that died long ago. So a node counts from its second
sign of life, heard some time after the first (all old ones are read in one go), and no longer
after ``expiry`` of silence: by this node's clock alone, so that nobody's clock must be right.
What a silent node said is kept until a tombstone takes it back: it may have been this node that
was cut off, and the topic says it once.
"""

from __future__ import annotations

from collections.abc import Iterator

from mainstem.live.viewers.settings import ViewerSettings


class Peer:
    """One other node; ``ids`` are those of its records in the topic."""

    __slots__ = ("asleep", "believed", "epoch", "first_beat", "heard", "ids", "tidied")

    def __init__(self, epoch: int, now: float) -> None:
        self.epoch = epoch
        self.believed = False
        self.asleep = False
        self.tidied = False
        self.first_beat: float | None = None
        self.heard = now
        self.ids: set[str] = set()


class Peers:
    """All other nodes. Not thread-safe."""

    def __init__(self, settings: ViewerSettings) -> None:
        self._settings = settings
        self._peers: dict[str, Peer] = {}

    def believed(self, node: str) -> bool:
        """Whether what ``node`` says counts."""
        peer = self._peers.get(node)
        return peer is not None and peer.believed

    def meet(self, node: str, epoch: int, now: float) -> tuple[Peer, set[str]]:
        """The node of this name, and the ids of which it said something before it started anew.

        Where ``epoch`` is not the peer's, it is older: nothing it says is news.
        """
        peer = self._peers.get(node)
        if peer is not None and epoch <= peer.epoch:
            return peer, set()
        fresh = self._peers[node] = Peer(epoch, now)
        if peer is not None:
            fresh.ids = peer.ids  # their records are there still
        return fresh, set(fresh.ids)

    def beat(self, peer: Peer, now: float) -> set[str]:
        """A heartbeat; the ids that count from now on because of it."""
        peer.heard = now
        peer.asleep = peer.tidied = False
        if peer.first_beat is None:
            peer.first_beat = now
        if peer.believed or now - peer.first_beat < self._settings.heartbeat / 2:
            return set()
        peer.believed = True
        return set(peer.ids)

    def part(self, node: str) -> set[str]:
        """``node`` was taken out of the topic; the ids that count no more because of it.

        Those whose records stand are kept: it may be back already, and they are its new ones.
        Whether it lives is for its heartbeats to say, or one node would go on burying it while
        it goes on protesting.
        """
        peer = self._peers.get(node)
        if peer is None:
            return set()
        peer.believed, peer.first_beat = False, None
        if not peer.ids:
            del self._peers[node]
        return set(peer.ids)

    def drop(self, node: str, name: str) -> None:
        """The record of ``node`` about an id is gone."""
        peer = self._peers.get(node)
        if peer is not None:
            peer.ids.discard(name)
            if peer.asleep and not peer.ids:
                del self._peers[node]

    def silent(self, now: float) -> set[str]:
        """Ids of nodes that fell silent since the last call: these nodes count no more."""
        fallen: set[str] = set()
        for peer in self._peers.values():
            if not peer.asleep and now - peer.heard >= self._settings.expiry:
                peer.asleep, peer.believed, peer.first_beat = True, False, None
                fallen |= peer.ids
        return fallen

    def to_tidy(self, node: str) -> Iterator[tuple[str, set[str]]]:
        """Silent nodes, with their ids, that ``node`` is to take out of the topic: once each.

        The first by name of those that live does it. All would be as right, and as many.
        """
        left = [(name, peer) for name, peer in self._peers.items() if peer.asleep]
        if not left or any(peer.believed and name < node for name, peer in self._peers.items()):
            return
        for name, peer in left:
            if not peer.tidied:
                peer.tidied = True
                yield name, peer.ids
