"""A store's background work: one slice per step, small merges first.

Flushes come before merges, for writers wait for them, but each flushed byte has merges take their
share of slices (``beats``), or writers who never pause would leave none.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

from mainstem.clock import Clock
from mainstem.errors import MainstemError
from mainstem.lsm.beats import Beats, Merge
from mainstem.lsm.choosing import Plan, choose, expired_files
from mainstem.lsm.edits import drop_files, install_flush, install_merge
from mainstem.lsm.layers import LAST_LEVEL, DiskLayer, FamilyView
from mainstem.lsm.maintenance import (
    Abandoned,
    Work,
    finished_files,
    flush_layers,
    merge_layers,
)
from mainstem.lsm.manifest import LayerRecord
from mainstem.lsm.pressure import Drain
from mainstem.lsm.state import State

_MERGES_AT_ONCE: Final = 2


@dataclass
class Counters:
    """What background work has done since the store was opened."""

    flushes: int = 0
    merges: int = 0
    bytes_flushed: int = 0
    bytes_merged: int = 0
    files_expired: int = 0


class Background:
    """Does ``state``'s flushes and merges. ``step`` is thread-safe; one runs at a time."""

    def __init__(self, state: State, clock: Clock) -> None:
        self.state = state
        self.clock = clock
        self.counters = Counters()
        self.turn = threading.RLock()
        self.speed = Drain()
        self._flush: Generator[int, None, None] | None = None
        self._left = 0.0  # bytes of memtables that the flush has not written yet
        self._row = 0.0  # and how many a row stands for
        self._merges: list[Merge] = []
        self._beats = Beats()
        self._draining = False
        self._look = True  # for merges that are due
        self._since: float | None = None  # something has been waiting to be flushed
        self._work = Work(
            state.filesystem,
            state.directory,
            state.options,
            state.manifest.seed,
            state.manifest.store,
            state.next_number,
        )

    def step(self) -> bool:
        """Do a slice; false when nothing is due. A failure poisons the store."""
        with self.turn:
            state = self.state
            if state.closed or state.failure is not None:
                return False
            try:
                done = self._step()
                return state.graves.dig() or done
            except KeyboardInterrupt as error:
                if state.editing:  # what the manifest says now may not be what we know
                    state.poison(error)
                self.stop()  # what was half done is begun again later
                raise
            except BaseException as error:
                state.poison(error)
                self.stop()
                if not isinstance(error, OSError | MainstemError | MemoryError):
                    raise
                return False

    def _step(self) -> bool:
        if self._flush is None and self.state.frozen:
            self._flush = self._flush_oldest()
            self._since = self._since or time.monotonic()
        if self._flush is None or (self._look and self.state.crowding >= 1):
            self._look = False
            self._plan()
        if self._flush is not None and not self._beats.merge_is_due(self._merges):
            self._flush_slice(self._flush)
            return True
        if not self._merges:
            return False
        self._merge_slice(min(self._merges, key=lambda each: each.size))
        return True

    def _flush_slice(self, job: Generator[int, None, None]) -> None:
        rows = next(job, None)
        done = self._left if rows is None else min(self._left, rows * self._row)
        if rows is None:
            self._flush = None
            self._look = True
        else:
            self._left -= done
            self.state.flushed_bytes += done
        self._beats.flushed(done, self._merges, self.state.crowding)
        self._clock_in(done)

    def _merge_slice(self, merge: Merge) -> None:
        rows = next(merge.job, None)
        if rows is None:
            self._merges.remove(merge)
            self._look = True
        else:
            self._beats.merged(merge.bytes_of(rows))
        self._clock_in(0)

    def _clock_in(self, flushed: float) -> None:
        """Learn how fast flushes go, from the time since something waited for one."""
        now = time.monotonic()
        if self._since is not None:
            self.speed.add(now - self._since, flushed)
        self._since = now if self.state.frozen else None

    def stop(self) -> None:
        """Abandon what is under way; files half written are removed."""
        with self.turn:
            jobs = [each.job for each in self._merges]
            jobs += [] if self._flush is None else [self._flush]
            self._flush = None
            self._since = None
            self.state.flushed_bytes = 0.0
            for job in jobs:
                with contextlib.suppress(Abandoned, StopIteration):
                    job.throw(Abandoned())
            for merge in self._merges:
                for layer in merge.layers:
                    layer.busy = False
            self._merges.clear()

    def drain(self) -> None:
        """Flush all that is sealed, now, in this thread."""
        with self.turn:
            self._draining = True
            try:
                while self.state.frozen and self.step():
                    pass
            finally:
                self._draining = False

    def compact(self, family: int, *, rewrite: bool = True) -> None:
        """Merge all layers of ``family`` into the last level, now, in this thread."""
        with self.turn:
            while self._merges and self.step():
                pass
            layers = self.state.disk[family]
            if self.state.failure is None and layers:
                self._start(family, Plan(0, len(layers), LAST_LEVEL), rewrite=rewrite)
                while self._merges and self.step():
                    pass

    def expire(self) -> int:
        """Unlink files that hold expired rows only. Returns how many."""
        with self.turn:
            now = self.clock.now_ms()
            count = 0
            for number, family in self.state.families.items():
                gone = expired_files(self.state.disk[number], family.options, now)
                count += drop_files(self.state, number, gone) if gone else 0
            self.counters.files_expired += count
            return count

    def expire_before(self, family: int) -> int:
        """Rows of ``family`` stamped before this are gone; 0: none."""
        ttl = self.state.families[family].options.ttl_ms
        return max(1, self.clock.now_ms() - ttl) if ttl else 0

    def _plan(self) -> None:
        self.expire()
        if len(self._merges) >= _MERGES_AT_ONCE:
            return
        for number, family in self.state.families.items():
            plan = choose(self.state.disk[number], family.options.fan_in)
            if plan is not None:
                self._start(number, plan)
                return

    def _start(self, family: int, plan: Plan, *, rewrite: bool = False) -> None:
        layers = self.state.disk[family][plan.start : plan.end]
        for layer in layers:
            layer.busy = True
        job = self._merge(family, layers, plan, rewrite=rewrite)
        self._merges.append(Merge(job, layers))

    def _merge(
        self, family: int, layers: tuple[DiskLayer, ...], plan: Plan, *, rewrite: bool
    ) -> Generator[int, None, None]:
        state = self.state
        bottom = layers[-1] is state.disk[family][-1]
        record, written = yield from merge_layers(
            self._work,
            state.families[family],
            layers,
            plan.level,
            bottom=bottom,
            expire_before=self.expire_before(family),
            rewrite=rewrite,
        )
        if bottom and record is not None:
            record = LayerRecord(LAST_LEVEL, record.files, record.ranges)
        install_merge(state, family, layers, record)
        self.counters.merges += 1
        self.counters.bytes_merged += sum(file.size for file in written)

    def _flush_oldest(self) -> Generator[int, None, None]:
        """Half of what waits: fewer would be more runs, more would hold memory for longer.

        All of it for whoever wants it all.
        """
        state = self.state
        waiting = len(state.frozen)
        generations = state.frozen[: waiting if self._draining else (waiting + 1) // 2]
        self._left = float(sum(each.memory for each in generations))
        layers: dict[int, LayerRecord] = {}
        with finished_files(self._work) as finished:
            for number, family in tuple(state.families.items()):
                memory = sum((each.layers.get(number, ()) for each in reversed(generations)), ())
                if not memory:
                    continue
                rows = sum(len(each) for one, mark in memory for each in one.sorted_lists(mark))
                size = sum(layer.memtable.memory for layer, _ in memory)
                self._row = size / max(1, rows)
                bottom = not state.disk[number]
                record = yield from flush_layers(
                    self._work,
                    family,
                    FamilyView(memory),
                    bottom=bottom,
                    expire_before=self.expire_before(number),
                )
                if record is not None:
                    layers[number] = record
                    finished.extend(record.files)
                    self.counters.bytes_flushed += sum(file.size for file in record.files)
        install_flush(state, generations, layers)
        self.counters.flushes += 1
