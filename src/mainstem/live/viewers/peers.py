"""Other nodes: heard of, believed, silent.

A compacted topic also tells of nodes that died long ago. So a node counts from its second
sign of life, heard some time after the first (all old ones are read in one go), and no longer
after ``expiry`` of silence: by this node's clock alone, so that nobody's clock must be right.
"""

from __future__ import annotations

from mainstem.live.viewers.settings import ViewerSettings


class Peer:
    """One other node."""

    __slots__ = ("believed", "epoch", "first_beat", "heard", "ids")

    def __init__(self, epoch: int, now: float) -> None:
        self.epoch = epoch
        self.believed = False
        self.first_beat: float | None = None
        self.heard = now
        self.ids: set[str] = set()


class Peers:
    """All other nodes. Not thread-safe."""

    def __init__(self, settings: ViewerSettings) -> None:
        self._settings = settings
        self._peers: dict[str, Peer] = {}

    def __contains__(self, node: str) -> bool:
        return node in self._peers

    def believed(self, node: str) -> bool:
        """Whether what ``node`` says counts."""
        peer = self._peers.get(node)
        return peer is not None and peer.believed

    def names(self) -> list[str]:
        """Nodes that are believed."""
        return [name for name, peer in self._peers.items() if peer.believed]

    def meet(self, node: str, epoch: int, now: float) -> tuple[Peer | None, set[str]]:
        """The peer that speaks with ``epoch``, and the ids of the one it replaced.

        ``None``: it is older than what was heard, so nothing it says is news.
        """
        peer = self._peers.get(node)
        if peer is not None and epoch == peer.epoch:
            return peer, set()
        if peer is not None and epoch < peer.epoch:
            return None, set()
        fresh = self._peers[node] = Peer(epoch, now)
        return fresh, set() if peer is None else peer.ids

    def beat(self, peer: Peer, now: float) -> set[str]:
        """A heartbeat; the ids that count from now on because of it."""
        peer.heard = now
        if peer.first_beat is None:
            peer.first_beat = now
        if peer.believed or now - peer.first_beat < self._settings.heartbeat / 2:
            return set()
        peer.believed = True
        return set(peer.ids)

    def part(self, node: str) -> set[str]:
        """Forget ``node``; the ids it knew."""
        peer = self._peers.pop(node, None)
        return set() if peer is None else peer.ids

    def silent(self, now: float) -> list[str]:
        """Nodes not heard of for too long."""
        return [
            node for node, peer in self._peers.items() if now - peer.heard >= self._settings.expiry
        ]
