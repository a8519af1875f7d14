"""Opening a store: manifest, files, log; after a crash, a prefix of what was written."""

from __future__ import annotations

import contextlib
import fcntl
import io
import re
import secrets
from typing import Final

from mainstem.errors import Conflict, Corrupt, Unavailable
from mainstem.filesystem import File, FileSystem
from mainstem.lsm import manifest as manifests
from mainstem.lsm.cache import BlockCache
from mainstem.lsm.footer import file_name
from mainstem.lsm.log import SEGMENT_HEAD, SegmentReader, segment_name
from mainstem.lsm.manifest import FamilyRecord, Manifest
from mainstem.lsm.options import FamilyOptions, StoreOptions
from mainstem.lsm.state import Generation, State

LOCK_NAME: Final = "lock"
DEFAULT_FAMILY: Final = "default"
OUR_FILE: Final = re.compile(r"(\d{12})\.(run|log)")


def take_lock(filesystem: FileSystem, directory: str) -> File:
    """Keep other processes out for as long as the file is open. Raises ``Conflict``."""
    path = f"{directory}/{LOCK_NAME}"
    file = filesystem.open(path, create=not filesystem.exists(path))
    # A file system in memory has no descriptors, and no other process either.
    with contextlib.suppress(io.UnsupportedOperation):
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                f"the store at {directory} is open already: close it there, or wait"
            ) from error
    return file


def open_state(
    filesystem: FileSystem,
    directory: str,
    options: StoreOptions,
    family_options: FamilyOptions | None,
    cache: BlockCache,
    *,
    create: bool,
) -> State:
    """Open or create the store in ``directory``.

    Raises ``Conflict`` (in use), ``Corrupt`` (what was promised is not there), ``Unavailable``
    (the disk refuses).
    """
    try:
        return _open_state(filesystem, directory, options, family_options, cache, create=create)
    except FileNotFoundError as error:
        raise Unavailable(f"there is no store at {directory}: {error}") from error
    except OSError as error:
        raise Unavailable(f"the store at {directory} cannot be opened: {error}") from error


def _open_state(
    filesystem: FileSystem,
    directory: str,
    options: StoreOptions,
    family_options: FamilyOptions | None,
    cache: BlockCache,
    *,
    create: bool,
) -> State:
    if create:
        filesystem.mkdir(directory)
        parent = directory.rpartition("/")[0]
        filesystem.fsync_directory(parent or ("/" if directory.startswith("/") else "."))
    elif not filesystem.exists(directory):
        raise FileNotFoundError(2, "no such directory", directory)
    lock_file = take_lock(filesystem, directory)
    manifest = manifests.read(filesystem, directory)
    if manifest is None:
        manifest = _new_manifest(filesystem, directory, options, family_options)
    state = State(filesystem, directory, options, manifest, cache, lock_file)
    replayed = _replay(state)
    state.segment += 1
    if options.sync != "external":
        state.start_log(state.segment)
    with state.edit_lock:
        state.write_manifest(epoch=manifest.epoch + 1)
    with state.lock:
        if replayed is not None:
            state.frozen = (replayed,)
        state.rebuild()
    _tidy(state)
    return state


def _new_manifest(
    filesystem: FileSystem,
    directory: str,
    options: StoreOptions,
    family_options: FamilyOptions | None,
) -> Manifest:
    strays = [name for name in filesystem.listdir(directory) if OUR_FILE.fullmatch(name)]
    if strays:
        raise Corrupt(
            f"{directory} has {strays[0]} but no manifest: it was lost; restore a checkpoint"
        )
    seed = secrets.randbits(64) if options.hash_seed is None else options.hash_seed
    store = secrets.randbits(63) if options.hash_seed is None else options.hash_seed >> 1
    default = FamilyRecord(0, DEFAULT_FAMILY, family_options or FamilyOptions())
    manifest = Manifest(store, seed, 0, 0, 1, 1, 0, {}, (default,))
    manifests.write(filesystem, directory, manifest)
    return manifest


def _segments(state: State) -> list[int]:
    """Log segments still needed, ascending, without holes."""
    found = sorted(
        int(match[1])
        for name in state.filesystem.listdir(state.directory)
        if (match := OUR_FILE.fullmatch(name)) and match[2] == "log"
    )
    return [segment for segment in found if segment >= state.manifest.log_from]


def _replay(state: State) -> Generation | None:
    """Bring back what the log holds, as sealed memtables to be flushed."""
    segments = _segments(state)
    log_end = state.manifest.log_end
    if (
        log_end is not None
        and log_end[0] >= state.manifest.log_from
        and (log_end[0] not in segments)
    ):
        raise _lost(state, segment_name(log_end[0]), "it is missing")
    for at, segment in enumerate(segments):
        reader = _reader(state, segment)
        if reader.first_sequence > state.sequence + 1:
            _leave_out(state, reader, segments[at:])
            break
        for commit in reader:
            try:
                state.apply(reader.data, commit.start, commit.operations)
            except ValueError as error:
                raise Corrupt(f"commit {commit.sequence} of {reader.path}: {error}") from error
            state.sequence = commit.sequence
            if commit.position is not None:
                state.position = state.position | commit.position
        state.segment = segment
        later = segments[at + 1 :]
        if reader.torn and not (
            later and reader.ends_before(_reader(state, later[0], SEGMENT_HEAD))
        ):
            _cut(state, reader, segment, later)
            break
        with contextlib.suppress(OSError):  # space reserved, or zeros of a segment that was sealed
            state.filesystem.open(reader.path).truncate(reader.good)
    state.segment = max([state.segment, *segments])
    if not state.active:
        return None
    capture = state.capture()
    memory = state.active_bytes()
    state.active = {}
    state.published = state.sequence
    return Generation(state.segment, capture.marks, memory, state.sequence, state.position)


def _reader(state: State, segment: int, size: int = 0) -> SegmentReader:
    """Of segment ``segment``, or only of its first ``size`` bytes."""
    path = f"{state.directory}/{segment_name(segment)}"
    file = state.filesystem.open(path)
    if state.options.sync not in ("none", "external"):
        # The process may have died before it did, and the next segment relies on it.
        file.fdatasync()
    return SegmentReader(file.pread(0, size or file.size()), path, state.manifest.store, segment)


def _leave_out(state: State, reader: SegmentReader, segments: list[int]) -> None:
    """Commits are missing before ``segments``: they go, unless something says they were on disk."""
    log_end = state.manifest.log_end
    first = next(iter(reader), None)
    # As in ``_cut``. A segment without records cannot tell how it was written.
    synced = first.synced > 0 if first is not None else state.options.sync != "none"
    if synced or (log_end is not None and log_end[0] >= segments[0]):
        raise _lost(
            state,
            segment_name(segments[0]),
            f"it begins at commit {reader.first_sequence}, after {state.sequence}",
        )
    for number in reversed(segments):
        state.filesystem.unlink(f"{state.directory}/{segment_name(number)}")
    state.filesystem.fsync_directory(state.directory)


def _cut(state: State, reader: SegmentReader, segment: int, later: list[int]) -> None:
    """The log ends here, unless something says that more of it was on disk.

    Pages of one write may reach the disk in any order, so whole records behind the bad one mean
    nothing, except when they say that it was synced before they were written.
    """
    name = segment_name(segment)
    promised = reader.promised()
    log_end = state.manifest.log_end
    if log_end is not None and log_end[0] >= segment:
        promised = max(promised, log_end[1] if log_end[0] == segment else len(reader.data) + 1)
    if promised > reader.good:
        raise _lost(state, name, f"byte {reader.good} is bad, {promised} were on disk")
    for number in later:
        # A record that knows its file's head to be on disk was written by a store that syncs a
        # segment before it begins the next.
        first = next(iter(_reader(state, number)), None)
        if first is not None and first.synced:
            raise _lost(
                state, name, f"byte {reader.good} is bad and {segment_name(number)} follows"
            )
    for number in reversed(later):
        state.filesystem.unlink(f"{state.directory}/{segment_name(number)}")
    if later:
        state.filesystem.fsync_directory(state.directory)
    if reader.good == 0:
        state.filesystem.unlink(reader.path)
        state.filesystem.fsync_directory(state.directory)
        return
    file = state.filesystem.open(reader.path)
    file.truncate(reader.good)
    file.fdatasync()


def _lost(state: State, name: str, reason: str) -> Corrupt:
    return Corrupt(
        f"{state.directory}/{name}: {reason}, so commits that were promised are lost; restore "
        "the store from a checkpoint"
    )


def _tidy(state: State) -> None:
    """Remove what a crash left, now that the manifest is known to be sound."""
    known = {
        file.id
        for family in state.manifest.families
        for layer in family.layers
        for file in layer.files
    }
    wanted = {file_name(number) for number in known}
    for name in state.filesystem.listdir(state.directory):
        match = OUR_FILE.fullmatch(name)
        if name == f"{manifests.NAME}.tmp" or (
            match
            and name not in wanted
            and (match[2] == "run" or int(match[1]) < state.manifest.log_from)
        ):
            state.unlink(name)
