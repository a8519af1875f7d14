"""The store: opening, writing, families, snapshots, and its end."""

from __future__ import annotations

import contextlib
from os import PathLike
from types import TracebackType
from typing import Any, Final, Self

from mainstem.clock import Clock, SystemClock
from mainstem.errors import Invalid, Unavailable
from mainstem.filesystem import FileSystem, RealFileSystem
from mainstem.kernels import lsm
from mainstem.lsm import cache as caches
from mainstem.lsm import forks, scheduler
from mainstem.lsm.arguments import check_name, check_position, path_of
from mainstem.lsm.background import Background
from mainstem.lsm.batch import WriteBatch
from mainstem.lsm.families import find_or_create
from mainstem.lsm.family import Family
from mainstem.lsm.groupsync import GroupSync
from mainstem.lsm.layers import FamilyView
from mainstem.lsm.log import encode_commit
from mainstem.lsm.options import FamilyOptions, StoreOptions
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
            path_of(path),
            options,
            family_options,
            cache or caches.SHARED,
            create=create,
        )
        forks.watch(self.state)
        super().__init__(self, 0)
        self.background = Background(self.state, self.clock)
        self.pressure = Pressure(self.state, self.background.speed)
        self._group = GroupSync(self.state)
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
        check_name(name)
        try:
            wanted = FamilyOptions(**options)
        except TypeError as error:
            raise Invalid(f"a family cannot have {sorted(options)}: {error}") from error
        number = find_or_create(self.state, name, wanted, exactly=bool(options), create=create)
        return Family(self, number)

    @property
    def families(self) -> tuple[str, ...]:
        """Names of all families."""
        return tuple(each.name for each in self.state.families.values())

    # -- writing -----------------------------------------------------------------------------

    def write(self, batch: WriteBatch, *, position: dict[str, int] | None = None) -> None:
        """Apply ``batch`` atomically, and remember ``position`` in the same step.

        ``position`` are numbers of the caller's, such as offsets of a changelog; see
        :attr:`position`. Raises as :class:`Family` says.
        """
        if not isinstance(batch, WriteBatch):
            raise Invalid(f"write takes a WriteBatch, not {batch!r:.60}: see also put_batch")
        check_position(position)
        if batch.store is not None and batch.store is not self:
            raise Invalid("the batch is for another store")
        if not batch.operations and position is None:
            self.state.check_writable()
            return
        self.commit(batch.operations, position)

    def commit(self, operations: list[lsm.Operation], position: dict[str, int] | None) -> None:
        """Apply ``operations``, all of families of this store; see :meth:`write`."""
        state = self.state
        options = state.options
        record = encode_commit(state.arena, operations, position)
        if state.active_size > state.ease:
            self.pressure.wait()
        if state.closed:
            state.check_open()
        sealed = False
        with state.write_lock:
            sequence = state.commit(record, operations, position)
            size = state.active_bytes()
            if size > state.ease:
                self.pressure.charge(size - state.active_size)
            if size >= options.memtable_bytes:
                # This commit is made; if its log cannot be followed by another, the next write
                # is told, and so is this one where it still waits for the disk.
                with contextlib.suppress(Unavailable):
                    sealed = state.seal()
                size = state.active_bytes()
            state.active_size = size
            size += state.frozen_bytes
            if abs(size - self._reserved) > _RESERVE_STEP:
                self._reserved = size
                state.cache.reserve(id(state), size)
        if options.sync == "group" and state.log is not None:
            self._group.wait(sequence)
        if sealed:
            self._work()

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
        view = self.state.view
        self.state.check_open()
        return Snapshot(self, view)

    def view(self) -> FamilyView:
        return self.state.view[0]

    def stats(self) -> Statistics:
        """Sizes, counts and debts, as of now."""
        return statistics_of(self)

    # -- copies ------------------------------------------------------------------------------

    def checkpoint(self, path: str | PathLike[str]) -> None:
        """A store at ``path`` with what is committed now; runs are hard links where possible."""
        from mainstem.lsm.transfer import checkpoint

        checkpoint(self, path_of(path, "a checkpoint"))

    def ingest(self, *paths: str | PathLike[str], family: Family | None = None) -> None:
        """Add run files made by ``write_run``: newer than all that is there, in one step."""
        from mainstem.lsm.transfer import ingest

        ingest(self, [path_of(path, "a run") for path in paths], family or self)

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
            # In the order of all who take several: no step, commit or edit is under way now.
            with self.background.turn, state.write_lock, state.edit_lock, state.lock:
                self.background.stop()
                state.closed = True
                state.changed.notify_all()
                state.lock_file = None
                state.log = None
            for layers in state.disk.values():
                for layer in layers:
                    for file in layer.files:
                        loaded = file.loaded()
                        if loaded is not None:
                            state.cache.forget(loaded)
            state.let_go()
            state.graves.clear()
            state.cache.reserve(id(state), 0)
            lsm.lend()

    def _close_in_order(self) -> None:
        state = self.state
        if state.options.sync == "external":
            self.flush()
        self.background.stop()
        try:
            with state.write_lock, state.edit_lock:
                if state.log is not None:
                    state.log.finish()
                    state.sync_logs()
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
