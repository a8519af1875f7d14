"""The dispatcher: the log on one side, workers on the other. Nothing else of live talks Kafka.

This is its desk: what workers say goes to who knows the answer.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping

from mainstem.client import Cluster, Producer
from mainstem.clock import Clock, SystemClock
from mainstem.errors import Invalid, MainstemError
from mainstem.live import audience, bus, control
from mainstem.live.access import LimitReached, TicketLedger
from mainstem.live.audience import Audience, viewer_settings
from mainstem.live.channels import BUILT_IN
from mainstem.live.control import shared_cursor_key
from mainstem.live.counters import Checkpoints
from mainstem.live.history import History
from mainstem.live.kicks import Kicks
from mainstem.live.kinds import EventsChannel
from mainstem.live.namespaces import find_channel, wanted_topics
from mainstem.live.publish import Publisher, check_body
from mainstem.live.replay import Past, Replayer
from mainstem.live.settings import LiveSettings, Namespace, topic_of
from mainstem.live.table import ChannelTable
from mainstem.live.tallies import Tallies
from mainstem.live.tasks import Tasks
from mainstem.live.topics import Topics
from mainstem.live.watched import Port


class Dispatcher:
    """Serves ports: ``start``, then hand over what workers say. Belongs to one event loop."""

    def __init__(
        self,
        cluster: Cluster,
        settings: LiveSettings,
        namespaces: Mapping[str, Namespace],
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self.settings = settings
        self.namespaces = dict(namespaces)
        self.name = settings.name or f"live-{secrets.token_hex(6)}"
        self._cluster = cluster
        self._producer = producer = Producer(cluster)
        self.topics = topics = Topics(cluster, wanted_topics(namespaces))
        self.history = History(
            cluster,
            cache_bytes=settings.cache_bytes,
            bytes_per_second=settings.replay_bytes_per_second,
        )
        self.checkpoints = Checkpoints(cluster, producer, topics, self.history)
        self.table = ChannelTable(
            cluster, topics, self.history, self.checkpoints, settings, self.namespaces, clock
        )
        self.replayer = Replayer(cluster, topics, self.history)
        seconds = settings.idempotency_seconds
        self.publisher = Publisher(
            cluster, producer, topics, self.history, remember_seconds=seconds
        )
        viewers = viewer_settings(settings.viewers)
        reader = self.table.reader
        self.audience = Audience(cluster, producer, topics, reader, clock, self.name, viewers)
        self.table.apart[audience.TOPIC] = self.audience.records
        self.kicks = Kicks(cluster, producer, topics, self.history, reader, clock)
        self.table.apart[control.TOPIC] = self.kicks.records
        self.tallies = Tallies()
        self._tickets = TicketLedger(clock)
        self._tasks = Tasks()

    async def start(self) -> None:
        """Begin to read. The cluster must have been started.

        Raises ``MainstemError`` where it cannot be known who was put out.
        """
        await self.kicks.load()
        self.table.start()
        self.audience.start()
        self._tasks.start(self.kicks.follow())

    async def cursor_key(self) -> bytes:
        """What signs cursors: configured, or shared by all gateways of the cluster."""
        if self.settings.cursor_key:
            return self.settings.cursor_key.encode()
        return await shared_cursor_key(self._cluster, self._producer, self.topics, self.history)

    async def close(self) -> None:
        """Write the counters down, finish what is being published, stop."""
        async with contextlib.AsyncExitStack() as ends:  # each, also if one is cancelled
            ends.push_async_callback(self._producer.close)
            ends.push_async_callback(self.history.close)
            ends.push_async_callback(self._tasks.close)
            ends.push_async_callback(self.publisher.close)
            ends.push_async_callback(self.table.close)
            await self.audience.close()

    # --- what workers say --------------------------------------------------------------------

    def received(self, port: Port, message: bus.Message) -> None:
        """One message of a worker. Never raises."""
        if isinstance(message, bus.Watch):
            self._room(message.channel).watch(port, message.channel)
        elif isinstance(message, bus.Unwatch):
            self._room(message.channel).unwatch(port, message.channel)
        elif isinstance(message, bus.Replay):
            self._tasks.start(self._replay(port, message))
        elif isinstance(message, bus.Publish):
            self._tasks.start(self._publish(port, message))
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
        self.table.detach(port)

    def _room(self, channel: str) -> Audience | ChannelTable:
        return self.audience if channel.partition(":")[0] in BUILT_IN else self.table

    async def _replay(self, port: Port, wanted: bus.Replay) -> None:
        members: dict[str, Past] = {}
        for name in wanted.channels:
            with contextlib.suppress(Invalid):
                channel, namespace = find_channel(self.namespaces, name)
                if namespace.kind == "events":
                    try:
                        topic = await self.topics.find(topic_of(channel.namespace, namespace))
                    except MainstemError as error:
                        kind = type(error).__name__
                        port.send(bus.Failed(wanted.request, kind, str(error), error.code))
                        return
                    stream = topic.stream_of(channel.key)
                    state = EventsChannel(name, self.settings.largest_event)
                    members[name] = Past(stream, channel.key, state)
        await self.replayer.answer(wanted, members, port.send)

    async def _publish(self, port: Port, wanted: bus.Publish) -> None:
        try:
            channel, namespace = find_channel(self.namespaces, wanted.channel)
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
