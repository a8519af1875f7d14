"""Who was put out: told to every gateway of the cluster, and remembered for a day.

A kick is a record in ``live._control``; each gateway follows that topic from its beginning and
tells its workers, also those that start later. So a token that was revoked stays revoked when a
worker or a gateway is started again, and nobody is put out by a kick that is not in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa

from mainstem.client import Appender, AppendOptions, Cluster, Producer, bounds
from mainstem.clock import Clock
from mainstem.errors import MainstemError
from mainstem.live.bus import Kick
from mainstem.live.control import KICK_KEY, TOPIC
from mainstem.live.kinds import rows_of
from mainstem.live.reader import LogReader
from mainstem.live.topics import Topics

logger = logging.getLogger("mainstem.live")

_REMEMBERED_S = 86_400.0
_MOST = 10_000
_PAUSE_S = 1.0


class _Record(msgspec.Struct):
    user: str | None = None
    token_id: str | None = None
    reason: str = "revoked"


_decoder = msgspec.json.Decoder(_Record)


class Kicks:
    """Belongs to the dispatcher's event loop. ``tell`` gets each kick as it is read."""

    def __init__(
        self, cluster: Cluster, producer: Producer, topics: Topics, reader: LogReader, clock: Clock
    ) -> None:
        self._cluster = cluster
        self._topics = topics
        self._reader = reader
        self._clock = clock
        self._appender = Appender(cluster, producer, TOPIC)
        self._recent: deque[Kick] = deque(maxlen=_MOST)
        self._next = 0
        self._epoch = -1
        self.tell: Callable[[Kick], None] = lambda _: None

    async def kick(self, user: str | None, token_id: str | None, reason: str) -> None:
        """Put a user, or the holder of a token, out of all gateways.

        Returns when the log has it; raises what appending raises.
        """
        body = msgspec.json.encode(_Record(user, token_id, reason))
        now = pa.array([self._clock.now_ms()], pa.timestamp("ms", tz="UTC"))
        batch = pa.record_batch(
            {
                "_key": pa.array([KICK_KEY], pa.binary()),
                "_timestamp": now,
                "value": pa.array([body], pa.binary()),
            }
        )
        await self._appender.append(batch, AppendOptions(partition=0))

    def remembered(self) -> list[Kick]:
        """Kicks of the last day, for a worker that starts now."""
        oldest = self._clock.now_ms() / 1000 - _REMEMBERED_S
        while self._recent and (self._recent[0].at or 0.0) < oldest:
            self._recent.popleft()
        return list(self._recent)

    def records(self, records: Any) -> None:
        """Records of the topic."""
        oldest = self._clock.now_ms() - _REMEMBERED_S * 1000
        for offset, time, key, value in zip(*rows_of(records), strict=True):
            if offset < self._next:
                continue  # read again, after a pause
            self._next = offset + 1
            if key != KICK_KEY or value is None or time < oldest:
                continue
            try:
                found = _decoder.decode(value)
            except (msgspec.DecodeError, RecursionError) as error:
                logger.error("%s has a kick at offset %d that is none: %s", TOPIC, offset, error)
                continue
            kick = Kick(found.user, found.token_id, found.reason, time / 1000)
            self._recent.append(kick)
            self.tell(kick)

    async def follow(self) -> None:
        """Read the topic for as long as the gateway runs."""
        while True:
            if (TOPIC, 0) not in self._reader.places:
                try:
                    topic = await self._topics.find(TOPIC)
                    first, _ = await bounds(self._cluster, TOPIC, [0], committed=True)
                    if topic.epoch != self._epoch:
                        self._epoch, self._next = topic.epoch, 0
                    start = max(first[0], self._next)
                    self._reader.assign((TOPIC, 0), start, topic.epoch)
                except MainstemError as error:
                    logger.warning("kicks of other gateways cannot be read yet: %s", error)
            await asyncio.sleep(_PAUSE_S)
