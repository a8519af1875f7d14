"""What a change of leaders took away: a reader asks the new one before it goes on (KIP-320).

A leader that was not up to date (or a disk that lost its end) makes a log shorter, and new
records may take the offsets of those that were read already. Every record batch carries the
epoch of the leader that wrote it, and a leader tells where each epoch ended in its own log.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from mainstem.client.cluster import Cluster, raise_for
from mainstem.client.metadata import PartitionMetadata
from mainstem.client.retry import Deadline
from mainstem.errors import Conflict
from mainstem.wire import Message

OFFSET_FOR_LEADER_EPOCH = 23
UNKNOWN = -1
_OUT_OF_RANGE, _UNKNOWN_TOPIC_ID = 1, 100

#: Leader epochs with the offset each begins at, ascending.
Epochs = tuple[tuple[int, int], ...]


class LogCut(Conflict):
    """Records that were read are gone. ``offset`` is the first of them, ``None`` if unknown."""

    def __init__(self, topic: str, partition: int, position: int, offset: int | None) -> None:
        name = f"topic {topic!r} partition {partition}"
        if offset is None:
            gone = f"what was read before offset {position} is not in the log any more"
            advice = "read it from the start again, and compare"
        else:
            gone = (
                f"offsets {offset} to {position - 1}, which were read, are not in the log any more"
            )
            advice = f"undo what came of them, and go on from offset {offset}"
        super().__init__(
            f"{name}: {gone} (others may stand there now): a leader that did not have them took "
            f"over, or a disk lost them; {advice}",
            code=_OUT_OF_RANGE,
        )
        self.topic, self.partition, self.offset = topic, partition, offset


class TopicAnew(Conflict):
    """The name is another topic's now; its offsets say nothing about what was read."""

    def __init__(self, topic: str) -> None:
        super().__init__(
            f"topic {topic!r} was deleted and made anew while it was read: what was read is not in "
            "it any more; undo what came of it, and read the new one from its beginning",
            code=_UNKNOWN_TOPIC_ID,
        )
        self.topic = topic


class EpochRuns:
    """Which leader wrote what was read of one partition."""

    def __init__(self, epochs: Epochs = ()) -> None:
        self._starts = [start for start, _ in epochs]
        self._epochs = [epoch for _, epoch in epochs]

    def add(self, epochs: Iterable[tuple[int, int]], end: int) -> None:
        """What was read next, up to ``end``; a place behind it that was known goes."""
        for start, epoch in epochs:
            if start < end and (not self._epochs or self._epochs[-1] < epoch):
                self._starts.append(start)
                self._epochs.append(epoch)

    def before(self, offset: int) -> int:
        """The epoch of the record before ``offset``; -1 if that was not read."""
        slot = bisect_left(self._starts, offset)
        return self._epochs[slot - 1] if slot else UNKNOWN


async def check_position(
    cluster: Cluster,
    where: tuple[str, int],
    position: tuple[int, int],
    leader: PartitionMetadata,
    deadline: Deadline,
) -> None:
    """Raise ``LogCut`` if the leader's log parts from what was read before ``position``.

    ``position`` is the next offset and the leader epoch of the record before it. Raises
    ``Unavailable`` where the leader cannot be asked now.
    """
    topic, index = where
    offset, epoch = position
    connection = await cluster.connection(leader.leader)
    if OFFSET_FOR_LEADER_EPOCH not in connection.versions:
        return
    asked = Message(partition=index, current_leader_epoch=leader.leader_epoch, leader_epoch=epoch)
    message = Message(replica_id=-1, topics=[Message(topic=topic, partitions=[asked])])
    answer = await cluster.call(OFFSET_FOR_LEADER_EPOCH, message, deadline, node=leader.leader)
    (part,) = answer.topics[0].partitions
    raise_for(int(part.error_code), f"check topic {topic!r} partition {index}")
    if UNKNOWN in {part.leader_epoch, part.end_offset}:
        raise LogCut(topic, index, offset, None)
    if part.end_offset < offset:
        raise LogCut(topic, index, offset, int(part.end_offset))
