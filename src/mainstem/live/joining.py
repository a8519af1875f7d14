"""How a viewer gets from where it stood to the ring, without a gap and without a double.

A viewer stands at a vector C (from its cursor), the ring's head at R. What lies between comes
from the ring's memory if that still holds C, else from the log through the dispatcher, a slice
at a time into the connection's own buffer; then the viewer joins the ring right after. When the
ring has moved on meanwhile, that is simply the next C and R.
"""

from __future__ import annotations

import asyncio

from mainstem.errors import MainstemError
from mainstem.kernels import Sender
from mainstem.live.bus import Stream
from mainstem.live.cursor import CursorBook, place_of
from mainstem.live.desk import Desk
from mainstem.live.fanout import Fanout
from mainstem.live.frames import Fields
from mainstem.live.past import Past, Piece, Reset
from mainstem.live.starting import Start
from mainstem.live.subscriptions import SubscriptionSet

AHEAD_SECONDS = 3.0
"""How long a cursor may lie ahead of this worker: another one was quicker."""

_AHEAD_STEP = 0.02
_QUEUED_ENOUGH = 32_768
_DRAIN_SECONDS = 120.0


class ViewerLeft(Exception):  # noqa: N818 - not a fault
    """The connection went while it was being joined."""


class Joiner:
    """Puts connections onto rings. One per worker, one event loop's."""

    def __init__(self, fanout: Fanout, desk: Desk, sender: Sender, book: CursorBook) -> None:
        self._fanout = fanout
        self._desk = desk
        self._sender = sender
        self._past = Past(desk, book)
        self._draining: dict[int, asyncio.Future[None]] = {}

    # Entry points ---------------------------------------------------------------------

    async def join(self, ident: int, each: SubscriptionSet, start: Start, opening: bytes) -> None:
        """Tell ``resumed`` or ``reset`` after ``opening``, the states, then join the ring.

        Raises ``ViewerLeft``; ``Unavailable`` when the log cannot be read (close, resumably).
        """
        each.joining += 1
        try:
            self._fanout.refresh(each)
            piece = None
            wanted = self.locate(each, start)
            if wanted is None:
                wanted, piece = await self._past.since(each, start.origin or "")
            else:
                await self._catch_up_with(each, wanted)
                if each.ring.resume(wanted) is None:  # only the log can say that it is there
                    piece = await self._past.after(each, wanted)
            said = self._resumed(ident, each, start, wanted, opening, each.names)
            opening = b""
            if piece is not None:
                wanted = await self._hand_over(ident, each, piece)
            await self.enter(ident, each, wanted, said)
        except Reset as reset:
            self.reset(ident, each, reset, start, opening)
        except MainstemError as error:
            if not opening and each.framing.name == "sse":  # too late for another answer
                raise ViewerLeft from error
            raise
        finally:
            each.joining -= 1

    async def widen(
        self,
        ident: int,
        each: SubscriptionSet,
        carried: dict[Stream, int] | None,
        added: tuple[str, ...],
        start: Start,
    ) -> None:
        """Go on in ``each`` where the connection stood in another set, with channels ``added``.

        ``carried``: where it stood, per stream; ``None``: its ring had forgotten. What
        ``start`` asks of the past is told of the added channels, without ids: the connection's
        cursor stays where it was until they are done.
        """
        each.joining += 1
        try:
            self._fanout.refresh(each)
            if carried is None:
                raise Reset("lagged")
            fresh = self.locate(each, start) or list(each.vector)
            streams = each.shape.streams
            wanted = [carried.get(stream, fresh[n]) for n, stream in enumerate(streams)]
            said = dict(each.snapshots())
            for name in added:
                said.pop(name, None)
            if added:
                self._resumed(ident, each, start, wanted, b"", added)
                said.update(each.snapshots())
            if start.needs_history:
                await self._tell_past(ident, each, added, start, wanted)
            await self.enter(ident, each, wanted, said)
        except Reset as reset:
            self.reset(ident, each, reset, start, b"")
        finally:
            each.joining -= 1

    async def _tell_past(
        self,
        ident: int,
        each: SubscriptionSet,
        added: tuple[str, ...],
        start: Start,
        end: list[int],
    ) -> None:
        until = dict(zip(each.shape.streams, end, strict=True))
        at: dict[Stream, int] | None = None
        while at is None or any(at[stream] < until[stream] for stream in at):
            frames, at = await self._past.of_added(each, added, start.origin, at, until)
            if frames and self._write(ident, frames) > _QUEUED_ENOUGH:
                await self._wait_until_sent(ident)

    async def enter(
        self, ident: int, each: SubscriptionSet, wanted: list[int], said: dict[str, bytes]
    ) -> None:
        """From ``wanted`` to the ring. ``said``: the states it was told already."""
        while True:
            plan = each.ring.resume(wanted)
            if plan is not None:
                apart, number = plan
                frames = [*self._news(each, said), *each.apart(apart, wanted)]
                if frames:
                    self._write(ident, b"".join(frames))
                if not self._sender.attach(ident, each.ring, number):
                    raise ViewerLeft
                return
            self._fanout.refresh(each)
            piece = await self._past.after(each, wanted)
            wanted = await self._hand_over(ident, each, piece)

    def locate(self, each: SubscriptionSet, start: Start) -> list[int] | None:
        """The vector that ``start`` means for this set; ``None``: only the log can tell.

        Raises ``Reset`` for a cursor that is not ours or of another life of the topic.
        """
        if start.origin == "latest" or (start.origin is not None and not each.vector):
            return list(each.vector)
        if start.origin is not None:
            return None
        if start.places is None:
            raise Reset("invalid")
        wanted = list(each.vector)
        epochs = {(tag, partition): epoch for tag, epoch, partition in start.places}
        for number, stream in enumerate(each.shape.streams):
            place = place_of(stream)
            if place in start.places:
                wanted[number] = start.places[place]
            elif epochs.get((place[0], place[2]), place[1]) != place[1]:
                raise Reset("epoch")
        return wanted

    def reset(
        self, ident: int, each: SubscriptionSet, reset: Reset, start: Start, opening: bytes
    ) -> None:
        """Say why the past is not told, then the states, then go on live from here."""
        self._fanout.refresh(each)
        each.resets += 1
        fields = {
            "requested": start.asked,
            "earliest": None,
            "latest": each.cursor().decode(),
            "channels": list(each.names),
            **reset.fields,
        }
        frames = [opening, each.framing.control("reset", each.cursor(), fields)]
        frames += self._news(each, {})
        self._write(ident, b"".join(frames))
        if not self._sender.attach(ident, each.ring, each.ring.next):
            raise ViewerLeft

    def drained(self, ident: int, *, lost: bool = False) -> None:
        """A report of the sender: a connection's private bytes are sent, or it is gone."""
        future = self._draining.pop(ident, None)
        if future is not None and not future.done():
            if lost:
                future.set_exception(ViewerLeft())
            else:
                future.set_result(None)

    # Steps ----------------------------------------------------------------------------

    def _resumed(
        self,
        ident: int,
        each: SubscriptionSet,
        start: Start,
        wanted: list[int],
        opening: bytes,
        names: tuple[str, ...],
    ) -> dict[str, bytes]:
        fields: Fields = {"channels": list(names), "from": start.origin or "cursor"}
        said = {name: body for name, body in each.snapshots() if name not in names}
        frames = [opening, each.framing.control("resumed", each.cursor_at(wanted), fields)]
        frames += self._news(each, said, each.cursor_at(wanted))
        self._write(ident, b"".join(frames))
        return said

    def _news(
        self, each: SubscriptionSet, said: dict[str, bytes], cursor: bytes | None = None
    ) -> list[bytes]:
        """Frames of the states that are not ``said``, which they are from then on."""
        frames = []
        for name, body in each.snapshots():
            if said.get(name) is not body:
                said[name] = body
                frames.append(each.framing.event(cursor or each.cursor(), body))
        return frames

    async def _catch_up_with(self, each: SubscriptionSet, wanted: list[int]) -> None:
        """Another worker or node may have been ahead of this one when it wrote the cursor."""
        waited = 0.0
        while any(want > have for want, have in zip(wanted, each.vector, strict=True)):
            if waited >= AHEAD_SECONDS:
                raise Reset("truncated")
            await asyncio.sleep(_AHEAD_STEP)
            waited += _AHEAD_STEP
            self._fanout.refresh(each)

    async def _hand_over(self, ident: int, each: SubscriptionSet, piece: Piece) -> list[int]:
        """Send a piece of the past; returns where the viewer stands after it."""
        each.replayed += piece.count
        if piece.frames and self._write(ident, piece.frames) > _QUEUED_ENOUGH:
            self._desk.catching_up += 1
            try:
                await self._wait_until_sent(ident)
            finally:
                self._desk.catching_up -= 1
        return list(piece.vector)

    async def _wait_until_sent(self, ident: int) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._draining[ident] = future
        self._write(ident, b"", notify=True)
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await future
        except TimeoutError:
            raise ViewerLeft from None
        finally:
            self._draining.pop(ident, None)

    def _write(self, ident: int, data: bytes, *, notify: bool = False) -> int:
        queued = self._sender.write(ident, data, False, notify)
        if queued < 0:
            raise ViewerLeft
        return queued
