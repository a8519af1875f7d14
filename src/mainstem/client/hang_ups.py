"""Requests at which a broker hangs up because they are larger than it reads at once.

Apache Kafka closes the connection, without a word, where a request's size is over its
``socket.request.max.bytes``. That looks like a line that broke; but sent again, it would be closed
again until the time is over.
"""

from __future__ import annotations

from collections import Counter
from typing import Final
from weakref import WeakSet

from mainstem.client.cluster import Cluster, raise_for
from mainstem.client.connection import Connection
from mainstem.client.lanes import Batch, Lane
from mainstem.client.settings import BROKER, DESCRIBE_CONFIGS, question
from mainstem.errors import Invalid, MainstemError, Unavailable

LIMIT: Final = "socket.request.max.bytes"
_TOO_LARGE = 10
_LEAST_BYTES = 1 << 20  # below it no broker in use has its limit, and hang-ups have other causes


class HangUps:
    """One per producer: tells a limit from a broken line. Belongs to the client's event loop.

    It asks the broker, which is certain. One that does not tell, to whom may not know, has to hang
    up twice in a row, with nothing larger ever answered.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._answered: Counter[int] = Counter()  # the largest, by node
        self._explained: WeakSet[Connection] = WeakSet()  # lines that were hung up

    def answered(self, node: int, size: int) -> None:
        """The node read a request of this size."""
        self._answered[node] = max(self._answered[node], size)

    def lost(self, node: int, size: int, batches: list[Batch], line: Connection | None) -> None:
        """A request of this size was lost with its line; ``None`` where there was none."""
        hung_up = line is not None and line.hung_up
        large = hung_up and size > max(_LEAST_BYTES, self._answered[node])
        # Brokers read one after the other: it was the first of these that made it hang up.
        blamed = large and line not in self._explained
        if line is not None and blamed:
            self._explained.add(line)
        for batch in batches:
            alone = len(batches) == 1  # of several together each may be welcome by itself
            batch.hang_ups = batch.hang_ups + (blamed and alone) if hung_up else 0
            batch.hung_up_at = (node, size if alone else len(batch.data)) if large else None

    async def verdict(self, lane: Lane, batch: Batch) -> Invalid | None:
        """Why sending it again would be in vain; ``None`` where it may help."""
        if batch.hung_up_at is None:
            return None
        (node, size), batch.hung_up_at = batch.hung_up_at, None
        try:
            limit = await self._ask(node, batch)
        except Unavailable:
            return None  # it is in trouble, then
        what = f"append to {lane.name}: its request of {size:,} bytes"
        advice = "append smaller records, or fewer at a time (batch_bytes), or raise that limit"
        if limit is not None and size > limit:
            return Invalid(
                f"{what} is more than broker {node} reads at once ({LIMIT}={limit:,}), and so it "
                f"hung up: {advice}",
                code=_TOO_LARGE,
            )
        if limit is None and batch.hang_ups >= 2 and size > self._answered[node]:
            return Invalid(
                f"{what} made broker {node} hang up twice, as it does where one is more than it "
                f"reads at once ({LIMIT} of Apache Kafka; we may not ask for it): {advice}",
                code=_TOO_LARGE,
            )
        return None

    async def _ask(self, node: int, batch: Batch) -> int | None:
        """The node's limit, ``None`` if it does not say. Raises ``Unavailable``."""
        message = question(BROKER, str(node), [LIMIT])
        try:
            answer = await self._cluster.call(DESCRIBE_CONFIGS, message, batch.deadline, node=node)
            (result,) = answer.results
            raise_for(int(result.error_code), f"settings of broker {node}", result.error_message)
            found = {entry.name: entry.value for entry in result.configs}
            return int(found[LIMIT])
        except Unavailable:
            raise
        except (MainstemError, KeyError, TypeError, ValueError):
            return None
