"""The past of a set, framed: asked once, however many viewers want the same of it.

After a worker or a browser's network came back, thousands of viewers want the same stretch of
the log at once. Each stretch is asked and framed once, and its bytes are shared by all of them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from mainstem.errors import Unavailable
from mainstem.live.bus import Stream
from mainstem.live.cursor import CursorBook
from mainstem.live.desk import Desk, Gone, Slice
from mainstem.live.frames import Fields
from mainstem.live.subscriptions import SubscriptionSet

MOST_PIECES = 64
"""Kept per set; all go within a second (``Fanout.tidy``)."""


class Reset(Exception):  # noqa: N818 - an answer, not a fault
    """The viewer cannot go on where it was; ``fields`` of the ``reset`` it is told."""

    def __init__(self, reason: str, **fields: str | None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fields: Fields = {"reason": reason, **fields}


@dataclass(frozen=True, slots=True)
class Piece:
    """Frames of some of the past, and where a viewer stands after them."""

    frames: bytes
    count: int
    vector: tuple[int, ...]


class Past:
    """Reads of the past for the viewers of a worker. One event loop's."""

    def __init__(self, desk: Desk, book: CursorBook) -> None:
        self._desk = desk
        self._book = book

    async def after(self, each: SubscriptionSet, wanted: list[int]) -> Piece:
        """What follows ``wanted``, at most up to the head of the ring. Raises ``Reset``."""
        key = tuple(wanted)
        task = each.pieces.get(key)
        if task is None:
            while len(each.pieces) >= MOST_PIECES:
                each.pieces.popitem()
            task = asyncio.get_running_loop().create_task(self._after(each, key))
            each.pieces[key] = task
            task.add_done_callback(lambda done: _settle(each, key, done))
        # Shielded: whoever asked first may leave, and others want the answer.
        return await asyncio.shield(task)

    async def since(self, each: SubscriptionSet, origin: str) -> tuple[list[int], Piece]:
        """Where ``origin`` is, in words, and what follows it. Raises ``Reset``."""
        part = await self._ask(each, None, origin)
        beginning = _beginning(each, part)
        return beginning, _framed(each, beginning, part)

    async def of_added(
        self,
        each: SubscriptionSet,
        names: tuple[str, ...],
        origin: str | None,
        at: dict[Stream, int] | None,
        until: dict[Stream, int],
    ) -> tuple[bytes, dict[Stream, int]]:
        """Frames without ids of channels that joined a set, and where they end."""
        try:
            part = await self._desk.replay(list(names), at, origin, until)
        except Gone as gone:
            raise Reset(gone.reason) from None
        if not part.items and part.vector == at:
            raise Unavailable("the log has nothing to say about these channels: try again")
        frames = [each.framing.event(None, body) for _, _, _, body in part.items]
        return b"".join(frames), part.vector

    async def _after(self, each: SubscriptionSet, wanted: tuple[int, ...]) -> Piece:
        part = await self._ask(each, list(wanted), None)
        piece = _framed(each, list(wanted), part)
        if not piece.count and piece.vector == wanted and piece.vector != tuple(each.vector):
            raise Unavailable("the log has nothing to say about this cursor: try again")
        return piece

    async def _ask(
        self, each: SubscriptionSet, wanted: list[int] | None, origin: str | None
    ) -> Slice:
        streams = each.shape.streams
        until = dict(zip(streams, each.vector, strict=True))
        start = None if wanted is None else dict(zip(streams, wanted, strict=True))
        try:
            return await self._desk.replay(list(each.names), start, origin, until)
        except Gone as gone:
            raise Reset(
                gone.reason,
                earliest=self._edge(each, gone.earliest),
                latest=self._edge(each, gone.latest),
            ) from None

    def _edge(self, each: SubscriptionSet, vector: dict[Stream, int]) -> str | None:
        known = {stream: vector[stream] for stream in each.shape.streams if stream in vector}
        return self._book.write(known).decode() if known else None


def _settle(each: SubscriptionSet, key: tuple[int, ...], done: asyncio.Task[Piece]) -> None:
    failed = done.cancelled() or done.exception() is not None
    if failed and each.pieces.get(key) is done:
        del each.pieces[key]


def _framed(each: SubscriptionSet, wanted: list[int], part: Slice) -> Piece:
    """A slice as frames with ids of their own, each what its reader has had by then."""
    vector = list(wanted)
    frames = []
    for _, stream, offset, body in part.items:
        place = each.index.get(stream)
        if place is None or offset < vector[place]:
            continue
        vector[place] = offset + 1
        frames.append(each.framing.event(each.cursor_at(vector), body))
    for stream, next_offset in part.vector.items():
        place = each.index.get(stream)
        if place is not None:
            vector[place] = max(vector[place], next_offset)
    return Piece(b"".join(frames), len(frames), tuple(vector))


def _beginning(each: SubscriptionSet, part: Slice) -> list[int]:
    """Where the first slice of a replay begins: before its first record of each stream."""
    vector = [part.vector.get(s, each.vector[n]) for n, s in enumerate(each.shape.streams)]
    seen: set[Stream] = set()
    for _, stream, offset, _ in part.items:
        place = each.index.get(stream)
        if place is not None and stream not in seen:
            seen.add(stream)
            vector[place] = min(vector[place], offset)
    return vector
