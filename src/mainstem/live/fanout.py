"""What this worker watches: channels, the sets made of them, and the bytes into their rings."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from itertools import islice

from mainstem.errors import Unavailable
from mainstem.live.bus import (
    Advance,
    Events,
    Message,
    Opened,
    Refused,
    State,
    Stream,
    Unwatch,
    Watch,
)
from mainstem.live.cursor import CursorBook
from mainstem.live.desk import error_of
from mainstem.live.frames import FRAMINGS, as_snapshot
from mainstem.live.subscriptions import CONTROL_TAG, SubscriptionSet, WatchedChannel

OPENING_SECONDS = 10.0
MOST_IDLE_SETS = 2_000
LET_GO_AT_ONCE = 256
"""Channels per turn: less than a millisecond here, and about one for the dispatcher."""
LET_GO_PAUSE_SECONDS = 0.004

Key = tuple[tuple[str, ...], str]


class Fanout:
    """Channels and sets of one worker. One event loop's; ``send`` puts a message on the bus.

    ``on_news(set)`` is called for every set whose ring got something, ``on_reset(set, reason)``
    for one whose channels were opened anew: its ring is closed, its viewers must come again.
    ``wake()`` makes sure that ``settle`` is called within a flush window.
    """

    def __init__(
        self,
        book: CursorBook,
        ring_bytes: int,
        window_ms: float,
        send: Callable[[Message], None],
        on_news: Callable[[SubscriptionSet], None],
        on_reset: Callable[[SubscriptionSet, str], None],
        wake: Callable[[], None],
    ) -> None:
        self._book = book
        # A ring masks its positions, so its size is a power of two.
        self._ring_bytes = 1 << min(max(ring_bytes, 4096), 1 << 28).bit_length() - 1
        self._window_us = int(window_ms * 1000)
        self._send = send
        self._on_news = on_news
        self._on_reset = on_reset
        self._wake = wake
        self.channels: dict[str, WatchedChannel] = {}
        self.sets: dict[Key, SubscriptionSet] = {}
        self.tags: dict[str, int] = {}
        self._opening: dict[str, asyncio.Future[WatchedChannel]] = {}
        self._positions: dict[Stream, int] = {}
        self._pending: dict[str, WatchedChannel] = {}
        self._asked: Counter[str] = Counter()  # channels that sets are being made of
        self._unused: dict[str, WatchedChannel] = {}
        self._stale: deque[SubscriptionSet] = deque()
        self._streams: Counter[Stream] = Counter()
        self._letting_go: asyncio.TimerHandle | None = None

    # Opening --------------------------------------------------------------------------

    def unknown(self, names: tuple[str, ...]) -> int:
        """How many of these channels nobody watches here: opening them is work for others."""
        return sum(name not in self.channels for name in names)

    async def open(self, names: tuple[str, ...], transport: str) -> SubscriptionSet:
        """The set of these channels (sorted, distinct), watched and with a ring.

        Raises what the dispatcher refused a channel with, ``Unavailable`` when it does not
        answer, ``Invalid`` when the set is too wide for a cursor.
        """
        found = self.sets.get((names, transport))
        if found is not None:
            return found
        self._asked.update(names)  # none of them is let go while the others are opened
        try:
            missing = [name for name in names if name not in self.channels]
            if missing:
                await self._watch(missing)
            found = self.sets.get((names, transport))  # somebody else may have been waiting, too
            if found is None:
                found = self._make(names, transport)
        finally:
            for name in names:
                self._asked[name] -= 1
                if not self._asked[name]:
                    del self._asked[name]
        return found

    async def _watch(self, names: list[str]) -> None:
        waiting = []
        for name in names:
            future = self._opening.get(name)
            if future is None:
                future = asyncio.get_running_loop().create_future()
                self._opening[name] = future
                self._send(Watch(name))
            waiting.append(future)
        try:
            async with asyncio.timeout(OPENING_SECONDS):
                # Shielded: many viewers may wait for the same channel, and one may give up.
                await asyncio.gather(*(asyncio.shield(future) for future in waiting))
        except TimeoutError:
            raise Unavailable(
                f"channel {names[0]} could not be opened in {OPENING_SECONDS:.0f} s: try again"
            ) from None

    def _make(self, names: tuple[str, ...], transport: str) -> SubscriptionSet:
        channels = [self.channels[name] for name in names]
        made = SubscriptionSet(
            channels, FRAMINGS[transport], self._book, self._positions, self._ring_bytes
        )
        for channel in channels:
            channel.sets.append(made)
            self._unused.pop(channel.name, None)
        self.sets[names, transport] = made
        return made

    def opened(self, message: Opened) -> None:
        """The dispatcher's answer to a ``Watch``; with a reason, an opening from anew."""
        namespace = message.channel.partition(":")[0]
        tag = self.tags.setdefault(namespace, min(len(self.tags), CONTROL_TAG - 1))
        before = self.channels.get(message.channel)
        if before is None or before.stream != message.stream:
            self._reads(message.stream, 1)
            self._reads(before.stream if before is not None else None, -1)
        if before is not None and message.reason is not None:
            for stale in list(before.sets):
                self.drop(stale)
                self._on_reset(stale, message.reason)
        if message.stream is not None and message.reason is not None:
            self._positions[message.stream] = message.next_offset  # it may lie behind: truncated
        elif message.stream is not None:
            self._advance(message.stream, message.next_offset)
        if before is None:
            channel = WatchedChannel(
                message.channel, message.kind, message.stream, tag, message.state
            )
            self.channels[message.channel] = self._unused[message.channel] = channel
        else:
            channel = before
            channel.kind, channel.stream = message.kind, message.stream
            channel.snapshot = message.state or channel.snapshot
        future = self._opening.pop(message.channel, None)
        if future is not None and not future.done():
            future.set_result(channel)

    def refused(self, message: Refused) -> None:
        """The dispatcher will not open this channel."""
        future = self._opening.pop(message.channel, None)
        if future is not None and not future.done():
            future.set_exception(error_of(message.kind, message.message))
            future.exception()  # whoever waited may have left: that is no error to log

    # What comes -----------------------------------------------------------------------

    def events(self, message: Events) -> None:
        """Records: into every ring of the channel; the newest only, where it is ``latest``."""
        channel = self.channels.get(message.channel)
        if channel is None:
            return
        self._advance(message.stream, message.next_offset)
        if channel.kind != "events":
            if message.items:
                body = message.items[-1][1]
                channel.snapshot = as_snapshot(body)
                self._hold(channel, body, message.time_ms, len(message.items))
            return
        now_us = time.time_ns() // 1000
        for each in channel.sets:
            place = each.index.get(message.stream)
            if place is None:
                continue
            for offset, body in message.items:
                if each.event(place, offset, body, channel.tag, now_us, message.time_ms):
                    self._on_news(each)

    def state(self, message: State) -> None:
        """The newest state of a channel: sent now, or once the window since the last is over."""
        channel = self.channels.get(message.channel)
        if channel is None:
            return
        if message.snapshot is not None:
            channel.snapshot = message.snapshot
        if channel.kind == "presence" and channel.pending is not None:
            self._put(channel, time.time_ns() // 1000)  # differences must not overtake each other
        self._hold(channel, message.state, message.time_ms, message.represented)

    def advance(self, message: Advance) -> None:
        """Nothing for us before this offset."""
        if message.stream in self._streams:  # else it was said before we left
            self._advance(message.stream, message.next_offset)

    def _advance(self, stream: Stream, next_offset: int) -> None:
        if next_offset > self._positions.get(stream, -1):
            self._positions[stream] = next_offset

    def _hold(self, channel: WatchedChannel, body: bytes, time_ms: int, represented: int) -> None:
        channel.pending = body
        if channel.pending_time_ms == 0:
            channel.pending_time_ms = time_ms
        channel.pending_represented += represented
        now_us = time.time_ns() // 1000
        if now_us - channel.put_us >= self._window_us:
            self._put(channel, now_us)
        else:
            self._pending[channel.name] = channel
            self._wake()

    def settle(self) -> None:
        """Put held states into the rings: once per flush window."""
        if not self._pending:
            return
        now_us = time.time_ns() // 1000
        pending, self._pending = self._pending, {}
        for channel in pending.values():
            self._put(channel, now_us)

    def _put(self, channel: WatchedChannel, now_us: int) -> None:
        body, represented = channel.pending, channel.pending_represented
        time_ms = channel.pending_time_ms
        channel.pending, channel.pending_time_ms, channel.pending_represented = None, 0, 0
        if body is None:
            return
        channel.put_us = now_us
        for each in channel.sets:
            each.state(body, channel.tag, now_us, time_ms, represented)
            self._on_news(each)

    # Upkeep ---------------------------------------------------------------------------

    def refresh(self, each: SubscriptionSet) -> None:
        """Let a set's vector follow the log over stretches without anything for it."""
        each.move(self._positions)

    def beat(self, each: SubscriptionSet) -> None:
        """A heartbeat that carries the cursor, to all viewers of a set."""
        self.refresh(each)
        each.say(each.framing.heartbeat(each.cursor()), time.time_ns() // 1000)
        self._on_news(each)

    def drop(self, each: SubscriptionSet) -> None:
        """Forget a set; its ring lives on while somebody reads it."""
        for channel in each.channels:
            if each in channel.sets:
                channel.sets.remove(each)
                if not channel.sets:
                    self._unused[channel.name] = channel
        key = (each.names, each.framing.name)
        if self.sets.get(key) is each:
            del self.sets[key]

    def tidy(self, now: float, linger: float) -> None:
        """Drop sets without viewers after ``linger`` seconds, and the channels nobody uses.

        A little at a time: a burst would hold up the viewers who stay.
        """
        idle = []
        for each in self.sets.values():
            for key in [key for key, task in each.pieces.items() if task.done()]:
                del each.pieces[key]
            if each.ring.viewers > 0 or each.joining > 0:
                each.idle_since = None
            elif each.idle_since is None:
                each.idle_since = now
            if each.idle_since is not None:
                idle.append((each.idle_since, each))
        idle.sort(key=lambda pair: pair[0])
        surplus = len(idle) - MOST_IDLE_SETS
        self._stale = deque(
            each
            for place, (since, each) in enumerate(idle)
            if now - since >= linger or place < surplus
        )
        if self._letting_go is None:
            self._let_go()

    def _let_go(self) -> None:
        room = LET_GO_AT_ONCE
        while self._stale and room > 0:
            each = self._stale.popleft()
            if each.ring.viewers == 0 and each.joining == 0:  # nobody came meanwhile
                self.drop(each)
                room -= len(each.channels)
        unused = (name for name in self._unused if name not in self._asked)
        gone = list(islice(unused, LET_GO_AT_ONCE))
        for name in gone:
            del self._unused[name]
            self._pending.pop(name, None)
            self._reads(self.channels.pop(name).stream, -1)
            self._send(Unwatch(name))
        self._letting_go = None
        if self._stale or gone:
            loop = asyncio.get_running_loop()
            self._letting_go = loop.call_later(LET_GO_PAUSE_SECONDS, self._let_go)

    def _reads(self, stream: Stream | None, change: int) -> None:
        """So many channels more, or fewer, are in ``stream``; where none is, nothing is kept."""
        if stream is None:
            return
        self._streams[stream] += change
        if self._streams[stream] <= 0:
            del self._streams[stream]
            self._positions.pop(stream, None)

    @property
    def last_position(self) -> int:
        """The highest offset known, for the gauges."""
        return max(self._positions.values(), default=0)
