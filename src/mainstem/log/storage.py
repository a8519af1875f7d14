"""What a partition consists of on disk, apart from the rules of using it."""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from dataclasses import dataclass, field

from mainstem.clock import Clock
from mainstem.filesystem import FileSystem
from mainstem.log.epochs import LeaderEpochs
from mainstem.log.handles import HandleCache
from mainstem.log.producers import Producers
from mainstem.log.segment import Segment
from mainstem.log.snapshots import SUFFIX, snapshot_offsets, write_snapshot


@dataclass(frozen=True, slots=True)
class Environment:
    """What all partitions of a log share."""

    filesystem: FileSystem
    clock: Clock
    handles: HandleCache


@dataclass(slots=True)
class Storage:
    """The files of one partition and what is known of them. The last segment is active."""

    directory: str
    environment: Environment
    segments: list[Segment] = field(default_factory=list)
    bases: list[int] = field(default_factory=list)
    log_start_offset: int = 0
    log_end_offset: int = 0
    recovery_point: int = 0
    epochs: LeaderEpochs = field(default_factory=LeaderEpochs)
    producers: Producers = field(default_factory=Producers)

    @property
    def name(self) -> str:
        """``topic-partition``, for messages."""
        return self.directory.rpartition("/")[2]

    @property
    def active(self) -> Segment:
        return self.segments[-1]

    def new_segment(self, base_offset: int) -> Segment:
        shared = self.environment
        return Segment(self.directory, base_offset, shared.filesystem, shared.handles)

    def add(self, segment: Segment) -> None:
        self.segments.append(segment)
        self.bases.append(segment.base_offset)

    def slot(self, offset: int) -> int:
        """Which segment ``offset`` falls in; the first for anything before it."""
        return max(0, bisect_right(self.bases, offset) - 1)

    def wholly_before(self, offset: int) -> int:
        """How many of the oldest segments end at or before ``offset``; never the active one."""
        return max(0, bisect_right(self.bases, offset) - 1)

    def end_of(self, slot: int) -> int:
        """The offset after the last one of segment ``slot``."""
        return self.bases[slot + 1] if slot + 1 < len(self.bases) else self.log_end_offset

    def roll(self, now_ms: int) -> Segment:
        """Seal the active segment and begin the next one at the log end offset.

        Raises ``OSError`` with everything as it was: the old segment stays active.
        """
        segment = self.new_segment(self.log_end_offset)
        self.active.save_indexes()
        self.snapshot(sync=False)
        segment.create(now_ms)
        self.active.pinned = False
        self.add(segment)
        return segment

    def snapshot(self, *, sync: bool) -> None:
        """Write producer state as of the log end offset."""
        write_snapshot(
            self.environment.filesystem,
            self.directory,
            self.log_end_offset,
            self.producers,
            sync=sync,
        )

    def snapshot_path(self, offset: int) -> str:
        return f"{self.directory}/{offset:020d}{SUFFIX}"

    def remove_snapshots(self, *, before: int) -> None:
        """Unlink producer snapshots below offset ``before``, whose own is durable."""
        filesystem = self.environment.filesystem
        for offset in snapshot_offsets(filesystem.listdir(self.directory)):
            if offset < before:
                with contextlib.suppress(FileNotFoundError):
                    filesystem.unlink(self.snapshot_path(offset))

    def remove_first(self, count: int) -> None:
        """Drop the oldest segments and unlink their files. Readers' slices stay valid."""
        for segment in self.segments[:count]:
            self.unlink(segment)
        del self.segments[:count]
        del self.bases[:count]

    def unlink(self, segment: Segment) -> None:
        filesystem = self.environment.filesystem
        segment.deleted = True
        self.environment.handles.forget(segment)
        for suffix in (".log", ".index", ".timeindex"):
            with contextlib.suppress(FileNotFoundError):
                filesystem.unlink(segment.stem + suffix)
