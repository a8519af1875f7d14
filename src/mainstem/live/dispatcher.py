"""The dispatcher: the log on one side, workers on the other, and a table of who wants what.

The only part of live that talks Kafka. One event loop; what must be one step (taking records in,
telling workers where they stand, letting a worker in) happens without an ``await`` in between:
that is what makes "all at or after ``next_offset`` will follow" true.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from mainstem.client import Cluster, Producer, bounds
from mainstem.clock import Clock, SystemClock
from mainstem.errors import Invalid, MainstemError, Unavailable
from mainstem.live import audience, bus, control, counters
from mainstem.live.access import LimitReached, TicketLedger
from mainstem.live.audience import Audience
from mainstem.live.channels import BUILT_IN, Channel, parse_channel
from mainstem.live.counters import Checkpoint, Checkpoints
from mainstem.live.history import History
from mainstem.live.kinds import CounterChannel, EventsChannel, LatestChannel, channel_of
from mainstem.live.loading import Loader
from mainstem.live.publish import Publisher, check_body
from mainstem.live.reader import LogReader
from mainstem.live.replay import Past, Replayer
from mainstem.live.settings import LiveSettings, Namespace, topic_of
from mainstem.live.tallies import Tallies
from mainstem.live.telling import Telling
from mainstem.live.topics import Place, Topics, Wanted
from mainstem.live.viewers import ViewerSettings
from mainstem.live.watched import Partition, Port, Watched

logger = logging.getLogger("mainstem.live")

_TICK_S = 0.5
_IDLE_CHANNELS = 10_000
_LONGEST_PAUSE_S = 2.0


class Dispatcher:
    """Serves ports. ``start``, then ``attach`` workers and hand over what they say."""

    def __init__(
        self,
        cluster: Cluster,
        settings: LiveSettings,
        namespaces: Mapping[str, Namespace],
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        self.namespaces = dict(namespaces)
        self._clock = clock or SystemClock()
        self._cluster = cluster
        self.topics = Topics(cluster, wanted_topics(namespaces))
        producer = Producer(cluster)
        self._producer = producer
        self.history = History(
            cluster,
            cache_bytes=settings.cache_bytes,
            bytes_per_second=settings.replay_bytes_per_second,
        )
        self.checkpoints = Checkpoints(cluster, producer, self.topics, self.history)
        self.loader = Loader(cluster, self.history, self.checkpoints)
        self.replayer = Replayer(cluster, self.topics, self.history)
        self.publisher = Publisher(
            cluster,
            producer,
            self.topics,
            self.history,
            remember_seconds=settings.idempotency_seconds,
        )
        self.reader = LogReader(cluster, self.topics, self)
        self.telling = Telling(self.namespaces)
        self.name = settings.name or f"live-{secrets.token_hex(6)}"
        self.audience = Audience(
            cluster,
            producer,
            self.topics,
            self.reader,
            self._clock,
            self.name,
            viewer_settings(settings.viewers),
        )
        self._tickets = TicketLedger(self._clock)
        self.tallies = Tallies()
        self.channels: dict[str, Watched] = {}
        self.partitions: dict[Place, Partition] = {}
        self._idle: OrderedDict[str, Watched] = OrderedDict()
        self._finding: dict[Place, asyncio.Task[Partition]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._largest = max(1024, settings.ring_bytes // 4)
        self._checkpointed = self._clock.monotonic()
        self.records_read = 0
        self.records_told = 0
        #: Waits until every worker keeps up; set by who owns the pipes.
        self.ease: Callable[[], Coroutine[Any, Any, None]] | None = None

    async def start(self) -> None:
        """Begin to read. The cluster must have been started."""
        self._spawn(self.reader.run())
        self._spawn(self._keep_house())
        self.audience.start()

    async def cursor_key(self) -> bytes:
        """What signs cursors: configured, or shared by all gateways of the cluster."""
        if self.settings.cursor_key:
            return self.settings.cursor_key.encode()
        return await control.shared_cursor_key(
            self._cluster, self._producer, self.topics, self.history
        )

    async def close(self) -> None:
        """Write the counters down, finish what is being published, stop."""
        with contextlib.suppress(MainstemError, TimeoutError):
            async with asyncio.timeout(5.0):
                await self._checkpoint(everything=True)
        await self.audience.close()
        tasks = [*self._tasks, *self._finding.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.publisher.close()
        await self.loader.close()
        await self.history.close()
        await self._producer.close()

    # --- what workers say --------------------------------------------------------------------

    def received(self, port: Port, message: bus.Message) -> None:
        """One message of a worker. Never raises."""
        if isinstance(message, bus.Watch):
            self._watch(port, message.channel)
        elif isinstance(message, bus.Unwatch):
            self._unwatch(port, message.channel)
        elif isinstance(message, bus.Replay):
            self._spawn(self._replay(port, message))
        elif isinstance(message, bus.Publish):
            self._spawn(self._publish(port, message))
        elif isinstance(message, bus.ViewerReport):
            self.audience.report(port, message.payload)
        elif isinstance(message, bus.Gauges):
            self.tallies.take(port.number, message)
        elif isinstance(message, bus.UseTicket):
            port.send(bus.TicketUsed(message.request, self._first_use(message)))

    def _first_use(self, message: bus.UseTicket) -> bool:
        try:
            return self._tickets.spend(message.ticket, message.expires_at)
        except LimitReached:
            return False

    def detach(self, port: Port) -> None:
        """A worker is gone."""
        self.audience.gone(port)
        self.tallies.gone(port.number)
        for watched in list(self.channels.values()):
            if port in watched.ports or port in watched.waiting:
                self._unwatch(port, watched.name)

    def _watch(self, port: Port, name: str) -> None:
        if name.partition(":")[0] in BUILT_IN:
            self.audience.watch(port, name)
            return
        watched = self.channels.get(name)
        if watched is None:
            try:
                channel, namespace = self.find(name)
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
            watched.opening = self._spawn(self._open(watched))

    def _unwatch(self, port: Port, name: str) -> None:
        if name.partition(":")[0] in BUILT_IN:
            self.audience.unwatch(port, name)
            return
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

    def find(self, name: str) -> tuple[Channel, Namespace]:
        """The channel and its namespace. Raises ``Invalid`` where there is none."""
        channel = parse_channel(name)
        namespace = self.namespaces.get(channel.namespace)
        if namespace is None:
            there = ", ".join(sorted([*self.namespaces, *BUILT_IN]))
            raise Invalid(f"there is no namespace {channel.namespace!r}: there are {there}")
        return channel, namespace

    async def _replay(self, port: Port, wanted: bus.Replay) -> None:
        members: dict[str, Past] = {}
        for name in wanted.channels:
            with contextlib.suppress(Invalid):
                channel, namespace = self.find(name)
                if namespace.kind == "events":
                    try:
                        topic = await self.topics.find(topic_of(channel.namespace, namespace))
                    except MainstemError as error:
                        kind = type(error).__name__
                        port.send(bus.Failed(wanted.request, kind, str(error), error.code))
                        return
                    stream = topic.stream_of(channel.key)
                    state = EventsChannel(name, self._largest)
                    members[name] = Past(stream, channel.key, state)
        await self.replayer.answer(wanted, members, port.send)

    async def _publish(self, port: Port, wanted: bus.Publish) -> None:
        try:
            channel, namespace = self.find(wanted.channel)
            check_body(wanted.body, namespace, self.settings.max_publish_bytes)
            found = await self.publisher.publish(
                topic_of(channel.namespace, namespace),
                channel.key,
                wanted.body,
                wanted.idempotency_key,
                wanted.user,
            )
        except MainstemError as error:
            kind = type(error).__name__
            port.send(bus.Failed(wanted.request, kind, str(error), error.code))
        else:
            port.send(bus.Published(wanted.request, *found))

    # --- opening a channel -------------------------------------------------------------------

    def _open_at_once(self, watched: Watched) -> bool:
        """Where nothing has to be asked or loaded: most channels, most of the time."""
        if watched.opening is not None or watched.partition is not None:
            return False
        topic = self.topics.known(watched.topic)
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
        topic = await self.topics.find(watched.topic)
        partition = watched.partition
        if partition is None:
            partition = await self._partition(topic.stream_of(watched.key))
            if self.partitions.get(partition.place) is not partition:
                return False
            partition.add(watched)
        if isinstance(watched.state, LatestChannel | CounterChannel):
            await self.loader.load(partition.stream, watched, partition.position)
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
        known = self.topics.known(topic)
        if known is not None and known.epoch != epoch:
            raise Unavailable(f"topic {topic!r} was created anew just now: retry")
        partition = Partition(stream, last[number])
        self.partitions[partition.place] = partition
        self.reader.assign(partition.place, partition.position, epoch)
        return partition

    # --- what the log says (Sink) ------------------------------------------------------------

    async def records(self, place: Place, records: Any, next_offset: int) -> None:
        """See ``Sink``."""
        if place[0] == audience.TOPIC:
            self.audience.records(records)
            return
        partition = self.partitions.get(place)
        if partition is None:
            return
        self.records_read += records.num_rows
        self.history.remember(partition.stream, partition.position, next_offset, records)
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
        self.history.forget(place[0])
        for watched in list(partition.members()):
            for port in watched.ports:
                watched.waiting[port] = reason
            partition.remove(watched)
            watched.ports.clear()
            watched.ready = False
            namespace = self.namespaces[watched.channel.namespace]
            watched.state = channel_of(watched.name, namespace, self._largest)
            if not watched.waiting:
                self._retire(watched)
            elif watched.opening is None:
                watched.opening = self._spawn(self._open(watched))

    # --- housekeeping ------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            now = self._clock.monotonic()
            for watched in list(self._idle.values()):
                if now - (watched.idle_since or now) < self.settings.linger_seconds:
                    break
                self._retire(watched)
            for partition in list(self.partitions.values()):
                self.telling.advance(partition)
                self._rest(partition, now)
            if now - self._checkpointed >= self.settings.checkpoint_seconds:
                self._checkpointed = now
                with contextlib.suppress(MainstemError):
                    await self._checkpoint(everything=False)

    def _rest(self, partition: Partition, now: float) -> None:
        """A partition nobody has watched for a while is read no more."""
        if partition.tables:
            partition.idle_since = None
        elif partition.idle_since is None:
            partition.idle_since = now
        elif now - partition.idle_since >= self.settings.linger_seconds:
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
            self._spawn(self._write([entry]))

    async def _checkpoint(self, *, everything: bool) -> None:
        """Write down the counters that moved; few at a time unless it is the end."""
        entries = []
        for watched in list(self.channels.values()):
            entry = _entry(watched)
            if entry is not None:
                entries.append(entry)
            if len(entries) >= 1_000 and not everything:
                break
        await self.checkpoints.write(entries)

    async def _write(self, entries: list[tuple[bus.Stream, bytes, Checkpoint]]) -> None:
        with contextlib.suppress(MainstemError):  # it is counted again from the one before
            await self.checkpoints.write(entries)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a task of live failed", exc_info=task.exception())


def _entry(watched: Watched) -> tuple[bus.Stream, bytes, Checkpoint] | None:
    """The counter's checkpoint, where there is something to write; it counts as written."""
    state, partition = watched.state, watched.partition
    if partition is None or not watched.ready:
        return None
    if not isinstance(state, CounterChannel) or not state.changed:
        return None
    state.changed = False
    return partition.stream, watched.key, Checkpoint(state.total, partition.position)


def viewer_settings(table: Mapping[str, Any]) -> ViewerSettings:
    """The ``[viewers]`` table. Raises ``Invalid``."""
    try:
        return msgspec.convert(dict(table), ViewerSettings, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(f"live settings, [viewers]: {error}") from None


def wanted_topics(namespaces: Mapping[str, Namespace]) -> dict[str, Wanted]:
    """How the topics of these namespaces, and live's own, are created."""
    own = (audience, control, counters)
    wanted = {module.TOPIC: Wanted(module.PARTITIONS, module.CONFIG) for module in own}
    for name, namespace in namespaces.items():
        partitions = namespace.partitions if namespace.create else None
        config = {"cleanup.policy": "compact"} if namespace.kind == "latest" else {}
        if namespace.kind == "counter":  # a like that was deleted cannot be counted again
            config = {"retention.ms": "-1", "retention.bytes": "-1"}
        config |= namespace.config
        wanted[topic_of(name, namespace)] = Wanted(partitions, config, namespace.partitioner)
    return wanted
