"""The table of who wants what: channels, the partitions they are in, and the workers that watch.

What must be one step (taking records in, telling workers where they stand, letting a worker in)
happens without an ``await`` in between: that is what makes "all at or after ``next_offset`` will
follow" true.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from mainstem.client import Cluster, bounds
from mainstem.clock import Clock
from mainstem.errors import Invalid, MainstemError, Unavailable
from mainstem.live import bus
from mainstem.live.counters import Checkpoint, Checkpoints
from mainstem.live.history import History
from mainstem.live.kinds import CounterChannel, LatestChannel, channel_of
from mainstem.live.loading import Loader
from mainstem.live.namespaces import find_channel
from mainstem.live.reader import LogReader
from mainstem.live.settings import LiveSettings, Namespace, topic_of
from mainstem.live.tasks import Tasks
from mainstem.live.telling import Telling
from mainstem.live.topics import Place, Topics
from mainstem.live.watched import Partition, Port, Watched

logger = logging.getLogger("mainstem.live")

_TICK_S = 0.5
_IDLE_CHANNELS = 10_000
_LONGEST_PAUSE_S = 2.0


class ChannelTable:
    """Channels in the log. Belongs to the dispatcher's event loop."""

    def __init__(
        self,
        cluster: Cluster,
        topics: Topics,
        history: History,
        checkpoints: Checkpoints,
        settings: LiveSettings,
        namespaces: Mapping[str, Namespace],
        clock: Clock,
    ) -> None:
        self._cluster = cluster
        self._topics = topics
        self._history = history
        self._checkpoints = checkpoints
        self._namespaces = namespaces
        self._clock = clock
        self._linger = settings.linger_seconds
        self._checkpoint_every = settings.checkpoint_seconds
        self._largest = settings.largest_event
        self._loader = Loader(cluster, history, checkpoints)
        self.reader = LogReader(cluster, topics, self)
        self.telling = Telling(namespaces)
        self.channels: dict[str, Watched] = {}
        self.partitions: dict[Place, Partition] = {}
        self._idle: OrderedDict[str, Watched] = OrderedDict()
        self._finding: dict[Place, asyncio.Task[Partition]] = {}
        self._tasks = Tasks()
        self._checkpointed = clock.monotonic()
        self.records_read = 0
        self.records_told = 0
        #: Waits until every worker keeps up; set by who owns the pipes.
        self.ease: Callable[[], Coroutine[Any, Any, None]] | None = None
        #: Topics whose records are not of channels: who gets them instead.
        self.apart: dict[str, Callable[[Any], None]] = {}

    def start(self) -> None:
        """Begin to read."""
        self._tasks.start(self.reader.run())
        self._tasks.start(self._keep_house())

    async def close(self) -> None:
        """Write the counters down, stop."""
        async with contextlib.AsyncExitStack() as ends:  # each, also if one is cancelled
            ends.push_async_callback(self._loader.close)
            ends.push_async_callback(self._tasks.close)
            ends.callback(self._find_no_more)
            with contextlib.suppress(MainstemError, TimeoutError):
                async with asyncio.timeout(5.0):
                    await self._checkpoint(everything=True)

    def _find_no_more(self) -> None:
        for task in list(self._finding.values()):
            task.cancel()

    def detach(self, port: Port) -> None:
        """A worker is gone."""
        for watched in list(self.channels.values()):
            if port in watched.ports or port in watched.waiting:
                self.unwatch(port, watched.name)

    def watch(self, port: Port, name: str) -> None:
        """A worker has its first viewer of a channel."""
        watched = self.channels.get(name)
        if watched is None:
            try:
                channel, namespace = find_channel(self._namespaces, name)
            except Invalid as error:
                port.send(bus.Refused(name, "Invalid", str(error)))
                return
            watched = Watched(
                name,
                channel,
                channel.key,
                topic_of(channel.namespace, namespace),
                channel_of(name, namespace, self._largest),
            )
            self.channels[name] = watched
        self._idle.pop(name, None)
        watched.idle_since = None
        watched.waiting.setdefault(port, None)
        if watched.ready or self._open_at_once(watched):
            watched.admit()
        elif watched.opening is None:
            watched.opening = self._tasks.start(self._open(watched))

    def unwatch(self, port: Port, name: str) -> None:
        """A worker has no viewer of it any more."""
        watched = self.channels.get(name)
        if watched is None:
            return
        watched.leave(port)
        if watched.ports or watched.waiting:
            return
        watched.idle_since = self._clock.monotonic()
        self._idle[name] = watched
        while len(self._idle) > _IDLE_CHANNELS:
            self._retire(next(iter(self._idle.values())))

    # --- opening a channel -------------------------------------------------------------------

    def _open_at_once(self, watched: Watched) -> bool:
        """Where nothing has to be asked or loaded: most channels, most of the time."""
        if watched.opening is not None or watched.partition is not None:
            return False
        topic = self._topics.known(watched.topic)
        if topic is None or isinstance(watched.state, LatestChannel | CounterChannel):
            return False
        stream = topic.stream_of(watched.key)
        partition = self.partitions.get((stream[0], stream[2]))
        if partition is None or partition.stream != stream:
            return False
        partition.add(watched)
        watched.ready = True
        return True

    async def _open(self, watched: Watched) -> None:
        pause = 0.05
        try:
            while watched.waiting:
                try:
                    if await self._bring_up(watched):
                        return
                except Unavailable as error:
                    logger.warning("channel %s cannot be opened yet: %s", watched.name, error)
                except MainstemError as error:
                    self._refuse(watched, error)
                    return
                await asyncio.sleep(random.uniform(0, pause))
                pause = min(_LONGEST_PAUSE_S, pause * 2)
        finally:
            watched.opening = None

    async def _bring_up(self, watched: Watched) -> bool:
        """One try; false where the ground moved meanwhile."""
        topic = await self._topics.find(watched.topic)
        partition = watched.partition
        if partition is None:
            partition = await self._partition(topic.stream_of(watched.key))
            if self.partitions.get(partition.place) is not partition:
                return False
            partition.add(watched)
        if isinstance(watched.state, LatestChannel | CounterChannel):
            await self._loader.load(partition.stream, watched, partition.position)
        if watched.partition is not partition:
            return False
        watched.ready = True
        watched.admit()
        self.telling.changed(watched)
        return True

    def _refuse(self, watched: Watched, error: MainstemError) -> None:
        for port in watched.waiting:
            port.send(bus.Refused(watched.name, type(error).__name__, str(error)))
        watched.waiting.clear()
        if not watched.ports:
            self._retire(watched)

    async def _partition(self, stream: bus.Stream) -> Partition:
        place = stream[0], stream[2]
        found = self.partitions.get(place)
        if found is not None and found.stream == stream:
            return found
        for other in list(self.partitions.values()):
            if other.stream[0] == stream[0] and other.stream[1] != stream[1]:
                self.reader.release(other.place)  # metadata knew before the reader did
                self.lost(other.place, "epoch")
        task = self._finding.get(place)
        if task is None:
            task = asyncio.create_task(self._begin(stream))
            self._finding[place] = task
            task.add_done_callback(lambda done: self._found(place, done))
        return await asyncio.shield(task)

    def _found(self, place: Place, task: asyncio.Task[Partition]) -> None:
        self._finding.pop(place, None)
        if not task.cancelled():
            task.exception()  # those who wait have it, and maybe nobody does any more

    async def _begin(self, stream: bus.Stream) -> Partition:
        """Read a partition from where it ends now."""
        topic, epoch, number = stream
        _, last = await bounds(self._cluster, topic, [number], committed=True)
        known = self._topics.known(topic)
        if known is not None and known.epoch != epoch:
            raise Unavailable(f"topic {topic!r} was created anew just now: retry")
        partition = Partition(stream, last[number])
        self.partitions[partition.place] = partition
        self.reader.assign(partition.place, partition.position, epoch)
        return partition

    # --- what the log says (Sink) ------------------------------------------------------------

    async def records(self, place: Place, records: Any, next_offset: int) -> None:
        """See ``Sink``."""
        if place[0] in self.apart:
            self.apart[place[0]](records)
            return
        partition = self.partitions.get(place)
        if partition is None:
            return
        self.records_read += records.num_rows
        self._history.remember(partition.stream, partition.position, next_offset, records)
        partition.position = next_offset
        self.records_told += self.telling.records(partition, records)
        if self.ease is not None:
            await self.ease()

    def lost(self, place: Place, reason: str) -> None:
        """See ``Sink``: open all its channels anew, and let their viewers know why."""
        partition = self.partitions.pop(place, None)
        if partition is None:
            return
        logger.warning("partition %s-%d: %s; its channels are opened anew", *place, reason)
        self._history.forget(place[0])
        for watched in list(partition.members()):
            for port in watched.ports:
                watched.waiting[port] = reason
            partition.remove(watched)
            watched.ports.clear()
            watched.ready = False
            namespace = self._namespaces[watched.channel.namespace]
            watched.state = channel_of(watched.name, namespace, self._largest)
            if not watched.waiting:
                self._retire(watched)
            elif watched.opening is None:
                watched.opening = self._tasks.start(self._open(watched))

    # --- housekeeping ------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            now = self._clock.monotonic()
            for watched in list(self._idle.values()):
                if now - (watched.idle_since or now) < self._linger:
                    break
                self._retire(watched)
            for partition in list(self.partitions.values()):
                self.telling.advance(partition)
                self._rest(partition, now)
            if now - self._checkpointed >= self._checkpoint_every:
                self._checkpointed = now
                with contextlib.suppress(MainstemError):
                    await self._checkpoint(everything=False)

    def _rest(self, partition: Partition, now: float) -> None:
        """A partition nobody has watched for a while is read no more."""
        if partition.tables:
            partition.idle_since = None
        elif partition.idle_since is None:
            partition.idle_since = now
        elif now - partition.idle_since >= self._linger:
            self.reader.release(partition.place)
            self.partitions.pop(partition.place, None)

    def _retire(self, watched: Watched) -> None:
        """Forget a channel; its counter is written down first."""
        self._idle.pop(watched.name, None)
        self.channels.pop(watched.name, None)
        entry = _entry(watched)
        if watched.partition is not None:
            watched.partition.remove(watched)
        if entry is not None:
            self._tasks.start(self._write([entry]))

    async def _checkpoint(self, *, everything: bool) -> None:
        """Write down the counters that moved; few at a time unless it is the end."""
        entries = []
        for watched in list(self.channels.values()):
            entry = _entry(watched)
            if entry is not None:
                entries.append(entry)
            if len(entries) >= 1_000 and not everything:
                break
        await self._checkpoints.write(entries)

    async def _write(self, entries: list[tuple[bus.Stream, bytes, Checkpoint]]) -> None:
        with contextlib.suppress(MainstemError):  # it is counted again from the one before
            await self._checkpoints.write(entries)


def _entry(watched: Watched) -> tuple[bus.Stream, bytes, Checkpoint] | None:
    """The counter's checkpoint, where there is something to write; it counts as written."""
    state, partition = watched.state, watched.partition
    if partition is None or not watched.ready:
        return None
    if not isinstance(state, CounterChannel) or not state.changed:
        return None
    state.changed = False
    return partition.stream, watched.key, Checkpoint(state.total, partition.position)
