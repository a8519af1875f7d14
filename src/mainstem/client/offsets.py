"""Offsets by name or time: what ``start`` and ``end`` of a read, or a reset, mean."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from mainstem.client.arguments import MOST_SECONDS
from mainstem.client.cluster import Cluster, raise_for
from mainstem.client.kafka_errors import STALE_METADATA
from mainstem.client.retry import Deadline
from mainstem.errors import Invalid, Unavailable
from mainstem.wire import Message

LIST_OFFSETS = 2
EARLIEST, LATEST, MAX_TIMESTAMP = -2, -1, -3
_OUT_OF_RANGE, _LEADER_NOT_AVAILABLE = 1, 5
_NAMES = {"earliest": EARLIEST, "latest": LATEST}

#: ``"earliest"``, ``"latest"``, an offset, or a time with its zone.
Point: TypeAlias = "str | int | datetime.datetime"
#: One point for all partitions, or one by partition.
Points: TypeAlias = "Point | Mapping[int, Point]"


class Found(NamedTuple):
    """An offset and the timestamp of its record in milliseconds, -1 where there is none."""

    offset: int
    timestamp: int


async def list_offsets(
    cluster: Cluster,
    topic: str,
    wanted: Mapping[int, int],
    *,
    committed: bool = False,
    only_led: bool = False,
) -> dict[int, Found]:
    """For each partition the offset asked for by timestamp (ms), or one of the constants here.

    With ``committed`` the latest is where the first open transaction begins. The offset is -1
    where no record is that late. ``only_led`` leaves out partitions that nobody leads, instead
    of waiting for them. Raises ``Invalid`` for an unknown partition.
    """

    async def attempt(deadline: Deadline) -> dict[int, Found]:
        by_node: dict[int, list[int]] = {}
        for partition in wanted:
            try:
                leader = (await cluster.leader(topic, partition, deadline)).leader
            except Unavailable as error:
                if only_led and error.code == _LEADER_NOT_AVAILABLE:
                    continue
                raise
            by_node.setdefault(leader, []).append(partition)
        parts = await asyncio.gather(
            *(
                _ask(cluster, node, topic, wanted, mine, deadline, int(committed))
                for node, mine in by_node.items()
            )
        )
        return {partition: found for part in parts for partition, found in part.items()}

    return await cluster.retrying(attempt) if wanted else {}


async def _ask(
    cluster: Cluster,
    node: int,
    topic: str,
    wanted: Mapping[int, int],
    mine: list[int],
    deadline: Deadline,
    isolation_level: int,
) -> dict[int, Found]:
    partitions = [Message(partition_index=index, timestamp=wanted[index]) for index in mine]
    message = Message(
        replica_id=-1,
        isolation_level=isolation_level,
        topics=[Message(name=topic, partitions=partitions)],
        timeout_ms=int(min(deadline.left, MOST_SECONDS) * 1000),
    )
    try:
        answer = await cluster.call(LIST_OFFSETS, message, deadline, node=node)
        found = {}
        for part in answer.topics[0].partitions:
            subject = f"offsets of topic {topic!r} partition {part.partition_index}"
            raise_for(int(part.error_code), subject)
            found[part.partition_index] = Found(part.offset, part.timestamp)
    except Exception as error:
        if getattr(error, "code", None) in STALE_METADATA or not isinstance(error, Invalid):
            cluster.forget(topic)
        raise
    return found


async def bounds(
    cluster: Cluster,
    topic: str,
    partitions: list[int],
    *,
    committed: bool = False,
    only_led: bool = False,
) -> tuple[dict[int, int], dict[int, int]]:
    """The first offset of each partition, and the one after its last; see ``list_offsets``."""
    first, last = await asyncio.gather(
        list_offsets(cluster, topic, dict.fromkeys(partitions, EARLIEST), only_led=only_led),
        list_offsets(
            cluster,
            topic,
            dict.fromkeys(partitions, LATEST),
            committed=committed,
            only_led=only_led,
        ),
    )
    return (
        {index: found.offset for index, found in first.items()},
        {index: found.offset for index, found in last.items()},
    )


async def resolve(
    cluster: Cluster,
    topic: str,
    points: Points,
    first: Mapping[int, int],
    last: Mapping[int, int],
    *,
    what: str,
) -> dict[int, int]:
    """The offset that ``points`` means in each partition of ``first`` and ``last``.

    A time means the first record at or after it, the end where none is. Partitions that a
    mapping leaves out are left out. Raises ``Invalid`` for an offset outside a partition.
    """
    chosen: dict[int, Any] = (
        dict(points) if isinstance(points, Mapping) else dict.fromkeys(first, points)
    )
    for partition in chosen.keys() - first.keys():
        raise Invalid(f"{what} names partition {partition!r}, but {topic!r} has none such", code=3)
    offsets: dict[int, int] = {}
    times: dict[int, int] = {}
    for partition, point in chosen.items():
        if isinstance(point, datetime.datetime):
            times[partition] = max(0, milliseconds(point))  # below are names, as EARLIEST
        else:
            offsets[partition] = _offset(
                topic, partition, point, first[partition], last[partition], what
            )
    for partition, found in (await list_offsets(cluster, topic, times)).items():
        offsets[partition] = last[partition] if found.offset < 0 else found.offset
    return offsets


def _offset(topic: str, partition: int, point: Any, first: int, last: int, what: str) -> int:
    if isinstance(point, str) and point in _NAMES:
        return first if point == "earliest" else last
    if isinstance(point, bool) or not isinstance(point, int):
        raise Invalid(
            f"{what}={point!r} is not a place in a topic: use 'earliest', 'latest', an offset, "
            "a datetime, or a dict of these by partition"
        )
    if not first <= point <= last:
        raise Invalid(
            f"{what}={point} is outside topic {topic!r} partition {partition}, which goes from "
            f"{first} to {last}",
            code=_OUT_OF_RANGE,
        )
    return point


def milliseconds(moment: datetime.datetime) -> int:
    """Since the epoch. Raises ``Invalid`` for a time without a zone: it may mean anything."""
    if moment.tzinfo is None:
        raise Invalid(f"{moment.isoformat()} has no time zone: give one, such as datetime.UTC")
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (moment - epoch) // datetime.timedelta(milliseconds=1)
