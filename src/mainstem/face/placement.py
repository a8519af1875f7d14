"""Where partitions live, for plain Python: the same names as ``mainstem.client.Placement``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mainstem.client import Placement as AsyncPlacement
from mainstem.client import Reassignment
from mainstem.face.loop import run


class Placement:
    """Which brokers hold partitions, and which one leads: ``stem.placement``. Thread-safe.

    Mainstem's own broker stands alone: it leads every partition, and refuses others by their ids
    with ``Invalid``, code 39. Methods raise ``Invalid`` with code 35 where a broker does not have
    the feature, ``Denied`` where the caller may not use it.
    """

    def __init__(self, check: Callable[[], None], placement: AsyncPlacement) -> None:
        self._check = check
        self._placement = placement

    def elect_leaders(
        self,
        topic: str | None = None,
        partitions: Sequence[int] | None = None,
        *,
        unclean: bool = False,
    ) -> list[tuple[str, int]]:
        """Have the preferred replica lead: the first of each partition, if it is in sync.

        For partitions of a topic, all of them, or with no topic all of the cluster. Returns
        (topic, partition) of those that have a new leader; where it led already nothing
        happens. ``unclean`` elects a replica that is *not* in sync where no other lives:
        acknowledged records may be lost. Raises ``Unavailable`` where no replica can lead.
        """
        self._check()
        return run(self._placement.elect_leaders, topic, partitions, unclean=unclean)

    def reassign(self, topic: str, replicas: Mapping[int, Sequence[int] | None]) -> None:
        """Move partitions to other brokers, by partition, the preferred leader first.

        ``None`` takes back a move under way. Returns when the cluster has taken it on;
        ``reassignments`` says what still moves. Raises ``Invalid`` for brokers or partitions
        that do not exist, ``Conflict`` where there is no move to take back.
        """
        self._check()
        run(self._placement.reassign, topic, replicas)

    def reassignments(self, topic: str | None = None) -> list[Reassignment]:
        """Moves under way, of all topics or one; one that ended is not there any more."""
        self._check()
        return run(self._placement.reassignments, topic)
