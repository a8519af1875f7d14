"""Subscription sets: all viewers of the same channels over the same transport share one ring.

A browser keeps one ``Last-Event-ID`` per connection, so an id must hold the place in *all* the
connection's channels: the sorted channel names are the key, and the set's vector (the next
offset per stream of its ``events`` channels) is what its cursors say. A frame's cursor means:
who has had everything up to this frame goes on there.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from mainstem.errors import Invalid
from mainstem.kernels import Framer, Ring, Sender
from mainstem.live.bus import Stream
from mainstem.live.cursor import LONGEST, CursorBook, CursorShape
from mainstem.live.frames import Framing

CONTROL_TAG = Sender.TAG_COUNT - 1
"""The namespace tag of frames that deliver no event: heartbeats and the like."""

SMALLEST_RING = 2048


@dataclass(slots=True, eq=False)
class WatchedChannel:
    """A channel the dispatcher has opened for this worker."""

    name: str
    kind: str
    stream: Stream | None
    tag: int
    snapshot: bytes | None
    sets: list[SubscriptionSet] = field(default_factory=list)
    pending: bytes | None = None
    """The newest state not yet in the rings: conflation within one flush window."""
    pending_time_ms: int = 0
    pending_represented: int = 0
    put_us: int = 0

    @property
    def namespace(self) -> str:
        return self.name.partition(":")[0]


class SubscriptionSet:
    """One ring and where its head stands. Made by ``Fanout``; used by one event loop."""

    def __init__(
        self,
        channels: list[WatchedChannel],
        framing: Framing,
        book: CursorBook,
        starts: dict[Stream, int],
        ring_bytes: int,
    ) -> None:
        self.channels = channels
        self.names = tuple(channel.name for channel in channels)
        self.namespaces = tuple({channel.namespace for channel in channels})
        self.ids = frozenset(name.partition(":")[2] for name in self.names)
        self.framing = framing
        self._book = book
        events = {c.stream for c in channels if c.kind == "events" and c.stream is not None}
        self.shape = CursorShape(events)
        if framing.name == "sse" and self.shape.longest() > LONGEST:
            raise Invalid(
                f"{len(self.names)} channels lie in {len(events)} partitions: one event stream's "
                "id holds about six topics or eleven partitions; split it, or use /live/ws"
            )
        self.index = {stream: place for place, stream in enumerate(self.shape.streams)}
        vector = [starts[stream] for stream in self.shape.streams]
        self.ring = Ring(vector, SMALLEST_RING, ring_bytes)
        self._framer = Framer(
            self.ring,
            self.shape.prefixes,
            self.shape.alone,
            vector,
            book.key,
            framing.name == "ws",
        )
        self.spoke_us = time.time_ns() // 1000
        self.idle_since: float | None = None
        self.joining = 0
        self.resets = 0
        self.replayed = 0
        self.accounted = (0, 0, 0)
        self.pieces: dict[tuple[int, ...], asyncio.Task[Any]] = {}
        """Stretches of the past being asked, or asked a moment ago; see ``Past``."""

    @property
    def conflatable(self) -> bool:
        """Nothing is lost by skipping frames: no channel of kind ``events``."""
        return not self.shape.streams

    @property
    def vector(self) -> list[int]:
        """The next offset per stream at the head of the ring; a copy."""
        return self._framer.vector

    def cursor(self) -> bytes:
        """The cursor at the head of the ring."""
        return self._framer.cursor()

    def cursor_at(self, vector: list[int]) -> bytes:
        """The cursor of another place."""
        return self._book.sign(self.shape.payload(vector))

    def move(self, starts: dict[Stream, int]) -> None:
        """Progress over stretches that hold nothing for this set."""
        for place, stream in enumerate(self.shape.streams):
            self._framer.move(place, starts.get(stream, 0))

    def event(
        self, place: int, offset: int, body: bytes, tag: int, now_us: int, time_ms: int
    ) -> bool:
        """One record for the ring; False when the set had it before."""
        self.spoke_us = now_us
        return self._framer.event(place, offset, body, now_us, time_ms * 1000, tag)

    def state(self, body: bytes, tag: int, now_us: int, time_ms: int, represented: int) -> None:
        """A frame that carries no record of an ``events`` channel."""
        self._framer.state(body, now_us, time_ms * 1000, represented, tag)
        self.spoke_us = now_us

    def say(self, frame: bytes, now_us: int) -> None:
        """A finished control frame for everybody."""
        self.ring.append(frame, now_us, -1, 0, 0, 0, CONTROL_TAG)
        self.spoke_us = now_us

    def vector_at(self, number: int) -> list[int] | None:
        """Where a viewer stands who wants frame ``number`` next; ``None``: forgotten."""
        if not self.ring.first <= number <= self.ring.next:
            return None
        vector = self.vector
        for later in range(self.ring.next - 1, number - 1, -1):
            place, offset = self.ring.record(later)
            if place >= 0:
                vector[place] = offset
        return vector

    def apart(self, numbers: list[int], wanted: list[int]) -> list[bytes]:
        """Frames out of the ring with ids that never step back behind ``wanted``.

        ``wanted`` is moved along; see ``Ring.resume``.
        """
        frames = []
        for number in numbers:
            place, offset = self.ring.record(number)
            wanted[place] = offset + 1
            body = self.framing.body(self.ring.frame(number))
            frames.append(self.framing.event(self.cursor_at(wanted), body))
        return frames

    def snapshots(self) -> list[tuple[str, bytes]]:
        """(channel, JSON) of every channel that has a state."""
        return [(c.name, c.snapshot) for c in self.channels if c.snapshot is not None]
