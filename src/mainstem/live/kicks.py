"""Who was put out: told to every gateway of the cluster, and remembered for a day.

A kick is a record in ``live._control``; each gateway reads that topic before it serves, follows it,
and tells its workers, also those that start later. So a token that was revoked stays revoked when
a worker or a gateway is started again, and nobody is put out by a kick that is not in the log.

Keys are ``kick/DAY/user/NAME`` and ``kick/DAY/token/ID``: compaction keeps one record of each, and
gateways write tombstones for days that are over. The day is in the key because a tombstone for the
name alone could land behind a new kick that its writer has not seen yet, and undo it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa

from mainstem.client import Appender, AppendOptions, Cluster, Producer, bounds
from mainstem.clock import Clock
from mainstem.errors import Invalid, MainstemError
from mainstem.live.bus import Kick
from mainstem.live.control import KICK_KEY, TOPIC
from mainstem.live.history import History
from mainstem.live.kinds import rows_of
from mainstem.live.reader import LogReader
from mainstem.live.topics import Topics

logger = logging.getLogger("mainstem.live")

LONGEST_NAME = 1_000
MOST = 20_000
"""Kicks that are remembered: with the longest names still one message for a new worker."""
_DAY_MS = 86_400_000
_MOST_EXPIRED = 100_000
_SWEPT_AT_ONCE = 1_000
_SWEEP_S = 1_800.0
_PAUSE_S = 1.0


class _Record(msgspec.Struct):
    user: str | None = None
    token_id: str | None = None
    reason: str = "revoked"


_decoder = msgspec.json.Decoder(_Record)


class Kicks:
    """Belongs to the dispatcher's event loop. ``tell`` gets each kick as it is read."""

    def __init__(
        self,
        cluster: Cluster,
        producer: Producer,
        topics: Topics,
        history: History,
        reader: LogReader,
        clock: Clock,
    ) -> None:
        self._cluster = cluster
        self._topics = topics
        self._history = history
        self._reader = reader
        self._clock = clock
        self._appender = Appender(cluster, producer, TOPIC)
        self._recent: OrderedDict[bytes, Kick] = OrderedDict()
        self._expired: dict[bytes, None] = {}
        self._next = 0
        self._epoch = -1
        self.tell: Callable[[Kick], None] = lambda _: None

    async def kick(self, user: str | None, token_id: str | None, reason: str) -> None:
        """Put a user, or the holder of a token, out of all gateways.

        Returns when the log has it; raises what appending raises, and ``Invalid`` for a name of
        more than 1,000 characters.
        """
        kind, name = ("token", token_id) if user is None else ("user", user)
        if name is None or not 0 < len(name) <= LONGEST_NAME:
            raise Invalid(f"whom to put out has 1 to {LONGEST_NAME} characters")
        now = self._clock.now_ms()
        key = b"%s/%d/%s/%s" % (KICK_KEY, now // _DAY_MS, kind.encode(), name.encode())
        await self._topics.find(TOPIC)
        await self._append([(key, now, msgspec.json.encode(_Record(user, token_id, reason)))])

    def remembered(self) -> list[Kick]:
        """Kicks of the last day, for a worker that starts now."""
        self._expire()
        return list(self._recent.values())

    def records(self, records: Any) -> None:
        """Records of the topic."""
        for offset, time, key, value in zip(*rows_of(records), strict=True):
            if offset < self._next:
                continue  # read again, after a pause
            self._next = offset + 1
            if not key or not key.startswith(KICK_KEY + b"/"):
                continue
            self._recent.pop(key, None)
            self._expired.pop(key, None)
            if value is not None:
                self._take(offset, time, key, value)
        self._expire()

    def _take(self, offset: int, time: int, key: bytes, value: bytes) -> None:
        try:
            found = _decoder.decode(value)
        except (msgspec.DecodeError, RecursionError) as error:
            logger.error("%s has a kick at offset %d that is none: %s", TOPIC, offset, error)
            return
        if max(len(found.user or ""), len(found.token_id or "")) > LONGEST_NAME:
            logger.error("%s has a kick at offset %d of a name too long", TOPIC, offset)
            return
        kick = Kick(found.user, found.token_id, found.reason[:LONGEST_NAME], time / 1000)
        self._recent[key] = kick
        if time + _DAY_MS > self._clock.now_ms():
            self.tell(kick)

    def _expire(self) -> None:
        """Forget what is over, and the oldest where there are too many."""
        oldest = (self._clock.now_ms() - _DAY_MS) / 1000
        while self._recent:
            key, kick = next(iter(self._recent.items()))
            over = (kick.at or 0.0) <= oldest
            if not over and len(self._recent) <= MOST:
                return
            del self._recent[key]
            if over and len(self._expired) < _MOST_EXPIRED:
                self._expired[key] = None

    # --- the topic ---------------------------------------------------------------------------

    async def load(self) -> None:
        """Take in all kicks there are: before anybody is served. Raises ``MainstemError``."""
        start, end, epoch = await self._place()
        stream = (TOPIC, epoch, 0)
        async for chunk in self._history.chunks(stream, start, end, keep=False):
            self.records(chunk.records)

    async def follow(self) -> None:
        """Read the topic for as long as the gateway runs, and keep it small."""
        loop = asyncio.get_running_loop()
        sweep = loop.time() + random.uniform(0.1, 1) * _SWEEP_S  # gateways one after the other
        while True:
            try:
                if (TOPIC, 0) not in self._reader.places:
                    start, _, epoch = await self._place()
                    self._reader.assign((TOPIC, 0), start, epoch)
                if loop.time() >= sweep:
                    sweep = loop.time() + random.uniform(1, 2) * _SWEEP_S
                    await self.sweep()
            except MainstemError as error:
                logger.warning("kicks of other gateways cannot be read yet: %s", error)
            await asyncio.sleep(_PAUSE_S)

    async def sweep(self) -> None:
        """Write tombstones for kicks of days that are over."""
        self._expire()
        now = self._clock.now_ms()
        # A writer whose clock is behind may still write into a day that is over for us.
        over = [key for key in self._expired if _day_of(key) < now // _DAY_MS - 1]
        for first in range(0, len(over), _SWEPT_AT_ONCE):
            await self._append([(key, now, None) for key in over[first : first + _SWEPT_AT_ONCE]])

    async def _place(self) -> tuple[int, int, int]:
        """Where to read on, the end, and the topic's epoch."""
        topic = await self._topics.find(TOPIC)
        first, last = await bounds(self._cluster, TOPIC, [0], committed=True)
        if topic.epoch != self._epoch:
            self._epoch, self._next = topic.epoch, 0
        return max(first[0], min(self._next, last[0])), last[0], topic.epoch

    async def _append(self, rows: list[tuple[bytes, int, bytes | None]]) -> None:
        keys, times, values = zip(*rows, strict=True)
        batch = pa.record_batch(
            {
                "_key": pa.array(keys, pa.binary()),
                "_timestamp": pa.array(times, pa.timestamp("ms", tz="UTC")),
                "value": pa.array(values, pa.binary()),
            }
        )
        await self._appender.append(batch, AppendOptions(partition=0))


def _day_of(key: bytes) -> int:
    """The day in a key of ours; for one that is none, never over."""
    try:
        return int(key.split(b"/", 2)[1][:20])
    except ValueError:
        return 1 << 62
