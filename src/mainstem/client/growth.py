"""A topic may get partitions while all of it is followed: they are read from their beginning."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from mainstem.client.cluster import Cluster
from mainstem.client.offsets import EARLIEST, list_offsets
from mainstem.errors import Closed, Invalid, Unavailable

_LEAST_SECONDS = 0.1


async def watch(
    cluster: Cluster, topic: str, known: set[int], add: Callable[[int, int], None]
) -> None:
    """Call ``add`` with each new partition and its first offset, until cancelled or closed.

    Looks every ``metadata_max_age``, as a consumer does. A topic that is gone, or a cluster that
    does not answer, is for those to tell who read from it.
    """
    while True:
        await asyncio.sleep(max(_LEAST_SECONDS, cluster.config.metadata_max_age))
        with suppress(Invalid, Unavailable):
            try:
                found = await cluster.topic(topic, cluster.deadline(), fresh=True)
                new = [part.index for part in found.partitions if part.index not in known]
                places = await list_offsets(cluster, topic, dict.fromkeys(new, EARLIEST))
            except Closed:
                return
            for index, place in sorted(places.items()):
                known.add(index)
                add(index, place.offset)
