"""A store's mutable heart: what is visible, what waits to be flushed, what the manifest says.

Three locks, taken in this order. ``write_lock`` orders commits. ``edit_lock`` orders edits of
the manifest, and is held while it is written. ``lock`` guards the swap of what is visible and is
held for no I/O: each commit takes it. Readers take none: they read ``view``.
"""

from __future__ import annotations

import math
import threading
from typing import Final, NamedTuple

from mainstem.errors import Unavailable
from mainstem.filesystem import File, FileSystem
from mainstem.kernels import lsm
from mainstem.lsm.cache import BlockCache
from mainstem.lsm.layers import FamilyView, MemoryLayer
from mainstem.lsm.log import LogWriter, segment_name
from mainstem.lsm.manifest import Manifest
from mainstem.lsm.memtables import Memtables
from mainstem.lsm.options import StoreOptions

_MUCH: Final = 1 << 22  # bytes of a memtable that call for a large slab at once
_NEW: Final = tuple.__new__  # of a named tuple, per commit: its own does the same in Python
Marks = dict[int, tuple[tuple[MemoryLayer, int], ...]]
FREE: Final = 2.0  # memtables, full or waiting, that nobody pays for
BUSY: Final = 3.0  # times fan_in: layers of a family that are many, though nothing is wrong


class Generation(NamedTuple):
    """Memtables sealed together, with the log segment that holds them."""

    segment: int
    layers: Marks
    memory: int
    sequence: int
    position: dict[str, int]


class Capture(NamedTuple):
    """What a commit made visible, if nothing newer was."""

    marks: Marks
    generation: int
    sequence: int


class State(Memtables):
    """See the module. Created by ``recovery.open_state``, changed on disk by ``edits``."""

    def __init__(
        self,
        filesystem: FileSystem,
        directory: str,
        options: StoreOptions,
        manifest: Manifest,
        cache: BlockCache,
        lock_file: File,
    ) -> None:
        super().__init__(filesystem, directory, options, manifest, cache, lock_file)
        self.write_lock = threading.Lock()
        self.log: LogWriter | None = None
        self.segment = manifest.log_from
        self.sequence = manifest.sequence
        self.position = dict(manifest.position)
        self.frozen: tuple[Generation, ...] = ()
        self.view: dict[int, FamilyView] = {}
        self.published = self.sequence
        self.active_size = 0  # bytes in memtables that take writes, as of the last commit
        self.frozen_bytes = 0
        self._flushed = 0.0
        self.ease = math.inf  # what ``active_size`` may be before there is debt (``pressure``)
        self.crowding = 0.0  # layers of the family that has most, in units of its fan-in
        self._marks: Marks = {}
        self._sealed: Marks = {}

    # -- what is in memory -------------------------------------------------------------------

    def capture(self) -> Capture:
        """What is in memtables now; the caller holds ``write_lock``."""
        marks = {family: lsm.marks_of(layers) for family, layers in self.active.items()}
        return Capture(marks, self.segment, self.sequence)

    def publish(self, capture: Capture) -> None:
        """Let readers see ``capture``."""
        marks, generation, sequence = capture
        with self.lock:
            if generation == self.segment and sequence >= self.published:
                self._marks = marks
                self.published = sequence
                view = self.view.copy()
                for family, memory in marks.items():
                    sealed = self._sealed[family]
                    both = memory + sealed if sealed else memory
                    view[family] = _NEW(FamilyView, (both, self.disk[family]))
                self.view = view

    def rebuild(self) -> None:
        """Make ``view`` and what is known of debts anew; the caller holds ``lock``."""
        newest_first = tuple(reversed(self.frozen))
        self._sealed = {
            family: sum((each.layers.get(family, ()) for each in newest_first), ())
            for family in self.families
        }
        self.view = {
            family: FamilyView(self._marks.get(family, ()) + sealed, self.disk[family])
            for family, sealed in self._sealed.items()
        }
        self.frozen_bytes = sum(each.memory for each in self.frozen)
        self._flushed = min(self._flushed, self.frozen_bytes)
        self.crowding = max(
            len(self.disk[number]) / family.options.fan_in
            for number, family in self.families.items()
        )
        self._reckon()

    @property
    def flushed_bytes(self) -> float:
        """Of ``frozen_bytes``, what the flush under way has written."""
        return self._flushed

    @flushed_bytes.setter
    def flushed_bytes(self, size: float) -> None:
        self._flushed = size
        self._reckon()

    def _reckon(self) -> None:
        """Find ``ease``, so that commits without debt need not look at it."""
        if self.crowding > BUSY:
            self.ease = -1.0
        elif self.frozen:
            self.ease = FREE * self.options.memtable_bytes - self.frozen_bytes + self._flushed
        else:
            self.ease = math.inf

    def let_go(self) -> None:
        """Of memtables and files, now that the store is closed.

        Who closed it may keep the store for long, and the next one could use their memory.
        """
        with self.lock:
            self.active = {}
            self.arena = lsm.Arena()
            self.frozen = ()
            self.disk = dict.fromkeys(self.families, ())
            self._marks = {}
            self.rebuild()

    # -- commits -----------------------------------------------------------------------------

    def commit(
        self,
        record: lsm.Piece,
        operations: list[lsm.Operation],
        position: dict[str, int] | None,
    ) -> int:
        """Log and apply a record; returns its sequence. The caller holds ``write_lock``."""
        if self.closed or self.failure is not None:
            self.check_writable()
        sequence = self.sequence + 1
        log = self.log
        before = log.size if log is not None else 0
        interrupted: KeyboardInterrupt | None = None
        try:
            if log is not None:
                log.append(record, sequence)
                if self.options.sync == "batch":
                    log.sync()
            self.insert(record, operations)
            if position is not None:
                self.position = self.position | position
            self.sequence = sequence
        except OSError as error:
            self.poison(error)
            raise Unavailable(
                f"a commit to {self.directory} failed: {error}; whether it is kept shows after "
                "the next open"
            ) from error
        except KeyboardInterrupt as error:
            if not self._settle(record, operations, before):
                raise
            if position is not None:
                self.position = self.position | position
            self.sequence = sequence
            interrupted = error
        except BaseException as error:
            self.poison(error)
            raise
        if self.log is None or self.options.sync != "group":
            self._show(operations)
        if interrupted is not None:
            raise interrupted
        return sequence

    def _show(self, operations: list[lsm.Operation]) -> None:
        """Let readers see the last commit, which is of ``operations``."""
        with self.lock:
            view = lsm.show(
                self.view, operations, self.active, self._marks, self._sealed, self.disk, FamilyView
            )
            self.published = self.sequence
            self.view = view

    def _settle(self, record: lsm.Piece, operations: list[lsm.Operation], before: int) -> bool:
        """Make an interrupted commit whole, or none (false); poison the store if neither can be.

        ``before`` is the size that the log had. Control-C comes between any two steps.
        """
        log = self.log
        try:
            if log is not None and log.size == before:
                log.withdraw()
                return False
            if log is not None and self.options.sync == "batch":
                log.sync()
            self.insert(record, operations)
        except BaseException as error:
            self.poison(error)
            raise
        return True

    def seal(self) -> bool:
        """Start new memtables and a new log segment; the caller holds ``write_lock``."""
        if not any(layer.memtable.rows or layer.ranges.count for layer in self.active_layers()):
            return False
        self.check_writable()
        try:
            if self.log is not None:
                self.log.seal()
                if self.options.sync != "none":
                    self.log.sync()
            capture = self.capture()
            self.publish(capture)
            if self.log is not None:
                self.start_log(self.segment + 1)
            self._freeze(capture)
        except OSError as error:
            self.poison(error)
            raise Unavailable(f"a new log for {self.directory} failed: {error}") from error
        except BaseException as error:
            self.poison(error)  # interrupted: which log is the current one?
            raise
        return True

    def _freeze(self, capture: Capture) -> None:
        with self.lock:
            generation = Generation(
                self.segment, capture.marks, self.active_bytes(), self.sequence, self.position
            )
            self._expected = {
                family: sum(mark for _, mark in marks) for family, marks in capture.marks.items()
            }
            self.segment += 1
            self.frozen = (*self.frozen, generation)
            self.active = {}
            self.active_size = 0
            self.arena = lsm.Arena(generation.memory >= _MUCH)
            self._marks = {}
            self.rebuild()

    def start_log(self, segment: int) -> None:
        """Begin log ``segment``; durable as far as ``sync`` promises, before its first record."""
        log = LogWriter(
            self.filesystem,
            self.directory,
            self.manifest.store,
            segment,
            self.sequence + 1,
            ahead=self.options.sync == "none",
            limit=self.options.memtable_bytes,
        )
        if self.options.sync != "none":
            log.sync()
            self.filesystem.fsync_directory(self.directory)
        self.log = log

    def sync_logs(self) -> None:
        """Have all segments that are needed on disk, their names too, before the manifest says so.

        With ``sync="none"`` those of sealed memtables have not been synced yet.
        """
        if self.log is None:
            return
        if self.options.sync == "none":
            for segment in range(self.manifest.log_from, self.segment):
                path = f"{self.directory}/{segment_name(segment)}"
                if self.filesystem.exists(path):
                    self.filesystem.open(path).fdatasync()
            self.filesystem.fsync_directory(self.directory)
        self.log.sync()
