"""What of a partition is on the disk for certain."""

from __future__ import annotations

import threading

from mainstem.errors import Closed, Unavailable
from mainstem.log import checkpoints
from mainstem.log.segment import Segment
from mainstem.log.storage import Storage

KAFKA_STORAGE_ERROR = 56


class Durability:
    """Tracks unsynced files and syncs them. Thread safe through the partition's ``lock``.

    ``offset``: everything below survives a power cut. ``failure`` stays set once the disk
    failed in a way that leaves its content unknown: after a failed fdatasync the kernel may
    have dropped the very pages (and says so once only), so trying again would prove nothing.
    """

    def __init__(self, storage: Storage, lock: threading.RLock) -> None:
        self._storage = storage
        self._lock = lock
        self._syncing = threading.Lock()
        self._unsynced: dict[Segment, None] = {}
        self._sealed: list[tuple[Segment, int]] = []
        self.indexes_unknown = False  # an index file's sync failed: let recovery rebuild it
        self.offset = storage.log_end_offset
        self._failed: str | None = None
        self._closed = False

    def wrote(self, segment: Segment) -> None:
        """Bytes go to ``segment``; called under the lock that also moves the log end offset."""
        segment.unsynced = True
        self._unsynced[segment] = None

    def rolled(self, sealed: Segment) -> None:
        """A new segment follows ``sealed``: a new name, two index files, a snapshot."""
        self._sealed.append((sealed, self._storage.active.base_offset))
        self._unsynced[self._storage.active] = None

    @property
    def failure(self) -> Unavailable | None:
        """A fresh error that says why nothing more is written; ``None`` while all is well."""
        if self._failed is None:
            return None
        return Unavailable(
            f"{self._storage.name}: {self._failed}; the partition takes no writes until reopened",
            code=KAFKA_STORAGE_ERROR,
        )

    def poison(self, message: str) -> Unavailable:
        """Write nothing more, for good; returns the error to raise."""
        self._failed = message
        failure = self.failure
        assert failure is not None
        return failure

    def sync(self) -> None:
        """Make everything appended so far durable. Blocks; meant for a thread of its own.

        Raises ``Unavailable`` and poisons the partition if the disk refuses, ``Closed`` once the
        partition is closed: its files may be gone by then.
        """
        with self._syncing:
            with self._lock:
                if self._closed:
                    raise Closed(f"{self._storage.name} is closed")
                failure = self.failure
                if failure is not None:
                    raise failure
                target = self._storage.log_end_offset
                sealed, self._sealed = self._sealed, []
                segments, self._unsynced = list(self._unsynced), {}
                try:
                    files = [segment.file() for segment in segments if not segment.deleted]
                except OSError as error:
                    raise self.poison(f"a file cannot be opened: {error}") from error
            try:
                for file in files:
                    file.fdatasync()
                if sealed:
                    # A segment's records are durable only if its name is.
                    self._storage.environment.filesystem.fsync_directory(self._storage.directory)
            except OSError as error:
                with self._lock:
                    raise self.poison(f"fdatasync failed: {error}") from error
            with self._lock:
                self.offset = max(self.offset, target)
                for segment in segments:
                    segment.unsynced = segment in self._unsynced
            if sealed:
                self._advance(sealed, target)

    def close(self) -> None:
        """No sync begins after this; called under the lock."""
        self._closed = True

    def checkpoint(self) -> None:
        """Sync, and let recovery begin at what is durable from now on."""
        self.sync()
        with self._syncing:
            self._advance([], self.offset)

    def _advance(self, sealed: list[tuple[Segment, int]], offset: int) -> None:
        """Move the recovery point; the indexes it vouches for come first.

        It only saves work at the next start, so a disk that refuses here costs nothing else.
        """
        storage = self._storage
        filesystem, directory = storage.environment.filesystem, storage.directory
        for segment, end_offset in sealed:
            stem, snapshot = segment.stem, storage.snapshot_path(end_offset)
            for path in (stem + ".index", stem + ".timeindex", snapshot):
                try:
                    filesystem.open(path).fdatasync()
                except FileNotFoundError:
                    pass  # retention removed it, or it will be rebuilt
                except OSError:
                    self.indexes_unknown = True
        if self.indexes_unknown or offset <= storage.recovery_point:
            return
        try:
            if sealed:
                filesystem.fsync_directory(directory)
            checkpoints.write_numbers(
                filesystem, directory, checkpoints.RECOVERY_POINT, offset=offset
            )
            storage.recovery_point = offset
            if sealed:
                storage.remove_snapshots(before=sealed[-1][1])
        except OSError:
            return
