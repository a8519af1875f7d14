"""The store: opening, writing, families, snapshots, and its end."""

from __future__ import annotations

import contextlib
import threading
from os import PathLike, fspath
from types import TracebackType
from typing import Any, Final, Self

from mainstem.clock import Clock, SystemClock
from mainstem.errors import Conflict, Invalid, Unavailable
from mainstem.filesystem import FileSystem, RealFileSystem
from mainstem.kernels import lsm
from mainstem.lsm import cache as caches
from mainstem.lsm import scheduler
from mainstem.lsm.background import Background
from mainstem.lsm.batch import WriteBatch
from mainstem.lsm.family import Family
from mainstem.lsm.layers import FamilyView
from mainstem.lsm.log import encode_commit
from mainstem.lsm.manifest import FamilyRecord
from mainstem.lsm.options import FamilyOptions, Field, StoreOptions, fold_spec
from mainstem.lsm.pressure import Pressure
from mainstem.lsm.recovery import open_state
from mainstem.lsm.snapshot import Snapshot
from mainstem.lsm.statistics import Statistics, statistics_of

_RESERVE_STEP: Final = 1 << 18  # memtables may hold so much more than the cache was told


class Store(Family):
    """An ordered key-value store read and written by Arrow batch.

    The store itself is its family ``"default"``; :meth:`family` gives others. Any number of
    threads may read and write; readers never wait for writers. Writes of one call are atomic and,
    unless ``sync="none"``, on disk when the call returns.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        options: StoreOptions,
        family_options: FamilyOptions | None,
        *,
        create: bool,
        filesystem: FileSystem | None,
        clock: Clock | None,
        cache: caches.BlockCache | None,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.state = open_state(
            filesystem or RealFileSystem(),
            fspath(path).rstrip("/"),
            options,
            family_options,
            cache or caches.SHARED,
            create=create,
        )
        super().__init__(self, 0)
        self.background = Background(self.state, self.clock)
        self.pressure = Pressure(self.state, self.background.counters)
        self._sync_turn = threading.Condition()
        self._syncing = False
        self._reserved = 0
        if options.background == "thread":
            scheduler.SHARED.add(self.background)
        self._work()

    @classmethod
    def open(
        cls,
        path: str | PathLike[str],
        *,
        create: bool = True,
        options: StoreOptions | None = None,
        family_options: FamilyOptions | None = None,
        filesystem: FileSystem | None = None,
        clock: Clock | None = None,
        cache: caches.BlockCache | None = None,
        **settings: Any,
    ) -> Self:
        """Open the store in directory ``path``; ``settings`` are those of ``StoreOptions``.

        ``family_options`` are for the default family of a store that is created here. Raises
        ``Conflict`` when it is open elsewhere, ``Corrupt`` when it is damaged, ``Invalid`` for
        options that cannot be, ``Unavailable`` when the disk refuses.
        """
        try:
            chosen = options or StoreOptions(**settings)
        except TypeError as error:
            raise Invalid(f"a store cannot be opened with {sorted(settings)}: {error}") from error
        return cls(
            path,
            chosen,
            family_options,
            create=create,
            filesystem=filesystem,
            clock=clock,
            cache=cache,
        )

    # -- families ----------------------------------------------------------------------------

    def family(self, name: str, *, create: bool = True, **options: Any) -> Family:
        """The family ``name``, made with ``options`` (``FamilyOptions``) if it is new.

        Raises ``Conflict`` if it exists with other options than those given, ``Invalid`` if it
        does not exist and is not to be created.
        """
        try:
            wanted = FamilyOptions(**options)
        except TypeError as error:
            raise Invalid(f"a family cannot have {sorted(options)}: {error}") from error
        state = self.state
        with state.write_lock, state.lock:
            state.check_open()
            for each in state.families.values():
                if each.name == name:
                    if options and each.options != wanted:
                        raise Conflict(f"family {name!r} exists with {each.options!r}")
                    return Family(self, each.id)
            if not create:
                names = sorted(each.name for each in state.families.values())
                raise Invalid(f"there is no family {name!r}: there are {names}")
            number = max(state.families) + 1
            if number >= 1 << 16:
                raise Invalid("a store has at most 65,535 families over its life")
            self._change_families({**state.families, number: FamilyRecord(number, name, wanted)})
            return Family(self, number)

    @property
    def families(self) -> tuple[str, ...]:
        """Names of all families."""
        return tuple(each.name for each in self.state.families.values())

    def declare_fields(self, number: int, fields: tuple[Field, ...]) -> None:
        """Fix the merge state of a family, which must be empty until then."""
        state = self.state
        if state.families[number].fields == fields:
            return
        with state.write_lock, state.lock:
            family = state.families[number]
            if family.fields == fields:
                return
            if family.fields:
                raise Conflict(f"family {family.name!r} merges {family.fields!r}, not {fields!r}")
            view = state.view[number]
            if view.disk or any(mark for _, mark in view.memory):
                raise Invalid(
                    f"family {family.name!r} holds rows already: merge into an empty family"
                )
            record = FamilyRecord(number, family.name, family.options, fields)
            self._change_families({**state.families, number: record})

    def _change_families(self, families: dict[int, FamilyRecord]) -> None:
        state = self.state
        state.check_writable()
        before = state.families
        state.families = families
        for number in families:
            state.disk.setdefault(number, ())
        try:
            state.write_manifest()
        except OSError as error:
            state.families = before
            state.poison(error)
            raise Unavailable(f"a family of {state.directory} cannot change: {error}") from error
        state.specs = {number: fold_spec(each.fields) for number, each in families.items()}
        state.rebuild()

    # -- writing -----------------------------------------------------------------------------

    def write(self, batch: WriteBatch, *, position: dict[str, int] | None = None) -> None:
        """Apply ``batch`` atomically, and remember ``position`` in the same step.

        ``position`` are numbers of the caller's, such as offsets of a changelog; see
        :attr:`position`. Raises as :class:`Family` says.
        """
        if batch.store is not None and batch.store is not self:
            raise Invalid("the batch is for another store")
        if not batch.operations and position is None:
            self.state.check_writable()
            return
        state = self.state
        record = encode_commit(state.arena, batch.operations, position)
        self.pressure.wait(len(record))
        with state.write_lock:
            sequence = state.commit(record, batch.operations, position)
            size = state.active_bytes()
            if size >= state.options.memtable_bytes:
                # This commit is made; if its log cannot be followed by another, the next write
                # is told, and so is this one where it still waits for the disk.
                with contextlib.suppress(Unavailable):
                    state.seal()
                size = state.active_bytes()
            size += state.frozen_bytes
            if abs(size - self._reserved) > _RESERVE_STEP:
                self._reserved = size
                state.cache.reserve(id(state), size)
        if state.options.sync == "group" and state.log is not None:
            self._sync_to(sequence)
        if state.frozen:
            self._work()

    def _sync_to(self, sequence: int) -> None:
        """Wait until commit ``sequence`` is on disk, syncing for all who wait if nobody does."""
        state, turn = self.state, self._sync_turn
        while state.published < sequence:
            with turn:
                if state.published >= sequence:
                    return
                if self._syncing:
                    turn.wait()
                    continue
                self._syncing = True
            try:
                self._sync_once()
            finally:
                with turn:
                    self._syncing = False
                    turn.notify_all()

    def _sync_once(self) -> None:
        state = self.state
        with state.write_lock:
            state.check_writable()
            capture, log = state.capture(), state.log
            size = log.size if log is not None else 0
        try:
            if log is not None:
                log.sync(size)
        except OSError as error:
            state.poison(error)
            raise Unavailable(
                f"commits to {state.directory} may not be on disk: {error}; open it again to see"
            ) from error
        state.publish(capture)

    @property
    def position(self) -> dict[str, int]:
        """The positions of the last commit; after opening, of the last that was kept.

        With ``sync="external"`` replay your log from here: what came later was not flushed.
        """
        return dict(self.state.position)

    # -- background --------------------------------------------------------------------------

    def _work(self) -> None:
        how = self.state.options.background
        if how == "thread":
            scheduler.SHARED.wake(self.background)
        elif how == "inline":
            while self.step():
                pass

    def step(self) -> bool:
        """Do a slice of background work in this thread; false when nothing is due."""
        return self.background.step()

    def flush(self) -> None:
        """Write all memtables to runs, now. Afterwards the log is empty and ``position`` kept."""
        state = self.state
        with state.write_lock:
            state.check_writable()
            state.seal()
        self.background.drain()
        state.check_writable()
        self._reserved = state.active_bytes()
        state.cache.reserve(id(state), self._reserved)
        self._work()

    def expire(self) -> int:
        """Unlink files whose rows are all past their time. Returns how many went."""
        self.state.check_writable()
        return self.background.expire()

    def wait_idle(self) -> None:
        """Return when no background work is due; does it in this thread, if that is faster."""
        while self.step():
            pass
        self.state.check_writable()

    # -- reading -----------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """All families as they are now, for as long as the snapshot is kept."""
        self.state.check_open()
        return Snapshot(self, self.state.view)

    def view(self) -> FamilyView:
        return self.state.view[0]

    def stats(self) -> Statistics:
        """Sizes, counts and debts, as of now."""
        return statistics_of(self)

    # -- copies ------------------------------------------------------------------------------

    def checkpoint(self, path: str | PathLike[str]) -> None:
        """A store at ``path`` with what is committed now; runs are hard links where possible."""
        from mainstem.lsm.transfer import checkpoint

        checkpoint(self, fspath(path).rstrip("/"))

    def ingest(self, *paths: str | PathLike[str], family: Family | None = None) -> None:
        """Add run files made by ``write_run``: newer than all that is there, in one step."""
        from mainstem.lsm.transfer import ingest

        ingest(self, [fspath(path) for path in paths], family or self)

    # -- the end -----------------------------------------------------------------------------

    def close(self) -> None:
        """Put everything on disk and let go of the directory. Buffers given out stay valid."""
        state = self.state
        scheduler.SHARED.remove(self.background)
        if state.closed:
            return
        try:
            if state.failure is None:
                self._close_in_order()
        finally:
            self.background.stop()
            with state.write_lock, state.lock:
                state.closed = True
                state.changed.notify_all()
                state.lock_file = None
                state.log = None
            state.cache.reserve(id(state), 0)
            lsm.trim()
            for layers in state.disk.values():
                for layer in layers:
                    for file in layer.files:
                        loaded = file.loaded()
                        if loaded is not None:
                            state.cache.forget(loaded)

    def _close_in_order(self) -> None:
        state = self.state
        if state.options.sync == "external":
            self.flush()
        self.background.stop()
        try:
            with state.write_lock, state.lock:
                if state.log is not None:
                    state.log.finish()
                    state.log.sync()
                    state.write_manifest(log_end=(state.log.segment, state.log.size))
        except OSError as error:
            state.poison(error)
            raise Unavailable(f"{state.directory} could not be closed in order: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self.state.directory!r})"
