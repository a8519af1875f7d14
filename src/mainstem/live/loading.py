"""What a channel stood at when it was opened: the last value, or the sum, of its records so far.

Channels of one partition that are opened together are loaded in one pass over the log; those that
come meanwhile wait for the next pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mainstem.client import Cluster, bounds
from mainstem.live.bus import Stream
from mainstem.live.counters import Checkpoint, Checkpoints
from mainstem.live.history import Chunk, History
from mainstem.live.interest import Interest
from mainstem.live.kinds import CounterChannel, LatestChannel, rows_of, weight_of

if TYPE_CHECKING:
    from mainstem.live.watched import Watched

_WORTH = 1_000  # offsets that a checkpoint would have saved


class _Wanted(NamedTuple):
    watched: Watched
    until: int
    done: asyncio.Future[None]


@dataclass(slots=True, eq=False)
class _Task:
    """One channel in a pass: its records in ``[start, until)`` are its state, or for a counter
    are added to ``total`` with this sign."""

    channel: LatestChannel | CounterChannel
    start: int
    until: int
    total: int = 0
    sign: int = 1


class Loader:
    """Loads ``latest`` and ``counter`` channels. Belongs to the dispatcher's event loop."""

    def __init__(self, cluster: Cluster, history: History, checkpoints: Checkpoints) -> None:
        self._cluster = cluster
        self._history = history
        self._checkpoints = checkpoints
        self._wanted: dict[Stream, list[_Wanted]] = {}
        self._passes: dict[Stream, asyncio.Task[None]] = {}
        self.passes = 0

    async def load(self, stream: Stream, watched: Watched, until: int) -> None:
        """Bring the channel's state to ``until``, exclusive; what follows is the live reader's.

        Raises what reading raises; the channel is unchanged then.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wanted.setdefault(stream, []).append(_Wanted(watched, until, done))
        if stream not in self._passes:
            self._passes[stream] = asyncio.create_task(self._run(stream))
        await done

    async def close(self) -> None:
        """Give up."""
        tasks = list(self._passes.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, stream: Stream) -> None:
        try:
            while group := self._wanted.pop(stream, None):
                self.passes += 1
                try:
                    await self._pass(stream, group)
                except BaseException as error:
                    _settle(group, error)
                    if not isinstance(error, Exception):
                        raise
                else:
                    _settle(group, None)
        finally:
            del self._passes[stream]

    async def _pass(self, stream: Stream, group: Sequence[_Wanted]) -> None:
        topic, _, partition = stream
        first, last = await bounds(self._cluster, topic, [partition])
        counters = [want for want in group if isinstance(want.watched.state, CounterChannel)]
        known: dict[bytes, Checkpoint] = {}
        if counters:
            known = await self._checkpoints.read(stream, {w.watched.key for w in counters})
        table: Interest[list[_Task]] = Interest()
        tasks = []
        for want in group:
            key = want.watched.key
            task = _plan(want, known.get(key), first[partition], last[partition])
            if task is not None:
                tasks.append(task)
                if key not in table.by_key:
                    table.add(key, [])
                table.by_key[key].append(task)
        spans = [task for task in tasks if task.start < task.until]
        if spans:
            start, until = min(t.start for t in spans), max(t.until for t in spans)
            async for chunk in self._history.chunks(stream, start, until, keep=False):
                _take(table, chunk, partition)
        for task in tasks:  # at the end, so that a pass that failed left nothing behind
            if isinstance(task.channel, CounterChannel):
                task.channel.load(task.total, changed=task.until - task.start > _WORTH)


def _plan(want: _Wanted, known: Checkpoint | None, first: int, last: int) -> _Task | None:
    channel = want.watched.state
    if isinstance(channel, LatestChannel):
        return _Task(channel, first, want.until)
    if not isinstance(channel, CounterChannel):
        return None
    if known is None or known.offset > last:  # never written, or the log was cut behind it
        return _Task(channel, first, want.until)
    if known.offset > want.until:  # by a node that is ahead of this one
        return _Task(channel, max(first, want.until), known.offset, known.total, -1)
    return _Task(channel, max(first, known.offset), want.until, known.total)


def _take(table: Interest[list[_Task]], chunk: Chunk, partition: int) -> None:
    picked = table.pick(chunk.records)
    if picked is None:
        return
    for offset, time, key, value in zip(*rows_of(picked), strict=True):
        for task in table.by_key[key]:
            if not task.start <= offset < task.until:
                continue
            if isinstance(task.channel, LatestChannel):
                task.channel.load(partition, offset, time, value)
            else:
                task.total += task.sign * (weight_of(value) or 0)


def _settle(group: Sequence[_Wanted], error: BaseException | None) -> None:
    for want in group:
        if want.done.done():
            continue
        if error is None:
            want.done.set_result(None)
        else:
            want.done.set_exception(error)
            want.done.exception()
