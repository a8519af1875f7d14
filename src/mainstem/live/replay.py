"""Answers ``Replay``: the past of some channels, in slices, or why it cannot be had."""

from __future__ import annotations

import asyncio
import bisect
import datetime
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mainstem.client import Cluster, bounds, list_offsets
from mainstem.errors import Invalid, MainstemError
from mainstem.live.bus import Failed, Message, Replay, Replayed, ReplayReset, Stream
from mainstem.live.history import Chunk, History
from mainstem.live.interest import Interest
from mainstem.live.kinds import EventsChannel, rows_of

if TYPE_CHECKING:
    from mainstem.live.topics import Topics

EARLIEST = -2
_FIRST_KNOWN_S = 2.0
_OUT_OF_RANGE = 1
_SLICE_ITEMS = 512
_SLICE_BYTES = 256 << 10
_FIRST_WINDOW = 2_048
_FARTHEST = 4 << 20  # offsets that ``last:N`` looks back
MOST_LAST = 10_000

Item = tuple[str, Stream, int, bytes]
Say = Callable[[Message], None]
Edges = list[tuple[Stream, int]]


class Past(NamedTuple):
    """A channel whose past is told record by record, and where it is."""

    stream: Stream
    key: bytes
    channel: EventsChannel


Members = Mapping[str, Past]


class Gone(Exception):  # noqa: N818 - the errors of this house carry no suffix
    """What was asked for is not in the log; the reason is that of a ``reset``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class _Plan:
    """Where each stream begins, and for ``last:N`` where each channel does."""

    starts: dict[Stream, int]
    channels: dict[str, int] = field(default_factory=dict)


class Replayer:
    """Reads of the past for the workers. Belongs to the dispatcher's event loop."""

    def __init__(self, cluster: Cluster, topics: Topics, history: History) -> None:
        self._cluster = cluster
        self._topics = topics
        self._history = history
        self._firsts: dict[Stream, tuple[float, asyncio.Task[int]]] = {}
        self.replays = 0
        self.resets = 0

    async def answer(self, wanted: Replay, members: Members, say: Say) -> None:
        """Say ``Replayed`` slices, ``ReplayReset`` or ``Failed``.

        ``members`` are the ``events`` channels of ``wanted``; the others' state is in ``Opened``.
        """
        self.replays += 1
        until = dict(wanted.until)
        try:
            for topic, epoch, _ in until:
                if (await self._topics.find(topic)).epoch != epoch:
                    raise Gone("epoch")
            plan = await self._plan(wanted, members, until)
            await self._check(plan, until)
            await _Answer(self._history, wanted, say).run(members, plan, until)
        except Gone as gone:
            say(await self._reset(wanted.request, gone.reason, until))
        except MainstemError as error:
            if error.code == _OUT_OF_RANGE:  # it expired while it was read
                say(await self._reset(wanted.request, "expired", until))
            else:
                say(Failed(wanted.request, type(error).__name__, str(error), error.code))

    async def _check(self, plan: _Plan, until: Mapping[Stream, int]) -> None:
        """Raise ``Gone`` where the log does not reach to a start, on either side.

        A storm of viewers asks once: where a log begins may be known from a moment ago, for it
        only moves on, and who then reads what is gone is told. Where it ends is asked anew.
        """
        for stream, start in plan.starts.items():
            if start < until[stream] and start < await self._first(stream):
                raise Gone("expired")
            if start > until[stream]:  # this gateway's reader has not come so far, or never will
                _, last = await bounds(self._cluster, stream[0], [stream[2]])
                if start > last[stream[2]]:
                    raise Gone("truncated")

    async def _first(self, stream: Stream) -> int:
        now = asyncio.get_running_loop().time()
        asked, answer = self._firsts.get(stream, (0.0, None))
        if answer is None or now - asked > _FIRST_KNOWN_S:
            answer = asyncio.create_task(self._ask_first(stream))
            # Whoever asked may be gone by then, and a failure is for those who still wait.
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._firsts[stream] = now, answer
        try:
            return await asyncio.shield(answer)
        except MainstemError:
            self._firsts.pop(stream, None)
            raise

    async def _ask_first(self, stream: Stream) -> int:
        topic, _, partition = stream
        found = await list_offsets(self._cluster, topic, {partition: EARLIEST})
        return found[partition].offset

    async def _reset(self, request: int, reason: str, until: Mapping[Stream, int]) -> ReplayReset:
        self.resets += 1
        earliest: Edges = []
        latest: Edges = []
        for topic, mine in _by_topic(until).items():
            try:
                first, last = await bounds(self._cluster, topic, list(mine), committed=True)
            except MainstemError:
                continue  # the reason counts; these are for those who look
            earliest += [(stream, first[number]) for number, stream in mine.items()]
            latest += [(stream, last[number]) for number, stream in mine.items()]
        return ReplayReset(request, reason, earliest, latest)

    # --- where to start ----------------------------------------------------------------------

    async def _plan(self, wanted: Replay, members: Members, until: Mapping[Stream, int]) -> _Plan:
        if wanted.cursor is not None:
            given = dict(wanted.cursor)
            if any(stream not in until for stream in given):
                raise Gone("epoch")
            # A stream that the cursor lacks is new to its viewer: nothing of it was asked for.
            return _Plan({stream: given.get(stream, until[stream]) for stream in until})
        origin = wanted.origin or "latest"
        if origin == "latest":
            return _Plan(dict(until))
        if origin.startswith("last:"):
            return await self._last(_count(origin), members, until)
        moment = EARLIEST if origin == "earliest" else milliseconds(origin)
        return _Plan(await self._at(moment, until))

    async def _at(self, moment: int, until: Mapping[Stream, int]) -> dict[Stream, int]:
        starts: dict[Stream, int] = {}
        for topic, mine in _by_topic(until).items():
            found = await list_offsets(self._cluster, topic, dict.fromkeys(mine, moment))
            for partition, stream in mine.items():
                offset = found[partition].offset
                starts[stream] = until[stream] if offset < 0 else min(offset, until[stream])
        return starts

    async def _last(self, count: int, members: Members, until: Mapping[Stream, int]) -> _Plan:
        """Look back in windows that grow, until every channel has its last ``count``."""
        plan = _Plan(dict(until))
        first = await self._at(EARLIEST, until)
        for stream, mine in _by_stream(members, until).items():
            found: dict[str, list[int]] = {name: [] for name in mine}
            upper, window = until[stream], _FIRST_WINDOW
            while upper > first[stream] and until[stream] - upper < _FARTHEST:
                lower = max(first[stream], upper - window)
                for name, offsets in (await self._offsets(stream, mine, lower, upper)).items():
                    found[name] = offsets + found[name]
                upper, window = lower, window * 4
                if all(len(offsets) >= count for offsets in found.values()):
                    break
            for name, offsets in found.items():
                plan.channels[name] = offsets[-count:][0] if offsets else until[stream]
                plan.starts[stream] = min(plan.starts[stream], plan.channels[name])
        return plan

    async def _offsets(
        self, stream: Stream, members: Members, lower: int, upper: int
    ) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {name: [] for name in members}
        async for chunk in self._history.chunks(stream, lower, upper):
            for name, items in rendered(self._history, stream, chunk, members).items():
                found[name] += [offset for offset, _ in _between(items, lower, upper)]
        return found


class _Answer:
    """The slices of one answer, in log order per stream."""

    def __init__(self, history: History, wanted: Replay, say: Say) -> None:
        self._history = history
        self._wanted = wanted
        self._say = say
        self._items: list[Item] = []
        self._size = 0
        self._spent = 0

    async def run(self, members: Members, plan: _Plan, until: Mapping[Stream, int]) -> None:
        vector = {stream: min(plan.starts[stream], end) for stream, end in until.items()}
        complete = True
        for stream, mine in _by_stream(members, until).items():
            complete = complete and await self._stream(stream, mine, plan, vector, until[stream])
        if complete:
            vector = dict(until)
        self._send(vector, done=True)

    async def _stream(
        self, stream: Stream, mine: Members, plan: _Plan, vector: dict[Stream, int], end: int
    ) -> bool:
        """Tell one stream up to ``end``; false when the budget is spent before."""
        async for chunk in self._history.chunks(stream, vector[stream], end):
            told = rendered(self._history, stream, chunk, mine)
            for offset, name, body in _merged(told, vector[stream], end):
                if offset < plan.channels.get(name, 0):
                    continue
                self._items.append((name, stream, offset, body))
                self._size += len(body)
                vector[stream] = offset + 1
                if len(self._items) < _SLICE_ITEMS and self._size < _SLICE_BYTES:
                    continue
                if self._spent + self._size >= self._wanted.budget_bytes:
                    return False
                self._send(vector, done=False)
                await asyncio.sleep(0)
            vector[stream] = min(chunk.next_offset, end)
        return self._spent + self._size < self._wanted.budget_bytes

    def _send(self, vector: Mapping[Stream, int], *, done: bool) -> None:
        self._say(Replayed(self._wanted.request, self._items, list(vector.items()), done))
        self._spent += self._size
        self._items, self._size = [], 0


def rendered(
    history: History, stream: Stream, chunk: Chunk, members: Members
) -> dict[str, list[tuple[int, bytes]]]:
    """The finished JSON of these channels' records in a chunk, made once and kept with it."""
    missing = {name: past for name, past in members.items() if name not in chunk.rendered}
    if missing:
        table: Interest[list[tuple[str, EventsChannel]]] = Interest()
        for name, past in missing.items():
            chunk.rendered[name] = []
            if past.key not in table.by_key:
                table.add(past.key, [])
            table.by_key[past.key].append((name, past.channel))
        size = 200 * len(missing)
        picked = table.pick(chunk.records)
        if picked is not None:
            for offset, time, key, value in zip(*rows_of(picked), strict=True):
                for name, channel in table.by_key[key]:
                    body = channel.render(stream[2], offset, time, value)
                    chunk.rendered[name].append((offset, body))
                    size += len(body) + 120
        history.grown(stream, chunk, size)
    return {name: chunk.rendered[name] for name in members}


def _merged(
    found: Mapping[str, list[tuple[int, bytes]]], lower: int, upper: int
) -> list[tuple[int, str, bytes]]:
    merged = [
        (offset, name, body)
        for name, items in found.items()
        for offset, body in _between(items, lower, upper)
    ]
    if len(found) > 1:
        merged.sort(key=lambda item: item[0])
    return merged


def _between(items: list[tuple[int, bytes]], lower: int, upper: int) -> list[tuple[int, bytes]]:
    """Those with ``lower <= offset < upper``; a chunk may hold far more than is asked for."""
    start = bisect.bisect_left(items, lower, key=lambda item: item[0])
    end = bisect.bisect_left(items, upper, key=lambda item: item[0])
    return items[start:end]


def _by_topic(streams: Mapping[Stream, int]) -> dict[str, dict[int, Stream]]:
    found: defaultdict[str, dict[int, Stream]] = defaultdict(dict)
    for stream in streams:
        found[stream[0]][stream[2]] = stream
    return found


def _by_stream(members: Members, until: Mapping[Stream, int]) -> dict[Stream, dict[str, Past]]:
    found: defaultdict[Stream, dict[str, Past]] = defaultdict(dict)
    for name, past in members.items():
        if past.stream in until:
            found[past.stream][name] = past
    return found


def _count(origin: str) -> int:
    text = origin.removeprefix("last:")
    if not (text.isascii() and text.isdigit()) or not 0 < int(text[:9]) <= MOST_LAST:
        raise Invalid(f"from={origin} is not valid: write last:N with N from 1 to {MOST_LAST:,}")
    return int(text)


def milliseconds(origin: str) -> int:
    """A moment in words since the epoch: digits are milliseconds, else ISO 8601 (UTC where it
    has no zone). Raises ``Invalid``."""
    if origin.isascii() and origin.isdigit() and len(origin) <= 15:
        return int(origin)
    try:
        moment = datetime.datetime.fromisoformat(origin)
    except ValueError:
        raise Invalid(
            f"from={origin[:60]} is not a place: write earliest, latest, last:N, a time such as "
            "2026-01-31T12:00:00Z, or a cursor"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return max(0, int(moment.timestamp() * 1000))
