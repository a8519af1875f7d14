"""Checking a data directory that nobody has open."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from os import PathLike, fspath
from pathlib import Path
from typing import Literal, NamedTuple

from mainstem.clock import SystemClock
from mainstem.errors import Corrupt
from mainstem.filesystem import FileSystem, RealFileSystem, read_file
from mainstem.log import checkpoints
from mainstem.log.directory import TOPICS, partition_of
from mainstem.log.epochs import LeaderEpochs
from mainstem.log.handles import HandleCache
from mainstem.log.indexes import IndexFileError, OffsetIndex, TimeIndex
from mainstem.log.scan import TornLogError, scan
from mainstem.log.segment import Segment
from mainstem.log.snapshots import SnapshotError, read_snapshot, snapshot_offsets
from mainstem.log.storage import Environment, Storage

_NUMBER_FILES = (
    checkpoints.RECOVERY_POINT,
    checkpoints.LOG_START_OFFSET,
    checkpoints.CLEAN_SHUTDOWN,
)


class Finding(NamedTuple):
    """One thing seen. ``error`` needs a person, ``warning`` heals at the next start."""

    path: Path
    severity: Literal["ok", "warning", "error"]
    message: str
    offset: int | None = None


class _Batches(NamedTuple):
    """What a scan of one segment saw, by position of each batch."""

    at: dict[int, tuple[int, int]]  # position -> (last offset, max timestamp)
    end_offset: int
    size: int
    torn: TornLogError | None
    epochs: dict[int, int]  # epoch -> first offset


def check(root: str | PathLike[str], *, filesystem: FileSystem | None = None) -> Iterator[Finding]:
    """Read everything under ``root`` and say what is found; changes nothing.

    Every batch's CRC, offsets, indexes, time indexes, epochs, checkpoints and snapshots. Yields
    at least one finding per partition. The directory must not be in use.
    """
    filesystem = filesystem or RealFileSystem()
    topics = f"{fspath(root).rstrip('/')}/{TOPICS}"
    if not filesystem.exists(topics):
        yield Finding(Path(topics), "warning", "there is no such directory: nothing was stored")
        return
    for name in filesystem.listdir(topics):
        directory = f"{topics}/{name}"
        if partition_of(name) is not None:
            yield from _check_partition(directory, filesystem)
        elif name.endswith(".deleted"):
            yield Finding(
                Path(directory), "warning", "a deleted partition; the next start removes it"
            )
        else:
            yield Finding(Path(directory), "warning", "not a partition; left alone")


def _check_partition(directory: str, filesystem: FileSystem) -> Iterator[Finding]:
    handles = HandleCache(filesystem, 8)
    storage = Storage(directory, Environment(filesystem, SystemClock(), handles))
    problems = list(_load(storage))
    yield from problems
    if any(finding.severity == "error" for finding in problems):
        return
    clean = filesystem.exists(f"{directory}/{checkpoints.CLEAN_SHUTDOWN}")
    expected = max(storage.bases[0], 0)
    batches = size = 0
    for slot, segment in enumerate(storage.segments):
        last = slot == len(storage.segments) - 1
        if segment.base_offset != expected:
            problem = f"begins at offset {segment.base_offset} where {expected} is next"
            yield _judged(storage, segment.path, problem, expected)
        seen = _scan(segment)
        if seen.torn:
            yield _judged(storage, segment.path, str(seen.torn), seen.end_offset)
        yield from _check_indexes(storage, segment, seen, written=clean or not last)
        yield from _check_epochs(storage, segment, seen)
        batches, size, expected = batches + len(seen.at), size + seen.size, seen.end_offset
    if expected < storage.recovery_point:
        problem = f"the log ends at {expected}, before its recovery point {storage.recovery_point}"
        yield Finding(Path(directory), "error", problem, expected)
    yield Finding(
        Path(directory),
        "ok",
        f"{batches} batches, {size} bytes, offsets {storage.log_start_offset} to {expected}"
        + ("" if clean else ", not shut down cleanly"),
        expected,
    )


def _load(storage: Storage) -> Iterator[Finding]:
    filesystem, directory = storage.environment.filesystem, storage.directory
    numbers: dict[str, dict[str, int] | None] = {}
    for name in _NUMBER_FILES:
        try:
            numbers[name] = checkpoints.read_numbers(filesystem, directory, name)
        except Corrupt as error:
            heals = name == checkpoints.CLEAN_SHUTDOWN
            yield Finding(Path(f"{directory}/{name}"), "warning" if heals else "error", str(error))
    try:
        storage.epochs = LeaderEpochs.load(filesystem, directory)
    except Corrupt as error:
        yield Finding(Path(directory), "error", str(error))
    storage.recovery_point = (numbers.get(checkpoints.RECOVERY_POINT) or {}).get("offset", 0)
    storage.log_start_offset = (numbers.get(checkpoints.LOG_START_OFFSET) or {}).get("offset", 0)
    names = filesystem.listdir(directory)
    for name in names:
        stem, _, suffix = name.partition(".")
        if suffix == "log" and len(stem) == 20 and stem.isdecimal():
            segment = storage.new_segment(int(stem))
            segment.size = filesystem.size(segment.path)
            storage.add(segment)
    while len(storage.bases) > 1 and storage.bases[1] <= storage.log_start_offset:
        del storage.segments[0], storage.bases[0]  # deleted; a crash kept the file
    if not storage.bases or storage.bases[0] > storage.log_start_offset:
        problem = f"no segment holds the log start offset {storage.log_start_offset}"
        yield Finding(Path(directory), "error", problem, storage.log_start_offset)
    for offset in snapshot_offsets(names):
        try:
            read_snapshot(filesystem, directory, offset)
        except SnapshotError as error:
            yield Finding(
                Path(storage.snapshot_path(offset)), "warning", f"{error}; will be rebuilt"
            )


def _judged(storage: Storage, path: str, problem: str, offset: int) -> Finding:
    """Damage after the recovery point is cut off at the next start; before it, it is loss."""
    if offset < storage.recovery_point:
        return Finding(Path(path), "error", problem, offset)
    return Finding(Path(path), "warning", f"{problem}; the next start cuts the log here", offset)


def _scan(segment: Segment) -> _Batches:
    at: dict[int, tuple[int, int]] = {}
    epochs: dict[int, int] = {}
    position, expected, epoch, torn = 0, segment.base_offset, -1, None
    try:
        for header in scan(segment, segment.size, verify=True):
            if header.base_offset != expected or header.leader_epoch < epoch:
                raise TornLogError(
                    f"the batch at byte {position} has offset {header.base_offset} and epoch "
                    f"{header.leader_epoch} after offset {expected} and epoch {epoch}",
                    position,
                )
            epoch = header.leader_epoch
            epochs.setdefault(epoch, expected)
            at[position] = (header.last_offset, header.max_timestamp)
            expected, position = header.last_offset + 1, position + header.size
    except TornLogError as error:
        torn = error
    return _Batches(at, expected, position, torn, epochs)


def _check_indexes(
    storage: Storage, segment: Segment, seen: _Batches, *, written: bool
) -> Iterator[Finding]:
    """Entries must name batches that are there; an unfit index is rebuilt, so never an error."""
    filesystem = storage.environment.filesystem
    for suffix in (".index", ".timeindex"):
        path = segment.stem + suffix
        if not filesystem.exists(path):
            if written:
                yield Finding(Path(path), "warning", "missing; it will be rebuilt")
            continue
        try:
            data = read_file(filesystem, path)
            if suffix == ".index":
                problem = _offset_entries(segment, seen, data)
            else:
                problem = _time_entries(segment, seen, data)
        except (IndexFileError, struct.error) as error:
            problem = str(error)
        if problem:
            yield Finding(Path(path), "warning", f"{problem}; remove it and it will be rebuilt")


def _offset_entries(segment: Segment, seen: _Batches, data: bytes) -> str | None:
    index = OffsetIndex.from_bytes(data, max(segment.size, 1))
    for relative, position in zip(index.offsets, index.positions, strict=True):
        found = seen.at.get(position)
        if position < seen.size and (not found or found[0] != relative + segment.base_offset):
            return f"entry for offset {relative + segment.base_offset} at byte {position} is wrong"
    return None


def _time_entries(segment: Segment, seen: _Batches, data: bytes) -> str | None:
    times = TimeIndex.from_bytes(data)
    largest_at = dict(seen.at.values())
    for timestamp, relative in zip(times.timestamps, times.offsets, strict=True):
        offset = relative + segment.base_offset
        if offset < seen.end_offset and largest_at.get(offset) != timestamp:
            return f"entry for time {timestamp} at offset {offset} is wrong"
    return None


def _check_epochs(storage: Storage, segment: Segment, seen: _Batches) -> Iterator[Finding]:
    for epoch, offset in seen.epochs.items():
        known = [entry for entry in storage.epochs.entries if entry[1] <= offset]
        if known and known[-1][0] != epoch:
            problem = (
                f"offset {offset} has leader epoch {epoch}, the checkpoint says {known[-1][0]}"
            )
            yield Finding(Path(segment.path), "warning", problem, offset)
