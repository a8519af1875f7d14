"""Questions a worker puts to the dispatcher, and whoever waits for the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import mainstem.errors
from mainstem.errors import MainstemError, Unavailable
from mainstem.live.bus import (
    Failed,
    Message,
    Publish,
    Published,
    Replay,
    Replayed,
    ReplayReset,
    Stream,
    TicketUsed,
    UseTicket,
)

ANSWER_SECONDS = 30.0
REPLAYS_AT_ONCE = 32
BUDGET_BYTES = 131_072
LEAST_BYTES = 8_192
"""What one slice is worth: less for each, the more viewers catch up at once."""

TOGETHER_BYTES = 16 << 20


def error_of(kind: str, message: str, code: int | None = None) -> MainstemError:
    """An error of ``mainstem.errors`` by the name that came over the bus."""
    found = getattr(mainstem.errors, kind, None)
    if not isinstance(found, type) or not issubclass(found, MainstemError):
        found = Unavailable
    return found(message, code=code)


class Gone(Exception):  # noqa: N818 - an answer, not a fault
    """The past that was asked for cannot be had; becomes a ``reset``."""

    def __init__(self, reset: ReplayReset) -> None:
        super().__init__(reset.reason)
        self.reason = reset.reason
        self.earliest = dict(reset.earliest)
        self.latest = dict(reset.latest)


@dataclass(slots=True)
class Slice:
    """Some of the past: ``items`` in order per stream, and where the streams stand after it."""

    items: list[tuple[str, Stream, int, bytes]] = field(default_factory=list)
    vector: dict[Stream, int] = field(default_factory=dict)


class Desk:
    """Pairs requests with answers. One event loop's."""

    def __init__(self, send: Callable[[Message], None]) -> None:
        self._send = send
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._slices: dict[int, Slice] = {}
        self._turns = asyncio.Semaphore(REPLAYS_AT_ONCE)
        self.replays = 0
        self.catching_up = 0

    async def publish(
        self, channel: str, body: bytes, idempotency_key: str | None, user: str | None
    ) -> Published:
        """Append to the channel; answered after the append. Raises the dispatcher's error."""
        number = next(self._numbers)
        answer = await self._ask(number, Publish(number, channel, body, idempotency_key, user))
        assert isinstance(answer, Published)
        return answer

    async def use_ticket(self, ticket: str, expires_at: float) -> bool:
        """Whether this is the ticket's first use on this node (``access.tickets.Spend``)."""
        number = next(self._numbers)
        answer = await self._ask(number, UseTicket(number, ticket, expires_at))
        assert isinstance(answer, TicketUsed)
        return answer.first

    async def replay(
        self,
        channels: list[str],
        start: dict[Stream, int] | None,
        origin: str | None,
        until: dict[Stream, int],
    ) -> Slice:
        """A slice of the past. Raises ``Gone``, or the dispatcher's error.

        Only so many are under way at once: catch-up must not starve the live viewers. And what
        all who catch up may hold together is bounded, however slowly they read.
        """
        async with self._turns:
            self.replays += 1
            number = next(self._numbers)
            self._slices[number] = Slice()
            try:
                cursor = None if start is None else list(start.items())
                limits = list(until.items())
                share = TOGETHER_BYTES // max(1, self.catching_up)
                budget = min(BUDGET_BYTES, max(LEAST_BYTES, share))
                answer = await self._ask(
                    number, Replay(number, channels, cursor, origin, limits, budget)
                )
                if isinstance(answer, ReplayReset):
                    raise Gone(answer)
                return self._slices[number]
            finally:
                del self._slices[number]

    def answered(self, message: Message) -> None:
        """Take an answer from the bus; one that nobody waits for any more is dropped."""
        number: int = message.request  # type: ignore[attr-defined]
        if isinstance(message, Replayed):
            part = self._slices.get(number)
            if part is None:
                return
            part.items += message.items
            part.vector.update(message.vector)
            if not message.done:
                return
        future = self._waiting.get(number)
        if future is None or future.done():
            return
        if isinstance(message, Failed):
            future.set_exception(error_of(message.kind, message.message, message.code))
        else:
            future.set_result(message)

    def fail_all(self, sentence: str) -> None:
        """The dispatcher is gone: nobody waits on."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Unavailable(sentence))

    async def _ask(self, number: int, message: Message) -> Message:
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._send(message)
            async with asyncio.timeout(ANSWER_SECONDS):
                return await future
        except TimeoutError:
            raise Unavailable(
                f"the log did not answer in {ANSWER_SECONDS:.0f} s: try again"
            ) from None
        finally:
            del self._waiting[number]
